"""The docs build to a site in which every link and anchor leads somewhere and nothing is asked
of the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def build(folder: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    """`make docs` into a folder."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict",
         "--config-file", config, "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _served_as(page: Path) -> Path:
    """Where MkDocs puts a page, without its suffix: a folder's README.md is the folder's index."""
    return page.with_name("index" if page.name == "README.md" else page.stem)


def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert len(pages) > 20
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert {_served_as(page) for page in pages} <= built


def test_reader_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="((?:https?:)?//[^"]+)"')
    found = {url for page in site.rglob("*.html") for url in loads.findall(page.read_text())}
    assert found == set()
    styles = "\n".join(sheet.read_text() for sheet in site.rglob("*.css"))
    assert re.findall(r"url\((?:['\"]?)(?:https?:)?//[^)]+\)", styles) == []


def test_links_to_files_of_the_checkout_lead_to_copies(site: Path) -> None:
    page = (site / "alerts.html").read_text()
    assert 'href="source/manifests/chart/files/alerts.yaml"' in page
    copy = site / "source/manifests/chart/files/alerts.yaml"
    assert copy.read_bytes() == (ROOT / "manifests/chart/files/alerts.yaml").read_bytes()


BROKEN = {
    "a page that is not there": "[x](nowhere.md)",
    "an anchor that is not there": "[x](index.md#nowhere)",
    "a file of the checkout that is not there": "[x](../hack/nowhere)",
}


@pytest.mark.parametrize("case", BROKEN)
def test_link_that_leads_nowhere_breaks_the_build(case: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Home\n\n{BROKEN[case]}\n")
    config = (ROOT / "mkdocs.yml").read_text()
    hooks = "hack/docs/hooks.py"
    config = config.split("\nnav:", 1)[0].replace(hooks, f"{ROOT}/{hooks}")
    (tmp_path / "mkdocs.yml").write_text(config)
    (docs / "assets").mkdir()
    (docs / "assets/site.css").write_text("")
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert "nowhere" in done.stdout + done.stderr
