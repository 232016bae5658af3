"""Rules on where tokens stand: places that are one each, and warnings where a browser helps a stranger."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.places import build_token_place
from gateway.config.problems import Finding, Path, Severity, format_path
from gateway.config.sound import Sound
from gateway.core.fields import fold_name
from gateway.core.identity import IDENTITY_PREFIX
from gateway.core.places import PlaceKind, TokenPlace


def lint_places(sound: Sound) -> Iterator[Finding]:
    """Return the mistakes in where the providers' tokens stand, and what is questionable in them."""
    own = {IDENTITY_PREFIX}
    if sound.identity is not None:
        own |= {fold_name(name.encode()) for name in (sound.identity.header, *sound.identity.headers)}
    has_cookie = False
    for index, entry in sound.providers.items():
        seen: set[TokenPlace] = set()
        for number, written in enumerate(entry.token_from):
            place, path = build_token_place(written), ("providers", index, "token_from", number)
            has_cookie |= place.kind is PlaceKind.COOKIE
            yield from _check_place(place, path, own)
            if place in seen:
                yield Finding(path, f"{format_path(path)}: it is in the list already: remove one of the two")
            seen.add(place)
            if place.kind is PlaceKind.COOKIE and sound.allowed_origins == ():
                message = f"{format_path(path)}: whatever changes something is refused: write allowed_origins"
                yield Finding(path, message, Severity.WARNING)
    has_tools = any(entry.mcp is not None for entry in sound.routes.values())
    if sound.allowed_origins and sound.has_all_providers and not (has_cookie or has_tools):
        message = (
            "allowed_origins: without a cookie in token_from or a route with mcp, no origin is looked at: remove it"
        )
        yield Finding(("allowed_origins",), message, Severity.WARNING)


def _check_place(place: TokenPlace, path: Path, own: set[bytes]) -> Iterator[Finding]:
    where = format_path(path)
    if place.kind is PlaceKind.QUERY:
        message = f"{where}: a token in the query ends up in logs, histories and Referer: use a header or a cookie"
        yield Finding(path, message, Severity.WARNING)
    folded = fold_name(place.name.encode())
    if place.kind is PlaceKind.HEADER and (folded in own or folded.startswith(IDENTITY_PREFIX)):
        yield Finding(path, f"{where}: the gateway itself sets this header: choose another one")
