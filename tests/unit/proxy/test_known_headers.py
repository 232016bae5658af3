"""Headers that are read by heart: the same comes out as if each was read anew, and no secret is kept for it."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.config.settings import Limits
from gateway.core.fields import INDEXED
from gateway.core.policy import Forwarding, Policy
from gateway.proxy.known_headers import KnownHeaders, cut_token
from gateway.proxy.plain import PlainReader
from gateway.proxy.request_head import Client, RequestHeader, RequestRewriter

CLIENT = Client("192.0.2.1", "http")
PROXY = Client("198.51.100.1", "http")
HOST = b"Host: api.example\r\n"
HEAD = b"GET /a HTTP/1.1\r\n" + HOST
POLICY = Policy((), Forwarding(host=b"backend:3000"))

# Whole messages; each is read by a reader that has read all of them before.
MESSAGES = {
    "token": HEAD + b"Accept: */*\r\nAuthorization: Bearer e.y.J\r\nUser-Agent: x\r\n\r\n",
    "token last": HEAD + b"authorization: Bearer e.y.J\r\n\r\n",
    "token first": b"GET /a HTTP/1.1\r\nAuthorization: Bearer e.y.J=\r\n" + HOST + b"\r\n",
    "no token": HEAD + b"Accept: */*\r\nUser-Agent: x\r\n\r\n",
    "body": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nAuthorization: Bearer e.y.J\r\n\r\nabc",
    "last request": HEAD + b"Connection: close\r\nAuthorization: Bearer e.y.J\r\n\r\n",
    "listed": HEAD + b"Connection: accept, authorization\r\nAccept: x\r\nAuthorization: Bearer e.y.J\r\n\r\n",
    "no field of ours": HEAD + b"X-Identity: x\r\nX_Identity: x\r\nAuthorization: Bearer e.y.J\r\n\r\n",
    "another scheme": HEAD + b"Authorization: Basic YTpi\r\n\r\n",
}
# What stands in the place of a token, or around it, and is none, or not that one alone.
VALUES = [
    *(b"", b" ", b"e.y.J ", b" e.y.J", b"e.y.J\t", b"e.y.J e.y.J", b"e.y.J,", b"=", b"e=y", b"\xe9", b"\x00", b"\x7f"),
    *(b"e.y.J\r\n x", b"e.y.J\r\n\tx", b"\r\n e.y.J", b"e.y.J\r", b"e.y.J\n", b"e.y.J\nX: y", b"e.y.J\r\r\nX: y"),
    *(b"e.y.J\r\nAuthorization: Bearer e.y.J", b"e.y.J\r\nauthorization: Bearer e.y.J", b"e.y.J\r\nAUTHORIZATION: x"),
    *(b"e.y.J\r\nHost: other", b"e.y.J\r\nTransfer-Encoding: chunked", b"e.y.J\r\nContent-Length: 1", b"e.y.J\r\n\r\n"),
    *(b"e.y.J\r\nUpgrade: websocket", b"e.y.J\r\nExpect: 100-continue", b"x" * 9000),
]


def make_reader(policy: Policy = POLICY, **limits: int) -> PlainReader:
    return PlainReader(RequestRewriter(policy), replace(Limits(), **limits))


def show(plain: tuple[str, str, RequestHeader, bytes] | None) -> Any:
    """Return all that a request comes to."""
    if plain is None:
        return None
    method, target, header, body = plain
    read = {attribute: getattr(header, attribute) for attribute in INDEXED.values()}
    passed = b"\r\n".join(header.passed)
    return method, target, body, read, passed, header.octets, header.pairs, header.has_repeated, header.is_from_trusted


def count_kept(reader: PlainReader) -> int:
    return len(reader._known._headers)


def mutate() -> list[bytes]:
    """Return each message with another octet in each place, with one more there, and with one less."""
    octets = [b"", *(bytes((octet,)) for octet in b"\x00\t\n\r !,.0:=AZ_az\x7f\xe9")]
    data = [MESSAGES["token"], MESSAGES["body"]]
    places = [(each, index) for each in data for index in range(len(each))]
    return [
        each[:index] + octet + each[index + skipped :]
        for each, index in places
        for octet in octets
        for skipped in (0, 1)
    ]


def test_whatever_comes_is_read_as_by_who_knows_nothing() -> None:
    """One octet from a header that is known; each verdict and each part is that of a reader without memory."""
    knowing = make_reader()
    for data in MESSAGES.values():
        assert knowing.read(data, CLIENT) is not None
    taken = 0
    for data in mutate():
        expected = show(make_reader().read(data, CLIENT))
        for _ in range(2):
            assert show(knowing.read(data, CLIENT)) == expected, data
        taken += expected is not None
    assert taken > 1000


@pytest.mark.parametrize("name", [name for name in MESSAGES if b"e.y.J" in MESSAGES[name]])
@pytest.mark.parametrize("value", VALUES)
def test_what_is_no_single_token_is_read_anew(name: str, value: bytes) -> None:
    """A header with a hole for a token is filled with nothing else."""
    knowing = make_reader()
    assert knowing.read(MESSAGES[name], CLIENT) is not None
    data = MESSAGES[name].replace(b"e.y.J", value, 1)
    expected = show(make_reader().read(data, CLIENT))
    for _ in range(2):
        assert show(knowing.read(data, CLIENT)) == expected


def test_each_has_the_token_that_it_came_with() -> None:
    """Two users with the same client share what was read of the header, and nothing else."""
    reader = make_reader()
    for token in (b"a.b.c", b"d.e.f", b"g", b"a.b.c"):
        plain = reader.read(MESSAGES["token"].replace(b"e.y.J", token), CLIENT)
        assert plain is not None
        header = plain[2]
        assert header.authorization == (b"Bearer " + token,)
        assert b"\r\nAuthorization: Bearer " + token + b"\r\n" in header.octets
        assert (b"Authorization", b"Bearer " + token) in header.pairs
    assert count_kept(reader) == 1


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (b"Accept: */*\r\nsec-fetch-mode: cors\r\nUSER-AGENT: x\r\n", 1),
        (b"Authorization: Bearer e.y.J\r\nOrigin: https://app.example\r\n", 1),
        (b"Authorization: Basic YTpi\r\n", 0),
        (b"Authorization: Bearer a b\r\n", 0),
        (b"AUTHORIZATION: Bearer e.y.J\r\n", 0),
        (b"Authorization:Bearer e.y.J\r\n", 0),
        (b"Cookie: session=a\r\n", 0),
        (b"X-API-Key: a\r\n", 0),
        (b"Accept: x\r\nProxy-Authorization: Basic YTpi\r\n", 0),
        (b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", 0),
        (b"Sec-WebSocket-Protocol: bearer, a.b.c\r\n", 0),
        (b"Sec : x\r\n", 0),
        (b"User-Agent: " + b"x" * 2100 + b"\r\n", 0),
    ],
)
def test_only_what_may_be_no_secret_is_kept(lines: bytes, count: int) -> None:
    """What says how a client asks is kept, without the token; the rest is read anew each time."""
    reader = make_reader()
    for _ in range(2):
        reader.read(HEAD + lines + b"\r\n", CLIENT)
    assert count_kept(reader) == count
    kept = [(shape, vars(header)) for shape, header in reader._known._headers.items()]
    assert "e.y.J" not in repr(kept)


def test_token_that_goes_upstream_is_each_ones_own() -> None:
    """With ``forward_token`` nothing is kept, as the lines that go on are another caller's."""
    reader = make_reader(Policy((), Forwarding(host=None, forward_token=True)))
    for token in (b"a.b.c", b"d.e.f"):
        plain = reader.read(MESSAGES["token"].replace(b"e.y.J", token), CLIENT)
        assert plain is not None
        assert b"Authorization: Bearer " + token in b"\r\n".join(plain[2].passed)
    assert count_kept(reader) == 0


