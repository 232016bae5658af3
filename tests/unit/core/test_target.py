"""The request-target: one reading, or refused."""

from __future__ import annotations

import pytest

from gateway.core.errors import Reason, RequestRefused
from gateway.core.target import cut_parameters, get_path, parse_target, split_segments

HOST = b"api.example"


def refuse_target(raw, *, method="GET", host=HOST):
    with pytest.raises(RequestRefused) as refused:
        parse_target(method, raw, [] if host is None else [host])
    assert refused.value.reason is Reason.AMBIGUOUS_PATH


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("/a/b?x=/../%00", "/a/b"),
        ("/a//b/./../c", "/a//b/./../c"),
        ("/%2e%2E/%2F%zz", "/%2e%2E/%2F%zz"),
        ("//other.example/a", "//other.example/a"),
        ("/!\"$%&'()*+,-./:;<=>@[]^_`{|}~", "/!\"$%&'()*+,-./:;<=>@[]^_`{|}~"),
        ("/a?", "/a"),
        ("/a??b?c", "/a"),
    ],
    ids=["root", "query", "dots", "escapes", "two-slashes", "visible", "empty-query", "more-question-marks"],
)
def test_origin_form_is_forwarded_as_received(raw, path):
    """RFC 9110, section 7.1: where the path decides nothing, every spelling passes, byte for byte (9110-11)."""
    assert parse_target("GET", raw, [HOST]) == raw
    assert get_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "a",
        "?a",
        "*",
        "**",
        "api.example:443",
        "/a#b",
        "/#",
        "/a\\b",
        "/a b",
        "/a\tb",
        "/a\r\nX: y",
        "/a\x00",
        "/a\x7f",
        "/a\x80",
        "/é",
        "/\udc80",
        "/a%00",
        "/%00.css",
        "/a%00?b",
        "/a\n",
        "%2fa",
        "ftp://api.example/a",
        "http:/a",
        "http:///a",
        "http://u@api.example/",
        "http://api.example\\@x/",
        "http://api.example/a#b",
        "http://api.example /a",
        "http://api.example/a\n",
        "javascript:alert(1)",
        "http://",
    ],
)
def test_targets_with_two_readings_are_refused(raw):
    """RFC 9112, section 3.2: neither origin-form nor absolute-form of this host, or octets that readers cut at."""
    refuse_target(raw)


def test_the_asterisk_is_for_options_only():
    """RFC 9112, section 3.2.4."""
    assert parse_target("OPTIONS", "*", [HOST]) == get_path("*") == "*"
    refuse_target("*", method="GET")
    refuse_target("*?a", method="OPTIONS")
    refuse_target("*", method="options")


@pytest.mark.parametrize(
    ("raw", "origin_form"),
    [
        ("http://api.example/a?b", "/a?b"),
        ("https://api.example/a", "/a"),
        ("HTTP://API.example/A", "/A"),
        ("http://api.example", "/"),
        ("http://api.example?b", "/?b"),
        ("http://api.example//a", "//a"),
    ],
    ids=["http", "https", "case", "no-path", "query-only", "two-slashes"],
)
def test_absolute_form_of_this_host_is_its_origin_form(raw, origin_form):
    """RFC 9112, section 3.2.2: a server must accept it."""
    assert parse_target("GET", raw, [HOST]) == origin_form


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        ("http://other.example/", HOST),
        ("http://api.example:8080/", HOST),
        ("http://api.example/", b"api.example:80"),
        ("http://api.example./", HOST),
        ("http://api.example/", None),
        ("http://api.example/", b""),
        ("http://api.example,other.example/", HOST),
        ("http://api.example/", b"\xff"),
    ],
    ids=["name", "port", "default-port", "trailing-dot", "no-host", "empty-host", "list", "any-octet"],
)
def test_absolute_form_of_another_host_is_refused(raw, host):
    """RFC 9112, section 3.2.2 lets the target win over Host; the upstream would then see a host nobody asked us for."""
    refuse_target(raw, host=host)


