"""The identity as the pages show it is what a backend gets from the real gateway."""

from __future__ import annotations

import http.client
import json

from .conftest import Live
from .pages import ROOT, find_block

README = ROOT / "README.md"


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


def test_readme_shows_the_identity_that_arrives(live):
    """A Logto token arrives as exactly these members in this order, and its own header is gone."""
    assert send(live, live.read_token("api"), x_identity="mine") == 200
    [value] = live.backend.values("x-identity")
    shown = json.loads(find_block(README, "identity=api").text)
    assert list(json.loads(value).items()) == list(shown.items())
    assert live.backend.values("authorization") == []


def test_readme_says_what_an_organization_token_adds(live):
    """The audience is the organization's, and ``organization`` is there."""
    assert send(live, live.read_token("organization")) == 200
    [value] = live.backend.values("x-identity")
    shown = json.loads(find_block(README, "identity=api").text)
    expected = {**shown, "audience": ["urn:logto:organization:org_1"], "organization": "org_1"}
    assert json.loads(value) == expected
    readme = README.read_text("utf-8")
    assert '`["urn:logto:organization:org_1"]`' in readme
    assert '`"organization": "org_1"`' in readme
