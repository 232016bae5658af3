"""
What was proven of a token before: its structure and its signature, and what was read and built of it.

A token is known by the hash of its whole text, and believed only with the very set of keys that proved it: when the
set changes, everything is proven anew. What changes with time is never here: times and audience are checked on each
request, and the rules of the route are the request's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from gateway.core.jwks import KeySet
from gateway.core.memory import Memory
from gateway.core.tokens import VerifiedToken

# Envoy's bound. A longer token is rare, and a few of them would weigh as much as all others.
MAX_CACHED_LENGTH = 4096
DEFAULT_MAX_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Proof:
    """A token that was accepted, the keys by which its signature held, and the ready lines of its identity."""

    verified: VerifiedToken
    keys: KeySet
    lines: bytes


class ProofCache:
    """
    The proofs of one policy, as many as fit; a new policy begins with an empty cache.

    The counters are plain attributes for whoever shows them.
    """

    __slots__ = ("_proofs", "evictions", "hits", "requests")

    def __init__(self, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        self._proofs: Memory[bytes, Proof] = Memory(max_tokens)
        self.requests = 0
        self.hits = 0
        self.evictions = 0

    def find(self, name: bytes) -> Proof | None:
        """Return what was proven of a token of that name."""
        self.requests += 1
        proof = self._proofs[name]
        if proof is not None:
            self.hits += 1
        return proof

    def keep(self, name: bytes, proof: Proof) -> None:
        """Keep a proof, in place of an older one of that token."""
        if self._proofs.currsize >= self._proofs.maxsize and name not in self._proofs:
            self.evictions += 1
        self._proofs[name] = proof


def name_token(text: bytes) -> bytes:
    """
    Return by what a token is known; empty for one that is not kept.

    A hash of the whole text: two tokens that differ in their signatures alone have nothing in common, and who sees the
    memory sees no token.
    """
    return sha256(text).digest() if len(text) <= MAX_CACHED_LENGTH else b""
