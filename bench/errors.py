"""What can go wrong in a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """A figure could not be had; none is made up in its place."""


class Missing(BenchError):
    """A peer cannot be installed or started here, or cannot do what is measured."""
