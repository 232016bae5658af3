"""Rules on addresses and on the identity."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import PROVIDER, Complain, Load


@pytest.mark.parametrize(
    ("identity", "problem"),
    [
        (
            "{headers: {x_identity: sub}}",
            (
                "8:22: error: identity.headers.x_identity: to applications the same name as identity.header: "
                "choose another one"
            ),
        ),
        (
            "{headers: {X-Org: a, X_Org: b}}",
            (
                "8:32: error: identity.headers.X_Org: to applications the same name as identity.headers.X-Org: "
                "choose another one"
            ),
        ),
        (
            "{exclude: [email, subject]}",
            "8:29: error: identity.exclude[1]: this member is ours and always there: remove it",
        ),
        ("{include: scopes}", "8:21: error: identity.include[0]: this member is ours and always there: remove it"),
        (
            "{include: [email], exclude: [email]}",
            "8:40: error: identity.exclude[0]: included as well: keep one of the two",
        ),
    ],
)
def test_identity(complain: Complain, identity: str, problem: str) -> None:
    """Two headers that an application sees under one name are one, and our members are always there."""
    assert complain(tail=f"identity: {identity}\n") == [problem]


ADMIN = "the address of listen: give it a port of its own, such as 127.0.0.1:9090"
OWN = "write the address of the service behind it"


@pytest.mark.parametrize(
    ("listen", "admin", "upstream", "message"),
    [
        ("0.0.0.0:80", "0.0.0.0:80", "http://b", f"admin: {ADMIN}"),
        ("0.0.0.0:80", "127.0.0.1:80", "http://b", f"admin: {ADMIN}"),
        ("127.0.0.1:80", "[::]:80", "http://b", f"admin: {ADMIN}"),
        ("unix:/a", "unix:/a", "http://b", f"admin: {ADMIN}"),
        ("0.0.0.0:80", "127.0.0.1:81", "http://127.0.0.1", f"upstream: the gateway's own listen: {OWN}"),
        ("0.0.0.0:80", "127.0.0.1:81", "http://localhost:80", f"upstream: the gateway's own listen: {OWN}"),
        ("127.0.0.1:80", "127.0.0.1:81", "http://localhost:81/x", f"upstream: the gateway's own admin: {OWN}"),
        ("127.0.0.1:80", "127.0.0.1:81", "http://0.0.0.0:80", f"upstream: the gateway's own listen: {OWN}"),
        ("10.0.0.1:80", "127.0.0.1:81", "http://10.0.0.1:80", f"upstream: the gateway's own listen: {OWN}"),
        ("unix:/a", "127.0.0.1:81", "unix:/a", f"upstream: the gateway's own listen: {OWN}"),
    ],
)
def test_addresses_that_meet(complain: Complain, listen: str, admin: str, upstream: str, message: str) -> None:
    """Two listeners need two addresses, and a gateway that forwards to itself answers nobody."""
    text = f"version: 1\nlisten: '{listen}'\nadmin: '{admin}'\nupstream: {upstream}\n" + PROVIDER
    assert [problem.partition(": error: ")[2] for problem in complain(text)] == [message]


@pytest.mark.parametrize(
    ("listen", "admin", "upstream"),
    [
        ("0.0.0.0:80", "127.0.0.1:81", "http://backend:80"),
        ("127.0.0.1:80", "127.0.0.2:80", "http://127.0.0.3:80"),
        ("127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1:3000"),
        ("unix:/a", "unix:/b", "unix:/c"),
        ("10.0.0.1:80", "127.0.0.1:80", "http://localhost:8080"),
        ("10.0.0.1:80", "10.0.0.2:81", "http://10.0.0.3"),
    ],
)
def test_addresses_that_do_not_meet(load: Load, listen: str, admin: str, upstream: str) -> None:
    """Another host, another port, any free port."""
    text = f"version: 1\nlisten: '{listen}'\nadmin: '{admin}'\nupstream: {upstream}\n" + PROVIDER
    assert load(text).warnings == ()


@pytest.mark.parametrize(
    ("listen", "admin"),
    [("0.0.0.0:80", "0.0.0.0:81"), ("127.0.0.1:80", "[::]:81"), ("10.0.0.1:80", "10.0.0.1:81")],
)
def test_admin_in_public(load: Load, complain: Complain, listen: str, admin: str) -> None:
    """Status and metrics are for those who run the gateway."""
    text = f"version: 1\nlisten: '{listen}'\nadmin: '{admin}'\nupstream: http://b\n" + PROVIDER
    message = "admin: on a public address anyone reads status and metrics: write 127.0.0.1 or an internal address"
    assert [str(problem).removeprefix("f.yaml:") for problem in load(text).warnings] == [f"3:8: warning: {message}"]
    assert complain(text, strict=True) == [f"3:8: error: {message}"]
