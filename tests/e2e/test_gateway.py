"""The whole way: a real issuer's tokens, the real command, and the bytes that the upstream got."""

import base64
import hashlib
import hmac
import json
import secrets
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOGTO = Path(__file__).parents[2] / "config" / "logto.yaml"
ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
API, ORGANIZATION = "https://my-api.example", "urn:logto:organization:org_1"

pytestmark = pytest.mark.node

FILE = """
version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: ${UPSTREAM}
providers:
  - type: customJwt
    name: logto
    issuer: ${ISSUER}
    jwks: ${ISSUER}/jwks
    algorithm: [RS256, PS256, ES256, ES384, EdDSA]
    applicationID:
      - https://my-api.example
      - urn:logto:organization:{organization}
"""


@pytest.fixture
def running(gateway, issuer, recording_upstream):
    started = gateway(FILE, UPSTREAM=recording_upstream.url, ISSUER=issuer.issuer)
    started.wait_ready()
    return started


def ask(url, token=None, **headers):
    """Return status, fields and body of one GET."""
    request = urllib.request.Request(url, headers=headers)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with DIRECT.open(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


def read_identity(upstream):
    [identity] = upstream.values("x-identity")
    return json.loads(identity)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("audience", [API, ORGANIZATION])
def test_every_algorithm_of_the_issuer_passes(running, issuer, recording_upstream, algorithm, audience):
    """A real at+jwt of each algorithm, for the API and for an organization, arrives as an identity."""
    status, _, _ = ask(f"{running.url}/a", issuer.access_token(audience, alg=algorithm))
    assert status == 200
    identity = read_identity(recording_upstream)
    assert identity["audience"] == [audience]
    assert identity.get("organization") == ("org_1" if audience == ORGANIZATION else None)


def test_the_seed_token_has_exactly_these_members(running, issuer, recording_upstream):
    """A user's access token of Logto gives upstream these members, no more and no fewer."""
    ask(f"{running.url}/", issuer.user_access_token())
    identity = read_identity(recording_upstream)
    assert set(identity) == {
        *("tokenIdentifier", "issuer", "subject", "client_id", "email", "scope", "username"),
        *("audience", "scopes", "provider"),
    }
    assert identity["tokenIdentifier"] == f"{issuer.issuer}|{identity['subject']}"
    assert recording_upstream.values("authorization") == []


def test_id_tokens_are_a_matter_of_the_audience_and_the_profile(gateway, issuer, recording_upstream):
    """An ID token passes where its audience and type are accepted, and profile rfc9068 refuses it."""
    token = issuer.id_token()
    text = FILE.replace("- https://my-api.example", "- web")
    lax = gateway(text, UPSTREAM=recording_upstream.url, ISSUER=issuer.issuer)
    lax.wait_ready()
    assert ask(f"{lax.url}/", token)[0] == 200
    text = text.replace("name: logto", "name: logto\n    profile: rfc9068")
    strict = gateway(text, UPSTREAM=recording_upstream.url, ISSUER=issuer.issuer)
    strict.wait_ready()
    status, _, body = ask(f"{strict.url}/", token)
    assert (status, body["reason"]) == (401, "typ_not_accepted")


def test_a_stale_sign_in_is_sent_back_and_a_new_one_passes(gateway, issuer, recording_upstream):
    """RFC 9470, section 4: the challenge names the age, the client signs in anew and comes back with that token."""
    routes = "routes: [{path: /pay, max_age: 1s}]"
    text = FILE.replace("name: logto", "name: logto\n    leeway: 0s") + routes
    running = gateway(text, UPSTREAM=recording_upstream.url, ISSUER=issuer.issuer)
    running.wait_ready()
    token = issuer.user_access_token(f"{API}?auth_time=yes")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    time.sleep(max(0.0, claims["auth_time"] + 1.1 - time.time()))
    status, fields, body = ask(f"{running.url}/pay", token)
    assert (status, body["reason"]) == (401, "stale_authentication")
    assert fields["WWW-Authenticate"] == (
        'Bearer realm="auth-gateway", error="insufficient_user_authentication", '
        'error_description="A more recent sign-in is needed.", max_age="1"'
    )
    assert ask(f"{running.url}/", token)[0] == 200
    assert ask(f"{running.url}/pay", issuer.user_access_token())[0] == 401
    assert ask(f"{running.url}/pay", issuer.user_access_token(f"{API}?auth_time=yes"))[0] == 200


def encode(value):
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def forge(token, header, sign=lambda signing_input: b""):
    """Return the token under another header, signed otherwise."""
    signing_input = f"{encode(header)}.{token.split('.')[1]}"
    return f"{signing_input}.{encode(sign(signing_input.encode()))}"


def test_forged_tokens_are_refused_with_their_reasons(running, issuer):
    """No signature, the public key as a secret, another kid, another payload: none passes, each says why."""
    token = issuer.access_token(alg="RS256")
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    with DIRECT.open(issuer.jwks, timeout=10) as response:
        public_key = response.read()
    parts = token.split(".")
    payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    forged = {
        "algorithm_not_accepted": [
            forge(token, {**header, "alg": "none"}),
            forge(token, {**header, "alg": "HS256"}, lambda data: hmac.digest(public_key, data, hashlib.sha256)),
        ],
        "unknown_key": [forge(token, {**header, "kid": "foreign"})],
        "bad_signature": [f"{parts[0]}.{encode({**payload, 'sub': 'admin'})}.{parts[2]}"],
        "not_a_jwt": ["opaque-token"],
        "encrypted_token": [".".join([parts[0]] * 5)],
    }
    for reason, tokens in forged.items():
        for forgery in tokens:
            status, fields, body = ask(f"{running.url}/", forgery)
            assert (status, body["reason"]) == (401, reason)
            assert fields["www-authenticate"].startswith('Bearer realm="auth-gateway", error="invalid_token"')


def test_an_expired_token_is_refused(gateway, issuer, recording_upstream):
    """A token is good until its exp, and not after."""
    text = FILE.replace("name: logto", "name: logto\n    leeway: 0")
    started = gateway(text, UPSTREAM=recording_upstream.url, ISSUER=issuer.issuer)
    started.wait_ready()
    token = issuer.access_token(ttl_seconds=1)
    deadline = time.monotonic() + 10
    while (answer := ask(f"{started.url}/", token))[0] == 200:
        assert time.monotonic() < deadline
    assert (answer[0], answer[2]["reason"]) == (401, "expired")


@pytest.mark.parametrize(
    "audience", ["urn:logto:organization:a:b", "xurn:logto:organization:a", "https://other-api.example"]
)
def test_another_audience_is_refused(running, issuer, audience):
    """A real token for somebody else is refused, and the log has what the caller is not told."""
    status, fields, body = ask(f"{running.url}/", issuer.access_token(audience))
    assert (status, body["reason"]) == (401, "audience_mismatch")
    assert audience not in json.dumps(body)
    entry = running.wait_log(lambda line: line.get("request_id") == fields["x-request-id"])
    assert (entry["reason"], entry["token_aud"], entry["provider"]) == ("audience_mismatch", audience, "logto")


def test_no_token_is_a_challenge_without_an_error(running):
    """RFC 6750, section 3.1: who sent no credentials is told how to, and not that anything is wrong."""
    status, fields, body = ask(f"{running.url}/")
    assert (status, body["reason"], fields["www-authenticate"]) == (401, "missing_token", 'Bearer realm="auth-gateway"')


def test_a_forged_identity_never_arrives(running, issuer, recording_upstream):
    """On the bytes that the upstream got, there is just one identity, and it is ours."""
    host, port = running.address
    for forged in ("X-Identity: x", "x_identity: x", "X.Identity: x", "Connection: X-Identity\r\nX-Identity: x"):
        request = f"GET / HTTP/1.1\r\nHost: a\r\n{forged}\r\nAuthorization: Bearer {issuer.access_token()}\r\n\r\n"
        with socket.create_connection((host, port), timeout=10) as client:
            client.sendall(request.encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        names = [line.partition(b":")[0] for line in recording_upstream.head()[1:]]
        assert [name for name in names if b"dentity" in name] == [b"X-Identity"]
        assert read_identity(recording_upstream)["subject"] == "m2m"


def test_an_outage_at_the_start_heals_by_itself(gateway, own_issuer, recording_upstream):
    """Without keys the gateway starts, is not ready, says 503 with Retry-After, and recovers by itself."""
    token = own_issuer.access_token()
    own_issuer.begin_outage()
    started = gateway(FILE, UPSTREAM=recording_upstream.url, ISSUER=own_issuer.issuer)
    status, fields, body = ask(f"{started.url}/", token)
    assert (status, body["reason"]) == (503, "keys_unavailable")
    assert int(fields["retry-after"]) > 0
    assert ask_admin(started, "/readyz") == 503
    assert ask_admin(started, "/livez") == 200
    own_issuer.end_outage()
    started.wait_ready(timeout_seconds=30)
    assert ask(f"{started.url}/", token)[0] == 200


def ask_admin(started, path):
    try:
        with DIRECT.open(started.admin_url + path, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_rotation_costs_no_request(running_own, own_issuer):
    """After the issuer has rotated its keys, the very next token passes, with one fetch, and no old one does."""
    old = [own_issuer.access_token(alg=algorithm) for algorithm in ALGORITHMS]
    assert [ask(f"{running_own.url}/", token)[0] for token in old] == [200] * len(old)
    own_issuer.rotate_keys()
    fetches = own_issuer.count_fetches()
    for algorithm in ALGORITHMS:
        assert ask(f"{running_own.url}/", own_issuer.access_token(alg=algorithm))[0] == 200
    for token in old:
        status, _, body = ask(f"{running_own.url}/", token)
        assert (status, body["reason"]) == (401, "unknown_key")
    assert own_issuer.count_fetches() == fetches + 1


def test_a_flood_of_made_up_kids_is_one_fetch(running_own, own_issuer):
    """A thousand tokens, each with a kid of its own, at once: the issuer is asked once, and who has a key is served."""
    token = own_issuer.access_token()
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    requests = [
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {forge(token, {**header, 'kid': kid})}\r\n".encode()
        for kid in (secrets.token_hex(8) for _ in range(1000))
    ]
    fetches = own_issuer.count_fetches()
    with ThreadPoolExecutor(10) as pool:
        answers = b"".join(pool.map(send_all, [running_own.address] * 10, batched(requests, 100)))
    assert answers.count(b"HTTP/1.1 401 Unauthorized\r\n") == answers.count(b'"reason":"unknown_key"') == 1000
    assert own_issuer.count_fetches() == fetches + 1
    assert ask(f"{running_own.url}/", token)[0] == 200


def batched(items, size):
    return (items[start : start + size] for start in range(0, len(items), size))


def send_all(address, requests):
    """Return the answers to requests that are sent on one connection without waiting."""
    with socket.create_connection(address, timeout=30) as client:
        client.sendall(b"\r\n".join(requests) + b"Connection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def running_own(gateway, own_issuer, recording_upstream):
    started = gateway(FILE, UPSTREAM=recording_upstream.url, ISSUER=own_issuer.issuer)
    started.wait_ready()
    return started


def test_the_example_for_logto_is_what_it_says(gateway, issuer, recording_upstream):
    """The example file, its addresses aside: an organization's token opens its own organization only."""
    text = LOGTO.read_text().replace("0.0.0.0:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0")
    text = text.replace("http://backend:3000", recording_upstream.url).replace("/oidc", "")
    started = gateway(text, LOGTO_ENDPOINT=issuer.issuer)
    started.wait_ready()
    token = issuer.access_token(ORGANIZATION)
    assert ask(f"{started.url}/organizations/org_1/orders", token)[0] == 200
    status, _, body = ask(f"{started.url}/organizations/org_2/orders", token)
    assert (status, body["reason"]) == (403, "organization_mismatch")
    status, fields, body = ask(f"{started.url}/organizations/org_1/orders", issuer.access_token(ORGANIZATION, scope=""))
    assert (status, body["reason"]) == (403, "insufficient_scope")
    assert 'scope="read:items"' in fields["www-authenticate"]


def test_a_broken_file_says_all_and_listens_nowhere(gateway, tmp_path):
    """All mistakes in one run, exit code 1, before anything listens."""
    broken = FILE.replace("listen:", "lisen:").replace("jwks:", "jwk:").replace("ES384", "ES385")
    with pytest.raises(pytest.fail.Exception) as failure:
        gateway(broken, UPSTREAM="http://127.0.0.1:1", ISSUER="http://127.0.0.1:1")
    text = str(failure.value)
    assert "exit code 1" in text
    assert text.count(": error: ") >= 3
    for said in ("lisen", "did you mean listen", "jwk", "ES385"):
        assert said in text


def test_a_reload_takes_a_good_file_and_leaves_a_bad_one(gateway, issuer, recording_upstream, tmp_path):
    """A changed file is taken whole without a restart; a broken one changes nothing but the log and a gauge."""
    started = gateway(FILE, UPSTREAM=recording_upstream.url, ISSUER=issuer.issuer)
    started.wait_ready()
    token = issuer.access_token("https://other-api.example")
    assert ask(f"{started.url}/", token)[0] == 401
    [file] = tmp_path.glob("gateway-*.yaml")
    file.write_text(FILE.replace("my-api", "other-api"))
    started.wait_log(lambda line: line.get("event") == "config_reloaded")
    assert ask(f"{started.url}/", token)[0] == 200
    file.write_text("version: 1\nnonsense: true\n")
    started.wait_log(lambda line: line.get("event") == "config_refused")
    assert ask(f"{started.url}/", token)[0] == 200
    with DIRECT.open(f"{started.admin_url}/metrics", timeout=10) as response:
        assert b"auth_gateway_config_last_reload_successful 0.0" in response.read()


def test_a_stop_is_clean(running):
    """SIGTERM ends with exit code 0."""
    assert running.stop() == 0
