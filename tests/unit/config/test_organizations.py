"""Which organizations may call: lists in the file and beside it, and the service that is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.organizations import MAX_LIST_BYTES, parse_list
from gateway.config.problems import ConfigError
from gateway.config.settings import OrganizationCheckSettings
from gateway.core.organizations import OrganizationRules
from tests.unit.config.conftest import HEAD, PROVIDER, Complain, Load

URL = "https://directory.example/organizations/{organization}"


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ("{allow: org_1}", OrganizationRules(frozenset({"org_1"}))),
        ("{allow: [org_1, 'b c']}", OrganizationRules(frozenset({"org_1", "b c"}))),
        ("{deny: [org_1]}", OrganizationRules(None, frozenset({"org_1"}))),
        (f"{{check: {{url: '{URL}'}}}}", OrganizationRules(is_checked=True)),
    ],
)
def test_rules_are_those_of_the_file(load: Load, written: str, rules: OrganizationRules) -> None:
    """What is left out lets everyone in, and nothing else does."""
    assert load(tail=f"organizations: {written}\n").settings.policy.organizations == rules


def test_nothing_is_asked_of_organizations_by_default(load: Load) -> None:
    """Without the section there are no rules, no files and no service."""
    settings = load().settings
    assert settings.policy.organizations is None
    assert (settings.organization_files, settings.organization_check) == ((), None)
    checked = load(tail=f"organizations: {{check: {{url: '{URL}'}}}}\n").settings
    assert checked.organization_check == OrganizationCheckSettings(URL)


@pytest.mark.parametrize(
    ("tail", "problem"),
    [
        ("{}", "8:16: error: organizations: empty: write allow, deny or check, or remove the key"),
        (
            "{allow: []}",
            "8:24: error: organizations.allow: an empty list: write at least one entry, or remove the key",
        ),
        ("{allow: 5}", "8:24: error: organizations.allow: expected text: put it in quotes"),
        ("{deny: [a, {b: c}]}", "8:23: error: organizations.deny: expected text, not a mapping"),
        (
            "{deny: {path: a}}",
            "8:23: error: organizations.deny: expected a list of organizations, or {file: PATH}",
        ),
        ("{alow: a}", "8:17: error: organizations.alow: unknown key: did you mean allow?"),
        ("{check: {}}", "8:24: error: organizations.check.url: missing: write 'url: ...'"),
        (
            "{check: {url: 'https://a.example/o'}}",
            (
                "8:30: error: organizations.check.url: one segment of the path must be {organization}: "
                "https://host/organizations/{organization}"
            ),
        ),
        (
            f"{{check: {{url: '{URL}', cache: 0s}}}}",
            "8:95: error: organizations.check.cache: a duration of zero: write how long it may take at most",
        ),
        (
            f"{{check: {{url: '{URL.replace('https', 'http')}'}}}}",
            (
                "8:30: warning: organizations.check.url: over http, whoever is on the way says which organizations "
                "exist: write https"
            ),
        ),
    ],
)
def test_mistakes_are_told(load: Load, complain: Complain, tail: str, problem: str) -> None:
    """Each with its place and its remedy."""
    text = f"organizations: {tail}\n"
    if "warning" in problem:
        assert [str(warning) for warning in load(tail=text).warnings] == [f"f.yaml:{problem}"]
    else:
        assert complain(tail=text) == [problem]


@pytest.mark.parametrize(
    "url",
    [
        *("https://a.example/{organization}", "https://a.example/x/{organization}/status?full=1"),
        *("http://127.0.0.1:9/{organization}", "http://localhost/{organization}"),
    ],
)
def test_urls_that_can_be_asked(load: Load, url: str) -> None:
    """The organization is one whole segment of the path, wherever."""
    assert load(tail=f"organizations: {{check: {{url: '{url}'}}}}\n").warnings == ()


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://a.example/?o={organization}",
            "https://{organization}.example/",
            "https://a.example/x{organization}",
        ),
        *("https://a.example/{organization}x/y", "https://a.example/{organization}/{organization}"),
        *("https://a.example/{organization}?o={organization}", "https://a.example/{organization}#x", "{organization}"),
        *("ftp://a.example/{organization}", "https://a.example/{organisation}", "//a.example/{organization}"),
    ],
)
def test_urls_that_cannot_be_asked(complain: Complain, url: str) -> None:
    """In a host, a query or a part of a segment, an organization's name could be more than a name."""
    [problem] = complain(tail=f"organizations: {{check: {{url: '{url}'}}}}\n")
    assert "error: organizations.check.url: " in problem


@pytest.mark.parametrize(
    ("text", "organizations"),
    [
        ("", set()),
        ("org_1", {"org_1"}),
        ("org_1\n\norg_2\n", {"org_1", "org_2"}),
        ("\t org_1 \r\norg_1\r\n", {"org_1"}),
        ("# all\norg_1 # Acme\norg#2\n  #org_3", {"org_1", "org#2"}),
        ("a b\nÄ\n", {"a b", "Ä"}),
    ],
)
def test_a_list_has_one_a_line(text: str, organizations: set[str]) -> None:
    """Blanks around are none of it, a comment begins a line or follows a blank."""
    assert parse_list(text) == organizations


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """A file whose lists stand beside it."""
    path = tmp_path / "gateway.yaml"
    path.write_text(f"{HEAD}{PROVIDER}organizations: {{allow: {{file: in.txt}}, deny: {{file: out.txt}}}}\n")
    for name in ("in.txt", "out.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    return path


def test_lists_beside_the_file_are_read(write: Path) -> None:
    """By paths of the file's folder; a change of either is another configuration, by digest too."""
    loaded = load_config(write, {})
    assert loaded.settings.policy.organizations == OrganizationRules(frozenset({"in.txt"}), frozenset({"out.txt"}))
    assert loaded.settings.organization_files == (str(write.parent / "in.txt"), str(write.parent / "out.txt"))
    (write.parent / "out.txt").write_text("")
    again = load_config(write, {})
    assert again.settings.policy.organizations == OrganizationRules(frozenset({"in.txt"}))
    assert again.settings.digest != loaded.settings.digest


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no such file or directory"),
        (b"\xff", "not UTF-8: save the file in that encoding"),
        (b"org_1\norg\x00_2", "line 2 has a control character: write one organization a line"),
        (b"a" * (MAX_LIST_BYTES + 1), "more than 2 MiB: let a service be asked instead (check)"),
    ],
    ids=["absent", "latin", "control", "large"],
)
def test_a_list_that_cannot_be_read_is_a_mistake(write: Path, content: bytes | None, why: str) -> None:
    """It is told where the file names it, in one run with what else is wrong."""
    path = write.parent / "out.txt"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    write.write_text(write.read_text() + "zzz: 1\n")
    with pytest.raises(ConfigError) as refused:
        load_config(write, {})
    told = [problem for problem in refused.value.problems if problem.line == 8]
    assert [problem.message for problem in told] == [f"organizations.deny: {path}: {why}"]
    assert len(refused.value.problems) == 2


def test_a_pipe_is_no_list(write: Path) -> None:
    """Who opened one would wait for ever."""
    path = write.parent / "out.txt"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_config(write, {})
