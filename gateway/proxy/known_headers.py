"""
Headers of requests that were read before.

Most clients send the same header with each request, but for the token in it, and to read it anew is a third of what a
whole request costs. Pure: bytes in, a value or None out.
"""

from __future__ import annotations

import re

from gateway.core.credentials import is_b64token
from gateway.core.fields import INDEXED, build_name_pattern
from gateway.core.memory import Memory
from gateway.proxy.request_head import RequestHeader

# What says how a client asks, and through whom. Any other field may hold a secret, which is nothing to keep, or differ
# from request to request, which is not worth keeping; a header with such a field is read anew each time.
_USUAL = (
    *(b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"authorization", b"cache-control"),
    *(b"connection", b"content-encoding", b"content-length", b"content-type", b"dnt", b"forwarded", b"host", b"origin"),
    *(b"pragma", b"priority", rb"sec-ch-ua(?:-[a-z\-]+)?", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site"),
    *(b"sec-fetch-user", b"sec-gpc", b"te", b"upgrade-insecure-requests", b"user-agent", b"via"),
    *(b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip"),
)
_USUAL_HEADER = re.compile(rb"(?:%b[^\r\n]*)+" % build_name_pattern(_USUAL))
# The two spellings that are met.
_FIELDS = (b"\r\nAuthorization: Bearer ", b"\r\nauthorization: Bearer ")
# Headers are the client's, so the memory of them is bounded: 8 MiB at the most.
_MAX_BYTES = 2048
_MAX_HEADERS = 1024

# What stands before the token of a header and what stands behind it, None behind one without a token; and whether it is
# from a proxy that is trusted.
Shape = tuple[bytes, bytes | None, bool]


def cut_token(octets: bytes, *, is_from_trusted: bool) -> tuple[Shape, tuple[bytes, ...]]:
    """
    Return the shape of a header, given its lines, each behind its CR LF, and the value of the field that has its token.

    Only what is a token by its grammar is cut out, so that it has no part in what the lines are. Where there are two,
    the shape has the other one.
    """
    for field in _FIELDS:
        before, found, rest = octets.partition(field)
        if found:
            token, _, _ = rest.partition(b"\r\n")
            if is_b64token(token):
                return (before + found, rest[len(token) :], is_from_trusted), (b"Bearer %b" % token,)
    return (octets, None, is_from_trusted), ()


class KnownHeaders:
    """As many as fit, of one policy; the first that came is the first that goes."""

    def __init__(self) -> None:
        self._headers: Memory[Shape, RequestHeader] = Memory(_MAX_HEADERS)

    def find(self, shape: Shape) -> RequestHeader | None:
        """Return what was kept for that shape."""
        return self._headers[shape]

    def keep(self, shape: Shape, authorization: tuple[bytes, ...], header: RequestHeader) -> None:
        """Keep a header that was read and found to be good, if it is worth it and without the token."""
        octets = shape[0] + (shape[1] or b"")
        # Credentials of another kind have no place in the memory of anything.
        if header.authorization == authorization and len(octets) <= _MAX_BYTES and _USUAL_HEADER.fullmatch(octets):
            kept = header.repeat(b"", ())
            # One piece weighs less than a hundred, and what is in the instance is found sooner than in the class.
            kept.passed = [b"\r\n".join(header.passed)] if header.passed else []
            kept.__dict__ |= {name: getattr(kept, name) for name in INDEXED.values()}
            self._headers[shape] = kept
