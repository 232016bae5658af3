"""A file that another process compiles: what comes back is what this one would have made of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.compiler import Compiler
from gateway.config.load import load_config
from gateway.config.problems import ConfigError

FILE = """\
version: 1
upstream: ${UPSTREAM}
providers:
  - type: customJwt
    issuer: https://issuer.example
    jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}
    applicationID: https://my-api.example
"""
ENVIRON = {"UPSTREAM": "http://backend:3000", "ODD": "\udcff"}


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A file; what compiles it leaves no file open."""
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE)
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the numbers, not the files
    yield path
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - see above


@pytest.mark.parametrize("is_started", [True, False])
def test_it_is_as_if_it_was_compiled_here(config: Path, is_started: bool) -> None:
    """With the variables that it was given, and no others."""
    compiler = Compiler(str(config), ENVIRON)
    if is_started:
        compiler.start()
    served, here = compiler.load(), load_config(config, ENVIRON)
    assert served.path == here.path
    assert served.settings.upstream == here.settings.upstream
    assert served.settings.digest == here.settings.digest
    [theirs], [ours] = served.settings.key_sources, here.settings.key_sources
    assert theirs.key_set is not None
    assert ours.key_set is not None
    assert theirs.key_set.generation == ours.key_set.generation
    assert [each.key.as_dict() for each in theirs.key_set.keys] == [each.key.as_dict() for each in ours.key_set.keys]


def test_each_load_reads_the_file_anew(config: Path) -> None:
    """Also the one that was started ahead is of the file as it was then, and the next of the file as it is."""
    compiler = Compiler(str(config), ENVIRON)
    first = compiler.load().settings.digest
    config.write_text(FILE + "# changed\n")
    assert compiler.load().settings.digest != first
    config.write_text(FILE)
    assert compiler.load().settings.digest == first


@pytest.mark.parametrize("text", [FILE.replace("https:", "http:"), "version: 1\nunknown: 1\n", "{", None])
def test_its_mistakes_are_the_same(config: Path, text: str | None) -> None:
    """Each with its line, its column and its source."""
    if text is None:
        config.unlink()
    else:
        config.write_text(text)
    with pytest.raises(ConfigError) as apart:
        Compiler(str(config), {}).load()
    with pytest.raises(ConfigError) as here:
        load_config(config, {})
    assert apart.value.problems == here.value.problems
    assert apart.value.render() == here.value.render()


@pytest.mark.parametrize(
    ("executable", "why"),
    [("/nowhere/python", "there is no process to compile it: No such file"), ("/bin/false", "ended with 1")],
)
def test_a_process_that_does_not_answer_is_a_mistake_too(
    config: Path, monkeypatch: pytest.MonkeyPatch, executable: str, why: str
) -> None:
    """Of the machine and not of the file, and the old file goes on being served."""
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ConfigError, match=why) as caught:
        Compiler(str(config), ENVIRON).load()
    assert str(caught.value).startswith(f"{config}:1:1: error: ")
