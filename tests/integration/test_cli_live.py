"""``auth-gateway check --live`` against issuers that answer as they like: what is said of each, and the exit code."""

from __future__ import annotations

import asyncio
import email.utils
import gc
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.cli.invocation import ExitCode
from gateway.cli.live import LiveCheck, Mark
from gateway.cli.live_answer import LiveAnswer
from gateway.config.load import parse_config
from gateway.providers.fetch import Document
from gateway.providers.freshness import FreshnessFields
from gateway.providers.probe import measure_clock

from .command import run_command
from .issuer import Answer, Issuer, drip, hang, make_key, publish, respond
from .loop import in_loop

DISCOVERY = "/.well-known/openid-configuration"
KEY = make_key("k-1")
# 2027-01-15T08:00:00Z
NOW = 1_800_000_000


def describe(server: Issuer, **members: object) -> bytes:
    """Return the issuer's metadata."""
    return respond(json.dumps({"issuer": server.locate(""), "jwks_uri": server.locate(), **members}).encode())


def write(*providers: str) -> str:
    """Return a file with these providers, each in flow style and without its audience."""
    entries = "".join(f"  - {{applicationID: a, {provider}}}\n" for provider in providers)
    return f"version: 1\nupstream: http://127.0.0.1:9\nproviders:\n{entries}"


def custom(jwks: str, more: str = "") -> str:
    return f'type: customJwt, issuer: "https://issuer.example", jwks: "{jwks}"{more}'


async def look(*providers: str) -> LiveAnswer:
    """Ask the issuers of a file as the command does, which has no loop around it."""
    loaded = parse_config(write(*providers), "gateway.yaml", {})
    answer = await asyncio.to_thread(LiveAnswer.ask, loaded)
    # The command's process ends with its loop, and with it a TLS connection that still waits for the issuer's goodbye.
    gc.collect()
    return answer


async def report(provider: str) -> tuple[ExitCode, dict[str, LiveCheck]]:
    """Return the exit code and the checks of a file with one provider; but the time, which differs."""
    answer = await look(provider)
    [found] = answer.reports
    assert found.checks[-1].name == "time"
    return answer.judge(is_strict=False), {check.name: check for check in found.checks[:-1]}


def only(checks: dict[str, LiveCheck]) -> LiveCheck:
    [check] = checks.values()
    return check


@in_loop
async def test_all_is_well_by_discovery() -> None:
    """Discovery, the issuer's name, keys with their algorithms, and a clock that is ours."""
    async with Issuer() as issuer:
        date = email.utils.formatdate(usegmt=True)
        issuer.answers |= {DISCOVERY: describe(issuer), "/jwks": publish([KEY], date=date)}
        code, checks = await report(f'domain: "{issuer.locate("")}"')
        assert code is ExitCode.YES
        assert list(checks.values()) == [
            LiveCheck("discovery", Mark.PASSED, issuer.locate(DISCOVERY)),
            LiveCheck("issuer", Mark.PASSED, issuer.locate("")),
            LiveCheck("keys", Mark.PASSED, "1 usable: k-1 (ES256)", (f"at {issuer.locate()}",)),
            LiveCheck("algorithms", Mark.PASSED, "ES256"),
            LiveCheck("clock", Mark.PASSED, "the issuer's is ours"),
        ]
        assert [head.split(b" ")[1].decode() for head in issuer.heads] == [DISCOVERY, "/jwks"]


def point_at(issuer: Issuer, step: str) -> tuple[str, str]:
    """Return the target of a step, and a provider whose look begins with it."""
    options = ', jwks_options: {timeout: "200ms"}'
    if step == "discovery":
        return DISCOVERY, f'domain: "{issuer.locate("")}"{options}'
    return "/jwks", custom(issuer.locate(), options)


