"""The spool volume's files: on the disk or not at all, read whole, whoever wrote them."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from soulbox.mirror.spool import BrokenLine, Spool, SpooledObject, check_directory
from soulbox.model.errors import ConfigError, SpoolUnavailable
from soulbox.model.states import Kind
from tests.support.make_mirrored import CLUSTER_UID, make_finished_execution, make_pod, new_uid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def entry(kind: Kind = Kind.EXECUTION, *, version: int = 7, **changes: Any) -> SpooledObject:
    manifest = make_finished_execution() if kind is Kind.EXECUTION else make_pod()
    values = {
        "kind": kind,
        "uid": manifest["metadata"]["uid"],
        "manifest": manifest,
        "version": version,
        "tenant": "acme",
        "started_at": None,
        "spooled_at": NOW,
    }
    return SpooledObject(**{**values, **changes})


def opened(directory: Path, cluster: str = CLUSTER_UID) -> Spool:
    """As a process finds it at its start."""
    spool = Spool(directory, cluster)
    spool.open()
    return spool


def everything(spool: Spool) -> list[SpooledObject | BrokenLine]:
    return [line for path in spool.seal() for portion in spool.read(path) for line in portion]


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.jsonl"))


@contextmanager
def room(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond this: a write ends in its middle, as on a full
    disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_kept_is_found_by_the_next_process(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert (spool.objects, spool.size_bytes, spool.oldest_at, spool.has_files) == (
        0, 0, None, False,
    )  # fmt: skip
    kept = [
        entry(),
        entry(Kind.POD, started_at=NOW - timedelta(hours=1), spooled_at=NOW - timedelta(minutes=1)),
    ]
    spool.append(kept[:1])
    spool.append(kept[1:])
    again = opened(tmp_path)
    for one in (spool, again):
        assert (one.objects, one.oldest_at) == (2, NOW - timedelta(minutes=1))
        assert one.size_bytes == files(tmp_path)[0].stat().st_size
        assert one.version(kept[0].uid) == 7
        assert one.version(new_uid()) is None
    assert everything(again) == kept
    assert len(files(tmp_path)) == 1


def test_file_holds_code_and_is_its_owners_alone(tmp_path: Path) -> None:
    opened(tmp_path).append([entry()])
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o600


def test_processes_share_a_volume_each_with_a_file_of_its_own(tmp_path: Path) -> None:
    old, new = opened(tmp_path), opened(tmp_path)
    one = entry(version=5)
    old.append([one])
    new.append([entry(uid=one.uid, version=6)])
    assert len(files(tmp_path)) == 2
    third = opened(tmp_path)
    assert (third.objects, third.version(one.uid)) == (1, 6)
    assert [line.version for line in everything(third) if isinstance(line, SpooledObject)] == [5, 6]


def test_another_clusters_files_are_left_alone(tmp_path: Path) -> None:
    opened(tmp_path, new_uid()).append([entry()])
    spool = opened(tmp_path)
    assert (spool.objects, spool.seal()) == (0, [])


def test_nul_and_lone_surrogates_survive(tmp_path: Path) -> None:
    manifest = make_finished_execution(stdout="a\x00b\ud800c")
    opened(tmp_path).append([entry(manifest=manifest)])
    (found,) = everything(opened(tmp_path))
    assert isinstance(found, SpooledObject)
    assert found.manifest == manifest


def test_torn_last_line_does_not_count_and_the_lines_before_do(tmp_path: Path) -> None:
    opened(tmp_path).append([entry(), entry()])
    with files(tmp_path)[0].open("ab") as file:
        file.write(b'{"kind":"Execution","uid":')
    spool = opened(tmp_path)
    assert spool.objects == 2
    assert len(everything(spool)) == 2


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        "{}",
        json.dumps({"kind": "Node", "uid": "a", "version": 1, "tenant": "t", "startedAt": None,
                    "spooledAt": "2026-11-22T12:00:00Z", "manifest": {}}),
        json.dumps({"kind": "Pod", "uid": "a", "version": 1, "tenant": "t", "startedAt": None,
                    "spooledAt": "yesterday", "manifest": {}}),
        "[" * 100_000,
        "\udcff\udcfe",
    ],
    ids=["text", "list", "empty", "kind", "time", "deep", "bytes"],
)  # fmt: skip
def test_line_that_is_no_object_is_told_as_such(tmp_path: Path, line: str) -> None:
    opened(tmp_path).append([entry()])
    path = files(tmp_path)[0]
    good = path.read_bytes()
    path.write_bytes(good + line.encode("utf-8", "surrogateescape") + b"\n" + good)
    spool = opened(tmp_path)
    first, broken, last = everything(spool)
    assert isinstance(broken, BrokenLine)
    assert (broken.file, broken.number) == (path.name, 2)
    assert first == last


def test_full_volume_takes_all_or_nothing_and_what_comes_after_is_whole(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    first = entry()
    spool.append([first])
    size = files(tmp_path)[0].stat().st_size
    with room(size + 100), pytest.raises(SpoolUnavailable, match="File too large"):
        spool.append([entry()])
    assert files(tmp_path)[0].stat().st_size == size
    assert spool.objects == 1
    later = entry()
    spool.append([later])
    assert everything(opened(tmp_path)) == [first, later]
    assert len(files(tmp_path)) == 2


def test_volume_that_is_gone_is_a_typed_error_that_names_it(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    spool = opened(directory)
    shutil.rmtree(directory)
    for use in (spool.probe, lambda: spool.append([entry()])):
        with pytest.raises(SpoolUnavailable, match=rf"{directory}.*No such file"):
            use()
    with pytest.raises(ConfigError, match="SOULBOX_SPOOL_DIRECTORY"):
        check_directory(directory)
    with pytest.raises(ConfigError, match="mount the volume"):
        spool.open()


def test_probe_leaves_nothing_and_says_when_the_volume_is_full(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.probe()
    with room(1), pytest.raises(SpoolUnavailable):
        spool.probe()
    assert list(tmp_path.iterdir()) == []


def test_removed_file_is_gone_and_counts_no_more(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([entry()])
    (path,) = spool.seal()
    spool.remove(path)
    spool.remove(path)
    assert (spool.objects, spool.has_files, files(tmp_path)) == (0, False, [])
    spool.append([entry()])
    assert spool.objects == 1


def test_full_file_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soulbox.mirror.spool._MAX_FILE_BYTES", 1)
    spool = opened(tmp_path)
    kept = [entry(), entry(), entry()]
    for one in kept:
        spool.append([one])
    assert len(files(tmp_path)) == 3
    assert everything(spool) == kept


def test_long_file_is_read_in_portions(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    kept = [entry() for _ in range(7)]
    spool.append(kept)
    portions = list(spool.read(spool.seal()[0], portion=3))
    assert [len(portion) for portion in portions] == [3, 3, 1]
    assert [line for portion in portions for line in portion] == kept
