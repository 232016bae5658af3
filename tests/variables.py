"""The variables of an example file, with the values that its own messages give as examples."""

from __future__ import annotations

import re

_EXAMPLE = re.compile(r"\$\{(\w+):\?[^}]*such as ([^}\s]+)\}")


def read_examples(text: str) -> dict[str, str]:
    """Return ``{"DOMAIN": "a.example"}`` for ``${DOMAIN:?your domain, such as a.example}``."""
    return dict(_EXAMPLE.findall(text))
