"""``docs/multi-tenant.md``: its file serves its users as its table says, and its last step shuts a customer out."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time

import pytest

from tests.integration.command import start_command
from tests.signing import sign_token

from .conftest import ENDPOINT, KEY, run_backend
from .pages import ROOT, find_block, list_blocks, list_code, list_rows, read_page

PAGE = ROOT / "docs" / "multi-tenant.md"
USERS = {
    "Ada": ("org_1", "read:items write:items"),
    "Bob": ("org_2", "read:items"),
    "Eve": ("org_3", "read:items write:items"),
}


def make_user_token(user):
    organization, scope = USERS[user]
    now = int(time.time())
    claims = {"sub": user.lower(), "scope": scope, "client_id": "my-app", "iss": f"{ENDPOINT}/oidc", "iat": now}
    claims |= {"aud": f"urn:logto:organization:{organization}", "exp": now + 600, "jti": user}
    return sign_token(KEY, {"alg": "ES384", "typ": "at+jwt", "kid": "k-1"}, claims)


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    """The page's file and list, served: the folder, the running command, its address and the backend."""
    folder = tmp_path_factory.mktemp("tenants")
    with run_backend() as backend:
        text = find_block(PAGE, "file").text
        for written, used in [
            ("http://backend:3000", f"{backend.url}\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0"),
            (f"jwks: {ENDPOINT}/oidc/jwks", "jwks: file:keys.json"),
        ]:
            assert written in text
            text = text.replace(written, used)
        (folder / "gateway.yaml").write_text(text)
        (folder / "keys.json").write_text(json.dumps({"keys": [KEY.public]}))
        (folder / "tenants.txt").write_text(find_block(PAGE, "tenants").text)
        with start_command("serve", "--log-format", "json", folder=folder) as command:
            lines = command.wait_line(lambda line: '"event":"listening"' in line)
            if not any('"event":"keys_loaded"' in line for line in lines):
                command.wait_line(lambda line: '"event":"keys_loaded"' in line)
            address = json.loads(next(line for line in lines if '"event":"listening"' in line))["listen"]
            yield folder, command, address, backend


def ask(connection, user, method, path):
    """Return the status, and the reason of a refusal."""
    headers = {} if user == "nobody" else {"Authorization": f"Bearer {make_user_token(user)}"}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body)["reason"] if answer.status in (401, 403, 404) else None


def test_users_get_what_the_table_says(tenants):
    """Each row is a request of its user, over one connection; the identity is that of the page."""
    _, _, address, backend = tenants
    rows = list_rows(read_page(PAGE), "user", "request")
    assert len(rows) > 7
    connection = http.client.HTTPConnection(address, timeout=10)
    for user, request, expected in rows:
        method, path = list_code(request)[0].split(" ")
        [reason] = list_code(expected) or [None]
        assert ask(connection, user, method, path) == (int(expected[:3]), reason), request
    ask(connection, "Ada", "GET", "/organizations/org_1/items")
    [value] = backend.values("x-identity")
    shown = json.loads(find_block(PAGE, "identity=tenant").text)
    assert list(json.loads(value).items()) == list(shown.items())
    connection.close()


def test_who_is_taken_out_of_the_list_is_shut_out(tenants):
    """The command of the page, and then a refusal within a second of the reload, on an open connection too."""
    folder, command, address, _ = tenants
    connection = http.client.HTTPConnection(address, timeout=10)
    assert ask(connection, "Ada", "GET", "/organizations/org_1/items")[0] == 200
    [block] = [block for block in list_blocks(PAGE) if block.language == "sh"]
    subprocess.run(["sh", "-c", block.text], cwd=folder, check=True, timeout=10)
    assert re.findall(r"^org_\d", (folder / "tenants.txt").read_text(), re.MULTILINE) == ["org_2"]
    command.wait_line(lambda line: '"event":"config_reloaded"' in line)
    assert ask(connection, "Ada", "GET", "/organizations/org_1/items") == (403, "organization_denied")
    assert ask(connection, "Bob", "GET", "/organizations/org_2/items")[0] == 200
    connection.close()
