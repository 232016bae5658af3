"""What was worked out before: what is there, what is not, and how much of it there is."""

from __future__ import annotations

from gateway.core.memory import Memory


def test_what_is_not_there_is_none():
    """And is not there afterwards either."""
    memory = Memory[str, int](2)
    assert memory["a"] is None
    assert "a" not in memory
    assert len(memory) == 0
    memory["a"] = 1
    assert memory["a"] == 1


def test_the_first_that_came_goes_first():
    """However often it was asked for: who asks changes nothing."""
    memory = Memory[str, int](2)
    memory["a"], memory["b"] = 1, 2
    assert memory["a"] == 1
    memory["c"] = 3
    assert [memory[name] for name in "abc"] == [None, 2, 3]
