"""The pages of the identity providers: one for each preset, and ``explain`` on tokens of that very shape."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from gateway.config.load import parse_config
from gateway.config.presets import PRESETS
from tests.issuers import ISSUERS

from .conftest import NOW, settle
from .pages import (
    PROVIDERS,
    ROOT,
    Block,
    drop_blocks,
    find_block,
    list_blocks,
    list_code,
    list_links,
    list_rows,
    read_page,
)
from .test_examples import run_cli, split_console

INDEX = ROOT / "docs" / "providers" / "README.md"
PAGES = [path for path in PROVIDERS if path != INDEX]


def list_consoles() -> list[Block]:
    """Return the commands of all pages of providers."""
    return [block for block in list_blocks(*PAGES) if block.language == "console"]


def find_first_file(page: Path) -> str:
    """Return the file that a page begins with."""
    return next(block.text for block in list_blocks(page) if (block.language, block.role) == ("yaml", "file"))


def write_folder(page: Path, folder: Path) -> None:
    """Write the file of a page, but for its keys, which are beside it, and tokens of its provider."""
    issuer = ISSUERS[page.stem]
    text = re.sub(r"^    jwks: .*\n", "", find_first_file(page), flags=re.MULTILINE)
    (folder / "gateway.yaml").write_text(f"{text}    jwks: file:keys.json\n")
    (folder / "keys.json").write_text(json.dumps({"keys": [issuer.key.public]}))
    (folder / "good.jwt").write_text(issuer.make_token(NOW))
    for name in issuer.mistakes:
        (folder / f"{name}.jwt").write_text(issuer.make_mistake(NOW, name))


def test_each_preset_has_its_page():
    """In the same order in the index, with the parameters that it needs."""
    assert {page.stem for page in PAGES} == set(PRESETS)
    rows = list_rows(read_page(INDEX), "preset")
    assert [list_code(row[0])[0] for row in rows] == list(PRESETS)
    assert [link for link in list_links(INDEX) if link.endswith(".md")][: len(PAGES)] == [
        f"{name}.md" for name in PRESETS
    ]
    for name, row in zip(PRESETS, rows, strict=True):
        keys = {key for shape in PRESETS[name] for key in [*(each.name for each in shape.parameters), *shape.needs]}
        assert set(list_code(row[1])) == keys, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_about_its_preset(page):
    """Its files use it, and it shows what ``explain`` says to a mistake."""
    files = [block for block in list_blocks(page) if (block.language, block.role) == ("yaml", "file")]
    for block in files:
        assert {entry["preset"] for entry in yaml.safe_load(block.text)["providers"]} == {page.stem}
    assert any("REFUSED" in block.text for block in list_blocks(page) if block.language == "console")


def list_lines() -> list[tuple[Path, str]]:
    """Return the lines of YAML in the prose of each page."""
    prose = [(page, code) for page in PAGES for code in list_code(drop_blocks(read_page(page)))]
    return [(page, code) for page, code in prose if re.match(r"[A-Za-z_]+: ", code)]


@pytest.mark.parametrize(("page", "line"), list_lines(), ids=lambda value: getattr(value, "stem", value))
def test_what_may_stand_beside_the_preset_may(page, line):
    """Such a line is one of the provider, or of a route, and good there."""
    file, keys = yaml.safe_load(find_first_file(page)), yaml.safe_load(line)
    if "require" in keys:
        file["routes"] = [{"path": "/**", **keys}]
    else:
        file["providers"][0] |= keys
    parse_config(yaml.safe_dump(file), "gateway.yaml", {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_good_token_is_accepted(page, folder):
    """The file of the page takes what the provider gives out."""
    write_folder(page, folder)
    output, code = run_cli("auth-gateway explain @good.jwt --at 2027-01-15T08:00:00Z", folder)
    assert code == 0, output


@pytest.mark.parametrize("block", list_consoles(), ids=lambda block: block.place)
def test_explain_says_what_stands_on_the_page(block, folder):
    """Word for word."""
    write_folder(ROOT / block.place.partition(":")[0], folder)
    for command, output in split_console(block.text):
        assert settle(run_cli(command, folder)[0]) == settle(output), command


def test_the_pod_asks_for_the_audience_of_the_file():
    """The volume of the page of Kubernetes gives just the token that its file takes."""
    page = ROOT / "docs" / "providers" / "kubernetes.md"
    [volume] = yaml.safe_load(find_block(page, "projected").text)["volumes"]
    [source] = volume["projected"]["sources"]
    [provider] = yaml.safe_load(find_block(page, "file").text)["providers"]
    assert source["serviceAccountToken"]["audience"] == provider["applicationID"]
