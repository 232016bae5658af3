"""Names of headers, algorithms, methods, scopes and the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.config.names import (
    parse_algorithm,
    parse_header_name,
    parse_method,
    parse_provider_name,
    parse_realm,
    parse_scope,
    parse_typ,
)


@pytest.mark.parametrize("name", ["X-Identity", "X-User-Id", "x_org", "Remote-User"])
def test_headers(name: str) -> None:
    """A token that has no meaning yet."""
    assert parse_header_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Content_Length", "Authorization", "Connection", "Transfer-Encoding", "TE", "Trailer",
     "Upgrade", "Proxy-Authorization", "X-Forwarded-For", "x_forwarded_proto", "Forwarded", "Via", "Cookie",
     "X-Request-ID", "traceparent", "Sec-WebSocket-Protocol"],
)  # fmt: skip
def test_headers_that_are_taken(name: str) -> None:
    """An identity there would replace what the header says, or take it from every request; spelling is no way round."""
    with pytest.raises(ValueError, match=r"^this header has a meaning of its own: choose another name"):
        parse_header_name(name)


@pytest.mark.norm("7515-1", "8725-1")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "^none is no signature"),
        ("NONE", "^none is no signature"),
        ("HS256", "^HMAC is symmetric"),
        ("hs512", "^HMAC is symmetric"),
        ("ES265", r"did you mean ES256\?"),
        ("rs256", r"did you mean RS256\?"),
        ("RSA-OAEP", "^not an algorithm that is supported: .*Supported are ES256, ES384"),
        ("ES256K", "^not an algorithm that is supported"),
        (256, "expected text"),
    ],
)
def test_algorithms_that_are_none(name: object, message: str) -> None:
    """What cannot be verified with a public key cannot be listed, and the report says why."""
    with pytest.raises(ValueError, match=message):
        parse_algorithm(name)


@pytest.mark.parametrize("name", ["RS256", "PS512", "ES384", "EdDSA", "Ed25519"])
def test_algorithms(name: str) -> None:
    """By their registered names, RFC 9864's included."""
    assert parse_algorithm(name) == name


@pytest.mark.parametrize(
    ("parse", "written", "message"),
    [
        (parse_header_name, "X Y", "^not a header name"),
        (parse_header_name, "X:Y", "^not a header name"),
        (parse_header_name, "Ünicode", "^not a header name"),
        (parse_provider_name, "a b", "^not a name"),
        (parse_provider_name, "-a", "^not a name"),
        (parse_provider_name, "a" * 65, "^not a name"),
        (parse_scope, "a b", "^more than one scope"),
        (parse_method, "get", "^methods are case-sensitive: write GET"),
        (parse_method, "*", "^leave methods out"),
        (parse_method, "TRACE", "never forwarded"),
        (parse_method, "connect", "never forwarded"),
        (parse_method, "G(T", "^not a method"),
        (parse_typ, "a/b/c", "^not a type of token"),
        (parse_typ, "at jwt", "^not a type of token"),
    ],
)
def test_names_that_are_none(parse: Callable[[object], str], written: str, message: str) -> None:
    """Each says what it wants."""
    with pytest.raises(ValueError, match=message):
        parse(written)


@pytest.mark.norm("6750-7")
@pytest.mark.parametrize("character", ['"', "\\", "é", "\x7f", "\n", "\u2028"])
@pytest.mark.parametrize(
    ("parse", "message"), [(parse_scope, "^(not a scope|.*control)"), (parse_realm, "^(a realm is ASCII|.*control)")]
)
def test_what_a_challenge_cannot_carry(parse: Callable[[object], str], message: str, character: str) -> None:
    """RFC 6750, section 3: what is in the file is in a quoted string some day, and must not end it."""
    with pytest.raises(ValueError, match=message):
        parse(f"a{character}b")


@pytest.mark.parametrize(
    ("parse", "written"),
    [
        (parse_provider_name, "logto.eu_1-a"), (parse_scope, "https://x/order:read"), (parse_method, "PROPFIND"),
        (parse_typ, "application/at+jwt"), (parse_typ, "JWT"), (parse_typ, "none"), (parse_realm, "my api"),
    ],
)  # fmt: skip
def test_names(parse: Callable[[object], str], written: str) -> None:
    """They stay as they were written."""
    assert parse(written) == written
