"""The JSON Schema of a provider that is written as a preset: the keys of ``customJwt`` beside those of the table."""

from __future__ import annotations

from typing import Any

from gateway.config.expansion import list_needed
from gateway.config.presets import PARAMETERS, PRESETS, Parameter, Preset

_TEXT = {"type": "string", "minLength": 1}


def build_preset_schema(custom_jwt: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry with ``preset``, given that of ``customJwt`` and that of a mere variable."""
    # Without the defaults: the preset has its own, and config show prints them.
    common = {
        key: {name: part for name, part in schema.items() if name != "default"}
        for key, schema in custom_jwt["properties"].items()
        if key != "type"
    }
    preset = {
        "description": "The identity provider whose settings are taken; auth-gateway config show prints them.",
        "anyOf": [{"enum": list(PRESETS)}, reference],
    }
    return {
        "additionalProperties": False,
        "description": "An identity provider that is known by name.",
        "properties": {"preset": preset, **{name: _describe(each) for name, each in PARAMETERS.items()}, **common},
        "required": ["preset"],
        "type": "object",
        "allOf": [_build_rule(name, shapes) for name, shapes in PRESETS.items()],
    }


def _describe(parameter: Parameter) -> dict[str, Any]:
    kinds = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]} if parameter.is_list else _TEXT
    default = {"default": parameter.default} if parameter.default else {}
    return {"description": parameter.meaning, **kinds, **default}


def _build_rule(name: str, shapes: tuple[Preset, ...]) -> dict[str, Any]:
    """Return what one preset needs and what it does not take; of several shapes, just one."""
    rules = [_build_shape(shape) for shape in shapes]
    return {
        "if": {"properties": {"preset": {"const": name}}, "required": ["preset"]},
        "then": rules[0] if len(rules) == 1 else {"oneOf": rules},
    }


def _build_shape(shape: Preset) -> dict[str, Any]:
    own = {parameter.name for parameter in shape.parameters}
    rule: dict[str, Any] = {"properties": {name: False for name in PARAMETERS if name not in own}}
    if needed := list(list_needed(shape)):
        rule["required"] = needed
    if shape.audience:
        rule["anyOf"] = [{"required": [key]} for key in ("applicationID", "audience", "allow_any_audience")]
    return rule
