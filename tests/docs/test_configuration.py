"""``docs/configuration.md`` names every key of the file with its default, and none that is not there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from gateway.app.events import list_fixed_changes
from gateway.config.interpolation import InterpolationError, interpolate
from gateway.config.load import load_config
from gateway.config.scalars import _FLAGS, parse_flag
from gateway.config.schema import build_schema
from gateway.config.settings import Limits, ListenAddress, ListenerTLS, Timeouts
from gateway.core.audience import parse_audience_pattern
from gateway.core.credentials import build_challenge
from gateway.core.errors import GatewayError, Reason, RequestRefused, TokenRefused
from gateway.core.jwks import ALGORITHMS
from gateway.core.resource import build_resource
from gateway.core.routes import parse_path_pattern
from gateway.core.target import get_path, parse_target, split_segments

from .pages import ROOT, cut_section, list_blocks, list_code, list_rows, read_page

PAGE = ROOT / "docs" / "configuration.md"
TEXT = read_page(PAGE)
SCHEMA = build_schema()

# The headings of a mapping's tables, and how the schema calls it.
MAPPINGS = {
    "GatewayFile": ["## The top level"],
    "UpstreamSection": ["## Upstream"],
    "TlsSection": ["## TLS"],
    "CustomJwtEntry": ["### Both kinds", "### customJwt"],
    "OidcEntry": ["### Both kinds", "### oidc"],
    "PresetEntry": ["### Both kinds", "### Presets"],
    "JwksOptionsSection": ["### Keys"],
    "RouteEntry": ["## Routes"],
    "OrganizationsSection": ["### Who may call"],
    "OrganizationCheckSection": ["### Check"],
    "McpSection": ["## MCP tools"],
    "IdentitySection": ["## Identity"],
    "LimitsSection": ["## Limits"],
    "TimeoutsSection": ["## Timeouts"],
    "StreamsSection": ["## Streams"],
}


# Mappings that do nothing unless they are there.
_NO_DEFAULT = ("tls", "organizations", "check", "mcp")


def find_schema(name):
    """Return the schema of one mapping of the file."""
    return SCHEMA if name == "GatewayFile" else SCHEMA["$defs"][name]


def list_keys(name):
    """Return the rows of a mapping's tables, by the key that they are about."""
    rows = [row for heading in MAPPINGS[name] for row in list_rows(cut_section(TEXT, heading), "key", "type")]
    keys = {list_code(row[0])[0]: row for row in rows}
    assert len(keys) == len(rows), "a key stands twice"
    return keys


def show_default(schema, key):
    """Return the default of a key as the page writes it."""
    if key in schema.get("required", ()):
        return "required"
    value = schema["properties"][key].get("default")
    if value is None:
        return "see there" if "$ref" in schema["properties"][key] and key not in _NO_DEFAULT else "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)


def test_every_mapping_of_the_schema_is_described():
    """A mapping that is new in the file needs a heading here."""
    assert set(MAPPINGS) - {"GatewayFile"} == set(SCHEMA["$defs"]) - {"Variable"}


@pytest.mark.parametrize("name", MAPPINGS)
def test_keys_are_those_of_the_schema(name):
    """No key is missing, none is invented."""
    assert set(list_keys(name)) == set(find_schema(name)["properties"])


@pytest.mark.parametrize("name", MAPPINGS)
def test_defaults_are_those_of_the_schema(name):
    """What the page says of an absent key is so; but the keys that every provider has, each preset sets by itself."""
    schema = find_schema(name)
    common = list_keys("CustomJwtEntry") if name == "PresetEntry" else {}
    rows = {key: row for key, row in list_keys(name).items() if row != common.get(key)}
    shown = {key: " ".join(list_code(row[2])) or row[2] for key, row in rows.items()}
    assert shown == {key: show_default(schema, key) for key in shown}


@pytest.mark.parametrize("name", MAPPINGS)
def test_every_row_says_something(name):
    """A type for each key, and what it means; but ``type`` says itself."""
    assert [key for key, row in list_keys(name).items() if not row[1] or (not row[3] and key != "type")] == []


def list_written(value, keys):
    """Collect every key of an example."""
    if isinstance(value, dict):
        keys |= set(value)
        for member in value.values():
            list_written(member, keys)
    elif isinstance(value, list):
        for member in value:
            list_written(member, keys)
    return keys


def test_every_key_has_an_example():
    """Every key stands in a file or fragment of the page; that those are good, another test says."""
    written = set()
    for block in list_blocks(PAGE):
        list_written(yaml.safe_load(block.text), written)
    assert {key for name in MAPPINGS for key in find_schema(name)["properties"]} <= written


def test_algorithms_are_those_that_are_known():
    """The page lists all of them."""
    row = list_keys("CustomJwtEntry")["algorithm"]
    assert set(list_code(row[3])) - {"none"} == ALGORITHMS | {"Ed25519"}


