"""Keys as callers meet them through the whole gateway: what a token can make it fetch, and who waits for that."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.config.settings import KeySourceSettings

from .gateway_harness import API, ISSUER, RawClient, ask_once, bearer, make_token, open_gateway, signing_key
from .issuer import Gate, Issuer, publish, respond
from .loop import in_loop, wait_until
from .upstream import OK, Peer, Upstream

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
PUBLISHED = signing_key().as_dict(private=False)


def sign(header: dict[str, Any], key: ECKey) -> bytes:
    """Return an Authorization field with a token under this header, signed by this key."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "user-1", "aud": API, "iat": now, "exp": now + 600}
    token = jwt.encode({"alg": "ES256", "typ": "at+jwt", **header}, claims, key)
    return f"Authorization: Bearer {token}\r\n".encode()


def reason(body: bytes) -> str:
    return str(json.loads(body)["reason"])


async def serve(peer: Peer) -> None:
    while True:
        await peer.read_head()
        await peer.send(OK)


@pytest.mark.parametrize("kid", ["k1", "attacker", None])
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
@in_loop
async def test_key_that_a_token_brings_along_is_no_key(member: str, kid: str | None) -> None:
    """RFC 8725, section 3.10: keys in or named by the header are ignored, and nobody is asked for them."""
    attacker = ECKey.generate_key("P-256")
    public = attacker.as_dict(private=False)
    async with (
        Issuer({"/jwks": publish([PUBLISHED])}) as issuer,
        Issuer({"/jwks": publish([{**public, "kid": "attacker"}, {**public, "kid": "k1"}])}) as other,
    ):
        values = {"jwk": public, "jku": other.locate(), "x5u": other.locate(), "x5c": [other.locate()]}
        header = {member: values[member], **({} if kid is None else {"kid": kid})}
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate())
        async with open_gateway(1, key_sources=(source,)) as application:
            await wait_until(lambda: application._keyring.is_ready)
            answer = await ask_once(application, GET + sign(header, attacker) + b"\r\n")
            assert answer.status == 401
            assert reason(answer.body) in ("bad_signature", "unknown_key")
        assert other.heads == []


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "/dev/null", "file:///etc/passwd", "http://127.0.0.1:1/", "|sleep 9", "' OR 1=1 --", "\0"],
)
@in_loop
async def test_kid_is_a_name_and_nothing_else(kid: str) -> None:
    """A ``kid`` is compared, never opened, run or asked for: whatever it says costs one fetch of the issuer's keys."""
    async with Issuer({"/jwks": publish([PUBLISHED])}) as issuer:
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate())
        async with open_gateway(1, key_sources=(source,)) as application:
            await wait_until(lambda: application._keyring.is_ready)
            answer = await ask_once(application, GET + sign({"kid": kid}, signing_key()) + b"\r\n")
            assert (answer.status, reason(answer.body)) == (401, "unknown_key")
        assert issuer.count() == len(issuer.heads) == 2


@in_loop
async def test_flood_of_unknown_kids_harms_nobody_else() -> None:
    """While made-up kids wait for an issuer that is slow, known tokens are served, and the issuer is asked once."""
    async with Issuer({"/jwks": publish([PUBLISHED])}) as issuer, Upstream(serve) as upstream:
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate())
        async with open_gateway(upstream.port, key_sources=(source,)) as application:
            await wait_until(lambda: application._keyring.is_ready)
            gate = issuer.answers["/jwks"] = Gate(publish([PUBLISHED]))
            flood = [
                asyncio.create_task(ask_once(application, GET + sign({"kid": str(number)}, signing_key()) + b"\r\n"))
                for number in range(100)
            ]
            await wait_until(lambda: issuer.count() == 2)
            async with RawClient(application) as client:
                for _ in range(20):
                    assert (await client.get(b"/", bearer())).status == 200
            assert not all(task.done() for task in flood)
            gate.open()
            answers = await asyncio.gather(*flood)
            assert {(answer.status, reason(answer.body)) for answer in answers} == {(401, "unknown_key")}
            assert issuer.count() == 2


@in_loop
async def test_rotation_is_noticed_by_the_first_token() -> None:
    """A token with a new key is accepted at once; one with a key that went away is refused, though it was proved."""
    new = ECKey.generate_key("P-256", {"kid": "k2"})
    async with Issuer({"/jwks": publish([PUBLISHED])}) as issuer, Upstream(serve) as upstream:
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate())
        async with open_gateway(upstream.port, key_sources=(source,)) as application:
            old = f"Authorization: Bearer {make_token()}\r\n".encode()
            async with RawClient(application) as client:
                assert [(await client.get(b"/", old)).status for _ in range(2)] == [200, 200]
                issuer.answers["/jwks"] = publish([new.as_dict(private=False)])
                assert (await client.get(b"/", sign({"kid": "k2"}, new))).status == 200
                answer = await client.get(b"/", old)
                assert (answer.status, reason(answer.body)) == (401, "unknown_key")


@in_loop
async def test_outage_is_never_the_fault_of_the_caller() -> None:
    """With the issuer away, known keys decide as ever; a token whose key may be new gets 503 and not 401."""
    async with Issuer({"/jwks": publish([PUBLISHED])}) as issuer, Upstream(serve) as upstream:
        source = KeySourceSettings("logto", (ISSUER,), url=issuer.locate())
        async with open_gateway(upstream.port, key_sources=(source,)) as application:
            await wait_until(lambda: application._keyring.is_ready)
            issuer.answers["/jwks"] = respond(status="500 X")
            async with RawClient(application) as client:
                assert (await client.get(b"/", bearer())).status == 200
                answer = await client.get(b"/", sign({"kid": "k2"}, signing_key()))
                assert (answer.status, reason(answer.body)) == (503, "keys_unavailable")
                assert answer.fields(b"retry-after")
                answer = await client.get(b"/", sign({"kid": "k1"}, ECKey.generate_key("P-256")))
                assert (answer.status, reason(answer.body)) == (401, "bad_signature")
