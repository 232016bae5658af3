"""How suites and cases are called, on the command line and in the figures."""

from __future__ import annotations

SMALL = "small"
BODIES = "bodies"
WEBSOCKETS = "websockets"
MEMORY = "memory"
STARTUP = "startup"
WORKERS = "workers"
SCALE = "scale"

# What every proxy can be asked to do.
COMMON = (SMALL, BODIES, MEMORY, STARTUP)

SEEN, UNSEEN, TRACED = "seen", "unseen", "seen, traced"
DIRECTIONS = ("down", "up")
MESSAGES = "64 octets and their echo"
AT_REST, CONNECTION, WEBSOCKET = "at rest", "an idle connection", "an idle WebSocket"
FIRST_ANSWER = "first answer"

# Little and much of what should not cost more when there is more of it.
SCALES = {"provider": (1, 100), "route": (1, 1_000), "cached proof": (1, 100_000)}


def name_case(count: int, noun: str) -> str:
    """Return how a case is called, such as ``1 000 routes``."""
    number = f"{count:,}".replace(",", " ")
    return f"{number} {noun}{'s' * (count > 1)}"
