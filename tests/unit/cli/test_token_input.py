"""What people paste in place of a token."""

import click
import pytest

from gateway.cli.token_input import LeftOut, clean_token, list_remedies, read_token_argument


@pytest.mark.parametrize(
    "text",
    [
        "aa.bb.cc",
        " aa.bb.cc\n",
        "Bearer aa.bb.cc",
        "bearer  aa.bb.cc",
        "Authorization: Bearer aa.bb.cc",
        '"aa.bb.cc"',
        "'Bearer aa.bb.cc'",
        'Bearer "aa.bb.cc"',
        "aa.\n  bb.cc",
    ],
)
def test_token_is_found_in_what_was_pasted(text):
    """Whatever came along is left out."""
    assert clean_token(text)[0] == "aa.bb.cc"


@pytest.mark.parametrize(
    ("text", "left_out", "remedies"),
    [
        (" aa.bb.cc\n", (), []),
        ("Bearer aa.bb.cc", (LeftOut.SCHEME,), ["with Bearer twice"]),
        ("'aa.bb.cc'", (LeftOut.QUOTES,), ["with quotes around"]),
        ("'Bearer aa.bb.cc'", (LeftOut.QUOTES, LeftOut.SCHEME), ["with quotes around", "with Bearer twice"]),
        ("aa.\nbb.cc", (LeftOut.SPACES,), ["with spaces or line breaks"]),
        ("Authorization: Bearer aa.bb.cc", (LeftOut.HEADER, LeftOut.SCHEME), []),
        ("Authorization: Bearer 'aa.bb.cc'", (LeftOut.QUOTES, LeftOut.HEADER, LeftOut.SCHEME), ["with quotes around"]),
    ],
)
def test_what_was_left_out_is_said(text, left_out, remedies):
    """The proxy would not be so kind, so the caller must know; a last line break is nobody's mistake."""
    assert clean_token(text)[1] == left_out
    listed = list_remedies(left_out)
    assert len(listed) == len(remedies)
    assert all(words in remedy for words, remedy in zip(remedies, listed, strict=True))


def test_token_is_read_from_a_file(tmp_path):
    """``@file`` keeps a token out of the shell's history."""
    (tmp_path / "token").write_text("aa.bb.cc\n")
    assert read_token_argument(f"@{tmp_path}/token") == "aa.bb.cc\n"


def test_a_file_without_its_sign_is_not_taken_for_a_token(tmp_path, monkeypatch):
    """``explain good.jwt`` would be told that good.jwt is no JWT, which is true and of no help."""
    monkeypatch.chdir(tmp_path)
    assert read_token_argument("good.jwt") == "good.jwt"
    (tmp_path / "good.jwt").write_text("aa.bb.cc\n")
    with pytest.raises(click.UsageError, match="write @good"):
        read_token_argument("good.jwt")


def test_a_token_may_be_longer_than_a_name():
    """The question whether there is such a file has no answer then."""
    assert read_token_argument("a" * 5000) == "a" * 5000


@pytest.mark.parametrize("argument", ["", " ", "@/nowhere/token"])
def test_no_token_is_wrong_usage(argument):
    """Without a token there is nothing to explain."""
    with pytest.raises(click.UsageError):
        read_token_argument(argument)
