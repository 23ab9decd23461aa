"""Fuzz one target for some time: python -m tests.fuzz TARGET SECONDS CORPUS (see hack/fuzz).

With atheris, guided by coverage; without it with hypothesis, which is blind to that but mutates
the same bytes. Inputs that found something stay in the corpus' folder as found-*.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main(name: str, seconds: str, corpus: str) -> None:
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        from tests.fuzz.targets import TARGETS, seeds

        _blindly(TARGETS[name], seeds(name), float(seconds))
        return
    with atheris.instrument_imports(include=["soulbox", "tests.fuzz"]):
        from tests.fuzz.targets import TARGETS, seeds
    for number, seed in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(seed)
    options = (
        f"-max_total_time={seconds}", "-max_len=8192", "-timeout=30", "-rss_limit_mb=1024",
        f"-artifact_prefix={folder}/", "-print_final_stats=1", "-reload=0",
    )  # fmt: skip

    def kept(data: bytes) -> None:
        try:
            TARGETS[name](data)
        except BaseException:  # libFuzzer does not always come to write it
            (folder / f"found-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    atheris.Setup([sys.argv[0], str(folder), *options], kept)
    atheris.Fuzz()


def _blindly(target: Callable[[bytes], None], begin: list[bytes], seconds: float) -> None:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    deadline, tried = time.monotonic() + seconds, 0

    @settings(
        max_examples=10_000, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(begin), st.binary(max_size=64), st.integers(0, 8192), st.booleans())
    def once(seed: bytes, change: bytes, at: int, over: bool) -> None:
        nonlocal tried
        tried += 1
        if time.monotonic() < deadline:
            at %= len(seed) + 1
            target(seed[:at] + change + seed[at + (len(change) if over else 0) :])

    while time.monotonic() < deadline:
        once()
    print(f"hypothesis: {tried} inputs, none of them found anything")


if __name__ == "__main__":
    main(*sys.argv[1:4])
