"""What aiohttp's parser says of a request that it could not read, in our words."""

from __future__ import annotations

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from gateway.core.errors import GatewayError, Reason, RequestRefused

_TOO_MANY_FIELDS = "Too many headers"


def describe_parser_error(error: BaseException | None, max_line_size: int) -> GatewayError:
    """Return what aiohttp's parser refused, in our words; ``max_line_size`` tells a long line from a long field."""
    if isinstance(error, LineTooLong):
        _, limit, *_ = error.args
        if limit == max_line_size:
            return RequestRefused(Reason.URI_TOO_LONG, "The request-target is too long.", expected=limit)
        return RequestRefused(Reason.HEADERS_TOO_LARGE, "A header field is too large.", expected=limit)
    # aiohttp has one class for all that is malformed, and this is the only limit among it.
    if isinstance(error, HttpProcessingError) and error.message.startswith(_TOO_MANY_FIELDS):
        return RequestRefused(Reason.HEADERS_TOO_LARGE, "The request has too many header fields.")
    return RequestRefused(Reason.MALFORMED_REQUEST, "The request is not well-formed HTTP/1.1.")
