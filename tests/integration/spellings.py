"""Spellings of paths, and how servers read them: each reader is written from how such a server works, not from ours."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

# What stands for one step up, to somebody.
_DOTS = (
    *("..", "%2e%2e", "%2E.", ".%2e", "%2e%2E", "..;", "..;x=1", "..%3b", "%2e%2e;x", "%2e%2e%3Bx", "..%00", "..%20"),
    *("%252e%252e", "%25252e%25252e", "%%32%65%%32%65", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%f0%80%80%ae."),
    *(
        "%u002e%u002e",
        "%2e%2e%5c",
        "..%2f",
        "..%5c",
        "..\\",
        "...",
        "....",
        "..%0a",
        "..%09",
        "%ef%bc%8e%ef%bc%8e",
        "..é",
    ),
)
# What stands for a slash.
_SLASHES = (
    *("//", "///", "/./", "/%2e/", "/.;/", "/;/", "/;x=1/", "%2f", "%2F", "%5c", "%5C", "\\", "/\\", "%252f", "%255c"),
    *("%c0%af", "%e0%80%af", "%f0%80%80%af", "%u2215", "%u002f", "%e2%88%95", "%ef%bc%8f", "/%00/", "%2f%2f", "/%20/"),
)
# One segment in other words.
_NAMES = (
    *("admin", "%61dmin", "%61%64%6d%69%6e", "%41dmin", "Admin", "ADMIN", "%2561dmin", "%25%36%31dmin", "admin%00"),
    *("admin;", "admin;x=1", "admin%3b", "admin%3Bx", ";admin", "admin%20", "admin%09", "admin.", "admin%2e", "admin~"),
    *(
        "%61%00dmin",
        "adm%69n%0d%0a",
        "a%64min%c2%a0",
        "admi%6E%ff",
        "%u0061dmin",
        "%c1%a1dmin",
        "%e0%81%a1dmin",
        "adm%ZZin",
    ),
    *(
        "%ef%bd%81dmin",
        "%C3%A1dmin",
        "admin%",
        "admin%6",
        "admin%3f",
        "admin%23",
        "admin#",
        "admin%26",
        "ad+min",
        "@admin",
    ),
)
_WHOLE = (
    *("/", "//", "/.", "/..", "/...", "/;", "/%2f", "/%5c", "/%2e%2e", "/?/admin/users", "/public/a?/../admin", "/%3f"),
    *(
        "/public/a;b",
        "/public/a;b=1;c/d",
        "/public/;",
        "/public;/a",
        "/public;x/admin",
        "/public/%3b",
        "/public/a%3Bb/c",
    ),
    *("/public/a..b", "/public/..a", "/public/.a", "/public/a.", "/public/a%20b", "/public/caf%C3%A9", "/public/~a"),
    *(
        "/public/a%2fb",
        "/public/a%5Cb",
        "/public/%e2%82%ac",
        "/public/a:b@c",
        "/public/a,b",
        "/public/a%2Cb",
        "/public/*",
    ),
    *(
        "/public/../admin/../public/a",
        "/admin/../public/a",
        "/./public/a",
        "/public/./a",
        "/public/a/.",
        "/public/a/..",
    ),
    *(
        "/public/a/../../admin",
        "/public/a/b/../../../admin/users",
        "/a/../../admin",
        "/../admin",
        "/%2e%2e/admin/users",
    ),
)


def _list_spellings() -> Iterator[str]:
    yield from _WHOLE
    for dots in _DOTS:
        yield f"/public/{dots}/admin/users"
        yield f"/admin/{dots}/public/a"
    for slash in _SLASHES:
        yield f"/public{slash}admin/users"
        yield f"/admin{slash}users"
        yield f"{slash}admin/users" if slash.startswith("/") else f"/{slash}admin/users"
    for name in _NAMES:
        yield f"/{name}/users"
        yield f"/{name}"
        yield f"/public/{name}"
    for slash, dots in itertools.product(("/", "%2f", "%5c", "\\"), ("..", "%2e%2e", "..;")):
        yield f"/public{slash}a{slash}{dots}{slash}{dots}{slash}admin"


SPELLINGS = tuple(dict.fromkeys(_list_spellings()))

Reader = Callable[[str], str | None]


def _decode(text: str) -> str | None:
    """Decode once, in UTF-8 alone; half an escape is refused."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return None
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _decode_loosely(text: str) -> str:
    """Decode what can be decoded, overlong forms and %u too, as servers did that know of no shortest form."""
    text = re.sub(r"%u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), text)
    octets = unquote_to_bytes(text)
    out, index = [], 0
    while index < len(octets):
        lead = octets[index]
        length = 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)
        value = lead if length == 1 else lead & (0x7F >> length)
        for octet in octets[index + 1 : index + length]:
            value = value << 6 | octet & 0x3F
        out.append(chr(value) if value < 0x110000 else "?")
        index += length
    return "".join(out)


def _walk(path: str) -> str:
    """Walk the dots, and drop empty segments."""
    walked: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            walked = walked[:-1]
        elif segment not in ("", "."):
            walked.append(segment)
    return "/" + "/".join(walked)


def clean(path: str) -> str:
    """Return a rooted path as ``path.Clean`` of Go does: its four rules in turn, until none fits."""
    for pattern, replacement in itertools.cycle(
        [
            (r"/{2,}", "/"),
            (r"/\.(?=/|\Z)", ""),
            (r"/(?!\.\.(?:/|\Z))[^/]+/\.\.(?=/|\Z)", ""),
            (r"\A(?:/\.\.)+(?=/|\Z)", ""),
        ]
    ):
        path = re.sub(pattern, replacement, path, count=1)
        if not re.search(r"//|/\.\.?(?:/|\Z)", path):
            return path.rstrip("/") or "/"
    raise AssertionError


def _read_literally(path: str) -> str | None:
    return _decode(path)


def _read_as_go(path: str) -> str | None:
    decoded = _decode(path)
    return None if decoded is None else clean(decoded)


def _read_as_python(path: str) -> str | None:
    decoded = _decode(path)
    return None if decoded is None else posixpath.normpath(decoded)


def _read_as_java(path: str) -> str | None:
    decoded = _decode("/".join(segment.partition(";")[0] for segment in path.split("/")))
    return None if decoded is None else _walk(decoded)


def _read_as_java_decoding_first(path: str) -> str | None:
    decoded = _decode(path)
    return None if decoded is None else _walk("/".join(part.partition(";")[0] for part in decoded.split("/")))


def _read_as_windows(path: str) -> str | None:
    return _walk(_decode_loosely(path).replace("\\", "/"))


def _read_twice(path: str) -> str | None:
    return _walk(_decode_loosely(_decode_loosely(path)))


def _read_as_c(path: str) -> str | None:
    return _walk(_decode_loosely(path).partition("\0")[0])


READERS: dict[str, Reader] = {
    "literally": _read_literally,
    "Go's path.Clean": _read_as_go,
    "posixpath.normpath": _read_as_python,
    "parameters cut, then decoded": _read_as_java,
    "decoded, then parameters cut": _read_as_java_decoding_first,
    "backslashes and overlong forms": _read_as_windows,
    "decoded twice": _read_twice,
    "ended by NUL": _read_as_c,
}
