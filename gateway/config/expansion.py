"""
Presets -> the entries that they stand for: plain data in, plain data out, before anything else is validated.

What stands beside a preset wins over what it says; of ``required_claims`` each claim by itself, so that asking for one
more takes none away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from gateway.config.addresses import split_http_url
from gateway.config.entries import CustomJwtEntry, ProviderEntry
from gateway.config.messages import describe_unknown, find_meant, list_keys
from gateway.config.presets import PARAMETERS, PRESETS, Parameter, Preset
from gateway.config.problems import Finding, Path, format_path
from gateway.config.scalars import parse_text, read_list
from gateway.config.shape import reads_as_true

_COMMON_KEYS = frozenset(list_keys(ProviderEntry))
ENTRY_KEYS = frozenset(list_keys(CustomJwtEntry)) - {"type"}
# Stands for an entry of which nothing is known, so that the rest of the file can be looked at.
_STAND_IN = {"type": "customJwt", "issuer": "https://preset.invalid", "jwks": "https://preset.invalid/jwks"}
_STAND_IN_AUDIENCE = {"applicationID": "preset.invalid"}
_AUDIENCE_KEYS = frozenset({"applicationID", "audience"})


class Expanded(NamedTuple):
    """
    The data of a file without presets.

    ``origins`` are the paths of settings that stand nowhere in the file, with those of what they come from.
    """

    data: dict[str, Any]
    findings: list[Finding]
    origins: dict[Path, Path]


def expand_presets(data: dict[str, Any]) -> Expanded:
    """Return a file with each preset replaced by what it stands for, and the mistakes in what presets are told."""
    entries = data.get("providers")
    if not isinstance(entries, list):
        return Expanded(data, [], {})
    expanded = Expanded({**data, "providers": list(entries)}, [], {})
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and "preset" in entry:
            expansion = _Expansion(entry, ("providers", index))
            expanded.data["providers"][index] = expansion.run()
            expanded.findings.extend(expansion.findings)
            expanded.origins.update(expansion.origins)
    return expanded


@dataclass(slots=True)
class _Expansion:
    """The work on one entry; where something is missing or wrong an example takes its place, and there is a finding."""

    entry: Mapping[str, Any]
    path: Path
    findings: list[Finding] = field(default_factory=list)
    origins: dict[Path, Path] = field(default_factory=dict)
    # Keys that a misspelt one was meant for: they are one mistake, and not missing as well.
    meant: set[str] = field(default_factory=set)

    def run(self) -> dict[str, Any]:
        """Return the entry written out."""
        name = self.entry["preset"]
        shapes = PRESETS.get(name) if isinstance(name, str) else None
        if shapes is None:
            self._complain("preset", _describe_unknown_preset(name), "preset")
            common = {key: value for key, value in self.entry.items() if key in _COMMON_KEYS}
            return {**_STAND_IN, **({} if _AUDIENCE_KEYS & common.keys() else _STAND_IN_AUDIENCE), **common}
        shape = max(shapes, key=lambda each: len(list_needed(each).keys() & self.entry.keys()))
        self._check_keys(str(name), {"preset", *ENTRY_KEYS, *(each.name for each in shape.parameters)})
        self._check_needed(shape, shapes)
        settings = {**shape.needs, **_fill(shape.settings, self._read_parameters(shape))}
        return self._write_out(shape, self._choose_audience(shape, settings))

    def _complain(self, key: str, what: str, *at: str, is_key: bool = False) -> None:
        message = f"{format_path((*self.path, key))}: {what}"
        self.findings.append(Finding((*self.path, *at), message, is_key=is_key))

    def _check_keys(self, name: str, known: Collection[str]) -> None:
        for key in (key for key in self.entry if key not in known):
            if key == "type":
                what = "the preset says it already: keep one of the two"
            elif key in PARAMETERS:
                own = " and ".join(each for each in PARAMETERS if each in known)
                what = f"{name} has none: {f'it takes {own}' if own else 'remove it'}"
            else:
                what = describe_unknown(key, known)
                self.meant.add(find_meant(key, known) or key)
            self._complain(key, what, key, is_key=True)

    def _check_needed(self, shape: Preset, shapes: Collection[Preset]) -> None:
        """Complain of what the provider cannot be known without, once where one thing or another would do."""
        there = {*self.entry, *self.meant}
        is_open = not any(list_needed(each).keys() & there for each in shapes)
        others = [each for each in shapes if each is not shape] if is_open else []
        instead = "".join(f" or '{key}: {example}'" for each in others for key, example in list_needed(each).items())
        for key, example in list_needed(shape).items():
            if key not in there:
                self._complain(key, f"missing: write '{key}: {example}'{instead}")

    def _read_parameters(self, shape: Preset) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for parameter in shape.parameters:
            values |= _read_parameter(parameter, parameter.default or parameter.example)
            if parameter.name in self.entry:
                try:
                    values |= _read_parameter(parameter, self.entry[parameter.name])
                except ValueError as error:
                    self._complain(parameter.name, str(error), parameter.name)
        return values

    def _choose_audience(self, shape: Preset, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings with the preset's own audience, if it has one and the entry none."""
        if _AUDIENCE_KEYS & self.entry.keys() or reads_as_true(self.entry.get("allow_any_audience")):
            return {key: value for key, value in settings.items() if key != "applicationID"}
        if "applicationID" in settings:
            return settings
        if not _AUDIENCE_KEYS & self.meant:
            message = f"{format_path(self.path)}: no applicationID: write {shape.audience}"
            self.findings.append(Finding(self.path, message))
        return {**settings, **_STAND_IN_AUDIENCE}

    def _write_out(self, shape: Preset, settings: dict[str, Any]) -> dict[str, Any]:
        if "profile" in self.entry:
            # It says what typ may be, and the two are not taken together.
            settings.pop("typ", None)
        given = {key: value for key, value in self.entry.items() if key in ENTRY_KEYS}
        claims = given.get("required_claims")
        if isinstance(claims, dict):
            given["required_claims"] = {**settings.get("required_claims", {}), **claims}
        for key in settings.keys() - self.entry.keys():
            written = [each.name for each in shape.parameters if f"{{{each.name}}}" in str(shape.settings.get(key))]
            origin = next((name for name in written if name in self.entry), "preset")
            self.origins[*self.path, key] = (*self.path, origin)
        return {"type": "customJwt", **settings, **given}


