"""What ``explain`` says of organizations: lists, and a service that it asks as the proxy does."""

import http.server
import json
import threading

import pytest

from .conftest import CONFIG, NOW, sign

LINE = CONFIG.count("\n") + 1
LISTS = "organizations: {allow: {file: tenants.txt}, deny: org_2}\n"
LISTS_SAY = f"By organizations at gateway.yaml:{LINE}"


def explain(run, folder, more, *arguments, organization="org_1"):
    """Return the verdict, the reason and the hints for a token of this organization."""
    (folder / "gateway.yaml").write_text(CONFIG + more)
    (folder / "tenants.txt").write_text("org_1\norg_2\n")
    token = sign({"aud": f"urn:logto:organization:{organization}"} if organization else {})
    result = run("explain", "-", "--at", str(NOW), "-o", "json", *arguments, input=token)
    document = json.loads(result.output)
    assert result.exit_code == {"accepted": 0, "refused": 1, "unknown": 3}[document["verdict"]]
    return document["verdict"], document["reason"], document["hints"]


@pytest.mark.parametrize(
    ("organization", "verdict", "hints"),
    [
        ("org_1", ("accepted", None), []),
        (
            "org_2",
            ("refused", "organization_denied"),
            [
                (
                    f"{LISTS_SAY}, org_2 may not call: it is in deny, not in allow, "
                    "or the service of check does not know it."
                )
            ],
        ),
        (
            None,
            ("refused", "organization_denied"),
            [f"{LISTS_SAY} only some of them may call: ask for a token of an organization."],
        ),
    ],
)
def test_lists_are_explained(run, folder, organization, verdict, hints):
    """The hint names the place in the file."""
    assert explain(run, folder, LISTS, organization=organization) == (*verdict, hints)


@pytest.fixture
def service():
    """A service that knows ``org_1`` and is down for ``org_3``: its address, and what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response({"/o/org_1": 200, "/o/org_3": 503}.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/o/{{organization}}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("organization", "verdict"),
    [
        ("org_1", ("accepted", None)),
        ("org_2", ("refused", "organization_denied")),
        ("org_3", ("unknown", "authorization_unavailable")),
    ],
)
def test_the_service_is_asked(run, folder, service, organization, verdict):
    """Its word decides here as it does in the proxy; without it nothing is known."""
    url, asked = service
    more = f"organizations: {{check: {{url: '{url}'}}}}\n"
    assert explain(run, folder, more, organization=organization)[:2] == verdict
    assert asked == [f"/o/{organization}"]


def test_offline_nobody_is_asked(run, folder, service):
    """``--offline`` fetches nothing, and a refusal that needs no service is told all the same."""
    url, asked = service
    more = f"organizations: {{deny: org_2, check: {{url: '{url}'}}}}\n"
    verdict, reason, [hint] = explain(run, folder, more, "--offline")
    assert (verdict, reason) == ("unknown", "authorization_unavailable")
    assert hint.startswith(f"The service of check at gateway.yaml:{LINE} was not asked (--offline), or")
    assert explain(run, folder, more, "--offline", organization="org_2")[:2] == ("refused", "organization_denied")
    assert asked == []
