"""What several tests ask for by name."""

from __future__ import annotations

import pytest

from gateway.proxy import upstream_transport

from .bodies import Recorded


@pytest.fixture
def splices(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Return the splices of a test."""
    monkeypatch.setattr(Recorded, "opened", [], raising=False)
    monkeypatch.setattr(Recorded, "watched", None)
    monkeypatch.setattr(upstream_transport, "Splice", Recorded)
    return Recorded.opened
