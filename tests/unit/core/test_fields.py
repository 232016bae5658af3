"""Header fields: folded names, lists, Connection, Forwarded."""

from __future__ import annotations

import pytest

from gateway.core.fields import (
    HOP_BY_HOP,
    TOKEN,
    FieldSet,
    build_forwarded_node,
    fold_name,
    select_values,
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
    assert not fields.values(b"other")
    assert fields.has_any(frozenset({b"connection", b"b"}))
    assert not fields.has_any(frozenset({b"Connection", b"b"}))
    assert fields.size == sum(len(name) + len(value) for name, value in pairs)


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
