"""One document from an issuer that answers as it likes: what is taken, and what is said of the rest."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import time
import tracemalloc
from pathlib import Path

import pytest
import trustme

from gateway import __version__
from gateway.providers.fetch import MAX_DOCUMENT_BYTES, FetchError, fetch_document, open_session, read_document
from tests.integration.issuer import Answer, Issuer, drip, hang, respond
from tests.integration.loop import in_each_loop, in_loop

BODY = b'{"keys": []}'


def redirect(location: str, status: str = "302 Found") -> bytes:
    return respond(status=status, location=location)


async def fetch(answer: Answer, *, timeout_seconds: float = 5.0) -> bytes:
    async with Issuer({"/jwks": answer}) as issuer, open_session() as session:
        return (await fetch_document(session, issuer.locate(), timeout_seconds=timeout_seconds)).body


async def refuse(answer: Answer, *, timeout_seconds: float = 5.0) -> str:
    with pytest.raises(FetchError) as caught:
        await fetch(answer, timeout_seconds=timeout_seconds)
    return str(caught.value)


@in_loop
async def test_document_with_its_freshness_and_date() -> None:
    """The body arrives with what the issuer says about its age, and with the issuer's clock."""
    fields = {"cache_control": "max-age=300", "age": "7", "expires": "0", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    async with Issuer({"/jwks": respond(BODY, **fields)}) as issuer, open_session() as session:
        document = await fetch_document(session, issuer.locate(), timeout_seconds=5)
    assert document.body == BODY
    assert (document.freshness.cache_control, document.freshness.age, document.freshness.expires) == (
        "max-age=300",
        "7",
        "0",
    )
    assert document.date == 784111777.0


@in_loop
async def test_request_says_who_we_are_and_nothing_else() -> None:
    """An issuer sees our name and what we accept; no cookie, though it sets one, and no credentials."""
    async with Issuer({"/jwks": respond(BODY, set_cookie="a=b")}) as issuer, open_session() as session:
        for _ in range(2):
            await fetch_document(session, issuer.locate(), timeout_seconds=5)
    for head in issuer.heads:
        assert f"\r\nUser-Agent: auth-gateway/{__version__}\r\n".encode() in head
        assert b"\r\nAccept: application/json\r\n" in head
        assert b"cookie" not in head.lower()
        assert b"authorization" not in head.lower()


@in_loop
async def test_proxy_of_the_environment_is_not_asked() -> None:
    """A proxy variable left in the environment does not move where keys come from."""
    os.environ["http_proxy"] = "http://127.0.0.1:1"
    try:
        assert await fetch(respond(BODY)) == BODY
    finally:
        del os.environ["http_proxy"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/jwk-set+json", "text/plain", "text/html", "nonsense"]
)
@in_loop
async def test_any_content_type(content_type: str) -> None:
    """Issuers label their keys as they like; what counts is what is inside."""
    assert await fetch(respond(BODY, content_type=content_type)) == BODY


@in_loop
async def test_no_content_type_and_no_length() -> None:
    """An answer that ends with the connection is an answer."""
    assert await fetch(b"HTTP/1.0 200 OK\r\n\r\n" + BODY) == BODY


@in_loop
async def test_large_policy_field() -> None:
    """A field of 20 KiB beside the document does no harm."""
    assert await fetch(respond(BODY, content_security_policy="x" * 20_000)) == BODY


@in_loop
async def test_gzip_is_decoded() -> None:
    """A compressed document arrives as what it is."""
    assert await fetch(respond(gzip.compress(BODY), content_encoding="gzip")) == BODY


@in_loop
async def test_largest_document() -> None:
    """512 KiB are taken, one octet more is not."""
    assert len(await fetch(respond(b" " * MAX_DOCUMENT_BYTES))) == MAX_DOCUMENT_BYTES
    assert await refuse(respond(b" " * (MAX_DOCUMENT_BYTES + 1))) == "more than 512 KiB"


@in_loop
async def test_endless_document_is_cut() -> None:
    """A document without end costs no more than the limit, however fast it comes."""

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    assert await refuse(pour) == "more than 512 KiB"


@in_loop
async def test_gzip_bomb_is_cut() -> None:
    """What is 256 KiB on the wire and 256 MiB once inflated is never inflated as a whole."""
    bomb = respond(gzip.compress(bytes(256 * 1024 * 1024)), content_encoding="gzip")
    tracemalloc.start()
    try:
        assert await refuse(bomb) == "more than 512 KiB"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("answer", [hang, drip], ids=["hang", "drip"])
@in_loop
async def test_one_deadline_over_all(answer: Answer) -> None:
    """Octets that trickle in move no deadline: the whole answer has one."""
    began = time.monotonic()
    assert await refuse(answer, timeout_seconds=0.2) == "no complete answer within 0.2 s"
    assert time.monotonic() - began < 2


@in_loop
async def test_deadline_covers_redirects() -> None:
    """Each redirect within the time of all."""

    async def dawdle(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(redirect("/jwks"))

    assert await refuse(dawdle, timeout_seconds=0.25) == "no complete answer within 0.25 s"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(respond(status="204 No Content"), "status 204", id="204"),
        pytest.param(respond(BODY, status="203 Non-Authoritative Information"), "status 203", id="203"),
        pytest.param(respond(BODY, status="206 Partial Content"), "status 206", id="206"),
        pytest.param(respond(status="304 Not Modified"), "status 304", id="304"),
        pytest.param(respond(BODY, status="404 Not Found"), "status 404", id="404"),
        pytest.param(respond(BODY, status="500 Oops"), "status 500", id="500"),
        pytest.param(respond(BODY, status="300 Multiple Choices", location="/a"), "status 300", id="300"),
        pytest.param(
            respond(BODY, content_length="100"), "the answer ended early or cannot be decoded", id="truncated"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
            "the answer ended early or cannot be decoded",
            id="truncated-chunk",
        ),
        pytest.param(
            respond(BODY, content_encoding="gzip"), "the answer ended early or cannot be decoded", id="not-gzip"
        ),
        pytest.param(b"", "the connection was closed before an answer", id="closed"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP", id="not-http"),
        pytest.param(respond(BODY, x="\x00secret"), "the answer is not HTTP", id="control-character-in-a-field"),
        pytest.param(respond(status="302 Found"), "status 302 without one Location", id="redirect-to-nowhere"),
        pytest.param(
            redirect("http://[::1"), "status 302 with a Location that is no http URL", id="redirect-to-no-url"
        ),
        pytest.param(
            redirect("file:///etc/passwd"), "status 302 with a Location that is no http URL", id="redirect-to-a-file"
        ),
    ],
)
@in_loop
async def test_what_is_no_document(answer: bytes, reason: str) -> None:
    """Only a complete 200 is an answer, and the reason is ours: nothing of the other side's is quoted."""
    assert await refuse(answer) == reason


@in_loop
async def test_closed_connection_is_not_tried_again() -> None:
    """One fetch is one request: an issuer that breaks down under its load is not asked twice as often."""
    async with Issuer({"/jwks": b""}) as issuer, open_session() as session:
        with pytest.raises(FetchError, match="closed before an answer"):
            await fetch_document(session, issuer.locate(), timeout_seconds=5)
    assert issuer.count() == 1


@in_loop
async def test_nobody_listens() -> None:
    """An issuer that is down is said to be down."""
    async with Issuer() as issuer:
        url = issuer.locate()
    async with open_session() as session:
        with pytest.raises(FetchError, match="cannot connect"):
            await fetch_document(session, url, timeout_seconds=5)


@pytest.mark.parametrize("url", ["", "jwks", "ftp://127.0.0.1/", "http://", "http://[::1/"])
@in_loop
async def test_what_is_no_url(url: str) -> None:
    """No text for a URL makes another error than ours."""
    async with open_session() as session:
        with pytest.raises(FetchError, match="not a URL that can be fetched"):
            await fetch_document(session, url, timeout_seconds=1)


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[fe80::1%25lo]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "0xa9fea9fe"],
)
@in_each_loop
async def test_link_local_addresses_are_not_asked(host: str) -> None:
    """A cloud answers there with the credentials of the machine; the last of these is a name that resolves to it."""
    async with open_session() as session:
        with pytest.raises(FetchError) as caught:
            await fetch_document(session, f"http://{host}:9/latest/meta-data/", timeout_seconds=2)
    assert str(caught.value) == "cannot connect: a link-local address"


