"""What the issuers of a file answer now, held against what the file says of them: ``check --live``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gateway.cli.times import describe_duration
from gateway.config.load import Loaded
from gateway.core.jwks import VerificationKey
from gateway.core.tokens import Provider
from gateway.providers.probe import Probe, probe_providers
from gateway.providers.source import describe_location, hide_secrets
from gateway.providers.usable import describe_skipped

# Where tenths of a second may be what is beyond the leeway.
_SHORT_SECONDS = 10.0


class Mark(Enum):
    """How one check ended; the later of two outweighs the earlier."""

    PASSED = "passed"
    WARNING = "warning"
    UNKNOWN = "unknown"
    FAILED = "failed"

    @property
    def weight(self) -> int:
        """The place among the marks, from 0."""
        return list(Mark).index(self)


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """One check: what it is about, how it ended, and what was found; ``more`` are further lines."""

    name: str
    mark: Mark
    text: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What is to be said of one provider; ``where`` is its place in the file."""

    provider: Provider
    where: str
    probe: Probe
    checks: tuple[LiveCheck, ...]

    @property
    def mark(self) -> Mark:
        """The gravest of all checks."""
        return max((check.mark for check in self.checks), key=lambda mark: mark.weight)


def check_live(loaded: Loaded) -> list[LiveReport]:
    """Ask the issuers of a file, all at once, and return what is to be said of each provider, in file order."""
    settings = loaded.settings
    probes = asyncio.run(probe_providers(settings.key_sources))
    reports = []
    for index, (provider, probe) in enumerate(zip(settings.policy.providers, probes, strict=True)):
        is_chosen = "algorithm" in loaded.config.providers[index].model_fields_set
        where = f"{Path(loaded.path).name}:{loaded.locate('providers', index).line}"
        checks = tuple(list_checks(provider, probe, has_chosen_algorithms=is_chosen))
        reports.append(LiveReport(provider, where, probe, checks))
    return reports


def list_checks(provider: Provider, probe: Probe, *, has_chosen_algorithms: bool) -> Iterator[LiveCheck]:
    """
    Yield the checks of one provider, as far as its issuer's answers go.

    ``has_chosen_algorithms`` says whether its algorithms stand in the file; of those by default, most have no key.
    """
    if probe.settings.discovery_url is not None:
        yield _check_discovery(probe, probe.settings.discovery_url)
        if probe.metadata is not None:
            yield _check_issuer(provider, probe.metadata.issuer)
    if probe.metadata is not None or probe.settings.discovery_url is None:
        yield _check_keys(probe)
    if probe.key_set is not None and probe.key_set.keys:
        yield _check_algorithms(provider, probe.key_set.keys, has_chosen_algorithms=has_chosen_algorithms)
    if probe.clock_difference_seconds is not None:
        yield _check_clock(probe.clock_difference_seconds, provider.leeway_seconds)
    yield LiveCheck("time", Mark.PASSED, f"{probe.seconds * 1000:.0f} ms")


def _check_discovery(probe: Probe, url: str) -> LiveCheck:
    if probe.metadata is None:
        return _fail("discovery", probe, f"at {hide_secrets(url)}")
    return LiveCheck("discovery", Mark.PASSED, hide_secrets(url))


def _fail(name: str, probe: Probe, place: str) -> LiveCheck:
    reason = (probe.error or "").removeprefix(f"{name}: ")
    return LiveCheck(name, Mark.UNKNOWN if probe.is_outage else Mark.FAILED, reason, (place,))


def _check_issuer(provider: Provider, issuer: str) -> LiveCheck:
    """The document is of this issuer, or it would not have been taken; RFC 9068 wants it to the last character."""
    if provider.has_issuer(issuer):
        return LiveCheck("issuer", Mark.PASSED, issuer)
    text = f"{issuer} is the issuer's name, which profile: rfc9068 compares to the last character"
    return LiveCheck("issuer", Mark.FAILED, text, (f"the file has {' or '.join(provider.issuers)}",))


def locate_keys(probe: Probe) -> str:
    """Return where the keys are: the issuer's word where it has been asked, else the file's."""
    return describe_location(probe.settings) if probe.metadata is None else hide_secrets(probe.metadata.jwks_uri)


def _check_keys(probe: Probe) -> LiveCheck:
    place = "in the file" if probe.settings.key_set is not None else f"at {locate_keys(probe)}"
    if probe.key_set is None:
        return _fail("keys", probe, place)
    skipped = tuple(f"not used: {describe_skipped(each)}" for each in probe.key_set.skipped)
    if not probe.key_set.keys:
        return LiveCheck("keys", Mark.FAILED, "no key that can be used", (place, *skipped))
    named = ", ".join(_name_key(key) for key in probe.key_set.keys)
    return LiveCheck("keys", Mark.PASSED, f"{len(probe.key_set.keys)} usable: {named}", (place, *skipped))


def _name_key(key: VerificationKey) -> str:
    return f"{key.kid or 'no kid'} ({'/'.join(sorted(key.algorithms))})"


def find_unserved(provider: Provider, keys: Sequence[VerificationKey]) -> frozenset[str]:
    """Return the accepted algorithms that no key can verify."""
    return provider.algorithms - frozenset().union(*(key.algorithms for key in keys))


def _check_algorithms(provider: Provider, keys: Sequence[VerificationKey], *, has_chosen_algorithms: bool) -> LiveCheck:
    unserved = find_unserved(provider, keys)
    served, lacking = (" ".join(sorted(names)) for names in (provider.algorithms - unserved, unserved))
    if not served:
        return LiveCheck("algorithms", Mark.FAILED, f"no key for {lacking}: no token can pass")
    if unserved and has_chosen_algorithms:
        return LiveCheck("algorithms", Mark.WARNING, f"{served}; no key for {lacking}, so that no such token can pass")
    return LiveCheck("algorithms", Mark.PASSED, served)


def _check_clock(difference: float, leeway: float) -> LiveCheck:
    if not difference:
        return LiveCheck("clock", Mark.PASSED, "the issuer's is ours")
    size = f"{abs(difference):.1f} s" if abs(difference) < _SHORT_SECONDS else describe_duration(difference)
    text = f"the issuer's is {size} {'ahead' if difference > 0 else 'behind'}"
    if abs(difference) <= leeway:
        return LiveCheck("clock", Mark.PASSED, text)
    return LiveCheck("clock", Mark.WARNING, f"{text}, and leeway is {describe_duration(leeway)}")
