"""``docs/moving.md``: every key that its tables name exists, and each example does what the other's example says."""

from __future__ import annotations

import ast
import re
import tomllib
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gateway.config.load import parse_config
from gateway.config.problems import ConfigError
from gateway.config.schema import build_schema
from gateway.config.settings import Settings
from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.errors import GatewayError
from gateway.core.fields import FieldSet
from tests.signing import make_key_set

from .conftest import KEY, NOW, make_token
from .pages import ROOT, Block, cut_section, find_block, list_blocks, list_code, list_rows, read_page

PAGE = ROOT / "docs" / "moving.md"
TEXT = read_page(PAGE)
SCHEMA = build_schema()
# The headings of the sections, and the first cell of their tables.
SECTIONS = {"## Envoy's jwt_authn": "Envoy", "## oauth2-proxy": "oauth2-proxy", "## A FastAPI dependency": "code"}
ROWS = {other: list_rows(cut_section(TEXT, heading), other, "here") for heading, other in SECTIONS.items()}
KEYS = sorted({code for rows in ROWS.values() for row in rows for code in list_code(row[1])})

ENVOY = yaml.safe_load(find_block(PAGE, "envoy").text)
PROXY = tomllib.loads(find_block(PAGE, "oauth2-proxy").text)
CODE = ast.parse(find_block(PAGE, "fastapi").text)
AFTER = ast.parse(find_block(PAGE, "fastapi=after").text)
FILES = dict(zip(ROWS, [block for block in list_blocks(PAGE) if block.role == "file"], strict=True))

STAFF = {"aud": "https://my-api.example", "groups": ["staff", "sales"]}
MACHINE = {"iss": "https://issuer.example", "aud": "machines", "groups": ["admin"]}


def load(block: Block) -> Settings:
    """Return what a file of the page says."""
    return parse_config(block.text, "gateway.yaml", {}).settings


def ask(other: str, method: str, path: str, claims: dict[str, Any] | None) -> Allow | str:
    """Return what the file beside the other's example decides, a refusal by its word; None is no token."""
    policy = load(FILES[other]).policy
    names = [provider.name for provider in policy.providers]
    fields = [] if claims is None else [(b"Authorization", b"Bearer " + make_token(NOW, **claims).encode())]
    if method == "OPTIONS":
        fields += [(b"Origin", b"https://app.example"), (b"Access-Control-Request-Method", b"POST")]
    keys = dict.fromkeys(names, make_key_set(KEY))
    try:
        outcome = decide(RequestHead(method, path, FieldSet(fields)), policy, keys, NOW, dict.fromkeys(names, True))
    except GatewayError as error:
        return error.reason.word
    assert isinstance(outcome, Allow)
    return outcome


# --- the tables ------------------------------------------------------------------------------------------------------


