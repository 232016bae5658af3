"""
``${VAR}`` in the scalars of the file, as Compose has it.

``${VAR}`` is the variable, ``${VAR:-default}`` the default where it is unset or empty, ``${VAR:?message}`` an error
then, and ``$$`` a dollar sign. It happens after YAML is parsed, so a value can never become structure. A dollar sign
before anything else is one: regular expressions end with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::([-?])((?:[^}$]|\$(?!\{))*))?\})?)")


class InterpolationError(ValueError):
    """References that cannot be resolved: pairs of where in the text (from 0) and why, without any value."""

    def __init__(self, mistakes: tuple[tuple[int, str], ...]) -> None:
        super().__init__("; ".join(message for _, message in mistakes))
        self.mistakes = mistakes


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """
    Return a scalar with its references replaced.

    Raises:
        InterpolationError: A variable that is unset, or a reference that is none.
    """
    mistakes: list[tuple[int, str]] = []

    def replace(reference: re.Match[str]) -> str:
        try:
            return _resolve(reference, environ)
        except _Unresolved as error:
            mistakes.append((reference.start(), str(error)))
            return ""

    expanded = _REFERENCE.sub(replace, text)
    if mistakes:
        raise InterpolationError(tuple(mistakes))
    return expanded


class _Unresolved(Exception):
    pass


def _resolve(reference: re.Match[str], environ: Mapping[str, str]) -> str:
    name, operator, argument = reference.groups()
    if reference[0] == "$$":
        return "$"
    if name is None:
        raise _Unresolved("not a reference to a variable: write ${NAME}, ${NAME:-default} or, for a dollar sign, $$")
    value = environ.get(name)
    if operator is None:
        if value is None:
            raise _Unresolved(f"the variable {name} is not set: set it, or write ${{{name}:-default}}")
        return value
    if value:
        return value
    if operator == "-":
        return str(argument)
    raise _Unresolved(f"the variable {name} is not set or empty: {argument or 'set it'}")