@pytest.mark.norm("8414-3")
@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
@in_loop
async def test_redirect_within_the_origin(status: str) -> None:
    """An issuer may move its keys within its own origin."""
    answers: dict[str, Answer] = {"/jwks": redirect("/keys?v=2", status), "/keys?v=2": respond(BODY)}
    async with Issuer(answers) as issuer, open_session() as session:
        assert (await fetch_document(session, issuer.locate(), timeout_seconds=5)).body == BODY


@in_loop
async def test_redirects_are_bounded() -> None:
    """Three redirects are followed, a fourth is not."""
    answers: dict[str, Answer] = {f"/{n}": redirect(f"/{n + 1}") for n in range(4)}
    async with Issuer(answers | {"/4": respond(BODY)}) as issuer, open_session() as session:
        assert (await fetch_document(session, issuer.locate("/1"), timeout_seconds=5)).body == BODY
        with pytest.raises(FetchError, match="more than 3 redirects"):
            await fetch_document(session, issuer.locate("/0"), timeout_seconds=5)


@pytest.mark.norm("8414-3")
@in_loop
async def test_redirect_to_another_origin_is_not_followed() -> None:
    """An issuer's open redirect does not choose whom we ask; the other origin sees no connection."""
    async with Issuer({"/jwks": respond(BODY)}) as other:
        assert await refuse(redirect(other.locate())) == f"redirects to another origin: http://127.0.0.1:{other.port}"
        assert await refuse(redirect(f"//127.0.0.1:{other.port}/jwks")) == (
            f"redirects to another origin: http://127.0.0.1:{other.port}"
        )
        assert other.heads == []


