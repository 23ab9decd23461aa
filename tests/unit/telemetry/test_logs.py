"""Logs: one JSON object a line, also for libraries; coloured text for people."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from soulbox.telemetry.logs import get_logger, set_up_logging

LIBRARIES = ("kopf", "kopf.objects", "psycopg.pool", "aiohttp.access")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's own: as it was, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, known in levels.items():
        logging.getLogger(name).setLevel(known)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was logged, an object a line; nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_facts_are_members_of_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    get_logger("soulbox.test").info("reconciled", uid="u1", text="two\nlines")
    (entry,) = lines(capsys)
    assert entry.pop("time")
    assert entry == {
        "event": "reconciled",
        "uid": "u1",
        "text": "two\nlines",
        "level": "info",
        "logger": "soulbox.test",
    }


def test_libraries_log_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    logging.getLogger("kubernetes").warning("%s is old", "it", extra={"uid": "u2"})
    (entry,) = lines(capsys)
    assert (entry["event"], entry["level"], entry["uid"]) == ("it is old", "warning", "u2")


def test_exception_is_a_member_and_no_more_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    secret = "s3cret"  # a local variable: it must not be printed
    try:
        raise ValueError("bad")
    except ValueError as error:
        get_logger("t").error("crashed", exc_info=error)
    (entry,) = lines(capsys)
    assert "ValueError: bad" in str(entry["exception"])
    assert secret not in json.dumps(entry)


@pytest.mark.parametrize(
    ("level", "want"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)]
)
def test_level_is_kept(level: str, want: int, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level, "json")
    log = get_logger("t")
    log.debug("d")
    log.info("i")
    log.warning("w")
    assert len(lines(capsys)) == want


def test_libraries_that_talk_much_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", "json")
    for name in LIBRARIES:
        logging.getLogger(name).info("an event of an object")
    assert lines(capsys) == []


def test_text_for_people_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "console")
    get_logger("t").info("hello", uid="u1")
    err = capsys.readouterr().err
    assert "hello" in err
    assert "u1" in err
    with pytest.raises(json.JSONDecodeError):
        json.loads(err)


def test_setting_up_twice_logs_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    set_up_logging("info", "json")
    get_logger("t").info("once")
    assert len(lines(capsys)) == 1
