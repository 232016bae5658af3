"""
Issuers and audiences that are nearly right: what the file has that is nearest to what the token has.

A comparison here only finds words for a refusal; what matches is decided in ``core``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from gateway.cli.refusals import ID_NOT_ACCESS, Case, is_id_token, locate
from gateway.core.claims import read_audiences

_NEAR = 0.7
# Comparing takes quadratic time, and a token may name thousands.
_MAX_LENGTH, _MAX_AUDIENCES = 200, 5


def find_issuer(case: Case) -> Iterator[str]:
    """Yield what may be wrong with the issuer of a token, or with those of the file."""
    issuer = case.token.issuer
    if not issuer:
        yield (
            "Without iss nobody can tell whose token this is: let whoever makes such tokens write the issuer of the "
            f"file there, {case.explanation.providers[0].provider.issuers[0]}."
        )
        return
    for result in case.explanation.providers:
        where = result.checks[0].where
        if result.provider.has_issuer(_swap_scheme(issuer)):
            yield (
                f"Only http and https differ: fix the public URL in the issuer's settings, or, if that is its "
                f"name, write {issuer} at {where}."
            )
            return
        if result.provider.is_rfc9068 and issuer.rstrip("/") in {each.rstrip("/") for each in result.provider.issuers}:
            yield f"Only a trailing slash differs, and profile: rfc9068 compares exactly: write {issuer} at {where}."
            return
    yield _describe_nearest_issuer(issuer, case)


def _swap_scheme(issuer: str) -> str:
    scheme, mark, rest = issuer.partition("://")
    return {"http": "https", "https": "http"}.get(scheme, scheme) + mark + rest


def _describe_nearest_issuer(issuer: str, case: Case) -> str:
    places: dict[str, str] = {}
    for result in case.explanation.providers:
        for each in result.provider.issuers:
            places.setdefault(each, result.checks[0].where)
    nearest = _find_nearest(issuer, tuple(places))
    if nearest is None:
        return f"No provider of the file has this issuer. If you trust it, add a provider with issuer: {issuer}"
    return (
        f"The nearest issuer of the file is {nearest} ({places[nearest]}). The token may be of another tenant or "
        f"stage: send one of {nearest}, or, if you trust {issuer}, add that there."
    )


def _find_nearest(text: str, candidates: Sequence[str]) -> str | None:
    shown = text[:_MAX_LENGTH]
    rated = [(SequenceMatcher(None, shown, candidate[:_MAX_LENGTH]).ratio(), candidate) for candidate in candidates]
    best = max(rated, default=(0.0, ""))
    return best[1] if best[0] >= _NEAR else None


def find_audience(case: Case) -> Iterator[str]:
    """Yield what may be wrong with the audience of a token, or with those of the file."""
    if case.provider is None:
        return
    if is_id_token(case.token):
        yield ID_NOT_ACCESS
        return
    audiences = read_audiences(case.token.claims, case.provider.audience_claim) or ()
    if not audiences:
        yield f"It has no {case.provider.audience_claim}: ask the issuer for a token for this API (resource=...)."
        return
    accepted = [pattern.text for pattern in case.provider.audiences]
    places = _list_audiences(case)
    for audience in audiences[:_MAX_AUDIENCES]:
        nearest = _find_nearest(audience, tuple(places))
        if nearest is not None:
            yield _describe_nearest_audience(audience, nearest, places[nearest])
    literal = [text for text in accepted if "*" not in text and "{" not in text]
    asked_for = next(iter([*literal, *accepted]), "this API")
    yield (
        f"Either ask the issuer for a token for {asked_for} (resource=... or audience=...), or, if tokens for "
        f"{audiences[0]} are meant for this API, add that to applicationID at {case.where}."
    )


def _list_audiences(case: Case) -> dict[str, str]:
    """Return every audience that a provider missed in the token, with its place."""
    places: dict[str, str] = {}
    for result in case.explanation.providers:
        if result.error is not None and result.error.reason is case.error.reason:
            for pattern in result.provider.audiences:
                places.setdefault(pattern.text, locate(result))
    return places


def _describe_nearest_audience(audience: str, nearest: str, where: str) -> str:
    if audience.rstrip("/") == nearest.rstrip("/"):
        return f"Only a trailing slash differs between {audience} and {nearest} ({where}), and in audiences it counts."
    if audience.lower() == nearest.lower():
        return f"Only upper and lower case differ between {audience} and {nearest} ({where}), and they count."
    note = " A wildcard stands for one run of characters without : and /." if "*" in nearest or "{" in nearest else ""
    return f"The nearest audience of the file is {nearest} ({where}).{note}"
