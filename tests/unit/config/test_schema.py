"""The JSON Schema that editors get, and the example files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config.document import parse_document
from gateway.config.load import load_config
from gateway.config.models import GatewayFile
from gateway.config.schema import build_schema, render_schema
from tests.unit.config.conftest import HEAD, PROVIDER
from tests.unit.config.json_schema import is_valid
from tests.unit.config.test_settings import EVERYTHING, LOGTO
from tests.variables import read_examples

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted([*ROOT.glob("config/*.yaml"), *ROOT.glob("gateway/cli/starters/*.yaml")])
SCHEMA = build_schema()


class Anything(dict[str, str]):
    """An environment in which every variable that has no value is set to a URL."""

    def get(self, name: str, default: Any = None) -> Any:
        addresses = {"LISTEN": "127.0.0.1:8080", "ADMIN": "127.0.0.1:9090"}
        return super().get(name) or addresses.get(name, "https://issuer.example")


def read_raw(text: str) -> Any:
    """Return the data of a file as an editor sees it: references are still there."""
    return parse_document(text.replace("$", "$$"), "f.yaml", {}).data


def test_the_committed_schema_is_up_to_date(tmp_path: Path) -> None:
    """``python -m gateway.config.schema config/gateway.schema.json`` was run after the last change of a key."""
    path = tmp_path / "schema.json"
    subprocess.run([sys.executable, "-m", "gateway.config.schema", path], check=True, cwd=ROOT)
    assert path.read_text() == render_schema()
    assert (ROOT / "config" / "gateway.schema.json").read_text() == render_schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_examples(path: Path) -> None:
    """Every example file loads, and no editor underlines anything in it."""
    load_config(path, Anything(read_examples(path.read_text())))
    assert is_valid(read_raw(path.read_text()), SCHEMA, SCHEMA)


@pytest.mark.parametrize("text", [LOGTO, EVERYTHING, HEAD + PROVIDER], ids=["logto", "everything", "least"])
def test_files_that_are_right(text: str) -> None:
    """What loads is valid by the schema, references to variables included."""
    assert is_valid(read_raw(text), SCHEMA, SCHEMA)


def test_scalars_may_be_references() -> None:
    """In the place of a number, a switch, a duration or one word of a few, ``${VAR}`` is not underlined."""
    text = (
        HEAD + PROVIDER + "limits: {header_count: '${A}', body: '${A}'}\ntimeouts: {connect: '${A}'}\n"
        "forward_token: ${A}\nerror_detail: ${A}\nstreams: {expiry_close_code: '${A}'}\nx-free: [1]\n"
    )
    assert is_valid(read_raw(text), SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    "tail",
    [
        "lisen: a", "limits: {boddy: 1}", "limits: {body: 1KB}", "timeouts: {connect: 0}", "timeouts: {connect: 5 s}",
        "error_detail: some", "routes: [{access: public}]", "routes: [{path: /a, scope: b}]", "forward_token: maybe",
        "identity: {headers: {X-A: 5}}", "streams: {expiry_close_code: 1}", "trusted_proxies: []",
        "allowed_origins: []", "allowed_origins: [1]",
    ],
)  # fmt: skip
def test_files_that_are_wrong(tail: str) -> None:
    """What the loader refuses for its form, an editor underlines."""
    assert not is_valid(read_raw(HEAD + PROVIDER + tail), SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    "provider",
    [
        "{type: customJwt, issuer: a, jwks: b}", "{type: customJwt, issuer: a, applicationID: b}",
        "{type: oidc, issuer: a, applicationID: b}", "{domain: a}", "{type: saml, domain: a, applicationID: b}",
        "{domain: a, applicationId: b}", "{domain: a, applicationID: []}", "{domain: a, applicationID: {reg: b}}",
        "{domain: a, applicationID: b, algorithm: HS256}", "{domain: a, applicationID: b, token_from: cookie}",
        "{domain: a, applicationID: b, token_from: [{cookie: s, query: t}]}",
        "{domain: a, applicationID: b, token_from: [{session: s}]}", "{domain: a, applicationID: b, token_from: {}}",
    ],
)  # fmt: skip
def test_providers_that_are_wrong(provider: str) -> None:
    """Neither kind takes them."""
    assert not is_valid(read_raw(f"{HEAD}providers: [{provider}]"), SCHEMA, SCHEMA)


def walk(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for member in schema for found in walk(member)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(found for member in schema.values() for found in walk(member))]


def test_every_key_is_described() -> None:
    """An editor shows what a key is for, and what holds when it is left out."""
    described = {**SCHEMA["$defs"], "": SCHEMA}
    for schema in described.values():
        for key, member in schema.get("properties", {}).items():
            inner = SCHEMA["$defs"].get(member.get("$ref", "").removeprefix("#/$defs/"), {})
            assert member.get("description") or inner.get("description"), key
    properties = SCHEMA["$defs"]["TimeoutsSection"]["properties"]
    assert properties["connect"]["default"] == "5s"
    assert all("title" not in part or part is SCHEMA for part in walk(SCHEMA))


def test_the_schema_is_json() -> None:
    """It is read as what it was built from, and names no address but that of the standard."""
    text = render_schema()
    assert json.loads(text) == SCHEMA
    assert text.count("://json-schema.org") == 1
    assert set(GatewayFile.model_fields) == set(SCHEMA["properties"])
    assert yaml.safe_load(text) == SCHEMA