def list_members(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas that one schema stands for: itself, what it refers to, and each of its choices."""
    found = [schema]
    for member in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        found += list_members(member)
    if "$ref" in schema:
        found += list_members(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return found


def find_key(path: str) -> list[dict[str, Any]]:
    """Return the schemas of a dotted key, where ``[]`` stands for the entries of a list; none if it is not there."""
    found = [SCHEMA]
    for step in path.split("."):
        name = step.removesuffix("[]")
        inner = [each["properties"][name] for each in found if name in each.get("properties", ())]
        found = [member for each in inner for member in list_members(each)]
        if step != name:
            found = [member for each in found if "items" in each for member in list_members(each["items"])]
    return found


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_the_tables_exist(key):
    """A key of ours is one of the schema, and a word behind it is one that it takes."""
    path, has_value, value = key.partition(": ")
    found = find_key(path)
    assert found
    assert not has_value or any(value in each.get("enum", ()) for each in found)


def test_keys_that_are_not_there_are_noticed():
    """A key of another section, a missing level and a list that is none lead nowhere."""
    assert find_key("providers[].issuer")
    assert find_key("upstream.url")
    assert [find_key(path) for path in ("issuer", "providers.issuer", "identity[].header", "routes[].jwks")] == [[]] * 4


@pytest.mark.parametrize("other", ROWS)
def test_every_row_says_where_it_leads(other):
    """To keys of ours, or nowhere, and then why; few tables have no such row."""
    assert len(ROWS[other]) > 20
    for theirs, ours, why in ROWS[other]:
        assert theirs
        assert list_code(ours) or (ours == "none" and (why or theirs == "`PyJWKClient(headers)`")), theirs
    assert {row[1] for row in ROWS[other]} > {"none"}


def list_words(other: str) -> set[str]:
    """Return the names in the first cells of a section's tables, each level of a dotted one by itself."""
    return {word for row in ROWS[other] for code in list_code(row[0]) for word in re.findall(r"\w+", code)}


def list_names(value: Any) -> set[str]:
    """Return the keys of a mapping, and of what is in it."""
    if isinstance(value, dict):
        return set(value).union(*map(list_names, value.values()))
    return set().union(*map(list_names, value)) if isinstance(value, list) else set()


def find_call(name: str) -> ast.Call:
    """Return the one call of this function of PyJWT in the example."""
    calls = [node for node in ast.walk(CODE) if isinstance(node, ast.Call)]
    [found] = [call for call in calls if ast.unparse(call.func) == f"jwt.{name}"]
    return found


def read_arguments(name: str) -> dict[str, Any]:
    """Return the arguments of that call that are written out."""
    return {word.arg: ast.literal_eval(word.value) for word in find_call(name).keywords}


def test_tables_have_what_the_examples_use():
    """Who reads the example finds each of its keys and arguments in the table."""
    assert list_names(ENVOY) - {"logto"} <= list_words("Envoy")
    assert set(PROXY) <= list_words("oauth2-proxy")
    assert {*read_arguments("PyJWKClient"), *read_arguments("decode")} - {"options"} <= list_words("code")
    assert "options" in list_words("code")


# --- what both files say ---------------------------------------------------------------------------------------------


def test_envoy_and_its_file_say_the_same():
    """Issuer, keys, audience, times and headers are those of the filter."""
    [(name, theirs)] = ENVOY["providers"].items()
    settings = load(FILES["Envoy"])
    [provider], [source] = settings.policy.providers, settings.key_sources
    remote, [header] = theirs["remote_jwks"], theirs["claim_to_headers"]
    assert (provider.name, provider.issuers) == (name, (theirs["issuer"],))
    assert [each.text for each in provider.audiences] == theirs["audiences"]
    assert provider.leeway_seconds == theirs["clock_skew_seconds"]
    assert source.url == remote["http_uri"]["uri"]
    assert f"{source.timeout_seconds:.0f}s" == remote["http_uri"]["timeout"]
    assert f"{source.refresh_seconds:.0f}s" == remote["cache_duration"]
    outcome = ask("Envoy", "GET", "/items", {})
    assert isinstance(outcome, Allow)
    fields = {field.decode().lower(): value for field, value in outcome.fields}
    assert set(fields) == {theirs["forward_payload_header"], header["header_name"]}
    assert (header["claim_name"], fields[header["header_name"]]) == ("sub", b"foo-user")


def test_oauth2_proxy_and_its_file_say_the_same():
    """Addresses, issuers, audiences and who is trusted are those of the other file."""
    settings = load(FILES["oauth2-proxy"])
    written = yaml.safe_load(FILES["oauth2-proxy"].text)
    extra = [each.split("=", 1) for each in PROXY["extra_jwt_issuers"]]
    expected = [(PROXY["oidc_issuer_url"], PROXY["oidc_extra_audiences"]), *((issuer, [aud]) for issuer, aud in extra)]
    providers = settings.policy.providers
    assert [(each.issuers[0], [aud.text for aud in each.audiences]) for each in providers] == expected
    assert written["listen"] == PROXY["http_address"]
    assert [written["upstream"]["url"]] == PROXY["upstreams"]
    assert written["trusted_proxies"] == PROXY["trusted_proxy_ips"]
    assert written["routes"][-1]["require"] == {"groups": PROXY["allowed_groups"]}


def test_forwarded_names_cannot_be_kept():
    """The names that oauth2-proxy gives its headers are refused, as the page says."""
    text = FILES["oauth2-proxy"].text
    assert "X-Auth-Request-User" in text
    with pytest.raises(ConfigError) as refused:
        load(Block("", "yaml", "file", text.replace("X-Auth-Request-User", "X-Forwarded-User")))
    assert "identity.headers.X-Forwarded-User: this header has a meaning of its own" in refused.value.render()


def test_code_and_its_file_say_the_same():
    """Issuer, keys, audience, algorithms, claims and times are the arguments of the calls."""
    settings = load(FILES["code"])
    [provider], [source] = settings.policy.providers, settings.key_sources
    client, decoding = read_arguments("PyJWKClient"), read_arguments("decode")
    assert source.url == ast.literal_eval(find_call("PyJWKClient").args[0])
    assert (source.refresh_seconds, source.timeout_seconds) == (client["lifespan"], client["timeout"])
    assert (provider.issuers, provider.leeway_seconds) == ((decoding["issuer"],), decoding["leeway"])
    assert [each.text for each in provider.audiences] == [decoding["audience"]]
    assert provider.algorithms == set(decoding["algorithms"])
    required = {"exp", "sub", *(each.path for each in provider.required_claims)}
    assert required == set(decoding["options"]["require"])


# --- what the files do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "method", "path", "claims", "expected"),
    [
        ("Envoy", "GET", "/health", None, "anonymous"),
        ("Envoy", "GET", "/feed", None, "anonymous"),
        ("Envoy", "GET", "/feed/1", {}, "accepted"),
        ("Envoy", "GET", "/feed/1", {"aud": "other"}, "audience_mismatch"),
        ("Envoy", "OPTIONS", "/items", None, "anonymous"),
        ("Envoy", "GET", "/feedback", None, "missing_token"),
        ("Envoy", "GET", "/items", {"exp": NOW - 29}, "accepted"),
        ("Envoy", "GET", "/items", {"exp": NOW - 31}, "expired"),
        ("oauth2-proxy", "GET", "/health", None, "anonymous"),
        ("oauth2-proxy", "POST", "/health", STAFF, "method_not_allowed"),
        ("oauth2-proxy", "OPTIONS", "/items", None, "anonymous"),
        ("oauth2-proxy", "GET", "/items", None, "missing_token"),
        ("oauth2-proxy", "GET", "/items", STAFF, "accepted"),
        ("oauth2-proxy", "GET", "/items", MACHINE, "accepted"),
        ("oauth2-proxy", "GET", "/items", STAFF | {"groups": ["sales"]}, "requirement_not_met"),
        ("oauth2-proxy", "GET", "/items", STAFF | {"aud": PROXY["client_id"]}, "audience_mismatch"),
        ("code", "GET", "/items", {}, "accepted"),
        ("code", "GET", "/items", {"scope": "write:items"}, "insufficient_scope"),
        ("code", "GET", "/items", {"client_id": None}, "claim_missing"),
        ("code", "GET", "/other", None, "missing_token"),
    ],
)
def test_files_decide_as_the_page_says(other, method, path, claims, expected):
    """Each kind of rule of the examples, on its side of the line."""
    outcome = ask(other, method, path, claims)
    if isinstance(outcome, Allow):
        outcome = "anonymous" if outcome.verified is None else "accepted"
    assert outcome == expected


def test_what_is_left_of_the_code_reads_the_identity():
    """Its dependency hands on the caller; FastAPI is not asked, only what it gives and takes."""
    reader = next(
        block.text
        for block in list_blocks(ROOT / "docs" / "identity.md")
        if block.language == "python" and block.role == "reader"
    )
    names: dict[str, Any] = {"Request": object, "Depends": lambda function: function}
    exec(reader, names)  # noqa: S102 - a block of our own pages
    functions: list[ast.stmt] = [node for node in AFTER.body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        function.decorator_list.clear()
    exec(compile(ast.Module(functions, []), str(PAGE), "exec"), names)  # noqa: S102 - a block of our own pages
    outcome = ask("code", "GET", "/items", {})
    assert isinstance(outcome, Allow)
    scope = {"headers": [(name.lower(), value) for name, value in outcome.fields]}
    assert names["list_items"](names["caller"](SimpleNamespace(scope=scope))) == {"owner": "foo-user"}
