"""Every example of every page is run: files are loaded, commands give the output that stands below them."""

from __future__ import annotations

import http.client
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gateway.cli.group import cli
from gateway.cli.init import STARTERS
from gateway.config.document import parse_document
from gateway.config.load import parse_config
from tests.variables import read_examples

from .conftest import ENVIRONMENT, Live, settle
from .pages import (
    PAGES,
    ROOT,
    Block,
    find_block,
    list_anchors,
    list_blocks,
    list_code,
    list_links,
    list_rows,
    read_page,
)

README = ROOT / "README.md"
# Blocks that other tests of this folder run, by the role that stands behind their language.
OWN_TESTS = {
    "identity=api",
    "identity=organization",
    "reader",
    "base64url",
    "auth.config.ts",
    "token",
    "identity",
    "browser",
    "compose",
    "projected",
    "compose=snapshot",
    "snapshot",
    "probes",
    "refused",
    "live",
    "log=accepted",
    "log=refused",
    "tenants",
    "identity=tenant",
    "resource",
    "step-up",
    "envoy",
    "oauth2-proxy",
    "fastapi",
    "fastapi=after",
}
# What a file of the pages may refer to.
VARIABLES = {**ENVIRONMENT, "API": "https://my-api.example"}

MINIMAL = {
    "version": 1,
    "upstream": "http://backend:3000",
    "providers": [
        {
            "type": "customJwt",
            "name": "logto",
            "issuer": "https://tenant.logto.app/oidc",
            "jwks": "https://tenant.logto.app/oidc/jwks",
            "applicationID": "https://my-api.example",
        }
    ],
}


def name(block: Block) -> str:
    """Return the place of a block, as the name of its test."""
    return block.place


def select(language: str, *roles: str) -> list[Block]:
    """Return the blocks of this language and one of these roles."""
    return [block for block in list_blocks() if block.language == language and block.role.partition("=")[0] in roles]


def test_every_block_has_its_test():
    """An example that nobody runs is one that nobody mended."""
    known = {("sh", ""), ("console", ""), ("yaml", "file"), ("yaml", "fragment"), ("yaml", "broken")}
    stray = [
        f"{block.place} ({block.language} {block.role})"
        for block in list_blocks()
        if (block.language, block.role.partition("=")[0]) not in known and block.role not in OWN_TESTS
    ]
    assert not stray


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists of organizations that the pages name, in the working folder."""
    (tmp_path / "tenants.txt").write_text("org_1\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize("block", select("yaml", "file"), ids=name)
def test_files_are_good(block):
    """A whole file is loaded without a warning; one that is named is the very text of the repository."""
    _, has_path, path = block.role.partition("=")
    if has_path:
        assert block.text == (ROOT / path).read_text("utf-8")
    assert parse_config(block.text, "gateway.yaml", VARIABLES).warnings == ()


def merge(minimal: object, fragment: object) -> object:
    """Return a mapping with the keys of a fragment put over it; of providers, the first gets the keys of the first."""
    if isinstance(minimal, dict) and isinstance(fragment, dict):
        if fragment.keys() & {"domain", "preset"}:
            return fragment
        if fragment.keys() & {"audience", "allow_any_audience"}:
            minimal = {key: value for key, value in minimal.items() if key != "applicationID"}
        return {**minimal, **{key: merge(minimal.get(key), value) for key, value in fragment.items()}}
    if isinstance(minimal, list) and isinstance(fragment, list):
        return [merge(minimal[0], entry) for entry in fragment]
    return fragment


@pytest.mark.usefixtures("lists")
@pytest.mark.parametrize("block", select("yaml", "fragment"), ids=name)
def test_fragments_are_good(block):
    """Keys of an example are good in a file that has the others."""
    document = parse_document(block.text, block.place, VARIABLES)
    # Read as YAML alone, the second of two equal keys would win and nobody would know.
    assert document.problems == []
    merged = merge(MINIMAL, document.data)
    parse_config(yaml.safe_dump(merged, sort_keys=False), "gateway.yaml", VARIABLES)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_files_of_the_repository_are_good(path):
    """An example in ``config/`` is loaded without a mistake."""
    variables = {**VARIABLES, "UPSTREAM": "http://backend:3000", "ISSUER": "https://issuer.example/oidc"}
    variables |= {"JWKS": "https://issuer.example/oidc/jwks", "AUDIENCE": "https://my-api.example"}
    parse_config(path.read_text("utf-8"), str(path), variables)


# --- commands --------------------------------------------------------------------------------------------------------


def split_console(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with what stands below it."""
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = piece.partition("\n")
        yield command, output


