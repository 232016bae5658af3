"""
The scalars of the file: text, numbers, switches, durations, sizes, and lists that may be one of them.

Each parser takes what YAML gave, or the text that a variable held, and says in a sentence what it wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from gateway.config.settings import MAX_WORKERS

_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_DURATION_SECONDS = 10 * 365 * 86400
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)?")
_OTHER_SIZE = re.compile(r"(?i)([1-9][0-9]{0,14}) ?([KMG])i?B?")
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_FLAGS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}

MAX_LEEWAY_SECONDS = 600

_DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_SIZE_PATTERN = r"^[0-9]+(B|KiB|MiB|GiB)?$"


def parse_text(value: object) -> str:
    """Return a text that is not empty and has no blanks around it."""
    if isinstance(value, bool | int | float):
        raise ValueError("expected text: put it in quotes")  # noqa: TRY004 - pydantic wants ValueError throughout
    if not isinstance(value, str):
        raise ValueError(f"expected text, not {_describe(value)}")  # noqa: TRY004
    if not value:
        raise ValueError("the text is empty: write a value, or remove the key")
    if value != value.strip() or not value.isprintable():
        raise ValueError("blanks around the text, or a control character in it: remove them")
    return value


def _describe(value: object) -> str:
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "nothing"


def parse_flag(value: object) -> bool:
    """Return a switch; ``on`` and ``off`` are text to YAML 1.2 and mean here what everyone means by them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise ValueError("expected true or false")


def parse_count(value: object) -> int:
    """Return a whole number above zero."""
    number = read_number(value)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError("expected a whole number above 0")
    return number


def parse_workers(value: object) -> int | Literal["auto"]:
    """Return a number of processes, or ``auto``."""
    if value == "auto":
        return "auto"
    number = read_number(value)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_WORKERS:
        raise ValueError(f"expected a whole number from 1 to {MAX_WORKERS}, or auto")
    return number


def read_number(value: object) -> object:
    """Return the whole number that a variable holds as text, and anything else as it is."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value


def parse_duration(value: object) -> float:
    """Return seconds for ``30s``, ``5m``, ``1h30m``, ``250ms`` or a plain number of seconds."""
    seconds = _read_seconds(value)
    if seconds is None:
        raise ValueError("expected a duration such as 30s, 5m, 1h or 250ms")
    if seconds > _MAX_DURATION_SECONDS:
        raise ValueError("longer than ten years: write a shorter duration")
    return seconds


def _read_seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value >= 0 else None
    if not isinstance(value, str):
        return None
    if _NUMBER.fullmatch(value):
        return float(value)
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(map("".join, parts)) != value:
        return None
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def parse_positive_duration(value: object) -> float:
    """Return the seconds of a duration that is not zero: to many a library, zero means for ever."""
    seconds = parse_duration(value)
    if not seconds:
        raise ValueError("a duration of zero: write how long it may take at most")
    return seconds


def parse_whole_duration(value: object) -> int:
    """Return whole seconds for a duration that is told to clients, who know no other (RFC 9470, section 3)."""
    seconds = parse_duration(value)
    if not seconds.is_integer():
        raise ValueError("expected whole seconds, such as 30s, 5m or 1h")
    return int(seconds)


def parse_leeway(value: object) -> float:
    """Return the seconds by which clocks may be apart: RFC 9068, section 4, has "a few minutes" in mind."""
    seconds = parse_duration(value)
    if seconds > MAX_LEEWAY_SECONDS:
        raise ValueError("longer than ten minutes: set the clocks instead, expired tokens would pass for so long")
    return seconds


def format_duration(seconds: float) -> str:
    """Return the shortest spelling of a duration."""
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s" if seconds == 0 or seconds >= 1 else f"{seconds * 1000:g}ms"


def parse_size(value: object) -> int:
    """Return bytes for ``16KiB``, ``1MiB``, ``512B`` or a plain number of bytes, above zero."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found or not int(found[1]):
        raise ValueError(f"expected a size above 0 such as 16KiB, 1MiB or 512B{_suggest_size(value)}")
    return int(found[1]) * _BYTES[found[2] or "B"]


def parse_size_or_unlimited(value: object) -> int | None:
    """Return bytes, or None for ``unlimited``."""
    if value == "unlimited":
        return None
    try:
        return parse_size(value)
    except ValueError as error:
        message = f"expected a size above 0 such as 16KiB or 1MiB, or unlimited{_suggest_size(value)}"
        raise ValueError(message) from error


def _suggest_size(value: object) -> str:
    """Return how to write a size in units of 1000 or in other letters: which of the two was meant is not guessed."""
    found = _OTHER_SIZE.fullmatch(value) if isinstance(value, str) else None
    return f": write {found[1]}{found[2].upper()}iB" if found else ""


def format_size(size: int | None) -> str:
    """Return the shortest spelling of a size."""
    if size is None:
        return "unlimited"
    for unit in ("GiB", "MiB", "KiB"):
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def read_list(value: object) -> object:
    """Return a list for one value that stands for itself, and the list as it is."""
    if isinstance(value, list) and not value:
        raise ValueError("an empty list: write at least one entry, or remove the key")
    return value if isinstance(value, list | tuple) else [value]


class OneOrMore(BeforeValidator):
    """Mark of a list that may be written as the one thing in it."""

    def __init__(self) -> None:
        super().__init__(read_list)

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Show editors both spellings."""
        schema = handler(core)
        items = schema.get("items", {})
        return {"anyOf": [items, {"type": "array", "items": items, "minItems": 1}]}


def _schema(*types: str, pattern: str | None = None, **more: Any) -> WithJsonSchema:
    text = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return WithJsonSchema({"anyOf": [text, *({"type": name, **more} for name in types)]})


Text = Annotated[str, PlainValidator(parse_text), WithJsonSchema({"type": "string", "minLength": 1})]
Flag = Annotated[
    bool, PlainValidator(parse_flag), WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["on", "off"]}]})
]
Count = Annotated[int, PlainValidator(parse_count), WithJsonSchema({"type": "integer", "minimum": 1})]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(parse_workers),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}, {"const": "auto"}]}),
]
Duration = Annotated[
    float,
    PlainValidator(parse_duration),
    PlainSerializer(format_duration),
    _schema("number", pattern=_DURATION_PATTERN, minimum=0),
]
Leeway = Annotated[
    float,
    PlainValidator(parse_leeway),
    PlainSerializer(format_duration),
    _schema("number", pattern=_DURATION_PATTERN, minimum=0, maximum=MAX_LEEWAY_SECONDS),
]
PositiveDuration = Annotated[
    float,
    PlainValidator(parse_positive_duration),
    PlainSerializer(format_duration),
    _schema("number", pattern=_DURATION_PATTERN, exclusiveMinimum=0),
]
WholeDuration = Annotated[
    int,
    PlainValidator(parse_whole_duration),
    PlainSerializer(format_duration),
    _schema("integer", pattern=_DURATION_PATTERN, minimum=0),
]
Size = Annotated[
    int, PlainValidator(parse_size), PlainSerializer(format_size), _schema("integer", pattern=_SIZE_PATTERN, minimum=1)
]
SizeOrUnlimited = Annotated[
    int | None,
    PlainValidator(parse_size_or_unlimited),
    PlainSerializer(format_size),
    _schema("integer", pattern=_SIZE_PATTERN.replace("^", "^unlimited$|^"), minimum=1),
]
Texts = Annotated[tuple[Text, ...], OneOrMore()]
