"""A JWK Set document -> keys of which one at least works, whether an issuer answered it or a snapshot holds it."""

from __future__ import annotations

from gateway.core.jwks import KeySet, KeySetError, SkippedKey, parse_key_set


def parse_usable(body: bytes) -> KeySet:
    """
    Return the keys of a document that has at least one that works.

    Raises:
        KeySetError: Not a JWK Set, or one that would refuse every token: no reason to give up a set that works.
    """
    key_set = parse_key_set(body)
    if key_set.keys:
        return key_set
    if not key_set.skipped:
        raise KeySetError("the JWK Set is empty")
    raise KeySetError(f"no usable key among {len(key_set.skipped)}: {describe_skipped(key_set.skipped[0])}")


def describe_skipped(skipped: SkippedKey) -> str:
    """Return which key of a set cannot be used, and why."""
    name = f"key {skipped.index}" if skipped.kid is None else f"key {skipped.index} ({skipped.kid!a})"
    return f"{name}: {skipped.why}"
