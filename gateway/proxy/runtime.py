"""What requests are served with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.config.settings import Settings
from gateway.core.jwks import KeySet
from gateway.core.organizations import Standing, Standings
from gateway.core.proofs import ProofCache
from gateway.core.verification import NeedKeys
from gateway.proxy.plain import PlainReader
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.request_head import RequestRewriter


class Supply(Protocol):
    """Asks a provider for keys on behalf of a request, and returns whether its issuer answered."""

    async def __call__(self, need: NeedKeys) -> bool: ...


class StandingSource(Standings, Protocol):
    """Knows which organizations exist, and asks on behalf of a request where it does not know."""

    async def ask(self, organization: str) -> Standing: ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """
    What requests are served with, swapped whole on a reload; a request keeps the one that it began with.

    ``keys`` maps a provider's name to its usable set and changes as keys do; ``supply`` waits for keys that a decision
    lacks, and returns when there is no more to wait for. ``organizations`` is None where nobody is asked for them.
    ``proofs`` are of this policy's tokens. ``plain`` reads what needs no care.
    """

    settings: Settings
    rewriter: RequestRewriter
    pool: UpstreamPool
    keys: Mapping[str, KeySet]
    supply: Supply
    organizations: StandingSource | None
    proofs: ProofCache
    plain: PlainReader
