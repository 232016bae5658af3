"""Providers whose keys come from an issuer of a test, and the keyring over them."""

from __future__ import annotations

from gateway.config.settings import KeySourceSettings
from gateway.core.verification import NeedKeys
from gateway.providers.keyring import Keyring
from tests.integration.issuer import Issuer
from tests.integration.stepped_clock import SteppedClock


def describe(issuer: Issuer, provider: str = "logto", target: str = "/jwks", **fields: object) -> KeySourceSettings:
    return KeySourceSettings(provider, (issuer.locate("/"),), url=issuer.locate(target), **fields)  # type: ignore[arg-type]


def open_keyring(*settings: KeySourceSettings, clock: SteppedClock | None = None) -> Keyring:
    return Keyring(settings, clock=clock or SteppedClock(), jitter=lambda: 0.0)


def list_kids(keyring: Keyring, provider: str = "logto") -> set[str | None]:
    return {key.kid for key in keyring.sets[provider].keys} if provider in keyring.sets else set()


async def load(keyring: Keyring, provider: str = "logto") -> None:
    await keyring.supply(NeedKeys(provider, None))
