"""Preflights: what a browser asks before a request to another origin (Fetch, section 4.8; it never has credentials)."""

from __future__ import annotations

import re

from gateway.core.fields import FieldSet

_METHOD = re.compile(rb"[A-Z]+")


def find_preflight_method(fields: FieldSet) -> str | None:
    """
    Return the method that an OPTIONS request asks for, if it is a real preflight, else None.

    Real is what a browser sends: one origin, one method, no credentials and no body. Anything else is a request like
    others, lest two fields open what a rule keeps shut.
    """
    origins, methods = fields.values(b"origin"), fields.values(b"access-control-request-method")
    if len(origins) != 1 or not origins[0] or len(methods) != 1 or not _METHOD.fullmatch(methods[0]):
        return None
    if fields.authorization or fields.transfer_encoding or any(length != b"0" for length in fields.content_length):
        return None
    return methods[0].decode("ascii")
