"""
A JWK Set document -> the keys that can verify, and the others with the reason why not.

RFC 7517, 7518, 8037, 9864. Keys are taken one by one: a key that cannot be used is skipped and named, and the rest of
the set works (RFC 7517, section 5). Only public members are ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int

from gateway.core.fields import TOKEN

MAX_KEYS = 64
# A token without kid is tried against so many keys at most, so that it cannot buy an unbounded amount of arithmetic.
MAX_CANDIDATES = 4
MAX_KID_LENGTH = 256

Key = RSAKey | ECKey | OKPKey

_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
_MIN_RSA_EXPONENT, _MAX_RSA_EXPONENT_BITS = 3, 64

_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVE_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_IMPORTERS: dict[str, Callable[[dict[str, Any]], Key]] = {
    "RSA": RSAKey.import_key,
    "EC": ECKey.import_key,
    "OKP": OKPKey.import_key,
}

ALGORITHMS = _RSA_ALGORITHMS | frozenset(_CURVE_ALGORITHMS.values())


class KeySetError(ValueError):
    """A document that is no JWK Set at all; the text says what it is instead."""


class _Unusable(Exception):
    """One key that cannot verify; the text says why."""


class _Exposed(_Unusable):
    """One key that whoever reads the set can sign with; the text says what it is."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; whoever can read it can sign")


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """One public key and the algorithms that it may verify: its ``alg``, else what its type and curve allow."""

    kid: str | None
    algorithms: frozenset[str]
    key: Key

    def __reduce__(self) -> tuple[object, ...]:
        """Return how to make it again, in another process: a key itself stays where it is."""
        return _rebuild_key, (self.kid, self.algorithms, self.key.as_dict(private=False))


@dataclass(frozen=True, slots=True)
class SkippedKey:
    """
    One key of a set that is not used: its place from 0, its ``kid`` if it has one, and why.

    ``is_exposed`` says that it is one to sign with, which is the issuer's secret and no reader's.
    """

    index: int
    kid: str | None
    why: str
    is_exposed: bool = False


@dataclass(frozen=True, slots=True)
class KeySet:
    """
    The usable keys of one provider.

    ``generation`` is a digest of what the document says of keys, so an equal set is the same generation.
    """

    keys: tuple[VerificationKey, ...]
    skipped: tuple[SkippedKey, ...]
    generation: bytes
    # The keys by algorithm, and by algorithm and ``kid``.
    _candidates: Mapping[tuple[str, str | None], tuple[VerificationKey, ...]] = field(
        init=False, repr=False, compare=False
    )
    _kids: frozenset[str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make ready what each new token asks for."""
        candidates: dict[tuple[str, str | None], tuple[VerificationKey, ...]] = {}
        for key in self.keys:
            for algorithm in key.algorithms:
                for kid in {key.kid, None}:
                    candidates[algorithm, kid] = (*candidates.get((algorithm, kid), ()), key)[:MAX_CANDIDATES]
        object.__setattr__(self, "_candidates", MappingProxyType(candidates))
        object.__setattr__(self, "_kids", frozenset(key.kid for key in self.keys))

    def select_candidates(self, algorithm: str, kid: str | None) -> tuple[VerificationKey, ...]:
        """
        Return the keys that may have signed a token with this ``alg`` and ``kid``.

        A ``kid`` is compared by code point and never looked up elsewhere; several keys may share one. Without a
        ``kid``, every key that fits the algorithm, at most four.
        """
        return self._candidates.get((algorithm, kid), ())

    def has_kid(self, kid: str) -> bool:
        """Return whether a usable key of the set has this ``kid``."""
        return kid in self._kids


def normalize_algorithm(name: str) -> str:
    """Return our one name for an algorithm: ``Ed25519`` (RFC 9864) is ``EdDSA`` with the only curve it has here."""
    return "EdDSA" if name == "Ed25519" else name


def parse_key_set(document: str | bytes) -> KeySet:
    """
    Return the keys of a JWK Set (RFC 7517, section 5).

    Raises:
        KeySetError: Not a JSON object with an array ``keys``, or more than 64 keys.
    """
    try:
        parsed = json.loads(document, object_pairs_hook=_build_unique)
    except (ValueError, RecursionError) as error:
        raise KeySetError("not JSON") from error
    return build_key_set(parsed)


def _build_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """Return an object, or None where a member stands twice: it has two readings (RFC 7517, section 4)."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


def build_key_set(parsed: object) -> KeySet:
    """
    Return the keys of a JWK Set that is already parsed, such as one written into the file.

    Raises:
        KeySetError: See ``parse_key_set``.
    """
    entries = parsed.get("keys") if isinstance(parsed, Mapping) else None
    if not isinstance(entries, list):
        raise KeySetError('not a JWK Set: an object with an array "keys" is needed')
    if len(entries) > MAX_KEYS:
        raise KeySetError(f"{len(entries)} keys, at most {MAX_KEYS} are taken")
    keys, skipped = [], []
    for index, entry in enumerate(entries):
        try:
            keys.append(_import_key(entry))
        except _Unusable as error:
            kid = entry.get("kid") if isinstance(entry, Mapping) else None
            shown = kid[:MAX_KID_LENGTH] if isinstance(kid, str) else None
            skipped.append(SkippedKey(index, shown, str(error), isinstance(error, _Exposed)))
    said = [(key.kid, sorted(key.algorithms), key.key.thumbprint()) for key in keys]
    return KeySet(tuple(keys), tuple(skipped), hashlib.sha256(repr((said, skipped)).encode()).digest())


def export_key_set(key_set: KeySet) -> dict[str, Any]:
    """
    Return the usable keys of a set as a JWK Set of public members alone (RFC 7517, section 5).

    Read again, its keys are the same in the same order; what was skipped is not in it.
    """
    return {"keys": [_export_key(key) for key in key_set.keys]}


def _export_key(key: VerificationKey) -> dict[str, Any]:
    said = key.key.as_dict(private=False)
    exported = {"kty": said["kty"], **{member: said[member] for member in _PUBLIC_MEMBERS[str(said["kty"])]}}
    # A key that serves all that its type allows said nothing, or all that there is to say.
    if len(key.algorithms) == 1:
        exported["alg"] = min(key.algorithms)
    return exported if key.kid is None else {**exported, "kid": key.kid}


def _import_key(entry: object) -> VerificationKey:
    if not isinstance(entry, Mapping):
        raise _Unusable("not an object, or one with a member twice")
    _check_purpose(entry)
    kid = entry.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH):
        raise _Unusable(f"kid is not a string of at most {MAX_KID_LENGTH} characters")
    key = _import_public_members(entry)
    return VerificationKey(kid, _select_algorithms(entry, key), key)


