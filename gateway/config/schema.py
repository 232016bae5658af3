"""
The JSON Schema of the file, for editors: ``python -m gateway.config.schema config/gateway.schema.json`` writes it.

It is the models' own, but that every scalar may be a reference to a variable instead, and that a provider may be
written as a preset, which no model ever sees.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gateway.config.models import GatewayFile
from gateway.config.preset_schema import build_preset_schema

_REFERENCE = {"$ref": "#/$defs/Variable"}
_VARIABLE = {"type": "string", "pattern": "\\$\\{", "description": "A reference to a variable, such as ${PORT}."}
_NOT_TEXT = ("integer", "number", "boolean")


def build_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    schema = _allow_references(GatewayFile.model_json_schema(schema_generator=_Generator))
    schema["$defs"]["PresetEntry"] = build_preset_schema(schema["$defs"]["CustomJwtEntry"], _REFERENCE)
    schema["properties"]["providers"]["items"]["oneOf"].append({"$ref": "#/$defs/PresetEntry"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "auth-gateway",
        **schema,
        "$defs": {**schema["$defs"], "Variable": _VARIABLE},
        "patternProperties": {"^x-": {"description": "Free for anchors."}},
    }


def render_schema() -> str:
    """Return the JSON Schema as text."""
    return json.dumps(build_schema(), indent=2) + "\n"


class _Generator(GenerateJsonSchema):
    """Leaves null out: a key that may be left out may not be empty."""

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of what may be left out."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema with its default, if there is one to tell."""
        shown = super().default_schema(schema)
        return {key: value for key, value in shown.items() if key != "default" or value not in (None, {})}

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Say that names need no titles."""
        return False


def _allow_references(schema: Any) -> Any:
    """Return a schema in which every scalar may be a reference to a variable."""
    if isinstance(schema, list):
        return [_allow_references(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if _is_strict_scalar(schema):
        outside = {key: schema[key] for key in ("description", "default") if key in schema}
        inside = {key: value for key, value in schema.items() if key not in outside}
        return {**outside, "anyOf": [inside, _REFERENCE]}
    adapted = {key: _allow_references(value) for key, value in schema.items() if key not in _left_out(schema)}
    if "anyOf" in adapted:
        adapted["anyOf"] = _flatten(adapted["anyOf"])
    return adapted


def _is_strict_scalar(schema: dict[str, Any]) -> bool:
    """Return whether a schema is one of scalars, and refuses some text."""
    kind = schema.get("type")
    return kind in _NOT_TEXT or "enum" in schema or "const" in schema or (kind == "string" and "pattern" in schema)


def _left_out(schema: dict[str, Any]) -> tuple[str, ...]:
    """Return what pydantic says twice: names as titles, and the defaults of a section's members."""
    return ("title", "default") if "$ref" in schema else ("title",)


def _flatten(choices: list[Any]) -> list[Any]:
    """Return alternatives without alternatives inside, and each once."""
    flat: list[Any] = []
    for choice in choices:
        members = choice["anyOf"] if choice.keys() == {"anyOf"} else [choice]
        flat += [member for member in members if member not in flat]
    return flat


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_schema(), encoding="utf-8")
