"""
Where a token may stand in a request, and how a challenge asks for one.

RFC 6750, RFC 9110 section 11.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.core.errors import GatewayError, Reason, RequestRefused

# RFC 6750, section 2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
_B64TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
_SCHEME = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?: +(.*))?", re.DOTALL)
# RFC 6750, section 3: the octets that error_description and error may hold; ours never need more.
_NOT_IN_DESCRIPTION = re.compile(r"[^ !#-\[\]-~]")


def extract_bearer_token(authorization: Sequence[bytes]) -> str | None:
    """
    Return the token of the one ``Authorization: Bearer`` field (RFC 6750, section 2.1), or None where there is none.

    Credentials of another scheme are no bearer token, and so are none here.

    Raises:
        RequestRefused: ``multiple_credentials`` for more than one field, ``malformed_credentials`` for a bearer
            token outside of the grammar.
    """
    if not authorization:
        return None
    # Two fields would let us check one token while the upstream reads the other.
    if len(authorization) > 1:
        raise RequestRefused(Reason.MULTIPLE_CREDENTIALS, "The request has more than one Authorization field.")
    parts = _SCHEME.fullmatch(authorization[0])
    if parts is None:
        raise _malformed()
    scheme, token = parts.groups()
    if scheme.lower() != b"bearer":
        return None
    if token is None or not _B64TOKEN.fullmatch(token):
        raise _malformed()
    return str(token, "ascii")


def _malformed() -> RequestRefused:
    return RequestRefused(
        Reason.MALFORMED_CREDENTIALS, "The Authorization field is not 'Bearer', one space and one token."
    )


def build_challenge(error: GatewayError, realm: str, *, with_description: bool) -> str:
    """
    Return the value of ``WWW-Authenticate`` for a refusal (RFC 6750, section 3).

    A request without credentials gets a challenge without an error code (section 3.1).
    """
    parameters = [("realm", realm)]
    if error.reason.error is not None:
        parameters.append(("error", error.reason.error.value))
        if with_description:
            parameters.append(("error_description", _NOT_IN_DESCRIPTION.sub("'", error.description)))
    if error.scopes:
        parameters.append(("scope", " ".join(error.scopes)))
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters)
