"""Where tokens stand, and whose pages may use a cookie: as the file says it."""

from __future__ import annotations

import pytest

from gateway.config.problems import Severity
from gateway.core.places import PlaceKind, TokenPlace
from tests.unit.config.conftest import HEAD, PROVIDER, Complain, Load

FORMS = "expected authorization, {header: NAME}, {cookie: NAME}, {query: NAME} or {websocket_protocol: true}"
AT = "error: providers[0].token_from"
ORIGIN = "not an origin: write it as browsers do, such as https://app.example, without a path"
NULL = "null is the origin of sandboxed pages, which anyone can make: write the origin of your own"
COOKIE = "    token_from: {cookie: s}\n"


def write(token_from: str, tail: str = "") -> str:
    """Return a file with a provider whose tokens stand there."""
    return f"{HEAD}{PROVIDER}    token_from: {token_from}\n{tail}"


@pytest.mark.parametrize(
    ("written", "places"),
    [
        ("authorization", None),
        ("[authorization]", None),
        ("{header: X-Token}", (TokenPlace(PlaceKind.HEADER, "x-token"),)),
        ("[{header: x-TOKEN}, authorization]", (TokenPlace(PlaceKind.HEADER, "x-token"), ("authorization", ""))),
        ("{cookie: __Host-Session}", (TokenPlace(PlaceKind.COOKIE, "__Host-Session"),)),
        ("{query: access_token}", (TokenPlace(PlaceKind.QUERY, "access_token"),)),
        ("{websocket_protocol: true}", (TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL),)),
        ("{websocket_protocol: yes}", (TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL),)),
    ],
)
def test_places(load: Load, written: str, places: tuple[TokenPlace, ...] | None) -> None:
    """One or a list of them; names of cookies and parameters have a case, those of headers have none."""
    found = load(write(written)).settings.policy.token_places
    assert (found and tuple((getattr(kind, "value", kind), name) for kind, name in found)) == (
        places and tuple((getattr(kind, "value", kind), name) for kind, name in places)
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("cookie", f"8:17: {AT}[0]: {FORMS}"),
        ("[authorization, 5]", f"8:33: {AT}[1]: {FORMS}"),
        ("[[authorization]]", f"8:18: {AT}[0]: {FORMS}"),
        ("{}", f"8:17: {AT}[0]: {FORMS}"),
        ("{cookie: a, query: b}", f"8:17: {AT}[0]: {FORMS}"),
        ("{session: a}", f"8:17: {AT}[0]: {FORMS}"),
        ("{authorization: a}", f"8:17: {AT}[0]: {FORMS}"),
        ("[]", f"8:17: {AT}: an empty list: write at least one entry, or remove the key"),
        ("{websocket_protocol: false}", f"8:17: {AT}[0]: false says nothing: remove the entry"),
        ("{websocket_protocol: bearer}", f"8:17: {AT}[0]: expected true or false"),
        (
            "{cookie: a=b}",
            f"8:17: {AT}[0]: not the name of a cookie: use letters, digits, - and _, such as __Host-session",
        ),
        (
            "{query: a b}",
            f"8:17: {AT}[0]: not the name of a parameter: use letters, digits, - and _, such as access_token",
        ),
        ("{header: 'X:'}", f"8:17: {AT}[0]: not a header name: use letters, digits and -, such as X-Identity"),
        *(
            (
                f"{{header: {name}}}",
                f"8:17: {AT}[0]: this header has a meaning of its own: choose another name, such as X-Identity",
            )
            for name in ("Authorization", "cookie", "Sec-WebSocket-Protocol", "X-Forwarded-Token")
        ),
        *(
            (f"{{header: {name}}}", f"8:17: {AT}[0]: the gateway itself sets this header: choose another one")
            for name in ("X-Identity", "x_identity", "X-Identity-Token", "x-user")
        ),
        (
            "[{header: X-A}, authorization, {header: x-a}]",
            f"8:48: {AT}[2]: it is in the list already: remove one of the two",
        ),
    ],
)
def test_places_that_are_wrong(complain: Complain, written: str, problem: str) -> None:
    """Each mistake is one, and says what would be right."""
    assert complain(write(written, "identity: {headers: {X-User: subject}}\n")) == [problem]


