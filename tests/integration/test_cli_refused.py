"""``auth-gateway explain --request-id`` beside a gateway that runs, or does not."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.refused import MAX_REFUSED, RefusedRequest, RefusedRequests
from gateway.cli.refused import MAX_STATUS_BYTES, render_refused
from gateway.config.settings import ListenAddress
from gateway.core.errors import Reason
from gateway.core.policy import Forwarding, Policy

from .admin import State, run_admin
from .command import run_command
from .loop import in_loop

POLICY = Policy((), Forwarding(host=None))
# 2027-01-15T08:00:00Z
NOW = 1_800_000_000


def refuse(request_id: str, reason: Reason = Reason.AUDIENCE_MISMATCH, **known: Any) -> RefusedRequest:
    return RefusedRequest(
        **{
            "refused_at": NOW,
            "request_id": request_id,
            "method": "GET",
            "path": "/orders/1",
            "status": reason.status,
            "reason": reason,
            "description": "Because.",
            "policy": POLICY,
            **known,
        }
    )


@dataclass(slots=True)
class Refusing(State):
    """A gateway that has refused some requests."""

    refused: RefusedRequests = field(default_factory=RefusedRequests)

    async def status(self) -> Mapping[str, Any]:
        return {"version": "1", "refused": self.refused.describe()}


async def ask(folder: Path, address: ListenAddress, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask beside a file that says where the admin listener is."""
    (folder / "gateway.yaml").write_text(f"admin: {address}\n")
    return await asyncio.to_thread(run_command, "explain", *words, folder=folder)


@in_loop
async def test_every_refusal_of_the_id_is_told(tmp_path: Path) -> None:
    """A caller may send one id twice; the answer to "was it let in?" is no, over a Unix socket as well."""
    state = Refusing()
    for request in (
        refuse("mine", provider="logto", received=("a", "b\x1b[2J"), expected=("c",), context={"token_kid": "k-1"}),
        refuse("other", Reason.EXPIRED),
        refuse("mine", Reason.EXPIRED, received=NOW - 60, expected=NOW + 0.5, provider="logto"),
    ):
        state.refused.keep(request)
    for address in (None, ListenAddress(path=str(tmp_path / "admin.sock"))):
        async with run_admin(state, address) as listener:
            text = await ask(tmp_path, listener.address, "--request-id", "mine")
            assert (text.returncode, text.stderr) == (1, "")
            assert text.stdout.count("\nREFUSED by logto: ") == 2
            assert "  received      2027-01-15T07:59:00Z\n  expected      2027-01-15T08:00:00Z\n" in text.stdout
            assert "  received      a\n                b\\x1b[2J\n  expected      c\n" in text.stdout
            assert "docs/reasons.md#expired\n\nRequest: GET /orders/1, no rule of its own, " in text.stdout
            answer = await ask(tmp_path, listener.address, "--request-id", "mine", "-o", "json")
            assert answer.returncode == 1
            document = json.loads(answer.stdout)
            assert [each["reason"] for each in document["refused"]] == ["expired", "audience_mismatch"]


@in_loop
async def test_fullest_status_is_read(tmp_path: Path) -> None:
    """As many refusals as are kept, with texts as long as they get: none is cut off."""
    state = Refusing()
    for number in range(MAX_REFUSED):
        side = ("\U0001f512" * 2000,) * 100
        context = dict.fromkeys(("token_iss", "token_aud", "token_alg", "token_kid"), side[0])
        path = "/" + "\u00ff" * 2000
        state.refused.keep(refuse(f"id-{number}", path=path, received=side, expected=side, context=context))
    async with run_admin(state) as listener:
        assert len(json.dumps(await state.status(), indent=2)) < MAX_STATUS_BYTES
        answer = await ask(tmp_path, listener.address, "--request-id", "id-0")
    assert (answer.returncode, answer.stderr) == (1, "")


@pytest.mark.parametrize("output", ["text", "json"])
@in_loop
async def test_what_is_not_remembered_could_not_be_found_out(tmp_path: Path, output: str) -> None:
    """Not refused, refused elsewhere, or long ago: neither yes nor no."""
    async with run_admin(Refusing()) as listener:
        answer = await ask(tmp_path, listener.address, "--request-id", "mine\x1b[2J", "-o", output)
    assert answer.returncode == 3
    assert answer.stderr.startswith("error: mine\\x1b[2J is not among the last 100 refused requests of the gateway at ")
    if output == "json":
        assert json.loads(answer.stdout)["refused"] == []


@in_loop
async def test_other_version_is_named(tmp_path: Path) -> None:
    """A status that says nothing of refusals is no status without refusals."""
    async with run_admin(State()) as listener:
        answer = await ask(tmp_path, listener.address, "--request-id", "mine")
    assert answer.returncode == 3
    assert "not the status of an auth-gateway of this version" in answer.stderr


def test_nobody_is_there(tmp_path: Path) -> None:
    """The address that was asked, and what came of it."""
    (tmp_path / "gateway.yaml").write_text("admin: 127.0.0.1:1\n")
    answer = run_command("explain", "--request-id", "mine", folder=tmp_path)
    assert (answer.returncode, answer.stdout) == (3, "")
    assert answer.stderr == "error: http://127.0.0.1:1/status: Connection refused\n"


def test_request_without_a_line_is_named() -> None:
    """What could not be read has neither method nor path."""
    kept = RefusedRequests()
    kept.keep(refuse("mine", Reason.MALFORMED_REQUEST, method="", path=""))
    lines = list(render_refused(kept.describe(), NOW + 120))
    assert lines == [
        "Request: one that could not be read, 2 min ago (2027-01-15T08:00:00.000Z)",
        "REFUSED: malformed_request (400). Because.",
        "See docs/reasons.md#malformed_request",
    ]
