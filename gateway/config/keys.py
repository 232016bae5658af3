"""
``jwks``: where the keys of a provider stand, in the forms that the file may write it.

A URL, ``file:PATH``, a ``data:`` URI (RFC 2397) as Convex has it, or the JWK Set itself.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.config.addresses import parse_http_url
from gateway.config.scalars import parse_text
from gateway.core.jwks import KeySet, KeySetError, build_key_set, parse_key_set

_FORMS = "expected an http(s) URL, file:PATH, a data: URI, or a JWK Set as {keys: [...]}"
_DATA = re.compile(r"(?i:data):([^,]*),(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class KeyLocation:
    """Just one of a URL, the path of a file and the keys themselves."""

    url: str | None = None
    path: str | None = None
    key_set: KeySet | None = None


def parse_jwks(value: object) -> str | dict[str, Any]:
    """Return the value of ``jwks`` as it stands in the file, once it is known to lead to keys."""
    if isinstance(value, dict):
        build_location(value)
        return value
    if not isinstance(value, str):
        raise ValueError(_FORMS)  # noqa: TRY004 - pydantic wants ValueError throughout
    build_location(parse_text(value))
    return value


def build_location(value: str | dict[str, Any], folder: Path = Path()) -> KeyLocation:
    """Return where the keys are; a relative path is one of ``folder``."""
    if isinstance(value, dict):
        return KeyLocation(key_set=_check_usable(_build(build_key_set, value)))
    scheme = value.partition(":")[0].lower()
    if scheme == "data":
        return KeyLocation(key_set=_check_usable(_build(parse_key_set, decode_data(value))))
    if scheme == "file":
        return KeyLocation(path=str(folder / _read_path(value)))
    if scheme not in ("http", "https"):
        raise ValueError(_FORMS)
    return KeyLocation(url=parse_http_url(value))


def _build(build: Any, document: object) -> KeySet:
    try:
        return build(document)  # type: ignore[no-any-return]
    except KeySetError as error:
        raise ValueError(f"{error}: put a JWK Set there") from error


def _check_usable(key_set: KeySet) -> KeySet:
    """Refuse a set that is written out and of which no key can ever verify anything."""
    if not key_set.keys:
        whys = "; ".join(f"key {skipped.index}: {skipped.why}" for skipped in key_set.skipped)
        raise ValueError(f"no key in it can verify: {whys or 'put the public keys of the issuer there'}")
    return key_set


def _read_path(value: str) -> str:
    path = value[len("file:") :]
    # file:///run/keys.json is what people who know RFC 8089 write.
    path = path.removeprefix("//localhost") if path.startswith("//localhost/") else path
    path = path[2:] if path.startswith("///") else path
    if not path or path.startswith("//") or "\0" in path:
        raise ValueError("the path is missing: write file:keys.json or file:/run/keys.json")
    return path


def decode_data(uri: str) -> bytes:
    """Return the octets of a ``data:`` URI, of whatever media type (RFC 2397, section 3)."""
    found = _DATA.fullmatch(uri)
    if not found:
        raise ValueError("a data: URI without a comma: write data:application/json;base64,...")
    octets = unquote_to_bytes(found[2])
    if not re.search(r";\s*base64\s*\Z", found[1], re.IGNORECASE):
        return octets
    compact = re.sub(rb"\s", b"", octets).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("a data: URI that is not base64: encode it again, or leave ;base64 out") from error
