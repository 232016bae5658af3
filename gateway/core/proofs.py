"""
What was proven of a token before: its structure and its signature, and the identity that follows from them.

A token is known by the hash of its whole text, and believed only with the very set of keys that proved it: when the
set changes, everything is proven anew. What changes with time is never here: times and audience are checked on each
request, and the rules of the route are the request's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache

from gateway.core.fields import Field
from gateway.core.jwks import KeySet
from gateway.core.jwt import Token
from gateway.core.tokens import Provider, VerifiedToken

# Envoy's bound. A longer token is rare, and a few of them would weigh as much as all others.
MAX_CACHED_LENGTH = 4096
DEFAULT_MAX_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A verified token with the identity and the header fields that were built of it, once."""

    verified: VerifiedToken
    identity: Mapping[str, Any]
    fields: tuple[Field, ...]


@dataclass(slots=True)
class KnownToken:
    """
    One token, the providers that it may be of, and what each of them has made of it.

    ``proven`` maps a provider's name to the set of keys by which the signature held.
    """

    token: Token
    providers: tuple[Provider, ...]
    proven: dict[str, KeySet] = field(default_factory=dict)
    accepted: dict[str, Accepted] = field(default_factory=dict)


class ProofCache:
    """
    The tokens that were proven last, by one policy; a new policy begins with an empty one.

    The counters are plain attributes for whoever shows them.
    """

    __slots__ = ("_known", "evictions", "hits", "requests")

    def __init__(self, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        self._known: LRUCache[bytes, KnownToken] = LRUCache(max_tokens)
        self.requests = 0
        self.hits = 0
        self.evictions = 0

    def find(self, text: str) -> KnownToken | None:
        """Return what is known of a token."""
        self.requests += 1
        try:
            known = self._known[_hash(text)]
        except KeyError:
            return None
        self.hits += 1
        return known

    def keep(self, text: str, known: KnownToken) -> None:
        """Keep a token that was proven; one that was not must not push out those that were."""
        if not known.proven or len(text) > MAX_CACHED_LENGTH:
            return
        if self._known.currsize >= self._known.maxsize:
            self.evictions += 1
        self._known[_hash(text)] = known


def _hash(text: str) -> bytes:
    # Of the whole text: two tokens that differ in their signatures alone have nothing in common.
    return hashlib.sha256(text.encode("ascii")).digest()
