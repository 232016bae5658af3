"""Settings that go from one process to another."""

from __future__ import annotations

from types import MappingProxyType

from gateway.config.load import parse_config
from gateway.config.served import Served
from gateway.core.audience import match_audiences
from gateway.core.decision import RequestHead, find_match
from gateway.core.fields import FieldSet

FILE = """\
version: 1
upstream: {url: "https://backend:3000", ca_file: ca.pem}
resource: https://api.example
organizations: {allow: [org_1], check: {url: "https://organizations.example/by-id/{organization}"}}
routes:
  - path: /organizations/{organization}/**
    require: {organization: "{organization}"}
    scopes: [read:items]
  - {path: "/**", access: public}
providers:
  - type: customJwt
    issuer: https://issuer.example
    jwks:
      keys:
        - {kty: OKP, crv: Ed25519, kid: a, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}
        - {kty: oct, k: c2VjcmV0}
    audience: [https://api.example, "urn:logto:organization:{organization}", {regex: "urn:x:[a-z]+"}]
"""


def test_they_are_the_same_on_the_other_side() -> None:
    """Keys, patterns and routes among them; and what nobody may change, nobody may there either."""
    packed = Served.pack("gateway.yaml", parse_config(FILE, "gateway.yaml", {}).settings)
    settings, again = packed.settings, Served.unpack("gateway.yaml", packed.octets).settings
    assert again is not settings
    assert (again.upstream, again.limits, again.timeouts) == (settings.upstream, settings.limits, settings.timeouts)
    assert again.organization_check == settings.organization_check
    assert again.policy.organizations == settings.policy.organizations
    assert again.policy.documents == settings.policy.documents
    assert isinstance(again.policy.documents, MappingProxyType)
    for audience in ("https://api.example", "urn:logto:organization:org_1", "urn:x:abc", "urn:x:1", "https://api"):
        found, wanted = (match_audiences(each.policy.providers[0].audiences, [audience]) for each in (again, settings))
        assert found == wanted, audience
    [theirs], [ours] = again.key_sources, settings.key_sources
    assert theirs.key_set is not None
    assert ours.key_set is not None
    assert (theirs.key_set.generation, theirs.key_set.skipped) == (ours.key_set.generation, ours.key_set.skipped)
    [key] = theirs.key_set.select_candidates("EdDSA", "a")
    assert (key.kid, key.algorithms, key.key.is_private) == ("a", frozenset({"EdDSA"}), False)


def test_what_was_asked_here_is_not_remembered_there() -> None:
    """Which rule a path has, a process learns from its own requests."""
    settings = parse_config(FILE, "gateway.yaml", {}).settings
    head = RequestHead("GET", "/somewhere", FieldSet(((b"Host", b"api.example"),)))
    assert find_match(head, settings.policy) is not None
    assert len(settings.policy.matches) == 1
    packed = Served.pack("gateway.yaml", settings)
    assert b"somewhere" not in packed.octets
    again = Served.unpack("gateway.yaml", packed.octets).settings.policy
    assert (len(again.matches), again.matches.maxsize) == (0, settings.policy.matches.maxsize)
    assert find_match(head, again) == find_match(head, settings.policy)
    assert len(again.matches) == 1


def test_nothing_secret_of_a_key_travels() -> None:
    """A key that a file should not have is not among those that are used, and goes nowhere."""
    packed = Served.pack("gateway.yaml", parse_config(FILE, "gateway.yaml", {}).settings)
    assert b"c2VjcmV0" not in packed.octets
