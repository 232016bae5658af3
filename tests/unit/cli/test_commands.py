"""The commands that need no network: their answers, streams and exit codes."""

import json

import pytest
import yaml
from click.testing import CliRunner

from gateway import __version__
from gateway.cli.group import _COMMANDS, cli
from gateway.cli.init import STARTERS
from gateway.config.load import parse_config
from tests.variables import read_examples

from .conftest import sign

HELP = [
    [],
    *([name] for name in _COMMANDS if name != "health"),
    ["config", "show"],
    ["demo", "issuer"],
    ["demo", "client"],
]


@pytest.mark.parametrize("path", HELP, ids=lambda path: " ".join(path) or "group")
def test_help_fits_a_screen_and_shows_an_example(run, path):
    """Somebody who asks for help sees all of it, and a line to paste."""
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert len(result.output.splitlines()) <= 40


@pytest.mark.parametrize("group", [[], ["config"], ["demo"]], ids=lambda path: " ".join(path) or "group")
def test_no_line_of_a_list_of_commands_is_cut(run, group):
    """Half a sentence and three dots help nobody."""
    assert "..." not in run(*group, "--help").output.partition("Commands:")[2]


def test_group_says_of_each_command_what_it_says_of_itself():
    """The group's list is written by hand, so that help imports nothing; it must not drift."""
    context = cli.make_context("auth-gateway", ["version"])
    for name, text in _COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(limit=200) == text


def test_help_names_the_exit_codes(run):
    """Scripts depend on them."""
    assert "0 yes, 1 the answer is no, 2 wrong usage, 3 could not find out" in run("-h").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["check", "--nonsense"],
        ["check", "absent.yaml"],
        ["explain"],
        ["explain", "a.b.c", "--request-id", "x"],
        ["explain", "--request-id", "x", "--offline"],
        ["explain", "--request-id", "x", "--path", "/"],
        ["explain", "--request-id", "x", "--at", "1"],
    ],
)
def test_wrong_usage_is_2(run, arguments):
    """A mistake of the caller's is no answer."""
    assert run(*arguments).exit_code == 2


def test_no_file_anywhere_is_wrong_usage(run, folder):
    """The message names the places and two ways out."""
    (folder / "gateway.yaml").unlink()
    result = run("check")
    assert result.exit_code == 2
    assert "gateway.yaml nor /etc/auth-gateway/gateway.yaml" in result.stderr
    assert "-c" in result.stderr
    assert "init" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["check"], {}, "gateway.yaml"),
        (["check"], {"AUTH_GATEWAY_CONFIG": "two.yaml"}, "two.yaml"),
        (["-c", "three.yaml", "check"], {"AUTH_GATEWAY_CONFIG": "two.yaml"}, "three.yaml"),
        (["check", "-c", "three.yaml"], {"AUTH_GATEWAY_CONFIG": "two.yaml"}, "three.yaml"),
        (["-c", "two.yaml", "check", "-c", "three.yaml"], {}, "three.yaml"),
        (["-c", "two.yaml", "check", "four.yaml"], {}, "four.yaml"),
    ],
)
def test_file_is_the_nearest_that_is_named(run, folder, arguments, environment, expected):
    """Argument before option, option before environment, environment before the default; the later option wins."""
    text = (folder / "gateway.yaml").read_text()
    for name in ("two", "three", "four"):
        (folder / f"{name}.yaml").write_text(text)
    result = run(*arguments, env=environment)
    assert result.output.startswith(f"{expected}: good")


def test_check_sums_up_a_good_file(run):
    """What a reader wants to know at a glance: who is believed, for what, and where requests go."""
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:4] == [
        "gateway.yaml: good",
        "  listen    127.0.0.1:8080, admin 127.0.0.1:9090",
        "  upstream  http://127.0.0.1:3000",
        "  provider  api: https://tenant.logto.app/oidc for https://my-api.example",
    ]


def test_check_says_every_mistake_at_once(run, folder):
    """Mistakes go to stderr with line and caret; the answer is no."""
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(text.replace("applicationID: urn", "applicationId: urn").replace("GET", "get"))
    result = run("check")
    assert result.exit_code == 1
    assert "gateway.yaml:21:" in result.stderr
    assert "applicationID" in result.stderr
    assert "^" in result.stderr
    assert "mistake" in result.stdout


def test_strict_takes_warnings_for_errors(run, folder):
    """A pipeline may want no doubts."""
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(text.replace("https://remote.example", "http://remote.example"))
    lenient, strict = run("check", "-o", "json"), run("check", "--strict", "-o", "json")
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert {problem["severity"] for problem in json.loads(lenient.stdout)["problems"]} == {"warning"}
    assert {problem["severity"] for problem in json.loads(strict.stdout)["problems"]} == {"error"}


def test_check_counts_warnings_apart(run, folder):
    """A doubt is no mistake, unless it was asked to be."""
    text = (folder / "gateway.yaml").read_text().replace("https://remote.example", "http://remote.example")
    (folder / "gateway.yaml").write_text(text.replace("methods: [GET]", "methods: [get]"))
    assert run("check").stdout == "gateway.yaml: 1 mistake, 2 warnings\n"
    assert run("check", "--strict").stdout == "gateway.yaml: 3 mistakes\n"
    (folder / "gateway.yaml").write_text(text)
    assert run("check").stdout.startswith("gateway.yaml: good, 2 warnings\n")


