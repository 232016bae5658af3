"""A small validator for JSON Schema 2020-12: the keywords that our schema uses, and no others."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "default"}


def is_valid(value: Any, schema: dict[str, Any] | bool, root: dict[str, Any]) -> bool:
    """Return whether a value is one of the schema."""
    if isinstance(schema, bool):
        return schema
    return all(_CHECKS[keyword](value, schema, root) for keyword in schema.keys() - _ANNOTATIONS - {"then"})


def _has_type(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(isinstance(value, _TYPES[name]) and (name == "boolean" or type(value) is not bool) for name in names)


def _has_members(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    known, free = schema.get("properties", {}), schema.get("patternProperties", {})
    more = schema.get("additionalProperties", True)
    for name, member in value.items():
        if name in known:
            inner = known[name]
        elif any(re.search(pattern, name) for pattern in free):
            continue
        elif isinstance(more, bool):
            if not more:
                return False
            continue
        else:
            inner = more
        if not is_valid(member, inner, root):
            return False
    return True


def _refers(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    return is_valid(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)


_CHECKS = {
    "type": _has_type,
    "properties": _has_members,
    "patternProperties": _has_members,
    "additionalProperties": _has_members,
    "$ref": _refers,
    "anyOf": lambda value, schema, root: any(is_valid(value, one, root) for one in schema["anyOf"]),
    "allOf": lambda value, schema, root: all(is_valid(value, one, root) for one in schema["allOf"]),
    "if": lambda value, schema, root: not is_valid(value, schema["if"], root) or is_valid(value, schema["then"], root),
    "oneOf": lambda value, schema, root: sum(is_valid(value, one, root) for one in schema["oneOf"]) == 1,
    "enum": lambda value, schema, root: value in schema["enum"],
    "const": lambda value, schema, root: value == schema["const"] and type(value) is type(schema["const"]),
    "items": lambda value, schema, root: (
        not isinstance(value, list) or all(is_valid(member, schema["items"], root) for member in value)
    ),
    "required": lambda value, schema, root: not isinstance(value, dict) or set(schema["required"]) <= set(value),
    "pattern": lambda value, schema, root: not isinstance(value, str) or bool(re.search(schema["pattern"], value)),
    "minLength": lambda value, schema, root: not isinstance(value, str) or len(value) >= schema["minLength"],
    "minItems": lambda value, schema, root: not isinstance(value, list) or len(value) >= schema["minItems"],
    "minProperties": lambda value, schema, root: not isinstance(value, dict) or len(value) >= schema["minProperties"],
    "maxProperties": lambda value, schema, root: not isinstance(value, dict) or len(value) <= schema["maxProperties"],
    "minimum": lambda value, schema, root: not isinstance(value, int | float) or value >= schema["minimum"],
    "maximum": lambda value, schema, root: not isinstance(value, int | float) or value <= schema["maximum"],
    "exclusiveMinimum": lambda value, schema, root: (
        not isinstance(value, int | float) or value > schema["exclusiveMinimum"]
    ),
}