@pytest.mark.parametrize(
    ("answer", "mark", "text"),
    [
        (respond(status="404 Not Found"), Mark.FAILED, "status 404"),
        (respond(status="302 Found", location="http://127.0.0.1:1/"), Mark.FAILED, "redirects to another origin: "),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Mark.FAILED, "the answer is not HTTP"),
        (respond(b" " * 600_000), Mark.FAILED, "more than 512 KiB"),
        (respond(status="503 Later"), Mark.UNKNOWN, "status 503"),
        (respond(status="429 Slowly"), Mark.UNKNOWN, "status 429"),
        (respond(b"{", content_length="100"), Mark.UNKNOWN, "the answer ended early"),
        (b"", Mark.UNKNOWN, "the connection was closed before an answer"),
        (hang, Mark.UNKNOWN, "no complete answer within 0.2 s"),
        (drip, Mark.UNKNOWN, "no complete answer within 0.2 s"),
    ],
    ids=["404", "redirect", "not-http", "large", "503", "429", "truncated", "closed", "hang", "drip"],
)
@pytest.mark.parametrize("step", ["discovery", "keys"])
@in_loop
async def test_step_that_fails_is_named(step: str, answer: Answer, mark: Mark, text: str) -> None:
    """A bad answer is no, none is "could not find out"; each says where and why, and no more is said."""
    async with Issuer() as issuer:
        target, provider = point_at(issuer, step)
        issuer.answers[target] = answer
        code, checks = await report(provider)
        check = only(checks)
        assert (check.name, check.mark, check.more) == (step, mark, (f"at {issuer.locate(target)}",))
        assert check.text.startswith(text)
        assert code is (ExitCode.NO if mark is Mark.FAILED else ExitCode.UNKNOWN)
        assert issuer.count(target) == 1


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:1/jwks", "cannot connect: Connection refused"),
        ("http://issuer.invalid/jwks", "the host name does not resolve"),
        ("file:absent.json", "cannot read the file: No such file or directory"),
    ],
)
@in_loop
async def test_nobody_is_there(url: str, text: str) -> None:
    """Nobody listens, no such name (RFC 6761, section 6.4), no such file; a file that is not there is no outage."""
    code, checks = await report(custom(url))
    assert only(checks).text.startswith(text)
    assert code is (ExitCode.NO if "file" in url else ExitCode.UNKNOWN)


@in_loop
async def test_tls_is_that_of_the_gateway(tmp_path: Path) -> None:
    """The issuer's CA file counts, and without it the certificate is said not to be trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Issuer({"/jwks": publish([KEY])}, tls=context) as issuer:
        code, checks = await report(custom(issuer.locate()))
        assert only(checks).text.startswith("the certificate is not trusted: ")
        assert code is ExitCode.UNKNOWN
        code, checks = await report(custom(issuer.locate(), f', jwks_options: {{ca_file: "{tmp_path}/ca.pem"}}'))
        assert checks["keys"].mark is Mark.PASSED
        assert code is ExitCode.YES


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"issuer": "https://evil.example\x1b[2J"}, "the document is of another issuer: https://evil.example?[2J"),
        ({"jwks_uri": None}, "no jwks_uri"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri is not an http or https URL"),
    ],
)
@in_loop
async def test_metadata_that_is_not_taken(members: dict[str, object], text: str) -> None:
    """The gateway would not fetch the keys either, and the issuer's words steer no terminal."""
    async with Issuer() as issuer:
        issuer.answers[DISCOVERY] = describe(issuer, **members)
        code, checks = await report(f'domain: "{issuer.locate("")}"')
        assert (only(checks).name, only(checks).mark, only(checks).text) == ("discovery", Mark.FAILED, text)
        assert (code, issuer.count()) == (ExitCode.NO, 0)


@pytest.mark.parametrize(
    ("body", "text", "more"),
    [
        (b"<html>", "not JSON", 0),
        (b"[]", 'not a JWK Set: an object with an array "keys" is needed', 0),
        (b'{"keys": []}', "no key that can be used", 0),
        (b'{"keys": [{"kty": "oct", "k": "AAAA"}, {"kty": "RSA"}]}', "no key that can be used", 2),
    ],
    ids=["html", "list", "empty", "unusable"],
)
@in_loop
async def test_keys_that_are_none(body: bytes, text: str, more: int) -> None:
    """Nothing to verify with: every token would be refused."""
    async with Issuer({"/jwks": respond(body)}) as issuer:
        code, checks = await report(custom(issuer.locate()))
        check = only(checks)
        assert (check.name, check.mark, check.text, len(check.more)) == ("keys", Mark.FAILED, text, 1 + more)
        assert code is ExitCode.NO


