"""The access line: always the same fields, never a token, never a query, always one line of ASCII."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from gateway.admin.access import AccessLog, AccessRecord, build_access_line, clean_path

CANARY = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJTM0NSM1QifQ.c2lnbmF0dXJl"
# fmt: off
FIELDS = [
    "ts", "level", "event", "request_id", "trace_id", "client_ip", "method", "path", "host", "status",
    "upstream_status", "duration_ms", "upstream_ms", "overhead_ms", "bytes_in", "bytes_out", "provider", "decision",
    "reason", "subject", "organization", "client_id",
]
UNKNOWN = {
    "trace_id", "host", "upstream_status", "upstream_ms", "provider", "decision", "reason", "subject", "organization",
    "client_id",
}
# fmt: on


def build_record(**changes: Any) -> AccessRecord:
    return AccessRecord(**{"request_id": "r1", "client_ip": "127.0.0.1", "method": "GET", "path": "/", **changes})


def read_line(record: AccessRecord) -> dict[str, Any]:
    line = build_access_line(record, 0.0)
    assert all(" " <= character <= "~" for character in line)
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_line_has_all_fields_in_order() -> None:
    """The names of the contract with its units: milliseconds and bytes."""
    entry = read_line(
        build_record(
            request_id="r1",
            trace_id="0af7651916cd43dd8448eb211c80319c",
            path="/orders",
            host="api.example",
            status=200,
            upstream_status=201,
            duration_seconds=0.0125,
            upstream_seconds=0.012,
            overhead_seconds=0.0005,
            bytes_in=3,
            bytes_out=4,
            provider="logto",
            decision="allow",
            reason="upstream_timeout",
            subject="user_1",
            organization="org_1",
            client_id="app_1",
        )
    )
    assert list(entry) == FIELDS
    assert entry == {
        "ts": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "event": "request",
        "request_id": "r1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "client_ip": "127.0.0.1",
        "method": "GET",
        "path": "/orders",
        "host": "api.example",
        "status": 200,
        "upstream_status": 201,
        "duration_ms": 12.5,
        "upstream_ms": 12.0,
        "overhead_ms": 0.5,
        "bytes_in": 3,
        "bytes_out": 4,
        "provider": "logto",
        "decision": "allow",
        "reason": "upstream_timeout",
        "subject": "user_1",
        "organization": "org_1",
        "client_id": "app_1",
    }


def test_what_is_not_known_is_null() -> None:
    """The fields are there for every request, so that a table has its columns."""
    entry = read_line(build_record())
    assert list(entry) == FIELDS
    assert {name for name, value in entry.items() if value is None} == UNKNOWN


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a?access_token=S3CR3T", "/a"),
        ("/a?b?c", "/a"),
        ("/a%3Fb", "/a%3Fb"),
        ("/a%0d%0ab", "/a%0d%0ab"),
        ("*", "*"),
        ("", ""),
        ("http://user:S3CR3T@host/a?x", "/a"),
        ("http://user:S3CR3T@host", "/"),
        ("user:S3CR3T@host:443", "host:443"),
        (f"/invitations/{CANARY}/accept", "/invitations/[token]/accept"),
        (f"/{CANARY[:20]}", "/[token]"),
        (f"/a/{CANARY.replace('.', '%2E', 1).replace('.', '%2e')}/b", "/a/[token]/b"),
        ("/eyJ", "/eyJ"),
        ("/" + "a" * 2000, "/" + "a" * 1023),
        ("/" + "a" * 1020 + CANARY, "/" + "a" * 1020 + "[to"),
    ],
)
def test_path_is_clean(target: str, path: str) -> None:
    """Query, authority and tokens are cut off before anything is written; a cut never leaves half a token."""
    assert clean_path(target) == path


@pytest.mark.parametrize("field", ["path", "host", "method", "request_id", "client_ip", "trace_id", "subject"])
@pytest.mark.parametrize(
    "nasty",
    ["\r\n{}", "\x85", "\u2028\u202e", "\udc80\udfff", "\x1b[2J", '"},{"', "\x00", "\U0001f600"],
    ids=["cr lf", "next line", "bidi", "lone surrogates", "escape", "quotes", "nul", "emoji"],
)
def test_nasty_text_stays_in_its_field(field: str, nasty: str) -> None:
    """Nobody forges a line or another field."""
    entry = read_line(build_record(**{field: f"/{nasty}"}))
    assert list(entry) == FIELDS
    # A reader joins the escapes of two surrogates, which is how JSON writes one character.
    assert entry[field] == json.loads(json.dumps(f"/{nasty}"))


@pytest.mark.parametrize("field", ["host", "method", "request_id", "client_ip", "trace_id", "subject", "client_id"])
def test_long_text_is_cut(field: str) -> None:
    """A field of 16 KiB is no line of 16 KiB."""
    assert read_line(build_record(**{field: "a" * 16384}))[field] == "a" * 256


@pytest.mark.norm("8725-6")
@pytest.mark.parametrize(
    ("value", "logged"),
    [
        ("https://a.example", "https://a.example"),
        ("a" * 129, "a" * 128),
        (["a", "b"], "a b"),
        (["a", 1], "<list>"),
        ({"a": "b"}, "<dict>"),
        (7, "7"),
        (True, "True"),
        ("", ""),
        ("a\r\n\u202e", "a\r\n\u202e"),
    ],
)
def test_unverified_values_are_cut(value: object, logged: str) -> None:
    """What a refused token says of itself is text of at most 128 characters, whatever it is."""
    entry = read_line(build_record(decision="deny", token_iss=value, token_kid=value))
    assert (entry["token_iss"], entry["token_kid"]) == (logged, logged)
    assert list(entry) == [*FIELDS, "token_iss", "token_kid"]


def test_all_of_a_refused_token_is_told() -> None:
    """Issuer, audience, algorithm and key: what an operator looks for."""
    entry = read_line(build_record(decision="deny", token_iss="i", token_aud=["a"], token_alg="RS256", token_kid="k"))
    assert [entry[f"token_{name}"] for name in ("iss", "aud", "alg", "kid")] == ["i", "a", "RS256", "k"]


def test_accepted_token_is_not_told_unverified() -> None:
    """The line of an accepted request has the verified fields only."""
    assert list(read_line(build_record(decision="allow", token_iss="i"))) == FIELDS


def test_lines_go_where_the_log_goes(log_file: Any) -> None:
    """Access lines and log records share one output, in order."""
    log = AccessLog(log_file.configure(level="info"))
    logging.getLogger("gateway").info("before")
    log.write(build_record())
    logging.getLogger("gateway").info("after")
    assert [entry["event"] for entry in log_file.entries] == ["log", "request", "log"]


def test_terminal_gets_text(log_file: Any) -> None:
    """The text form says the same, without what is not known."""
    AccessLog(log_file.configure(level="info", form="text")).write(build_record(path="/a?secret", status=401))
    assert log_file.text[13:] == (
        "INFO    request request_id=r1 client_ip=127.0.0.1 method=GET path=/a status=401 duration_ms=0.0"
        " overhead_ms=0.0 bytes_in=0 bytes_out=0\n"
    )


def test_level_above_info_has_no_access_lines(log_file: Any) -> None:
    """Access lines are of the level info; they can be turned off by themselves too."""
    AccessLog(log_file.configure(level="warning")).write(build_record())
    AccessLog(log_file.configure(level="info"), is_enabled=False).write(build_record())
    assert log_file.text == ""