@pytest.mark.parametrize(
    "written",
    [
        "https://app.example",
        "http://localhost:5173",
        "https://app.example:8443",
        "http://[::1]:3000",
        "capacitor://localhost",
        "chrome-extension://abcdefgh",
        "[https://a.example, https://b.example]",
    ],
)
def test_origins(load: Load, written: str) -> None:
    """As browsers send them, octet for octet."""
    loaded = load(write("{cookie: s}", f"allowed_origins: {written}\n"))
    assert loaded.warnings == ()
    assert {text.decode() for text in loaded.settings.policy.allowed_origins} == set(written.strip("[]").split(", "))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('"null"', NULL),
        ('"*"', ORIGIN),
        ("https://*.example", ORIGIN),
        ("https://app.example/", ORIGIN),
        ("https://app.example/path", ORIGIN),
        ("https://APP.example", ORIGIN),
        ("HTTPS://app.example", ORIGIN),
        ("app.example", ORIGIN),
        ("https://bücher.example", ORIGIN),
        ("https://u@app.example", ORIGIN),
        ("https://app.example:443", "browsers leave the default port out: write https://app.example"),
        ("http://app.example:80", "browsers leave the default port out: write http://app.example"),
    ],
)
def test_origins_that_are_wrong(complain: Complain, written: str, message: str) -> None:
    """An entry that no browser sends would allow nothing, and nobody would know why."""
    tail = f"allowed_origins: [https://ok.example, {written}]\n"
    assert complain(write("{cookie: s}", tail)) == [f"9:39: error: allowed_origins[1]: {message}"]


@pytest.mark.parametrize(
    ("written", "tail", "problem"),
    [
        (
            "{query: t}",
            "",
            (
                "8:17: warning: providers[0].token_from[0]: a token in the query ends up in logs, histories and "
                "Referer: use a header or a cookie"
            ),
        ),
        (
            "[authorization, {cookie: s}]",
            "",
            "8:33: warning: providers[0].token_from[1]: whatever changes something is refused: write allowed_origins",
        ),
        (
            "{header: X-Token}",
            "allowed_origins: https://app.example\n",
            (
                "9:18: warning: allowed_origins: without a cookie in token_from or a route with mcp, no origin is "
                "looked at: remove it"
            ),
        ),
    ],
)
def test_what_is_questionable(load: Load, written: str, tail: str, problem: str) -> None:
    """It works, and is not what one would want."""
    [warning] = load(write(written, tail)).warnings
    assert warning.severity is Severity.WARNING
    assert str(warning) == f"f.yaml:{problem}"


@pytest.mark.parametrize("tail", ["identity: 5\n", "allowed_origins: 5\n", "realm: ''\n"])
def test_what_is_broken_is_not_questionable(complain: Complain, tail: str) -> None:
    """Beside a mistake nothing is said of what nobody can know."""
    [problem] = complain(write("{cookie: s}", f"{tail}{'' if 'origins' in tail else 'allowed_origins: https://a.b'}"))
    assert " error: " in problem


def test_a_provider_with_other_places_is_reached(load: Load) -> None:
    """Only one that takes tokens from everywhere that the later one does takes all of its tokens."""
    later = PROVIDER.removeprefix("providers:\n") + "    name: later\n"
    origins = "allowed_origins: https://a.example\n"
    assert load(HEAD + PROVIDER + later + COOKIE + origins).warnings == ()
    [warning] = load(HEAD + PROVIDER + COOKIE + later + COOKIE + origins).warnings
    assert "never reached" in str(warning)