@in_loop
async def test_keys_that_are_not_used_are_named() -> None:
    """The others work, so that it is only worth a word; the name of a key is the issuer's."""
    async with Issuer({"/jwks": publish([KEY, {"kty": "oct", "kid": "s\x1b[2J", "k": "AAAA"}])}) as issuer:
        answer = await look(custom(issuer.locate()))
        [skipped] = [line for line in answer.render() if "not used" in line]
        assert skipped.strip().startswith("not used: key 1 ('s\\x1b[2J'): a symmetric key")
        assert answer.judge(is_strict=True) is ExitCode.YES


@pytest.mark.parametrize(
    ("algorithm", "mark", "text", "codes"),
    [
        ("", Mark.PASSED, "ES256", (ExitCode.YES, ExitCode.YES)),
        ("ES256", Mark.PASSED, "ES256", (ExitCode.YES, ExitCode.YES)),
        (
            "[RS256, ES256]",
            Mark.WARNING,
            "ES256; no key for RS256, so that no such token can pass",
            (ExitCode.YES, ExitCode.NO),
        ),
        ("[RS256, EdDSA]", Mark.FAILED, "no key for EdDSA RS256: no token can pass", (ExitCode.NO, ExitCode.NO)),
    ],
    ids=["default", "served", "one-is-not", "none-is"],
)
@in_loop
async def test_algorithms_have_keys(algorithm: str, mark: Mark, text: str, codes: tuple[ExitCode, ExitCode]) -> None:
    """Of those that are chosen each should have a key; of those by default most have none, and nobody minds."""
    async with Issuer({"/jwks": publish([KEY])}) as issuer:
        answer = await look(custom(issuer.locate(), algorithm and f", algorithm: {algorithm}"))
        [check] = [check for check in answer.reports[0].checks if check.name == "algorithms"]
        assert (check.mark, check.text) == (mark, text)
        assert (answer.judge(is_strict=False), answer.judge(is_strict=True)) == codes


@in_loop
async def test_name_of_the_issuer_is_compared_as_tokens_are() -> None:
    """A slash more is nothing, but under RFC 9068 it refuses every token."""
    async with Issuer({"/jwks": publish([KEY])}) as issuer:
        issuer.answers[DISCOVERY] = describe(issuer, issuer=issuer.locate("/"))
        code, checks = await report(f'domain: "{issuer.locate("")}"')
        assert (code, checks["issuer"].text) == (ExitCode.YES, issuer.locate("/"))
        code, checks = await report(f'domain: "{issuer.locate("")}", profile: rfc9068')
        assert (code, checks["issuer"].mark) == (ExitCode.NO, Mark.FAILED)
        assert checks["issuer"].more == (f"the file has {issuer.locate('')}",)


@pytest.mark.parametrize(
    ("ahead_seconds", "leeway", "mark", "text"),
    [
        (-150, "5s", Mark.WARNING, "the issuer's is 2 min behind, and leeway is 5 s"),
        (3630, "5s", Mark.WARNING, "the issuer's is 1 h ahead, and leeway is 5 s"),
        (330, "10m", Mark.PASSED, "the issuer's is 5 min ahead"),
    ],
)
@in_loop
async def test_clock_of_the_issuer(ahead_seconds: int, leeway: str, mark: Mark, text: str) -> None:
    """Tokens of a clock that is further off than ``leeway`` are refused as expired, or as issued in the future."""
    date = email.utils.formatdate(time.time() + ahead_seconds, usegmt=True)
    async with Issuer({"/jwks": publish([KEY], date=date)}) as issuer:
        _, checks = await report(custom(issuer.locate(), f", leeway: {leeway}"))
        assert (checks["clock"].mark, checks["clock"].text) == (mark, text)