def test_check_looks_for_the_files_that_are_named(run, folder):
    """A path that is wrong is found before the start; the file may be another machine's, so it is a warning."""
    (folder / "keys.json").unlink()
    lenient, strict = run("check"), run("check", "--strict")
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "gateway.yaml:10:11: warning: providers[0].jwks: keys.json: no such file" in lenient.stderr
    assert strict.stdout == "gateway.yaml: 4 mistakes\n"


def test_check_as_json(run, folder):
    """Programs get places and messages, good or not."""
    good = json.loads(run("check", "-o", "json").stdout)
    assert (good["schema"], good["valid"], good["problems"], good["routes"]) == (1, True, [], 6)
    assert good["providers"][0]["audiences"] == ["https://my-api.example"]
    (folder / "gateway.yaml").write_text("version: 2\n")
    bad = json.loads(run("check", "-o", "json").stdout)
    assert bad["valid"] is False
    assert {"severity", "line", "column", "message"} == set(bad["problems"][0])


def test_explain_with_a_broken_file_could_not_find_out(run, folder):
    """Nothing is said of the token, so neither yes nor no."""
    (folder / "gateway.yaml").write_text("version: 2\n")
    result = run("explain", "a.b.c")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "gateway.yaml:1:" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hints"),
    [
        ([], ["This is about GET /, as no request is named: name the one that was refused with --method and --path."]),
        (["--path", "/"], []),
        (["--path", "/nowhere"], []),
        (
            ["--path", "/orders/?page=2"],
            [
                (
                    "Only the slash at the end differs: /orders?page=2 is matched by /orders (gateway.yaml:51). "
                    "Ask for that path, or add a rule for this one."
                )
            ],
        ),
    ],
)
@pytest.mark.parametrize("token", ["opaque", sign({})])
def test_explain_says_what_a_path_without_a_rule_lacks(run, folder, arguments, hints, token):
    """Whatever the token: the request was not named, or the rule is there but for a slash."""
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(f"{text}default_access: deny\n")
    document = json.loads(run("explain", token, "--offline", "-o", "json", *arguments).stdout)
    assert document["reason"] == "no_route"
    first = (
        "No rule under gateway.yaml:46 matches this path, and default_access is deny: add a rule for it, or ask for "
        "another path."
    )
    assert document["hints"] == [first, *hints]


@pytest.mark.parametrize("time", ["tomorrow", "2027-13-01"])
def test_explain_refuses_a_time_it_cannot_read(run, time):
    """A guessed time would give a wrong answer."""
    assert run("explain", "a.b.c", "--at", time).exit_code == 2


def test_serve_with_a_broken_file_says_so_and_ends(run, folder):
    """Exit code 1, mistakes on stderr, nothing on stdout."""
    (folder / "gateway.yaml").write_text("version: 2\n")
    result = run("serve")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "gateway.yaml:1:" in result.stderr


def test_config_show_is_what_holds(run, folder):
    """Defaults and variables are in place, and what it prints is a file again."""
    text = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text(text.replace("127.0.0.1:8080", "127.0.0.1:${PORT}"))
    result = run("config", "show", env={"PORT": "8081"})
    assert result.exit_code == 0
    shown = yaml.safe_load(result.stdout)
    assert (shown["listen"], shown["shutdown_timeout"]) == ("127.0.0.1:8081", "25s")
    assert json.loads(run("config", "show", "-o", "json", env={"PORT": "8081"}).stdout) == shown


def test_config_show_of_a_broken_file_is_no_answer(run, folder):
    """Mistakes go to stderr, so that what is piped on is never half a file."""
    (folder / "gateway.yaml").write_text("version: 2\n")
    result = run("config", "show")
    assert (result.exit_code, result.stdout) == (1, "")


def test_config_schema_is_a_schema(run):
    """Editors take it as it is printed."""
    assert "providers" in json.loads(run("config", "schema").stdout)["properties"]


@pytest.mark.parametrize("idp", STARTERS)
def test_starter_is_a_good_file(run, idp):
    """What ``init`` prints can be served once the names are one's own; every key has its comment."""
    result = run("init", "--idp", idp)
    assert result.exit_code == 0
    assert not parse_config(result.stdout, "gateway.yaml", read_examples(result.stdout)).warnings
    assert yaml.safe_load(result.stdout)["version"] == 1


def test_version_both_ways(run):
    """For people and for programs."""
    assert run("version").output == f"auth-gateway {__version__}\n"
    assert run("-V").output == f"auth-gateway {__version__}\n"
    document = json.loads(run("version", "-o", "json").output)
    assert (document["schema"], document["version"]) == (1, __version__)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_calls_the_command(run, shell):
    """The script asks this very command for its words."""
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_AUTH_GATEWAY_COMPLETE" in result.stdout


def test_completion_offers_commands():
    """What the script asks for is answered."""
    environment = {"_AUTH_GATEWAY_COMPLETE": "bash_complete", "COMP_WORDS": "auth-gateway ex", "COMP_CWORD": "1"}
    result = CliRunner().invoke(cli, [], prog_name="auth-gateway", env=environment)
    assert "explain" in result.output


def test_colours_are_for_terminals_without_no_color(run):
    """https://no-color.org; a pipe never gets any."""
    assert "\x1b" not in run("explain", "x", "--offline").output
    assert "\x1b" in run("explain", "x", "--offline", color=True).output
    assert "\x1b" not in run("explain", "x", "--offline", color=True, env={"NO_COLOR": "1"}).output
