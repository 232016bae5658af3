"""
A file -> settings, or everything that is wrong with it in one run.

The stages go on past each other's mistakes: the document, its presets, its keys, its values, and what the values mean
together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from gateway.config.compile import compile_config
from gateway.config.document import Document, parse_document
from gateway.config.expansion import expand_presets
from gateway.config.lint import lint
from gateway.config.messages import translate
from gateway.config.models import GatewayFile
from gateway.config.nodes import MAX_FILE_BYTES
from gateway.config.organizations import read_lists
from gateway.config.problems import ConfigError, Finding, Position, Problem, Severity
from gateway.config.settings import Settings
from gateway.config.shape import find_shape_mistakes
from gateway.config.sound import Sound, select_sound


@dataclass(frozen=True, slots=True)
class Loaded:
    """One file that can be used: what it says, what it comes to, and what to be warned of."""

    path: str
    config: GatewayFile = field(repr=False)
    settings: Settings = field(repr=False)
    warnings: tuple[Problem, ...]
    document: Document = field(repr=False)

    def locate(self, *path: str | int) -> Position:
        """Return where the file says something, such as ``("providers", 0, "applicationID")``."""
        return self.document.locate(*path)


def load_config(path: str | Path, environ: Mapping[str, str]) -> Loaded:
    """
    Read a file and compile it.

    Raises:
        ConfigError: The file cannot be read or used; with all of its problems.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            octets = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or 'an error of the system'}"
        raise ConfigError([Problem(name, 1, 1, Severity.ERROR, message)]) from error
    try:
        # Cut at the bound, the last character may be half of one; that the file is too large is said later.
        text = octets.decode("utf-8-sig", "ignore" if len(octets) > MAX_FILE_BYTES else "strict")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        message = "not UTF-8: save the file in that encoding"
        raise ConfigError([Problem(name, line, 1, Severity.ERROR, message)]) from error
    return parse_config(text, name, environ)


def parse_config(text: str, name: str, environ: Mapping[str, str]) -> Loaded:
    """
    Compile the text of a file; ``name`` is its path, for messages and for the relative paths inside of it.

    Raises:
        ConfigError: See ``load_config``.
    """
    document = parse_document(text, name, environ)
    data, findings, origins = expand_presets(document.data)
    document.lend(origins)
    broken = {*document.broken, *(finding.path for finding in findings)}
    findings += find_shape_mistakes(data)
    file: GatewayFile | None = None
    try:
        file = GatewayFile.model_validate(data)
    except ValidationError as error:
        translated = list(translate(error))
        findings += translated
        broken.update(finding.path for finding in translated)
    sound = select_sound(data, broken) if broken or file is None else Sound.of(file)
    findings += lint(sound)
    folder = Path(name).parent
    read = read_lists(sound.organizations, folder)
    findings += read.findings
    problems = _collect(document, findings)
    warnings = tuple(problem for problem in problems if problem.severity is Severity.WARNING)
    if file is None or len(warnings) < len(problems):
        raise ConfigError(problems)
    settings = compile_config(file, folder, _digest(text, read.texts), read.organizations)
    return Loaded(name, file, settings, warnings, document)


def _digest(text: str, lists: Mapping[str, str]) -> str:
    """Return a hash of all that the settings come from; without lists, of the file alone."""
    digest = hashlib.sha256(text.encode("utf-8"))
    for path, content in lists.items():
        digest.update(f"\0{path}\0{content}".encode())
    return digest.hexdigest()


def _collect(document: Document, findings: Iterable[Finding]) -> list[Problem]:
    """Return all problems in the order of the file; where a value is broken, nothing more is said of it."""
    problems, seen = list(document.problems), set(document.broken)
    for finding in findings:
        if any(finding.path[:length] in seen for length in range(1, len(finding.path) + 1)):
            continue
        # Keys that are missing are all found at the mapping around them, so only a key is done with.
        seen |= {finding.path} if finding.is_key else set()
        problems.append(document.build_problem(finding))
    return sorted(problems, key=lambda problem: (problem.line, problem.column))