def test_absolute_form_is_read_like_origin_form():
    """What is refused in a path is refused in a URL."""
    refuse_target("http://api.example/a%00")
    refuse_target("http://api.example/é")


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", ("",)),
        ("/a", ("a",)),
        ("/a/", ("a", "")),
        ("/a/b", ("a", "b")),
        ("/a.b/...", ("a.b", "...")),
        ("/.well-known/x", (".well-known", "x")),
        ("/%61%2Db", ("a-b",)),
        ("/%C3%A9", ("é",)),
        ("/100%25", ("100%",)),
        ("/%25zz", ("%zz",)),
        ("/a;v=1/b", ("a;v=1", "b")),
        ("/..a/b..", ("..a", "b..")),
        ("/%2A", ("*",)),
        ("/%3F%23", ("?#",)),
        ("/a+b%20c", ("a+b c",)),
    ],
    ids=[
        "root",
        "one",
        "trailing-slash",
        "two",
        "dots-in-names",
        "leading-dot",
        "unreserved",
        "utf-8",
        "percent",
        "escaped-percent",
        "parameters",
        "dots-beside-text",
        "asterisk",
        "escaped-delimiters",
        "plus-and-space",
    ],
)
def test_segments_are_decoded_once(path, segments):
    """RFC 3986, section 2.4: escapes are data of their segment, decoded one time."""
    assert split_segments(path) == segments


AMBIGUOUS = {
    "dot": "/./a",
    "two-dots": "/a/../b",
    "last-dots": "/a/..",
    "escaped-dots": "/a/%2e%2e/b",
    "half-escaped-dots": "/a/.%2E/b",
    "escaped-dot": "/%2e/a",
    "dots-with-parameter": "/a/..;/b",
    "dots-with-escaped-parameter": "/a/..%3Bx=1/b",
    "dot-with-parameter": "/.;a/b",
    "double-escaped-dots": "/a/%252e%252e/b",
    "encoded-slash": "/a%2Fb",
    "encoded-slash-lower": "/a%2fb",
    "encoded-backslash": "/a%5Cb",
    "encoded-backslash-lower": "/a%5cb",
    "double-encoded-slash": "/a%252fb",
    "empty-first": "//a",
    "empty-inner": "/a//b",
    "empty-last": "/a//",
    "broken-escape": "/a%",
    "broken-escape-one-digit": "/a%2",
    "broken-escape-letters": "/a%zz",
    "broken-escape-unicode-digits": "/a%u002f",
    "overlong-slash": "/a%C0%AFb",
    "overlong-dots": "/%C0%AE%C0%AE/a",
    "latin-1": "/%E9",
    "encoded-surrogate": "/%ED%A0%80",
    "encoded-newline": "/a%0Ab",
    "encoded-tab": "/a%09",
    "encoded-delete": "/a%7F",
    "encoded-c1": "/a%C2%85",
}


@pytest.mark.parametrize("path", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_paths_on_which_servers_disagree_are_refused(path):
    """A rule for one reading must not be passed by another: dots, slashes, empty segments, broken escapes, controls."""
    with pytest.raises(RequestRefused) as refused:
        split_segments(path)
    assert refused.value.reason is Reason.AMBIGUOUS_PATH


def test_a_kept_encoded_slash_is_data_of_its_segment():
    """``encoded_slashes: keep``, for identifiers that hold slashes."""
    assert split_segments("/repo/a%2Fb/x", keep_encoded_slashes=True) == ("repo", "a/b", "x")


@pytest.mark.parametrize("path", ["/a%2F..%2Fb", "/..%2Fb", "/a%2f%2e", "/a%2F..;x", "/a%5Cb", "/a%255Cb"])
def test_a_kept_encoded_slash_opens_no_way_up(path):
    """An upstream that decodes it would walk the dots beside it; a backslash is never data."""
    with pytest.raises(RequestRefused) as refused:
        split_segments(path, keep_encoded_slashes=True)
    assert refused.value.reason is Reason.AMBIGUOUS_PATH


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (("a", "b"), ("a", "b")),
        (("a;x=1", "b;y;z"), ("a", "b")),
        (("a", ""), ("a", "")),
        ((";x",), ("",)),
        (("a", ";x"), ("a", "")),
    ],
)
def test_parameters_are_cut_off_each_segment(segments, expected):
    """RFC 3986, section 3.3: what a segment's parameters are, each server says for itself."""
    assert cut_parameters(segments) == expected


@pytest.mark.parametrize("segments", [(";x", "a"), ("a", ";", "b")])
def test_a_segment_of_parameters_alone_is_refused(segments):
    """To a server that cuts them it is empty, and such segments are merged or not."""
    with pytest.raises(RequestRefused, match="ambiguous_path"):
        cut_parameters(segments)
