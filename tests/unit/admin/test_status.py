"""The status document: what runs, and the keys of each provider."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass

import pytest

import gateway
from gateway.admin.status import ProcessStatus, build_status, describe_restored
from gateway.core.jwks import KeySet, parse_key_set

PROCESS = ProcessStatus(config_path="gateway.yaml", config_digest="abc", started_at=100.0)
DOCUMENT = """{"keys": [
  {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
  {"kty": "oct", "kid": "secret", "k": "AAAA"}
]}"""


@dataclass(frozen=True, slots=True)
class Keys:
    """The state of one provider's keys."""

    provider: str
    location: str
    key_set: KeySet | None
    age_seconds: float | None
    last_success_at: float | None
    last_error: str | None
    is_from_snapshot: bool = False


def test_status_tells_what_runs() -> None:
    """Version, Python, time since the start, the file and its digest."""
    assert build_status(PROCESS, [], now=101.5) == {
        "version": gateway.__version__,
        "python": platform.python_version(),
        "uptime_seconds": 1.5,
        "ready": True,
        "not_ready_reason": None,
        "config": {"path": "gateway.yaml", "digest": "abc"},
        "providers": [],
    }


def test_status_tells_why_it_is_not_ready() -> None:
    """The same reason as ``/readyz``."""
    status = build_status(PROCESS, [], now=100, not_ready="no keys of logto")
    assert (status["ready"], status["not_ready_reason"]) == (False, "no keys of logto")


@pytest.mark.norm("7517-1")
def test_status_tells_the_keys_of_each_provider() -> None:
    """Key ids with their algorithms, age, the keys that were skipped and why; and no key material."""
    keys = Keys("logto", "https://a.example/jwks", parse_key_set(DOCUMENT), 2.00049, 98.0, None)
    (provider,) = build_status(PROCESS, [keys], now=100)["providers"]
    (skipped,) = provider.pop("skipped_keys")
    assert (skipped["index"], skipped["kid"], bool(skipped["why"])) == (1, "secret", True)
    assert provider == {
        "name": "logto",
        "location": "https://a.example/jwks",
        "keys": [{"kid": "ed", "algorithms": ["EdDSA"]}],
        "age_seconds": 2.0,
        "from_snapshot": False,
        "last_error": None,
    }
    assert "11qYAYK" not in json.dumps(provider)


def test_provider_that_was_never_reached_says_why() -> None:
    """No keys, no age, the last error."""
    keys = Keys("logto", "https://a.example/jwks", None, None, None, "connection refused")
    (provider,) = build_status(PROCESS, [keys], now=100)["providers"]
    assert provider == {
        "name": "logto",
        "location": "https://a.example/jwks",
        "keys": [],
        "age_seconds": None,
        "from_snapshot": False,
        "last_error": "connection refused",
        "skipped_keys": [],
    }


def test_whose_keys_are_from_a_snapshot() -> None:
    """Those providers are named, and nothing is said where there are none."""
    held = [Keys(name, "", None, 1.0, 1.0, "no", is_from_snapshot=name in "ac") for name in "abc"]
    providers = build_status(PROCESS, held, now=100)["providers"]
    assert [provider["from_snapshot"] for provider in providers] == [True, False, True]
    assert describe_restored(providers) == "keys from a snapshot: a, c"
    assert describe_restored(providers[1:2]) == ""