def run_cli(command: str, folder: Path) -> tuple[str, int]:
    """Run a line of ``auth-gateway``, which may read a file by ``<`` and write one by ``>``."""
    words = shlex.split(command, comments=True)
    target = words[words.index(">") + 1] if ">" in words else None
    source = words[words.index("<") + 1] if "<" in words else None
    arguments = words[1 : min((words.index(mark) for mark in "<>" if mark in words), default=len(words))]
    text = (folder / source).read_text() if source else None
    result = CliRunner().invoke(cli, arguments, prog_name="auth-gateway", input=text, catch_exceptions=False)
    if target:
        (folder / target).write_text(result.stdout)
    return ("" if target else result.output), result.exit_code


def run_curl(command: str, live: Live) -> str:
    """Do what a curl line does, and return what it prints: ``-s``, ``-i``, ``-X`` and ``-H`` are known."""
    command = re.sub(r"\$\(cat ([\w-]+)\.jwt\)", lambda found: live.read_token(found[1]), command)
    words = shlex.split(command)[1:]
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    address, _, path = words[-1].removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection({"127.0.0.1:9090": live.admin}.get(address, live.address), timeout=10)
    try:
        connection.request(method, f"/{path}", headers=headers)
        answer = connection.getresponse()
        body = str(answer.read(), "utf-8")
    finally:
        connection.close()
    head = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{key}: {value}" for key, value in answer.getheaders()), ""]
    return "\n".join([*(head if any("i" in word for word in words if re.fullmatch("-[si]+", word)) else []), body])


@pytest.mark.parametrize(
    "block", [block for block in select("console", "") if not block.place.startswith("docs/providers/")], ids=name
)
def test_commands_print_what_stands_below_them(block, folder, live):
    """The output in the pages is that of the command, word for word but for times and ids."""
    addresses = ((live.address, "127.0.0.1:8080"), (live.admin, "127.0.0.1:9090"))
    for broken in select("yaml", "broken"):
        (folder / "broken.yaml").write_text(broken.text)
    for command, output in split_console(block.text):
        if command.startswith("curl "):
            printed = run_curl(command, live)
        else:
            assert command.startswith("auth-gateway "), command
            printed, _ = run_cli(command, folder)
        assert settle(printed, addresses) == settle(output), command


@pytest.mark.parametrize("block", select("sh", ""), ids=name)
def test_commands_work(block, folder):
    """Every line of ``auth-gateway`` that ends by itself does so with yes, every target of ``make`` is there."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in block.text.splitlines():
        command = line.strip().removeprefix(".venv/bin/")
        words = shlex.split(command, comments=True)
        if words[:1] == ["make"]:
            assert words[1] in targets
        elif words[:1] == ["auth-gateway"] and words[1] not in ("serve", "demo", "health"):
            output, code = run_cli(command, folder)
            assert code == 0, f"{command}: {output}"


# --- the README ------------------------------------------------------------------------------------------------------


def test_readme_names_every_command():
    """The table has the commands of ``--help``, no more and no fewer."""
    rows = list_rows(read_page(README), "command")
    assert [list_code(row[0])[0] for row in rows] == [f"auth-gateway {command}" for command in cli.list_commands(None)]


def test_readme_begins_with_what_to_do():
    """What it is, why, and two commands stand on the first screen."""
    first_screen = read_page(README).splitlines()[:40]
    assert "make demo" in "\n".join(first_screen)
    assert "docker compose up --build" in "\n".join(first_screen)


@pytest.mark.parametrize("idp", STARTERS)
def test_files_to_begin_with_are_good(folder, idp):
    """What ``init`` prints can be loaded as it is, once its variables are set."""
    output, code = run_cli(f"auth-gateway init --idp {idp}", folder)
    assert code == 0
    parse_config(output, "gateway.yaml", read_examples(output))


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    """A link inside of the repository names a file that is there, and an anchor that it has."""
    for link in list_links(path):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in list_anchors(target), link


def test_every_page_is_in_the_index():
    """A page that no index names is a page that nobody finds."""
    index = ROOT / "docs" / "README.md"
    assert {link.partition("#")[0] for link in list_links(index)} >= {
        path.name for path in PAGES if path.parent == index.parent and path != index
    }
    assert find_block(README, "identity=api").language == "json"
