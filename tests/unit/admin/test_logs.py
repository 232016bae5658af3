"""The log: one line of ASCII a record, and nothing in it that a caller sent."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pty
from typing import Any

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from gateway.admin.logs import LineHandler, TextFormatter, configure_logging, format_timestamp

CANARY = "S3CR3T-t0ken"
NASTY = {
    "cr lf": "a\r\n{}",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "bidi": "a\u202eb\u2066",
    "lone surrogate": "a\udc80b",
    "escape sequence": "\x1b[2Ja",
    "nul": "a\x00b",
    "beyond the plane": "\U0001f600",
}

logger = logging.getLogger("gateway.test")


def test_timestamp_is_rfc_3339_with_milliseconds() -> None:
    """Times are UTC, cut to milliseconds."""
    assert format_timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert format_timestamp(1_700_000_000.9999) == "2023-11-14T22:13:20.999Z"


def test_record_is_one_object_in_order(log_file: Any) -> None:
    """First time, level, event and message, then the fields in theirs."""
    log_file.configure()
    logger.warning("loaded %d keys", 2, extra={"event": "keys_loaded", "fields": {"provider": "logto", "keys": [1]}})
    (entry,) = log_file.entries
    assert list(entry) == ["ts", "level", "event", "message", "provider", "keys"]
    assert list(entry.values())[1:] == ["warning", "keys_loaded", "loaded 2 keys", "logto", [1]]


def test_record_without_extra_is_a_log_event(log_file: Any) -> None:
    """A plain call of ``logging`` is fine."""
    log_file.configure()
    logger.info("hello")
    assert log_file.entries[0]["event"] == "log"


def test_field_cannot_stand_in_for_the_head_of_its_line(log_file: Any) -> None:
    """Nobody writes another time, level, event or message."""
    log_file.configure()
    logger.info("real", extra={"event": "real", "fields": {"ts": 0, "level": "x", "event": "x", "message": "x"}})
    (entry,) = log_file.entries
    assert (entry["level"], entry["event"], entry["message"]) == ("info", "real", "real")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)
def test_any_text_gives_one_line_of_printable_ascii(log_file: Any, nasty: str, form: Any) -> None:
    """No value begins a line, turns the direction of text, or speaks to the terminal."""
    log_file.configure(form=form)
    logger.info(nasty, extra={"event": nasty, "fields": {nasty: "key", "value": nasty}})
    line = log_file.text.removesuffix("\n")
    assert all(" " <= character <= "~" for character in line)


def test_level_is_the_gateway_s(log_file: Any) -> None:
    """``level`` rules our own loggers; of libraries, warnings and errors are enough."""
    log_file.configure(level="warning")
    logger.info("quiet")
    log_file.configure(level="debug")
    logger.debug("spoken")
    logging.getLogger("aiohttp.server").info("quiet")
    assert [entry["message"] for entry in log_file.entries] == ["spoken"]


def test_exception_is_its_type_and_place(log_file: Any) -> None:
    """The text of an exception may quote the caller and is left out, as is that of its cause."""
    log_file.configure()
    try:
        try:
            int(CANARY)
        except ValueError as error:
            raise BadHttpMessage(CANARY) from error
    except BadHttpMessage:
        logger.exception("it failed", extra={"event": "failed"})
    (entry,) = log_file.entries
    assert entry["error"] == "aiohttp.http_exceptions.BadHttpMessage"
    assert entry["frames"][0].endswith("test_exception_is_its_type_and_place")
    assert CANARY not in log_file.text


def test_library_record_is_its_place(log_file: Any) -> None:
    """Neither the words nor the arguments of a library are written, however it formats them."""
    log_file.configure()
    library = logging.getLogger("aiohttp.server")
    library.error("Error handling %s", CANARY)
    library.error(f"Error handling {CANARY}")
    logging.getLogger("gatewayish").error(CANARY)
    first, _, other = log_file.entries
    assert list(first) == ["ts", "level", "event", "logger", "place"]
    assert first["event"] == "library"
    assert first["place"].startswith("test_logs.py:")
    assert other["logger"] == "gatewayish"
    assert CANARY not in log_file.text


def test_failed_task_does_not_tell_its_arguments(log_file: Any) -> None:
    """asyncio reports a task that nobody awaited with the exception's text and its repr."""
    log_file.configure()

    async def fail() -> None:
        raise ValueError(CANARY)

    async def forget() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.wait({task})

    asyncio.run(forget())
    (entry,) = log_file.entries
    assert (entry["logger"], entry["error"]) == ("asyncio", "ValueError")
    assert CANARY not in log_file.text


def test_malformed_request_is_no_error_of_ours(log_file: Any) -> None:
    """aiohttp logs each malformed request as an error; who watches for errors must not be woken by a scanner."""
    log_file.configure()
    logging.getLogger("aiohttp.server").error("Error handling request", exc_info=BadHttpMessage(CANARY))
    assert log_file.entries[0]["level"] == "info"


def test_record_that_cannot_be_formatted_is_said_so(log_file: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """``logging`` would print the arguments to standard error."""
    log_file.configure()
    (handler,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, LineHandler)]
    handler.handle(logging.makeLogRecord({"name": "gateway.test", "msg": "%d", "args": (CANARY,)}))
    assert log_file.entries[0]["event"] == "unformattable"
    assert CANARY not in log_file.text
    assert CANARY not in capfd.readouterr().err


def test_configuring_again_replaces_the_output(log_file: Any) -> None:
    """One record is one line, however often the log was set up."""
    first = log_file.configure()
    log_file.configure()
    logger.info("once")
    assert len(log_file.entries) == 1
    assert not first.writer.flush()


def read_terminal(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as stream:
        output = configure_logging("info", "auto", stream)
        logger.info("loaded the keys", extra={"event": "keys_loaded", "fields": {"provider": "my idp", "n": None}})
        assert output.writer.flush()
        text = os.read(parent, 4096).decode()
        output.writer.close()
    os.close(parent)
    return text


@pytest.mark.usefixtures("log_file")
def test_terminal_gets_coloured_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` on a terminal is text for people; None is left out."""
    text = read_terminal({}, monkeypatch)
    assert text[12:].rstrip() == ' \x1b[32mINFO   \x1b[0m keys_loaded loaded the keys provider="my idp"'


@pytest.mark.usefixtures("log_file")
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_colour_can_be_had_without(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org"""
    assert "\x1b" not in read_terminal(environment, monkeypatch)


@pytest.mark.usefixtures("log_file")
def test_empty_no_color_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable counts when it is not empty."""
    assert "\x1b" in read_terminal({"NO_COLOR": ""}, monkeypatch)


def test_auto_is_json_off_a_terminal(log_file: Any) -> None:
    """A file or pipe gets JSON."""
    assert log_file.configure(form="auto").is_json


@pytest.mark.usefixtures("log_file")
def test_stream_without_descriptor_is_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A stream in memory cannot be written from a thread; what is logged must not get lost."""
    output = configure_logging("info", "json", io.StringIO())
    logger.info("here")
    assert output.writer.flush()
    assert json.loads(capfd.readouterr().err)["message"] == "here"


def test_text_without_message_has_no_gap() -> None:
    """A library's record has no message of its own."""
    record = logging.LogRecord("asyncio", logging.ERROR, "base_events.py", 7, "x", None, None, "run")
    assert TextFormatter().format(record)[13:] == 'ERROR   library logger=asyncio place="base_events.py:7 run"'