def test_choices_are_those_of_the_schema():
    """Where a key takes words of ours, the page has all of them."""
    for name in MAPPINGS:
        for key, row in list_keys(name).items():
            schema = find_schema(name)["properties"][key]
            [choices] = [each["enum"] for each in schema.get("anyOf", []) if "enum" in each] or [None]
            if choices is not None and key != "algorithm" and row[1] != "switch":
                assert list_code(row[1]) == list(map(str, choices)), key


def test_reasons_of_the_page_are_reasons():
    """A word in brackets after a rule is one of the closed set."""
    words = set(re.findall(r"\(`([a-z_]+)`\)", TEXT)) - {"config_refused", "config_reloaded", "iss", "aud", "acr"}
    assert words <= {reason.word for reason in Reason}


def test_switches_are_written_as_the_page_says():
    """Each spelling of the list is one, and the page has them all."""
    [item] = re.findall(r"^- \*\*switch\*\*: (.*)$", TEXT, re.MULTILINE)
    written = [yaml.safe_load(code) if '"' in code else code for code in list_code(item)]
    assert sorted(written) == sorted(_FLAGS)
    assert [parse_flag(text) for text in written] == [True, False] * (len(written) // 2)
    assert parse_flag("OFF") is False


def test_variables_are_read_as_the_page_says():
    """Each cell of the table is what comes of the text, for a variable that is unset, empty and ``x``."""
    environments = ({}, {"NAME": ""}, {"NAME": "x"})
    for written, *cells in list_rows(TEXT, "written"):
        [text] = list_code(written)
        for environment, cell in zip(environments, cells, strict=True):
            if cell.startswith("mistake"):
                with pytest.raises(InterpolationError, match="message" if "message" in cell else "NAME"):
                    interpolate(text, environment)
            else:
                expected = "" if cell == "empty" else list_code(cell)[0]
                assert interpolate(text, environment) == expected, (text, environment)


def split_patterns():
    """Return the rows of both tables of patterns: what they take and what not."""
    return [(list_code(row[0])[0], list_code(row[1]), list_code(row[2])) for row in list_rows(TEXT, "pattern", "takes")]


@pytest.mark.parametrize(("pattern", "taken", "refused"), split_patterns(), ids=lambda value: str(value)[:40])
def test_patterns_take_what_the_page_says(pattern, taken, refused):
    """Each example of an audience and of a path is on its side of the table."""
    if pattern.startswith("/"):
        parsed = parse_path_pattern(pattern)

        def takes(path):
            try:
                return parsed.match(split_segments(get_path(parse_target("GET", path, ())))) is not None
            except RequestRefused:
                return False
    else:
        audience = parse_audience_pattern(pattern)

        def takes(text):
            return audience.match(text) is not None

    assert [each for each in taken if not takes(each)] == []
    assert [each for each in refused if takes(each)] == []


def test_refused_paths_are_refused():
    """Every path of the table is ambiguous where the path decides."""
    paths = [path for row in list_rows(TEXT, "path", "why") for path in list_code(row[0])]
    assert len(paths) > 8
    for path in paths:
        with pytest.raises(GatewayError) as refusal:
            split_segments(get_path(parse_target("GET", path, ())))
        assert refusal.value.reason is Reason.AMBIGUOUS_PATH


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"listen": ListenAddress("127.0.0.1", 1)}, "listen"),
        ({"admin": ListenAddress("127.0.0.1", 1)}, "admin"),
        ({"workers": 2}, "workers"),
        ({"tls": ListenerTLS("a", "b")}, "tls"),
        ({"limits": Limits(connections=1), "timeouts": Timeouts(drain_delay_seconds=1)}, None),
    ],
)
def test_keys_that_need_a_restart_are_named(changed, named):
    """The page names what a running gateway cannot change, and nothing that it can."""
    settings = load_config(ROOT / "config" / "logto.yaml", {"LOGTO_ENDPOINT": "https://issuer.example"}).settings
    assert list_fixed_changes(settings, replace(settings, **changed)) == ([named] if named else [])
    paragraph = cut_section(TEXT, "## What a reload changes").rpartition("\n\n")[2]
    assert (f"change of `{named}`" in paragraph) or (f"or `{named}`" in paragraph) or named in (None, "tls")


def test_the_challenge_that_points_to_metadata():
    """It is the one of a request without a token."""
    resource = build_resource("https://api.example/mcp")
    error = TokenRefused(Reason.MISSING_TOKEN, "A bearer token is needed.")
    challenge = build_challenge(error, "auth-gateway", with_description=True, metadata_url=resource.metadata_url)
    [block] = [block for block in list_blocks() if block.role == "resource"]
    assert block.text == f"WWW-Authenticate: {challenge}\n"
    assert f"`{resource.metadata_target}`" in TEXT