def _describe_unknown_preset(name: object) -> str:
    close = get_close_matches(name.lower(), PRESETS, 1) if isinstance(name, str) else []
    return f"no such preset: did you mean {close[0]}?" if close else f"no such preset: there are {', '.join(PRESETS)}"


def list_needed(shape: Preset) -> dict[str, str]:
    """Return the keys that an entry of this shape cannot do without, each with an example."""
    return {**{each.name: each.example for each in shape.parameters if each.default is None}, **shape.needs}


def _read_parameter(parameter: Parameter, value: object) -> dict[str, Any]:
    """
    Return the values that a parameter stands for, by their names in the settings.

    Raises:
        ValueError: The text cannot be one; the sentence says what it should be.
    """
    if parameter.is_list:
        members = read_list(value)
        texts = [_match(parameter, member)[parameter.name] for member in (members if isinstance(members, list) else [])]
        return {parameter.name: texts}
    return {parameter.name: _read_origin(parameter, value)} if parameter.pattern is None else _match(parameter, value)


def _match(parameter: Parameter, value: object) -> dict[str, Any]:
    text = parse_text(value)
    found = re.fullmatch(parameter.pattern or "", text)
    if found is None:
        meaning = parameter.meaning[0].lower() + parameter.meaning[1:].rstrip(".")
        raise ValueError(f"expected {meaning}, such as {parameter.example}")
    return {parameter.name: text, **found.groupdict()}


def _read_origin(parameter: Parameter, value: object) -> str:
    """Return the URL that a host, or a URL, is short for, without a slash at its end."""
    text = parse_text(value).rstrip("/")
    parts = split_http_url(text if "://" in text else f"https://{text}")
    host = str(parts.hostname)
    if "." not in host and ":" not in host and host != "localhost":
        raise ValueError(f"not a whole host name: expected one such as {parameter.example}")
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError(f"a host has no user, query or fragment: write {parameter.example}")
    if parts.path and not parameter.has_path:
        raise ValueError(f"the host alone, without {parts.path}: the preset knows what follows")
    return parts.geturl()


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    """Return settings with the values of the parameters in them; one that is a list takes the whole place."""
    if isinstance(value, Mapping):
        return {key: _fill(member, values) for key, member in value.items()}
    if isinstance(value, list):
        return [_fill(member, values) for member in value]
    if not isinstance(value, str):
        return value
    whole = values.get(value[1:-1]) if value[:1] == "{" else None
    return whole if isinstance(whole, list) else value.format_map(values)
