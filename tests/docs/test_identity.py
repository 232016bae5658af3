"""The identity as the pages show it is what a backend gets from the real gateway, and their readers read it."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
import wsgiref.simple_server
from typing import Any

import pytest

from gateway.config.load import parse_config
from gateway.core.decision import Allow, RequestHead, decide
from gateway.core.fields import FieldSet
from gateway.core.identity import (
    _CUSTOM_DROPPED,
    _OIDC_DROPPED,
    _OIDC_RENAMED,
    RESERVED_NAMES,
    IdentitySettings,
    build_identity_fields,
)
from tests.signing import make_key_set

from .conftest import ENDPOINT, KEY, NOW, Live, make_token
from .pages import ROOT, cut_section, find_block, list_blocks, list_code, list_rows, read_page

README = ROOT / "README.md"
PAGE = ROOT / "docs" / "identity.md"
TEXT = read_page(PAGE)


def send(live: Live, token: str | None, path: str = "/", **fields: str) -> int:
    """Send a GET and return the status of the answer."""
    connection = http.client.HTTPConnection(live.address, timeout=10)
    try:
        connection.request("GET", path, headers=fields | ({"Authorization": f"Bearer {token}"} if token else {}))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize(("page", "name"), [(README, "api"), (PAGE, "organization")])
def test_identity_is_shown_as_it_arrives(live, page, name):
    """A Logto token arrives as exactly these members in this order; the caller's own header and its token do not."""
    assert send(live, live.read_token(name), x_identity="mine") == 200
    [value] = live.backend.values("x-identity")
    shown = json.loads(find_block(page, f"identity={name}").text)
    assert list(json.loads(value).items()) == list(shown.items())
    assert not live.backend.values("authorization")
    assert not live.backend.values("x_identity")


def test_readme_says_what_an_organization_token_adds():
    """The audience is another one, and there is one member more."""
    api = json.loads(find_block(README, "identity=api").text)
    organization = json.loads(find_block(PAGE, "identity=organization").text)
    text = read_page(README)
    assert f"`{json.dumps(organization['audience'])}`" in text
    assert f'`"organization": "{organization["organization"]}"`' in text
    assert {**api, "audience": organization["audience"], "organization": "org_1"} == organization


# --- the shapes ------------------------------------------------------------------------------------------------------


def build(kind: str, **claims: Any) -> dict[str, Any]:
    """Return the identity that a token of these further claims gets from a provider of this kind."""
    keys = "" if kind == "oidc" else f"issuer: {ENDPOINT}/oidc, jwks: '{ENDPOINT}/jwks', "
    domain = f"domain: {ENDPOINT}/oidc, " if kind == "oidc" else ""
    text = (
        "version: 1\nupstream: http://backend:3000\nproviders:\n"
        f"  - {{type: {kind}, name: main, {keys}{domain}algorithm: ES384, applicationID: https://my-api.example}}\n"
    )
    policy = parse_config(text, "gateway.yaml", {}).settings.policy
    head = RequestHead("GET", "/", FieldSet([(b"Authorization", f"Bearer {make_token(NOW, **claims)}".encode())]))
    outcome = decide(head, policy, {"main": make_key_set(KEY)}, NOW)
    assert isinstance(outcome, Allow)
    return json.loads(outcome.fields[0][1])


def test_members_that_are_always_there_are_those_of_the_gateway():
    """The first table has the seven names that no claim replaces."""
    assert {list_code(row[0])[0] for row in list_rows(TEXT, "member", "what it is")} == RESERVED_NAMES


def test_claims_that_are_not_shown_are_named():
    """Of each kind, the page says which claims are dropped."""
    custom = cut_section(TEXT, "### customJwt").partition("Not shown are")[2]
    assert set(list_code(custom)) == _CUSTOM_DROPPED
    oidc = cut_section(TEXT, "### oidc").partition("Not shown are")[2].partition(", and the translations")[0]
    assert set(list_code(oidc)) == _OIDC_DROPPED - _CUSTOM_DROPPED


def test_renamed_claims_are_those_of_the_table():
    """Each standard claim has the name of the table."""
    rows = list_rows(TEXT, "claim", "member")
    assert {list_code(row[0])[0]: list_code(row[1])[0] for row in rows} == _OIDC_RENAMED


def test_shapes_are_as_described():
    """A custom provider flattens objects, an OpenID provider renames and keeps them."""
    claims = {
        "org": {"id": 1},
        "roles": ["a"],
        "given_name": "Foo",
        "given_name#ja": "x",
        "updated_at": NOW,
        "subject": "somebody else",
        "address": {"formatted": "Street 1", "locality": "Town"},
    }
    custom, oidc = build("customJwt", **claims), build("oidc", **claims)
    assert (custom["org.id"], custom["roles"], custom["given_name"]) == (1, ["a"], "Foo")
    assert custom["address.locality"] == "Town"
    assert (oidc["org"], oidc["givenName"], oidc["address"]) == ({"id": 1}, "Foo", "Street 1")
    assert oidc["updatedAt"] in TEXT
    assert not [name for name in oidc if "#" in name]
    assert custom["subject"] == oidc["subject"] == "foo-user"


