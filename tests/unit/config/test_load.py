"""A file from the disk to its problems, through all stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load_config, parse_config
from gateway.config.nodes import MAX_FILE_BYTES
from gateway.config.problems import ConfigError
from tests.unit.config.conftest import HEAD, Complain


def test_a_misspelt_key_is_one_mistake(complain: Complain) -> None:
    """A key that is needed and was meant is not missing as well."""
    text = (
        "version: 1\nupstreem: http://b\nproviders:\n  - {type: customJwt, issuer: a, jwksUri: b, applicationID: c}\n"
    )
    assert complain(text) == [
        "2:1: error: upstreem: unknown key: did you mean upstream?",
        "4:34: error: providers[0].jwksUri: unknown key: written jwks: with the same URL",
    ]


def test_partial_entries_are_looked_through(complain: Complain) -> None:
    """A route with one broken key is still held against what it captures, and a provider against its issuer."""
    assert complain(
        HEAD + "providers:\n"
        "  - {domain: 'http://i.example', applicationID: a, leeway: x}\n"
        "routes:\n"
        "  - {path: '/a/{b}', methods: [get], require: {sub: '{c}'}}\n",
    ) == [
        "4:14: warning: providers[0].domain: http can be changed on its way: write https",
        "4:60: error: providers[0].leeway: expected a duration such as 30s, 5m, 1h or 250ms",
        "6:32: error: routes[0].methods[0]: methods are case-sensitive: write GET",
        "6:53: error: routes[0].require.sub: the path does not capture {c}: it captures b",
    ]


def test_values_of_variables_are_not_shown() -> None:
    """A report shows the file's own text: what a variable held stays where it came from."""
    text = HEAD + "providers:\n  - {domain: '${URL}', applicationID: '${ID}', leeway: '${TIME}', algorithm: '${ALG}'}\n"
    environ = dict.fromkeys(["URL", "ID", "TIME", "ALG"], "hunter2 {")
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.yaml", environ)
    assert len(caught.value.problems) == 4
    assert "hunter2" not in caught.value.render() + repr(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Not to be read is a problem of the file too."""
    path = tmp_path / "gateway.yaml"
    with pytest.raises(ConfigError, match=r"gateway\.yaml:1:1: error: the file cannot be read: No such file"):
        load_config(path, {})
    with pytest.raises(ConfigError, match="the file cannot be read: Is a directory"):
        load_config(tmp_path, {})


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """UTF-8, and no more of it than the bound."""
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"version: 1\nrealm: \xff\n")
    with pytest.raises(ConfigError, match=r"gateway\.yaml:2:1: error: not UTF-8: save the file in that encoding"):
        load_config(path, {})
    path.write_bytes(b"a" + "é".encode() * MAX_FILE_BYTES)
    with pytest.raises(ConfigError, match=r"gateway\.yaml:1:1: error: larger than 1 MiB"):
        load_config(path, {})