@pytest.mark.parametrize(
    ("date", "age", "difference"),
    [
        (NOW, "", 0.0),
        (NOW, "0", 0.0),
        (NOW + 3, "", 0.5),
        (NOW - 3, "", -2.5),
        (NOW - 300, "300", None),
        (None, "", None),
    ],
)
def test_clock_difference_is_what_is_sure(date: float | None, age: str, difference: float | None) -> None:
    """Asked at 0.5 s and answered at 2.5 s: neither the way nor the whole second is taken for a clock that is off."""
    document = Document(b"", FreshnessFields(age=age), date)
    assert measure_clock(document, NOW + 0.5, NOW + 2.5) == difference


@in_loop
async def test_providers_are_asked_at_the_same_time_and_told_apart() -> None:
    """What is certainly wrong outweighs what could not be found out, and one that hangs holds up nobody."""
    async with Issuer({"/jwks": publish([KEY]), "/hang": hang}) as issuer:
        hanging = custom(issuer.locate("/hang"), ", name: hanging, jwks_options: {timeout: 400ms}")
        good, bad = custom(issuer.locate(), ", name: good"), custom(issuer.locate("/none"), ", name: bad")
        began = time.monotonic()
        answer = await look(hanging, hanging.replace("name: hanging", "name: other"), good)
        assert time.monotonic() - began < 0.75
        assert [report.mark for report in answer.reports] == [Mark.UNKNOWN, Mark.UNKNOWN, Mark.PASSED]
        assert answer.judge(is_strict=False) is ExitCode.UNKNOWN
        assert (await look(hanging, bad)).judge(is_strict=False) is ExitCode.NO


@in_loop
async def test_command_as_text_and_as_json(tmp_path: Path) -> None:
    """The words of a process, its exit code, and members that programs may rely on."""
    async with Issuer() as issuer:
        issuer.answers |= {DISCOVERY: describe(issuer, jwks_uri=issuer.locate("/jwks?secret=1")), "/down": b""}
        issuer.answers["/jwks?secret=1"] = publish([KEY, {"kty": "oct"}])
        file = tmp_path / "gateway.yaml"
        file.write_text(write(f'domain: "{issuer.locate("")}", name: live', custom(issuer.locate("/down"))))
        text = await asyncio.to_thread(run_command, "check", "--live", folder=tmp_path)
        assert (text.returncode, text.stderr) == (3, "")
        assert "Provider live (gateway.yaml:4)\n  discovery     ok   " in text.stdout
        assert "  keys          ???? the connection was closed before an answer\n" in text.stdout
        answer = await asyncio.to_thread(run_command, "check", "--live", "-o", "json", folder=tmp_path)
        assert answer.returncode == 3
        assert "secret" not in text.stdout + answer.stdout
    document: dict[str, Any] = json.loads(answer.stdout)
    assert document["valid"]
    first, second = document["live"]
    assert [check["check"] for check in first.pop("checks")] == ["discovery", "issuer", "keys", "algorithms", "time"]
    assert first.pop("duration_seconds") > 0
    [skipped] = first.pop("skipped_keys")
    assert (skipped["index"], skipped["kid"]) == (1, None)
    assert first == {
        "name": "live",
        "result": "passed",
        "error": None,
        "location": issuer.locate(DISCOVERY),
        "keys_location": issuer.locate(),
        "issuer": issuer.locate(""),
        "keys": [{"kid": "k-1", "algorithms": ["ES256"]}],
        "algorithms_without_key": ["ES384", "EdDSA", "RS256"],
        "clock_difference_seconds": None,
        "leeway_seconds": 5.0,
    }
    assert (second["result"], second["keys"]) == ("unknown", [])
    assert second["error"] == "keys: the connection was closed before an answer"


def test_file_that_is_not_taken_asks_nobody(tmp_path: Path) -> None:
    """The mistakes come first, and the answer is no without any issuer."""
    (tmp_path / "gateway.yaml").write_text(write(custom("http://127.0.0.1:1/jwks", ", nonsense: 1")))
    answer = run_command("check", "--live", "-o", "json", folder=tmp_path)
    assert answer.returncode == 1
    assert "live" not in json.loads(answer.stdout)