@pytest.mark.parametrize("lines", [b"X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n", b"Via: 1.1 a\r\n"])
def test_proxy_that_is_trusted_is_so_whoever_asked_before(lines: bytes) -> None:
    """What was read for one peer is not believed of another."""
    policy = Policy((), Forwarding(host=None, trusted_proxies=(ip_network("198.51.100.0/24"),)))
    reader = make_reader(policy)
    data = HEAD + lines + b"X-Forwarded-Proto: https\r\nAuthorization: Bearer e.y.J\r\n\r\n"
    for client in (CLIENT, PROXY, CLIENT, PROXY):
        plain = reader.read(data, client)
        assert show(plain) == show(make_reader(policy).read(data, client))
        assert plain is not None
        assert plain[2].is_from_trusted is (client is PROXY)
        assert (b"X-Forwarded-Proto: https" in b"\r\n".join(plain[2].passed)) is (client is PROXY)
    assert count_kept(reader) == 2


def test_body_is_held_to_its_length_each_time() -> None:
    """The length is known, the body is not."""
    reader = make_reader()
    whole = MESSAGES["body"]
    assert reader.read(whole, CLIENT) is not None
    for data in (whole[:-1], whole + b"d", whole[:-3]):
        assert reader.read(data, CLIENT) is None
    plain = reader.read(whole[:-3] + b"\x00\r\n", CLIENT)
    assert plain is not None
    assert plain[3] == b"\x00\r\n"


