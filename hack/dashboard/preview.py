"""A preview of the dashboard: a real Prometheus scrapes a running operator, evaluates the
queries of manifests/dashboard/soulbox.json, and a small drawing of ours shows the answers.

It is not Grafana: it shows that the queries answer and what the layout is like, no more.

    python -m hack.dashboard.preview OUT.png [--metrics HOST:PORT] [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from hack.dashboard.drawing import draw_page

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "manifests/dashboard/soulbox.json"
# Short, because a preview watches for a minute or two.
_SCRAPE_SECONDS = 1
_RATE_WINDOW = "10s"

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """Answers PromQL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        """The result of a query; raises OSError when there is none."""
        query = urllib.parse.urlencode({key: str(value) for key, value in parameters.items()})
        with _OPENER.open(f"{self._url}/api/v1/{path}?{query}", timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def is_scraping(self) -> bool:
        """Whether the target answers."""
        try:
            return [sample["value"][1] for sample in self.ask("query", query="up")] == ["1"]
        except OSError:
            return False


@contextmanager
def scraping(target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the target, in a folder that goes with it."""
    found = subprocess.run([ROOT / "hack/prometheus"], capture_output=True, text=True, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {
        "global": {"scrape_interval": f"{_SCRAPE_SECONDS}s"},
        "scrape_configs": [{"job_name": "soulbox", "static_configs": [{"targets": [target]}]}],
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        process = subprocess.Popen(
            [
                Path(found.stdout.strip()) / "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={listen}",
                "--log.level=warn",
            ]
        )
        try:
            yield Prometheus(f"http://{listen}")
        finally:
            process.terminate()
            process.wait(timeout=20)


def _expression(target: dict[str, Any]) -> str:
    return str(target["expr"]).replace("$__rate_interval", _RATE_WINDOW).replace("$job", ".+")


def evaluate(
    prometheus: Prometheus, panel: dict[str, Any], start: float, end: float
) -> list[tuple[str, list[tuple[float, float]]]]:
    """Name and points of each series of a panel; a stat's series have one point."""
    series = []
    for target in panel["targets"]:
        expr = _expression(target)
        if target["instant"]:
            answers = prometheus.ask("query", query=expr, time=end)
        else:
            answers = prometheus.ask(
                "query_range", query=expr, start=start, end=end, step=_SCRAPE_SECONDS
            )
        for answer in answers:
            name = str(target["legendFormat"])
            for label, value in answer["metric"].items():
                name = name.replace("{{" + label + "}}", value)
            points = answer["values"] if "values" in answer else [answer["value"]]
            numbers = [(float(at), float(value)) for at, value in points]
            known = [(at, value) for at, value in numbers if not math.isnan(value)]
            series.append((name, known))
    return series


def screenshot(page: str, target: Path, height: int) -> None:
    """The HTML page as a picture."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(page)
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--user-data-dir={folder}/profile", f"--window-size=1400,{height}",
             f"--screenshot={target}", source.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Watch, ask, draw; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--metrics", default="127.0.0.1:8080", metavar="HOST:PORT")
    parser.add_argument("--seconds", type=int, default=90, help="how long to watch (90)")
    options = parser.parse_args(arguments)
    dashboard = json.loads(DASHBOARD.read_text())
    with scraping(options.metrics) as prometheus:
        start = time.time()
        while (watched := time.time() - start) < options.seconds:
            print(f"\rwatching {watched:3.0f} of {options.seconds} s", end="", file=sys.stderr)
            time.sleep(1)
        print(file=sys.stderr)
        if not prometheus.is_scraping():
            print(f"nothing answers on http://{options.metrics}/metrics", file=sys.stderr)
            return 1
        end = time.time()
        drawn = [
            (panel, evaluate(prometheus, panel, start, end) if panel["type"] != "row" else [])
            for panel in dashboard["panels"]
        ]
    about = f"Preview (not Grafana) · {options.seconds} s of http://{options.metrics}/metrics"
    page, height = draw_page(escape(dashboard["title"]), escape(about), drawn, (start, end))
    screenshot(page, options.out.resolve(), height)
    empty = [panel["title"] for panel, series in drawn if panel["type"] != "row" and not series]
    print(f"{options.out} written; panels without data: {', '.join(empty) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
