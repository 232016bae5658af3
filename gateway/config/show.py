"""The configuration in effect, with every default, as a file that could be loaded again; secrets are starred."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import yaml

from gateway.config.compile import DEFAULT_TYPES, name_providers
from gateway.config.entries import AnyEntry
from gateway.config.load import Loaded
from gateway.config.models import GatewayFile

_PASSWORD = re.compile(r"(?<=://)[^/?#@]*@")
_PARAMETER = re.compile(r"(?<==)[^&#]+")
_KEY_MATERIAL = frozenset({"n", "e", "x", "y", "d", "p", "q", "dp", "dq", "qi", "k", "oth", "x5c"})
_MASK = "***"
_FIRST = ("type", "name", "issuer", "domain", "jwks")


def render_config(loaded: Loaded, output: str = "yaml") -> str:
    """Return the configuration in effect as ``yaml`` or ``json``."""
    shown = show_config(loaded.config)
    if output == "json":
        return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120)


def show_config(file: GatewayFile) -> dict[str, Any]:
    """Return the configuration in effect as plain data, in the order of the schema."""
    shown: dict[str, Any] = _mask(file.model_dump(mode="json", by_alias=True))
    names = name_providers(file.providers)
    shown["providers"] = [
        _complete(provider, entry, name)
        for provider, entry, name in zip(shown["providers"], file.providers, names, strict=True)
    ]
    return shown


def _complete(shown: dict[str, Any], entry: AnyEntry, name: str) -> dict[str, Any]:
    """Return a provider with the defaults that depend on its other keys, and first what it is."""
    shown["name"] = name
    if entry.profile is None:
        shown.setdefault("typ", list(DEFAULT_TYPES))
    if entry.application_id is not None:
        del shown["allow_any_audience"]
    first = {key: shown[key] for key in _FIRST if key in shown}
    return {**first, **shown}


def _mask(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mask_member(key, member) for key, member in value.items() if member not in (None, {})}
    if isinstance(value, list):
        return [_mask(member) for member in value]
    return _mask_text(value) if isinstance(value, str) else value


def _mask_member(key: str, value: Any) -> Any:
    if key == "jwks" and isinstance(value, dict):
        return {"keys": [_mask_key(member) for member in value["keys"]]}
    return _mask(value)


def _mask_key(key: Any) -> Any:
    """Return what tells one key from another, without the numbers."""
    if not isinstance(key, dict):
        return _MASK
    return {name: _MASK if name in _KEY_MATERIAL else member for name, member in key.items()}


def _mask_text(text: str) -> str:
    if text[:5].lower() == "data:":
        return f"{text.partition(',')[0]},{_MASK}"
    if "://" in text:
        text = _PASSWORD.sub(f"{_MASK}@", text)
        query = urlsplit(text).query
        text = text.replace(f"?{query}", f"?{_PARAMETER.sub(_MASK, query)}") if query else text
    # Read again, it must not be taken for a reference.
    return text.replace("$", "$$") if "${" in text or "$$" in text else text