@pytest.mark.norm("8414-3")
@pytest.mark.parametrize("location", ["https://127.0.0.1:{}/jwks", "http://localhost:{}/jwks"])
@in_loop
async def test_another_scheme_or_name_is_another_origin(location: str) -> None:
    """The origin is scheme, host and port, whatever the host resolves to."""
    async with Issuer() as issuer, open_session() as session:
        issuer.answers["/jwks"] = redirect(location.format(issuer.port))
        with pytest.raises(FetchError, match="redirects to another origin"):
            await fetch_document(session, issuer.locate(), timeout_seconds=5)


def serve_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def write_authority(authority: trustme.CA, folder: Path) -> str:
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@in_each_loop
async def test_ca_file(tmp_path: Path) -> None:
    """With a CA file its authority is trusted, without it not."""
    authority = trustme.CA()
    ca_file = write_authority(authority, tmp_path)
    async with Issuer({"/jwks": respond(BODY)}, tls=serve_tls(authority)) as issuer, open_session() as session:
        url = issuer.locate()
        assert (await fetch_document(session, url, timeout_seconds=5, ca_file=ca_file)).body == BODY
        with pytest.raises(FetchError, match="the certificate is not trusted: "):
            await fetch_document(session, url, timeout_seconds=5)


@in_loop
async def test_certificate_of_another_name(tmp_path: Path) -> None:
    """A trusted authority vouches for the name in the URL, not for any."""
    authority = trustme.CA()
    ca_file = write_authority(authority, tmp_path)
    async with Issuer(tls=serve_tls(authority, "other.example")) as issuer, open_session() as session:
        with pytest.raises(FetchError, match="the certificate is not trusted: IP address mismatch"):
            await fetch_document(session, issuer.locate(), timeout_seconds=5, ca_file=ca_file)


@in_loop
async def test_bad_ca_file(tmp_path: Path) -> None:
    """A CA file that is missing or no certificate is an outage with a reason, not a crash, and no way past TLS."""
    (tmp_path / "empty.pem").write_bytes(b"nothing")
    async with open_session() as session:
        for name in ("empty.pem", "missing.pem"):
            with pytest.raises(FetchError, match="cannot load the CA file"):
                await fetch_document(session, "https://127.0.0.1:1/", timeout_seconds=5, ca_file=str(tmp_path / name))


@in_loop
async def test_tls_to_a_plain_server() -> None:
    """https where only http is spoken is said to be so."""

    async def answer_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(status="400 Bad Request"))
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(answer_plainly, "127.0.0.1", 0) as server, open_session() as session:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchError, match="TLS failed"):
            await fetch_document(session, f"https://127.0.0.1:{port}/", timeout_seconds=5)


@in_loop
async def test_file(tmp_path: Path) -> None:
    """A file is read as it is now, up to the limit."""
    path = tmp_path / "jwks.json"
    for body in (BODY, b" " * MAX_DOCUMENT_BYTES):
        path.write_bytes(body)
        assert (await read_document(str(path))).body == body
    path.write_bytes(b" " * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(FetchError, match="more than 512 KiB"):
        await read_document(str(path))


@in_loop
async def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would hold us until somebody writes into it; it is refused like a missing file or a folder."""
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "not a regular file"), (".", "not a regular file"), ("none", "No such file")):
        with pytest.raises(FetchError, match=reason):
            await read_document(str(tmp_path / name))
    with pytest.raises(FetchError, match="not a regular file"):
        await read_document("/dev/zero")
