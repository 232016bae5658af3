"""``organizations``: who may call at all, by lists in the file or beside it, and by the word of a service."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from gateway.config.addresses import parse_http_url
from gateway.config.problems import Finding
from gateway.config.scalars import Duration, PositiveDuration, parse_text, read_list
from gateway.config.sections import Section, option
from gateway.config.settings import PLACEHOLDER
from gateway.core.organizations import OrganizationRules

MAX_LIST_BYTES = 2 * 1024 * 1024

_LISTS = ("allow", "deny")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def parse_organizations(value: object) -> tuple[str, ...] | dict[str, str]:
    """Return organizations, or the mapping that names the file of them."""
    if isinstance(value, dict):
        if set(value) != {"file"}:
            raise ValueError("expected a list of organizations, or {file: PATH}")
        return {"file": parse_text(value["file"])}
    entries = read_list(value)
    if not isinstance(entries, list | tuple):
        raise ValueError("expected a list of organizations, or {file: PATH}")  # noqa: TRY004 - as pydantic wants it
    return tuple(map(parse_text, entries))


def parse_check_url(value: object) -> str:
    """Return a URL of HTTP one whole segment of whose path stands for the organization."""
    text = parse_text(value)
    path, _, query = text.partition("?")
    if path.count(PLACEHOLDER) != 1 or PLACEHOLDER in query or f"/{PLACEHOLDER}/" not in f"{path}/":
        raise ValueError(f"one segment of the path must be {PLACEHOLDER}: https://host/organizations/{PLACEHOLDER}")
    parse_http_url(text.replace(PLACEHOLDER, "organization"))
    return text


_ENTRY = {"type": "string", "minLength": 1}
OrganizationList = Annotated[
    tuple[str, ...] | dict[str, str],
    PlainValidator(parse_organizations),
    PlainSerializer(lambda value: list(value) if isinstance(value, tuple) else value),
    WithJsonSchema(
        {
            "anyOf": [
                _ENTRY,
                {"type": "array", "items": _ENTRY, "minItems": 1},
                {
                    "type": "object",
                    "properties": {"file": {"type": "string"}},
                    "required": ["file"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class OrganizationCheckSection(Section):
    """A service that knows which organizations there are."""

    url: Annotated[str, PlainValidator(parse_check_url), WithJsonSchema({"type": "string"})] = Field(
        description="Asked with GET: 2xx is a yes, 404 and 410 are a no; {organization} is a segment of its path."
    )
    cache: PositiveDuration = option("How long an answer is believed.", default="60s")
    timeout: PositiveDuration = option("How long one answer may take.", default="2s")
    max_stale: Duration = option("How old the last answer may be while no other can be had.", default="10m")


class OrganizationsSection(Section):
    """Which organizations may call."""

    allow: OrganizationList | None = option("Only these: a list, or {file: PATH} with one a line.", default=None)
    deny: OrganizationList | None = option("Never these: a list, or {file: PATH} with one a line.", default=None)
    check: OrganizationCheckSection | None = option("A service that is asked whether they exist.", default=None)


@dataclass(frozen=True, slots=True)
class Lists:
    """
    The files that lists stand in, as they were read: their texts and what those say, by path.

    ``findings`` are the files that cannot be used.
    """

    texts: Mapping[str, str]
    organizations: Mapping[str, frozenset[str]]
    findings: tuple[Finding, ...] = ()


def read_lists(section: OrganizationsSection | None, folder: Path) -> Lists:
    """Read the files of the lists."""
    texts: dict[str, str] = {}
    organizations: dict[str, frozenset[str]] = {}
    findings = []
    for name, path in _list_files(section, folder):
        try:
            texts[path] = _read(Path(path))
            organizations[path] = parse_list(texts[path])
        except (OSError, ValueError) as error:
            why = (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else str(error)
            findings.append(Finding(("organizations", name, "file"), f"organizations.{name}: {path}: {why}"))
    return Lists(texts, organizations, tuple(findings))


def _list_files(section: OrganizationsSection | None, folder: Path) -> Iterator[tuple[str, str]]:
    for name in _LISTS:
        value = getattr(section, name, None)
        if isinstance(value, dict):
            yield name, str(folder / value["file"])


def _read(path: Path) -> str:
    # A pipe would hold us until somebody writes into it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a regular file: put one there with one organization a line")
    with path.open("rb") as file:
        octets = file.read(MAX_LIST_BYTES + 1)
    if len(octets) > MAX_LIST_BYTES:
        raise ValueError(f"more than {MAX_LIST_BYTES // 1024**2} MiB: let a service be asked instead (check)")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8: save the file in that encoding") from error


def parse_list(text: str) -> frozenset[str]:
    """
    Return the organizations of a list: one a line, without blanks around it; ``#`` begins a comment.

    Raises:
        ValueError: A line that nobody could have meant for an organization.
    """
    found = set()
    for number, line in enumerate(text.split("\n"), 1):
        # An expression for each line takes most of a second for the largest list, in which no request is served.
        entry = (_COMMENT.sub("", line) if "#" in line else line).strip()
        if not entry.isprintable():
            raise ValueError(f"line {number} has a control character: write one organization a line")
        found.add(entry)
    return frozenset(found - {""})


def compile_organizations(
    section: OrganizationsSection | None, folder: Path, lists: Mapping[str, frozenset[str]]
) -> OrganizationRules | None:
    """Return who may call; ``lists`` are those that stand in files, by path."""
    if section is None:
        return None
    return OrganizationRules(
        None if section.allow is None else _compile_list(section.allow, folder, lists),
        frozenset() if section.deny is None else _compile_list(section.deny, folder, lists),
        is_checked=section.check is not None,
    )


def _compile_list(value: Any, folder: Path, lists: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return lists[str(folder / value["file"])] if isinstance(value, dict) else frozenset(value)