def _rebuild_key(kid: str | None, algorithms: frozenset[str], members: Mapping[str, Any]) -> VerificationKey:
    return VerificationKey(kid, algorithms, _import_public_members(members))


def _check_purpose(entry: Mapping[str, Any]) -> None:
    """Refuse keys for other purposes and keys that must not be public (RFC 7517, sections 4.2, 4.3, 9.2)."""
    if entry.get("kty") == "oct":
        raise _Exposed("a symmetric key")
    if any(member in entry for member in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")):
        raise _Exposed("a private key")
    if "use" in entry and entry["use"] != "sig":
        raise _Unusable("use is not sig")
    operations = entry.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise _Unusable("key_ops does not hold verify")


def _import_public_members(entry: Mapping[str, Any]) -> Key:
    kty = entry.get("kty")
    if not isinstance(kty, str) or kty not in _PUBLIC_MEMBERS:
        raise _Unusable("kty is not RSA, EC or OKP")
    members = _PUBLIC_MEMBERS[kty]
    if "crv" in members and str(entry.get("crv")) not in _CURVE_ALGORITHMS:
        raise _Unusable("crv is not P-256, P-384, P-521 or Ed25519")
    if not all(isinstance(entry.get(member), str) and entry[member] for member in members):
        raise _Unusable(f"not every one of {', '.join(members)} is there")
    try:
        if kty == "RSA":
            _check_rsa(base64_to_int(entry["n"]), base64_to_int(entry["e"]))
        # Each importer checks its own members, points on the curve included.
        return _IMPORTERS[kty]({"kty": kty, **{member: entry[member] for member in members}})
    except (JoseError, ValueError, KeyError) as error:
        raise _Unusable("its members make no valid key") from error


def _check_rsa(modulus: int, exponent: int) -> None:
    """Refuse weak and unwieldy moduli (RFC 7518, section 3.3) and exponents that make no permutation."""
    bits = modulus.bit_length()
    if not _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS or not modulus & 1:
        raise _Unusable(f"an RSA modulus of {bits} bits; odd ones of {_MIN_RSA_BITS} to {_MAX_RSA_BITS} are taken")
    if exponent < _MIN_RSA_EXPONENT or not exponent & 1 or exponent.bit_length() > _MAX_RSA_EXPONENT_BITS:
        raise _Unusable("an RSA exponent that is even, below 3 or beyond 64 bits")


def _select_algorithms(entry: Mapping[str, Any], key: Key) -> frozenset[str]:
    """Return the algorithms that this key serves (RFC 8725, section 3.1)."""
    possible = _RSA_ALGORITHMS if isinstance(key, RSAKey) else frozenset({_CURVE_ALGORITHMS[str(key.curve_name)]})
    named = entry.get("alg")
    if named is None:
        return possible
    if not isinstance(named, str) or normalize_algorithm(named) not in possible:
        shown = named[:32] if isinstance(named, str) and TOKEN.fullmatch(named.encode("utf-8", "replace")) else "alg"
        raise _Unusable(f"{shown} is no signature algorithm for this type of key")
    return frozenset({normalize_algorithm(named)})
