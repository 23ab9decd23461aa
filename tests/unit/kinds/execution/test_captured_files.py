"""Captured files in the status: bounded, and in the record's order."""

from __future__ import annotations

import hashlib

from soulbox.kinds.execution.decide.actions import CollectOutput
from soulbox.kinds.execution.decide.decision import decide_execution
from soulbox.kinds.execution.decide.fit import shrink_status
from soulbox.kinds.execution.decide.outcome import ending_of_run
from soulbox.kinds.execution.decide.output import FILE_CONTENT_BYTES, encoded_bytes, inline_files
from soulbox.kinds.execution.decide.status import files_to_save, final_status
from soulbox.model.runs import CapturedFile
from tests.support.fix_clock import NOW, at
from tests.support.seen import make_dispatched, make_final, make_finished


def make_file(
    path: str = "out.txt", content: bytes | None = b"42\n", **changes: object
) -> CapturedFile:
    """A captured file whose content is known."""
    values: dict[str, object] = {
        "path": path,
        "size_bytes": len(content or b""),
        "sha256": hashlib.sha256(content or b"").hexdigest(),
        "truncated": False,
        "content": content,
    }
    return CapturedFile(**values | changes)  # type: ignore[arg-type]


def test_none_asked_for_is_nothing_said() -> None:
    assert inline_files((), 0) == {}


def test_small_text_is_inline_with_size_and_hash() -> None:
    assert inline_files([make_file()], 0) == {
        "files": [
            {
                "path": "out.txt",
                "size": 3,
                "sha256": hashlib.sha256(b"42\n").hexdigest(),
                "content": "42\n",
            }
        ]
    }


def test_binary_cut_and_unread_files_are_listed_without_content() -> None:
    files = [
        make_file("a", b"\xff\xfe"),
        make_file("b", b"x", truncated=True, size_bytes=9),
        make_file("c", None, size_bytes=10**9),
    ]
    found = inline_files(files, 0)["files"]
    assert [file["path"] for file in found] == ["a", "b", "c"]
    assert all("content" not in file for file in found)
    assert found[1]["truncated"] is True


def test_contents_share_their_bound_first_ones_first() -> None:
    half = b"x" * (FILE_CONTENT_BYTES // 2)
    files = [make_file("a", half), make_file("b", half + b"x"), make_file("c", half)]
    found = inline_files(files, 0)["files"]
    assert ["content" in file for file in found] == [True, False, True]
    assert sum(encoded_bytes(file.get("content", "")) for file in found) <= FILE_CONTENT_BYTES


def test_control_characters_count_as_they_are_encoded() -> None:
    found = inline_files([make_file("a", b"\1" * FILE_CONTENT_BYTES)], 0)["files"]
    assert "content" not in found[0]


def test_sixty_four_endless_names_stay_bounded_and_are_counted() -> None:
    files = [make_file(f"{number:02}" + "\1" * 4000, b"") for number in range(64)]
    found = inline_files(files, 100_000)
    assert len(found["files"]) + found["filesOmitted"] == 100_064
    assert sum(encoded_bytes(file["path"]) for file in found["files"]) <= 65_536
    count = 64 - len(found["files"])
    assert found["filesOmittedReason"] == f"the paths of {count} are too long for the status"


def test_reason_for_what_is_missing_is_told_and_bounded() -> None:
    found = inline_files((), 1, '"a\x1b" could not be copied: ' + "x" * 5000)
    assert found["filesOmittedReason"].startswith('"a\\x1b" could not be copied: xx')
    assert len(found["filesOmittedReason"]) == 1024
    assert "filesOmitted" not in inline_files((), 0, "not all of the workspace was searched")


def test_shrunk_status_keeps_names_that_fit_and_counts_the_rest() -> None:
    files = tuple(make_file(f"{number:02}" + "n" * 98) for number in range(64))
    seen = make_dispatched()
    status = final_status(seen, ending_of_run(seen, make_finished(files=files)), NOW)
    small = shrink_status(status)["output"]
    assert [set(file) for file in small["files"]] == [{"path", "size", "sha256"}] * 10
    assert small["filesOmitted"] == 54
    status["output"]["filesOmitted"] = 7
    assert shrink_status(status)["output"]["filesOmitted"] == 61, "with those omitted before"


def test_files_are_saved_in_the_order_of_the_status_before_the_release() -> None:
    run = make_finished(files=(make_file("a"), make_file("b")))
    output = {
        "stdout": "42\n", "stdoutTruncated": False, "stderr": "", "stderrTruncated": False,
        "files": [{"path": "b"}, {"path": "a"}],
    }  # fmt: skip
    decision = decide_execution(make_final(status={"output": output}, run=run), at(1))
    (collect,) = decision.actions
    assert isinstance(collect, CollectOutput)
    assert (collect.streams, collect.files) == ((), ("b", "a"))
    saved = make_final(status={"output": output}, run=run, output_saved=True)
    assert not decide_execution(saved, at(1)).actions


def test_names_that_yaml_cannot_hold_break_no_list_and_are_saved_as_they_are() -> None:
    files = (make_file("a\x7f"), make_file("a\x9b"), make_file("b", "a\x7fb\ufffe".encode()))
    run = make_finished(files=files)
    seen = make_dispatched()
    status = final_status(seen, ending_of_run(seen, run), at(1))
    listed = status["output"]["files"]
    assert [file["path"] for file in listed] == ["a\ufffd", "a\ufffd", "b"]
    assert "content" not in listed[2], "the bytes are in the record; here they would be others"
    assert files_to_save(status, run) == ("a\x7f", "a\x9b", "b")