def test_single_headers_are_encoded_as_the_table_says():
    """Each value of the table becomes the header beside it, or none."""
    settings = IdentitySettings(headers=((b"X-Member", "member"),))
    for member, header in list_rows(TEXT, "member", "header"):
        fields = dict(build_identity_fields({"member": json.loads(list_code(member)[0])}, settings))
        expected = None if header == "none" else list_code(header)[0].encode()
        assert fields.get(b"X-Member") == expected, member


# --- the readers -----------------------------------------------------------------------------------------------------


def run_block(role: str) -> dict[str, Any]:
    """Return the names that a Python block of the page defines."""
    [block] = [block for block in list_blocks(PAGE) if (block.language, block.role) == ("python", role)]
    names: dict[str, Any] = {}
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102 - the page's own example
    return names


@pytest.fixture
def values(live) -> dict[str, str]:
    """What the real gateway sends for a caller of an organization."""
    assert send(live, live.read_token("organization")) == 200
    return {"X-Identity": live.backend.values("x-identity")[0]}


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def ask(address: str, fields: dict[str, str]) -> tuple[int, str]:
    """Send a request straight to a backend, as the gateway does or as somebody else might."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/", headers=fields)
        answer = connection.getresponse()
        return answer.status, str(answer.read(), "utf-8")
    finally:
        connection.close()


def test_wsgi_reader_reads_the_identity(values):
    """Python's own WSGI server gives the reader what the gateway sent; without a header it refuses."""
    read = run_block("reader")["read_identity_wsgi"]
    seen: list[Any] = []

    def app(environ, start_response):
        try:
            seen.append(read(environ))
        except PermissionError as error:
            seen.append(error)
        start_response("204 No Content", [])
        return []

    with wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            for fields in (values, {"X-Identity": "null"}, {}):
                ask(f"127.0.0.1:{server.server_port}", fields)
        finally:
            server.shutdown()
            thread.join()
    assert seen[0]["organization"] == "org_1"
    assert seen[1] is None
    assert isinstance(seen[2], PermissionError)


def test_asgi_reader_reads_the_identity(live, values):
    """In an ASGI scope names are lower-case bytes; two headers are as bad as none."""
    read = run_block("reader")["read_identity_asgi"]
    headers = [(name.lower().encode(), value.encode()) for name, value in live.backend.requests[-1]]
    assert read({"headers": headers})["subject"] == "foo-user"
    assert read({"headers": [(b"x-identity", b"null")]}) is None
    for bad in ([], [(b"x-identity", b"null")] * 2):
        with pytest.raises(PermissionError):
            read({"headers": bad})


def test_base64url_reader_reads_the_identity():
    """The other form of the header is read by the lines of the page."""
    identity = {"subject": "foo-user", "name": "Zoë"}
    [(_, value)] = build_identity_fields(identity, IdentitySettings(is_base64url=True))
    assert run_block("base64url")["parse_base64url_identity"](value.decode()) == identity


@pytest.mark.node
def test_node_reader_reads_the_identity(values, tmp_path):
    """The server of the page greets the caller, an anonymous one, and refuses who comes past the gateway."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    [block] = [block for block in list_blocks(PAGE) if block.language == "js"]
    script = tmp_path / "server.js"
    script.write_text(block.text)
    with subprocess.Popen(["node", script], stdout=subprocess.PIPE, text=True, env={"PORT": "0"}) as process:
        try:
            address = f"127.0.0.1:{process.stdout.readline().strip()}"
            answers = [ask(address, fields) for fields in (values, {"X-Identity": "null"}, {})]
        finally:
            process.terminate()
    assert answers[:2] == [(200, "hello foo-user"), (200, "hello")]
    assert answers[2] == (403, "the request did not come through the gateway")
    inline = "console.log(JSON.parse(Buffer.from(process.argv[1], 'base64url')).subject)"
    [(_, value)] = build_identity_fields({"subject": "foo-user"}, IdentitySettings(is_base64url=True))
    printed = subprocess.run(["node", "-e", inline, value.decode()], capture_output=True, text=True, check=True)
    assert printed.stdout == "foo-user\n"


def test_callers_cannot_say_who_they_are(live):
    """Every spelling that the page names is gone, and ``Connection`` does not remove the gateway's own."""
    spellings = [code for code in list_code(cut_section(TEXT, "## What a caller cannot do")) if "dentity" in code]
    names = [name for name in spellings if name.lower().startswith("x") and ":" not in name]
    assert len(names) >= 4
    fields = dict.fromkeys(names, "mine") | {"Connection": "X-Identity"}
    assert send(live, live.read_token("api"), **fields) == 200
    [value] = live.backend.values("x-identity")
    assert json.loads(value)["subject"] == "foo-user"
    assert [name for name, value in live.backend.requests[-1] if value == "mine"] == []