def test_limits_hold_for_what_is_known() -> None:
    """A longer token makes a head too large, whatever is known of the rest."""
    reader = make_reader(headers_bytes=200)
    data = MESSAGES["token"]
    for length in (5, 200 - len(data) + len(b"\r\n\r\ne.y.J"), 5):
        assert reader.read(data.replace(b"e.y.J", b"x" * length), CLIENT) is not None
    assert reader.read(data.replace(b"e.y.J", b"x" * (201 - len(data) + len(b"\r\n\r\ne.y.J"))), CLIENT) is None


def test_memory_is_bounded() -> None:
    """Whoever sends another header each time makes the first ones go."""
    reader = make_reader()
    for number in range(1500):
        assert reader.read(HEAD + b"User-Agent: %d\r\n\r\n" % number, CLIENT) is not None
    assert count_kept(reader) == 1024


@pytest.mark.parametrize(
    "lines",
    [
        b"User-Agent: %d" + b"x" * 1950,
        b"Accept: %d\r\n" + b"Accept: x\r\n" * 92 + b"Connection: q",
        b"dnt:\r\nx-forwarded-port:\r\n" * 46 + b"via: %d",
    ],
    ids=["long", "many lines", "many that are looked at"],
)
def test_memory_has_the_size_that_is_said(lines: bytes) -> None:
    """Whatever fills it, of headers that anybody may send: 8 MiB, and mostly far less."""
    policy = Policy((), Forwarding(host=None, trusted_proxies=(ip_network("198.51.100.0/24"),)))
    reader = make_reader(policy)
    tracemalloc.start()
    try:
        for number in range(1024):
            assert reader.read(HEAD + lines % number + b"\r\n\r\n", PROXY) is not None
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count_kept(reader) == 1024
    assert size <= 8 * 2**20


def test_header_of_too_many_fields_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is aiohttp's to refuse; to read it first would be the work that the limit is there to spare."""
    reader = make_reader(header_count=10)
    monkeypatch.delattr(RequestRewriter, "read")
    assert reader.read(HEAD + b"A: b\r\n" * 10 + b"\r\n", CLIENT) is None


@pytest.mark.parametrize("name", [b"Connection", b"Proxy-Connection"])
def test_last_request_of_one_leaves_the_parser_to_all(name: bytes) -> None:
    """llhttp reads nothing behind it, and whoever comes next would be left to aiohttp."""
    reader = make_reader()
    for value in (b"close", b"x, CLOSE"):
        assert reader.read(HEAD + name + b": " + value + b"\r\n\r\n", CLIENT) is not None
        assert reader.read(HEAD + b"X-Unknown: a\r\n\r\n", CLIENT) is not None


def test_nothing_is_found_before_it_is_kept() -> None:
    """A shape with a hole is never that of a header without one."""
    known = KnownHeaders()
    shape, authorization = cut_token(b"\r\nHost: a\r\nAuthorization: Bearer x", is_from_trusted=False)
    header = RequestRewriter(POLICY).read(b"\r\nHost: a\r\nAuthorization: Bearer x", CLIENT)
    assert known.find(shape) is None
    known.keep(shape, authorization, header)
    assert known.find(shape) is not None
    for other in (b"\r\nHost: a\r\nAuthorization: Bearer ", b"\r\nHost: a", b"\r\nHost: a\r\nAuthorization: Bearer x "):
        assert known.find(cut_token(other, is_from_trusted=False)[0]) is None
    assert known.find(cut_token(b"\r\nHost: a\r\nAuthorization: Bearer x", is_from_trusted=True)[0]) is None
