"""Rules that nearly take a request: what the file has for a path that no rule of it takes."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.cli.explanation import Explanation, Situation
from gateway.core.decision import RequestHead, match_route
from gateway.core.errors import GatewayError
from gateway.core.routes import Match


def find_route(explanation: Explanation) -> Iterator[str]:
    """Yield why no rule takes the path of a request, and which one would take a path nearly the same."""
    situation = explanation.situation
    yield f"No rule under {situation.locate('routes')} matches this path, and default_access is deny."
    if not situation.has_path:
        yield "This is about GET /, as no request is named: name the one that was refused with --method and --path."
    other = _swap_slash(situation.head.target)
    match = _match(other, situation)
    if match is not None and match.route is not None:
        where = situation.locate_route(match.route)
        yield (
            f"Only the slash at the end differs: {other} is matched by {match.route.pattern.text} ({where}). Ask for "
            "that path, or add a rule for this one."
        )


def _swap_slash(target: str) -> str:
    path, mark, query = target.partition("?")
    return (path.removesuffix("/") if path.endswith("/") else f"{path}/") + mark + query


def _match(target: str, situation: Situation) -> Match | None:
    try:
        return match_route(RequestHead(situation.head.method, target, situation.head.fields), situation.policy)[1]
    except GatewayError:
        return None
