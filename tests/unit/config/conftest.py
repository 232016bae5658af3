"""Files as texts, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from gateway.config.load import Loaded, parse_config
from gateway.config.problems import ConfigError, take_strictly

HEAD = "version: 1\nupstream: http://backend:3000\n"
PROVIDER = (
    "providers:\n"
    "  - type: customJwt\n"
    "    issuer: https://issuer.example\n"
    "    jwks: https://issuer.example/jwks\n"
    "    applicationID: my-api\n"
)

Load = Callable[..., Loaded]
Complain = Callable[..., list[str]]


@pytest.fixture
def load() -> Load:
    """Load a text; ``tail`` is put after a head and a provider that are right."""

    def load_text(
        text: str | None = None, *, tail: str = "", environ: Mapping[str, str] | None = None, strict: bool = False
    ) -> Loaded:
        loaded = parse_config(HEAD + PROVIDER + tail if text is None else text, "f.yaml", environ or {})
        if strict and loaded.warnings:
            raise ConfigError(take_strictly(loaded.warnings))
        return loaded

    return load_text


@pytest.fixture
def complain(load: Load) -> Complain:
    """Return the problems of a text, one line each: ``line:column: severity: message``."""

    def load_bad(text: str | None = None, **more: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **more)
        return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]

    return load_bad
