"""Header fields: folded names, lists, Connection, Forwarded."""

from __future__ import annotations

import re

import pytest

from gateway.core.fields import (
    HOP_BY_HOP,
    INDEXED,
    TOKEN,
    FieldSet,
    build_forwarded_node,
    build_lines,
    build_name_pattern,
    fold_name,
    select_values,
    split_lines,
    split_list,
)


@pytest.mark.parametrize(
    "name",
    [b"X-Identity", b"x-identity", b"X_IDENTITY", b"x.identity", b"X-iDeNtItY", b"x~identity", b"x\xe9identity"],
)
def test_spellings_of_one_name_fold_together(name):
    """Whatever a CGI, WSGI or PHP application reads as one name is one name here (9700-2)."""
    assert fold_name(name) == b"x-identity"


@pytest.mark.parametrize("name", [b"X-Identit", b"XIdentity", b"X--Identity", b"X-Identity-", b"X-Identity2"])
def test_other_names_fold_apart(name):
    """Folding joins spellings of one name, not names."""
    assert fold_name(name) != b"x-identity"


def test_values_are_found_by_any_case_in_order():
    """RFC 9110, section 5.1: names are case-insensitive; section 5.3: order is kept."""
    fields = [(b"Cookie", b"a"), (b"Host", b"h"), (b"COOKIE", b"b"), (b"X-Cookie", b"c")]
    assert select_values(fields, b"cookie") == [b"a", b"b"]
    assert select_values(fields, b"accept") == []


@pytest.mark.parametrize(
    ("values", "elements"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], [b"a"]),
        ([b"A, b ,\tC"], [b"a", b"b", b"c"]),
        ([b",a,,b,"], [b"a", b"b"]),
        ([b"a", b"b, c"], [b"a", b"b", b"c"]),
    ],
    ids=["no-field", "empty", "one", "spaces-and-tabs", "empty-elements", "two-fields"],
)
def test_lists_are_split_at_commas(values, elements):
    """RFC 9110, section 5.6.1.2: empty elements are ignored; several fields are one list."""
    assert split_list(values) == elements


def test_a_field_set_finds_values_by_name():
    """RFC 9110, section 5.1: names in any case are one name; its values keep their order."""
    pairs = [(b"connection", b"close, X-Foo"), (b"A", b"1"), (b"Connection", b"x-bar")]
    fields = FieldSet(pairs)
    assert fields.pairs is pairs
    assert list(fields.values(b"connection")) == select_values(pairs, b"connection") == [b"close, X-Foo", b"x-bar"]
    assert fields.values(b"a") == [b"1"]
    assert not fields.values(b"other")


@pytest.mark.parametrize(("name", "attribute"), INDEXED.items(), ids=INDEXED.values())
def test_what_the_gateway_reads_is_indexed(name, attribute):
    """The same values as a search finds, of one name and no other, and none of another request."""
    pairs = [(name.upper(), b"1"), (b"x-" + name, b"2"), (name.title(), b"3"), (name.replace(b"-", b"_") + b"_", b"4")]
    fields = FieldSet(pairs)
    assert getattr(fields, attribute) == tuple(fields.values(name)) == (b"1", b"3")
    assert all(getattr(fields, other) == () for other in INDEXED.values() if other != attribute)
    assert getattr(FieldSet(), attribute) == ()


def test_another_spelling_is_not_indexed():
    """Folded names are for applications: to us, Transfer_Encoding frames nothing."""
    fields = FieldSet([(b"Transfer_Encoding", b"chunked"), (b"x.forwarded.for", b"a")])
    assert (fields.transfer_encoding, fields.x_forwarded_for) == ((), ())


FIELDS = {
    "none": (),
    "one": ((b"X-Identity", b"null"),),
    "two": ((b"X-Identity", b'{"a": "b: c"}'), (b"x_org", b"a b")),
    "same-name": ((b"A", b"1"), (b"A", b"2")),
    "empty-value": ((b"A", b""), (b"B", b"1")),
    "colon-in-value": ((b"A", b": :"),),
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_lines_are_fields_again(fields):
    """What goes out as ready lines is the same to whoever looks for a field."""
    assert split_lines(build_lines(fields)) == fields


def test_each_line_has_its_end():
    """RFC 9112, section 5: name, colon, value, CR LF."""
    assert build_lines([(b"X-A", b"1"), (b"b", b"")]) == b"X-A: 1\r\nb: \r\n"


NAMES = {
    "literals": [b"te", b"connection"],
    "one": [b"x-a"],
    "prefix": [b"te", b"x-a[^:\r\n]*"],
    "expression-first": [b"[^0-9a-z:\r\n]a", b"te"],
    "digit-first": [b"1a"],
}
FOUND = {
    "literals": [b"TE", b"cOnNeCtIoN"],
    "one": [b"X-a"],
    "prefix": [b"TE", b"X-a", b"x-A-b"],
    "expression-first": [b"TE", b"_A", b"-a"],
    "digit-first": [b"1A"],
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_found_in_a_header(case):
    """In any case, whole, and only where a line begins; whatever their first octet is."""
    names = [b"TE", b"X-a", b"cOnNeCtIoN", b"x-A-b", b"_A", b"-a", b"1A", b"t", b"tea", b"ate", b"Xx-a"]
    header = b"".join(b"\r\n%b: te: _a: x" % name for name in names)
    assert sorted(re.findall(build_name_pattern(NAMES[case]), header)) == sorted(FOUND[case])


def test_hop_by_hop_names_are_lower_case():
    """They are looked up by the lower-case name; Proxy-Authorization is consumed here (9110-2, 9110-16)."""
    assert all(name == name.lower() for name in HOP_BY_HOP)
    assert {b"connection", b"transfer-encoding", b"te", b"upgrade", b"proxy-authorization"} <= HOP_BY_HOP
    assert not {b"host", b"content-length", b"authorization", b"cookie"} & HOP_BY_HOP


@pytest.mark.parametrize("name", [b"X-A", b"!#$%&'*+-.^_`|~09azAZ"])
def test_tokens_are_visible_names(name):
    """RFC 9110, section 5.6.2."""
    assert TOKEN.fullmatch(name)


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\n", b"a\x00", b"\xc3\xa9", b'"a"', b"a,b", b"(a)"])
def test_anything_else_is_no_token(name):
    """RFC 9110, section 5.6.2: no delimiter, no control, no octet beyond ASCII (9110-6)."""
    assert not TOKEN.fullmatch(name)


@pytest.mark.parametrize(
    ("address", "node"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", '"[2001:db8::1]"'),
        ("2001:0DB8:0::1", '"[2001:db8::1]"'),
        ("fe80::1%eth0", '"[fe80::1]"'),
        ('fe80::1%";by=evil', '"[fe80::1]"'),
        ("", "unknown"),
        ("unix", "unknown"),
        ("192.0.2.1:80", "unknown"),
        ('1"\r\nX-Identity: null', "unknown"),
        ("0300.0.2.1", "unknown"),
    ],
    ids=["v4", "v6", "v6-normal-form", "zone", "zone-as-injection", "empty", "name", "port", "injection", "octal"],
)
def test_forwarded_nodes_cannot_break_out(address, node):
    """RFC 7239, section 6: IPv6 is bracketed and quoted; what is no address is ``unknown``, never copied (7239-1)."""
    assert build_forwarded_node(address) == node
