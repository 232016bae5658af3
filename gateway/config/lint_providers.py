"""Rules on providers: names that are one each, keys that fit, and warnings where tokens of strangers could pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from gateway.config.addresses import is_loopback
from gateway.config.compile import compile_key_source, compile_provider, list_issuers, name_providers
from gateway.config.entries import AnyEntry, CustomJwtEntry, OidcEntry
from gateway.config.problems import Finding, Severity
from gateway.config.settings import KeySourceSettings
from gateway.config.sound import Sound
from gateway.core.audience import AudiencePattern
from gateway.core.tokens import Provider, normalize_issuer

# Issuers that sign for everyone who asks: of their tokens, the audience alone says which are for us.
_SHARED_ISSUERS = frozenset({"accounts.google.com", "api.workos.com", "token.actions.githubusercontent.com"})
_SHARED_PREFIXES = (
    "login.microsoftonline.com/common",
    "login.microsoftonline.com/organizations",
    "login.microsoftonline.com/consumers",
    "securetoken.google.com",
)


def lint_providers(sound: Sound) -> Iterator[Finding]:
    """Return the mistakes in the providers of a file, and what is questionable in them."""
    whole = {index: entry for index, entry in sound.providers.items() if ("providers", index) not in sound.partial}
    for index, entry in sound.providers.items():
        yield from _warn_of_plain_http(index, entry)
        yield from _warn_of_shared_issuer(index, entry)
    for index, entry in whole.items():
        yield from _check_keys(index, entry)
    yield from _check_names(sound.providers)
    yield from _warn_of_order(whole)


def _check_names(entries: Mapping[int, AnyEntry]) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, entry in entries.items():
        if entry.name in seen:
            message = f"providers[{index}].name: the name of providers[{seen[entry.name]}] too: choose another one"
            yield Finding(("providers", index, "name"), message)
        elif entry.name:
            seen[entry.name] = index


def _check_keys(index: int, entry: AnyEntry) -> Iterator[Finding]:
    """Keys in the file itself are known now: none that fits is a mistake, one that is not used is worth a word."""
    key_set = compile_key_source(entry, "", FilePath()).key_set
    if key_set is None:
        return
    path, where = ("providers", index, "jwks"), f"providers[{index}].jwks"
    accepted = compile_provider(entry, "").algorithms
    if not any(key.algorithms & accepted for key in key_set.keys):
        yield Finding(path, f"{where}: no key in it serves an accepted algorithm: change algorithm, or the keys")
    for skipped in key_set.skipped:
        message = f"{where}: key {skipped.index} is not used: {skipped.why}: remove it"
        yield Finding(path, message, Severity.WARNING)


def _warn_of_plain_http(index: int, entry: AnyEntry) -> Iterator[Finding]:
    """Whoever is between us and the issuer can give us keys of their own."""
    issuer_key = "domain" if isinstance(entry, OidcEntry) else "issuer"
    urls = [(issuer_key, issuer) for issuer in list_issuers(entry)]
    if isinstance(entry, CustomJwtEntry) and isinstance(entry.jwks, str):
        urls.append(("jwks", entry.jwks))
    for key in dict.fromkeys(key for key, url in urls if _is_plain_http(url)):
        message = f"providers[{index}].{key}: http can be changed on its way: write https"
        yield Finding(("providers", index, key), message, Severity.WARNING)


def _is_plain_http(url: str) -> bool:
    parts = urlsplit(url) if url.lower().startswith("http://") else None
    return parts is not None and not is_loopback(parts.hostname or "")


def _warn_of_shared_issuer(index: int, entry: AnyEntry) -> Iterator[Finding]:
    if not any(map(_is_shared, list_issuers(entry))):
        return
    what = "this issuer is shared by many applications, and"
    if entry.allow_any_audience:
        message = f"providers[{index}].allow_any_audience: {what} tokens of all of them pass: write applicationID"
        yield Finding(("providers", index, "allow_any_audience"), message, Severity.WARNING)
    for place, audience in enumerate(entry.application_id or ()):
        if isinstance(audience, dict) or "*" in audience or "{" in audience:
            where = f"providers[{index}].applicationID[{place}]"
            message = f"{where}: {what} a pattern takes tokens of others: write the audiences that are yours"
            yield Finding(("providers", index, "applicationID", place), message, Severity.WARNING)


def _is_shared(issuer: str) -> bool:
    name = normalize_issuer(issuer.lower().removeprefix("https://"))
    return name in _SHARED_ISSUERS or any(
        name == prefix or name.startswith(f"{prefix}/") for prefix in _SHARED_PREFIXES
    )


def _warn_of_order(entries: Mapping[int, AnyEntry]) -> Iterator[Finding]:
    earlier: dict[tuple[object, ...], list[tuple[int, Provider]]] = {}
    for (index, entry), name in zip(entries.items(), name_providers(entries.values()), strict=True):
        provider, source = compile_provider(entry, name), compile_key_source(entry, name, FilePath())
        # With other keys it is another provider, whatever its rules.
        same_keys = earlier.setdefault(_identify_keys(source), [])
        taker = next((place for place, other in same_keys if _takes_all(other, provider)), None)
        if taker is not None:
            message = f"never reached: providers[{taker}] takes all of its tokens first: remove one of them"
            yield Finding(("providers", index), f"providers[{index}]: {message}", Severity.WARNING)
        same_keys.append((index, provider))


def _identify_keys(source: KeySourceSettings) -> tuple[object, ...]:
    generation = source.key_set.generation if source.key_set else None
    return (generation, source.path, source.url, source.discovery_url)


def _takes_all(earlier: Provider, later: Provider) -> bool:
    """Return whether the earlier provider certainly takes every token that the later one would."""
    return (
        all(map(earlier.has_issuer, later.issuers))
        and (later.is_rfc9068 or not earlier.is_rfc9068)
        and earlier.algorithms >= later.algorithms
        and earlier.types >= later.types
        and set(earlier.required_claims) <= set(later.required_claims)
        and earlier.leeway_seconds >= later.leeway_seconds
        and (earlier.max_lifetime_seconds or float("inf")) >= (later.max_lifetime_seconds or float("inf"))
        and earlier.organization_claims == later.organization_claims
        and set(earlier.token_places) >= set(later.token_places)
        and _takes_all_audiences(earlier, later)
    )


def _takes_all_audiences(earlier: Provider, later: Provider) -> bool:
    if earlier.allow_any_audience:
        return True
    if later.allow_any_audience or earlier.audience_claim != later.audience_claim:
        return False
    # A capture that only the earlier one has may find a second organization, and refuse what the later one takes.
    has_new_capture = any("{" in one.text and one not in later.audiences for one in earlier.audiences)
    return not has_new_capture and all(_is_covered(one, earlier.audiences) for one in later.audiences)


def _is_covered(pattern: AudiencePattern, others: tuple[AudiencePattern, ...]) -> bool:
    if pattern in others:
        return True
    is_literal = not pattern.text.startswith("regex ") and not set("*{") & set(pattern.text)
    return is_literal and any(other.match(pattern.text) is not None for other in others)
