"""
The request-target: parsed once, refused where two readers could read two paths.

RFC 9112, section 3.2; RFC 3986, section 3.3. What is matched here is what is forwarded: the bytes never change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from gateway.core.errors import Reason, RequestRefused

# Visible ASCII without the fragment mark and the backslash that browsers and IIS read as a slash.
_ORIGIN_FORM = re.compile(r"/[!-\"$-\[\]-~]*")
_ABSOLUTE_FORM = re.compile(r"(?i:https?)://([^/?#\\@\s]+)(/?[^#\\\s]*)")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_SEPARATOR = re.compile(r"%(?:2[fF]|5[cC])")
_CONTROL_OR_ESCAPE = re.compile(r"[\x00-\x1f\x7f-\x9f]|%[0-9A-Fa-f]{2}")
# Java servers cut path parameters off each segment: "..;x" is ".." to them.
_DOT_SEGMENT = re.compile(r"\.{1,2}(?:;.*)?")


def parse_target(method: str, raw: str, hosts: Sequence[bytes]) -> str:
    """
    Return the target of a request line as it goes upstream: a path with its query, or ``*``.

    ``hosts`` are the values of the ``Host`` field, at most one. An absolute-form target whose authority is that host is
    taken as its origin-form (RFC 9112, section 3.2.2); ``*`` is the target of OPTIONS only (section 3.2.4).

    Raises:
        RequestRefused: ``ambiguous_path``, for anything that two parsers could read differently.
    """
    if not raw.startswith("/"):
        if raw == "*" and method == "OPTIONS":
            return raw
        raw = _take_origin_form(raw, hosts)
    if not _ORIGIN_FORM.fullmatch(raw):
        raise _ambiguous("The request-target has a fragment, a backslash or an octet outside of visible ASCII.")
    # C string functions stop at NUL: /private%00.css is /private to them.
    if "%00" in raw and "%00" in get_path(raw):
        raise _ambiguous("The path has an encoded NUL.")
    return raw


def get_path(target: str) -> str:
    """Return a target without its query."""
    return target.partition("?")[0]


def _take_origin_form(raw: str, hosts: Sequence[bytes]) -> str:
    absolute = _ABSOLUTE_FORM.fullmatch(raw)
    if not absolute:
        raise _ambiguous("The request-target is neither a path nor an absolute URL of this host.")
    authority, rest = absolute.groups()
    if not hosts or authority.lower() != hosts[0].decode("latin-1").lower():
        raise _ambiguous("The authority of the request-target differs from the Host field.")
    return rest if rest.startswith("/") else f"/{rest}"


def split_segments(path: str, *, keep_encoded_slashes: bool = False) -> tuple[str, ...]:
    """
    Return the decoded segments of a path, for matching; ``/a/b`` gives ``("a", "b")``, ``/a/`` gives ``("a", "")``.

    With ``keep_encoded_slashes`` an encoded slash is data inside of its segment.

    Raises:
        RequestRefused: ``ambiguous_path``, where servers disagree on which resource the path names.
    """
    if _BROKEN_ESCAPE.search(path):
        raise _ambiguous("The path has a broken percent-escape.")
    if not keep_encoded_slashes and _ENCODED_SEPARATOR.search(path):
        raise _ambiguous("The path has an encoded slash or backslash.")
    parts = path[1:].split("/")
    if "" in parts[:-1]:
        raise _ambiguous("The path has an empty segment.")
    return tuple(map(_decode_segment, parts)) if "%" in path or "." in path else tuple(parts)


def cut_parameters(segments: Sequence[str]) -> tuple[str, ...]:
    """
    Return the decoded segments of a path as a server reads them that takes ``;`` for the begin of parameters.

    RFC 3986, section 3.3; Java servers route ``/admin;x`` as ``/admin``.

    Raises:
        RequestRefused: ``ambiguous_path``, where to such a server a segment is empty.
    """
    cut = tuple(segment.partition(";")[0] for segment in segments)
    if "" in cut[:-1]:
        raise _ambiguous("The path has a segment of parameters alone.")
    return cut


def _decode_segment(part: str) -> str:
    try:
        # Strict: an overlong form such as %C0%AF is a slash to a careless decoder.
        segment = unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError:
        raise _ambiguous("The path has an escape that is not UTF-8.") from None
    # A kept encoded slash may have dots on either side of it.
    if any(map(_DOT_SEGMENT.fullmatch, segment.split("/"))):
        raise _ambiguous("The path has a dot segment.")
    # Decoded twice, as a careless chain of servers does, such a path is another path.
    if _CONTROL_OR_ESCAPE.search(segment):
        raise _ambiguous("The path has an escape of a control character or of another escape.")
    if "\\" in segment:
        raise _ambiguous("The path has an encoded backslash.")
    return segment


def _ambiguous(description: str) -> RequestRefused:
    return RequestRefused(Reason.AMBIGUOUS_PATH, description)
