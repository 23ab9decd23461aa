"""One trial cluster a machine: claims by others are refused, and one command runs at a time."""

import multiprocessing
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from hack.cluster import ownership
from hack.cluster.config import CHECKOUT, ClusterError, Paths


def paths(tmp_path: Path) -> Paths:
    return Paths(state=tmp_path / "state", cache=tmp_path / "cache")


def test_claim_again_by_the_same_checkout_is_harmless(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    ownership.claim(paths(tmp_path), "local", run_dir)
    ownership.claim(paths(tmp_path), "local", run_dir)

    owner = ownership.current(run_dir)
    assert owner is not None
    assert owner.checkout == str(CHECKOUT)
    assert not ownership.is_abandoned(owner)
    assert ownership.is_abandoned(replace(owner, checkout=str(tmp_path / "deleted")))


@pytest.mark.parametrize("change", ["kind", "state"])
def test_claim_of_another_kind_or_folder_says_how_to_end_the_first(
    tmp_path: Path, change: str
) -> None:
    run_dir = tmp_path / "run"
    ownership.claim(paths(tmp_path), "local", run_dir)
    other = replace(paths(tmp_path), state=tmp_path / "else") if change == "state" else None

    with pytest.raises(ClusterError, match=r"End it first: .*hack/down"):
        ownership.claim(other or paths(tmp_path), "local" if other else "kind", run_dir)


def test_nobody_owns_what_was_half_written(tmp_path: Path) -> None:
    (tmp_path / "owner.json").write_text('{"checkout": ')

    assert ownership.current(tmp_path) is None


def _hold(run_dir: Path, held: Event, release: Event) -> None:
    with ownership.lock(run_dir):
        held.set()
        release.wait(30)


@pytest.mark.slow  # two processes that import it anew
def test_lock_waits_for_the_other_and_leaves_no_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release, second = context.Event(), context.Event(), context.Event()
    run_dir = tmp_path / "run"
    first = context.Process(target=_hold, args=(run_dir, held, release))
    first.start()
    assert held.wait(30)
    waiting = context.Process(target=_hold, args=(run_dir, second, release))
    waiting.start()

    assert not second.wait(0.5)  # nothing happens for this long while the first holds it
    release.set()
    assert second.wait(30)
    for process in (first, waiting):
        process.join(30)
        assert process.exitcode == 0
    assert not run_dir.with_suffix(".lock").exists()
