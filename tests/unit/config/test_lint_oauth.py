"""Warnings on resources and modes."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Complain, Load

OBSERVES = "refuses nothing: write enforce once the log shows what you expect"
STRANGE = (
    "no provider accepts it as an audience, so a token that is asked for with it is refused: "
    "add it to applicationID, if your issuer makes it the audience"
)


@pytest.mark.parametrize(
    ("tail", "problems"),
    [
        ("mode: observe\n", [f"8:7: warning: mode: {OBSERVES}"]),
        ("routes: [{path: /a, mode: observe}]\n", [f"8:27: warning: routes[0].mode: {OBSERVES}"]),
        ("mode: enforce\nroutes: [{path: /a, mode: enforce}]\n", []),
        (
            "routes: [{path: /mcp, mcp: {tools: {'*': a}}}]\n",
            [
                (
                    "8:17: warning: routes[0].path: many MCP servers answer /mcp/ as well, which is not of this route: "
                    "write /mcp/**"
                )
            ],
        ),
        ("routes: [{path: /mcp/**, mcp: {tools: {'*': a}}}]\n", []),
        ("resource: https://api.example\n", [f"8:11: warning: resource: {STRANGE}"]),
        (
            "routes: [{path: /a, resource: 'https://api.example/a'}]\n",
            [f"8:31: warning: routes[0].resource: {STRANGE}"],
        ),
        (
            "routes: [{path: /a, resource: 'http://localhost:8080'}]\n",
            [f"8:31: warning: routes[0].resource: {STRANGE}"],
        ),
    ],
)
def test_what_is_questionable(load: Load, tail: str, problems: list[str]) -> None:
    """Each may be meant, and each is easily forgotten."""
    assert [str(problem).removeprefix("f.yaml:") for problem in load(tail=tail).warnings] == problems


TWO = """
version: 1
upstream: http://backend:3000
resource: https://api.example
providers:
  - {name: a, domain: https://a.example, applicationID: https://api.example}
  - {name: b, domain: https://b.example, applicationID: "https://*.example"}
routes:
  - {path: /a, resource: https://one.example, providers: [%s]}
"""


@pytest.mark.parametrize(("name", "count"), [("a", 1), ("b", 0)])
def test_a_resource_is_for_the_providers_of_its_route(load: Load, name: str, count: int) -> None:
    """What another provider would take is of no use there."""
    assert len(load(TWO % name).warnings) == count


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("http://api.example", "a resource is an https URL; http is for this machine only"),
        ("https://me@api.example", "a resource has no user name, quotes or backslashes"),
        ("'https://api.example/\"'", "a resource has no user name, quotes or backslashes"),
        ("https://api.example/#a", "a URL with a fragment: remove what begins with #"),
        ("urn:api", "the scheme should be http or https: expected a URL such as https://issuer.example"),
    ],
)
def test_what_is_no_resource(complain: Complain, resource: str, message: str) -> None:
    """RFC 9728, section 1.2: an https URL without a fragment, and one that a challenge can quote."""
    [problem] = complain(tail=f"resource: {resource}\n")
    assert message in problem


def test_a_broken_provider_hides_no_more_than_it_must(complain: Complain) -> None:
    """Whether a resource is accepted cannot be said where a provider is not known."""
    problems = complain(tail="  - {issuer: 1}\nresource: https://api.example\n")
    assert not [problem for problem in problems if "resource" in problem]
