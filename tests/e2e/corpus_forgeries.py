"""What an attacker may make of tokens, and a careless issuer of their text: pairs of a name and a token."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.e2e.corpus_tokens import Tokens, issue, show, signer
from tests.signing import (
    ABSENT,
    decode,
    encode,
    make_claims,
    make_header,
    make_key,
    make_token,
    sign_token,
    sign_with_secret,
    to_octets,
)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def forge() -> Tokens:
    good, claims = issue(), make_claims(sub="admin")
    signing_input, _, signature = good.rpartition(".")
    for name in ("none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "ES256K", "Ed448", "Ed25519", "ML-DSA-44"):
        header = encode(to_octets(make_header(signer(), alg=name)))
        yield f"alg {name!r} and no signature", f"{header}.{encode(to_octets(claims))}."
        yield f"alg {name!r} and a signature", issue({"alg": name})
    for value in (ABSENT, None, 256, ["ES256"], {"alg": "ES256"}, True):
        yield f"alg {show(value)}", issue({"alg": value})
    rsa = signer("RS256")
    jwk = json.dumps({**rsa.public, "alg": "RS256"}).encode()
    secrets = {"JWK": jwk, "modulus": decode(rsa.public["n"]), "nothing": b""}
    for name, secret in {**secrets, "PEM": rsa.key.as_pem(private=False)}.items():
        yield f"HS256 with {name}", sign_with_secret(secret, make_header(rsa, alg="HS256"), claims)
    attacker = replace(make_key("ES256", "attacker"), kid="ES256")
    certificate = base64.b64encode(b"0\x82").decode()
    headers = [{}, {"kid": "attacker"}, {"kid": ABSENT}, {"jku": "https://evil.example/jwks"}, {"x5c": [certificate]}]
    headers += [{"jwk": attacker.public}, {"jwk": attacker.public, "kid": ABSENT}, {"x5u": "https://evil.example/x"}]
    for header in headers:
        said = ", ".join(f"no {name}" if value is ABSENT else name for name, value in header.items())
        yield f"the attacker's key with {said or 'the right kid'}", make_token(attacker, header, sub="admin")
    yield "another payload", f"{signing_input.split('.')[0]}.{encode(to_octets(claims))}.{signature}"
    yield "another header", f"{encode(to_octets(make_header(signer(), x=1)))}.{signing_input.split('.')[1]}.{signature}"


def vary_signatures() -> Tokens:
    signing_input, _, text = issue().rpartition(".")
    octets = decode(text)
    r, s = int.from_bytes(octets[:32]), int.from_bytes(octets[32:])
    signatures = {
        "none": b"",
        "zeros": bytes(64),
        "ones": b"\xff" * 64,
        "too short": octets[:-1],
        "too long": octets + b"\0",
        "DER": encode_dss_signature(r, s),
        "halves swapped": octets[32:] + octets[:32],
        "other s, as valid": octets[:32] + (P256_ORDER - s).to_bytes(32),
        "r beyond the order": (r + P256_ORDER).to_bytes(33)[-32:] + octets[32:],
        "of another token": decode(issue(sub="user-2").rpartition(".")[2]),
        "of an ES384 key": signer("ES384").sign(signing_input.encode()),
        "huge": bytes(5000),
    }
    yield from ((name, f"{signing_input}.{encode(signature)}") for name, signature in signatures.items())


def _sign_text(signing_input: str) -> str:
    """Return a token over a text that its issuer spelled as it stands."""
    return f"{signing_input}.{encode(signer().sign(signing_input.encode()))}"


def _pad(part: str) -> str:
    return part + "=" * (-len(part) % 4)


def _set_stray_bit(part: str) -> str:
    """Return another spelling of the same octets: the last character has bits that nobody reads."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


def vary_spellings() -> Tokens:
    good = issue()
    header, payload, signature = good.split(".")
    counts = {1: payload, 2: f"{header}.{payload}", 4: f"{good}.{signature}", 5: f"{good}.{payload}.{signature}"}
    yield from ((f"{count} part(s)", text) for count, text in counts.items())
    yield "5 empty parts", "...."
    yield "3 empty parts", ".."
    yield "a dot before", f".{good}"
    yield "a dot behind", f"{good}."
    yield "no header", _sign_text(f".{payload}")
    yield "no payload", _sign_text(f"{header}.")
    yield "JSON serialization", json.dumps({"payload": payload, "protected": header, "signature": signature})
    odd = encode(to_octets(make_claims(sub="???>>>~~~")))
    assert set("-_") & set(odd)
    padded = encode(to_octets(make_claims(pad="x"))), encode(to_octets(make_claims(pad="xx")))
    spare = next(part for part in padded if len(part) % 4)
    for name, text in {"base64": odd.replace("-", "+").replace("_", "/"), "padded": _pad(spare)}.items():
        yield f"payload in {name}", _sign_text(f"{header}.{text}")
    yield "payload with a stray bit", _sign_text(f"{header}.{_set_stray_bit(spare)}")
    yield "payload of an impossible length", _sign_text(f"{header}.{spare}{'A' * (5 - len(spare) % 4)}")
    yield "payload with a space", _sign_text(f"{header}.{payload[:8]} {payload[8:]}")
    yield "payload with a tab", _sign_text(f"{header}.{payload[:8]}\t{payload[8:]}")
    yield "payload with a tilde", _sign_text(f"{header}.~{payload}")
    # The signature is not signed: whoever has a token can spell this part otherwise.
    yield "signature padded", f"{header}.{payload}.{_pad(signature)}"
    yield "signature with a stray bit", f"{header}.{payload}.{_set_stray_bit(signature)}"
    yield "signature in base64", _find_base64_signature()
    yield "signature with a tab", f"{header}.{payload}.{signature[:9]}\t{signature[9:]}"


def _find_base64_signature() -> str:
    signature = ""
    while not set("-_") & set(signature):
        token = issue()
        signature = token.rpartition(".")[2]
    return token.removesuffix(signature) + signature.replace("-", "+").replace("_", "/")


def vary_payload_json() -> Tokens:
    header, claims = make_header(signer()), make_claims()
    body = json.dumps(claims).encode()
    payloads: dict[str, bytes] = {
        "spaces and line breaks": json.dumps(claims, indent=4).encode().replace(b"\n", b"\r\n\t"),
        "space around": b" \n" + body + b"\t ",
        "escaped names": body.replace(b'"sub"', b'"\\u0073ub"'),
        "a member twice, equal": body[:-1] + b', "sub": "user-1"}',
        "a member twice, other": b'{"sub": "admin", ' + body[1:],
        "a member twice, escaped": b'{"\\u0073ub": "admin", ' + body[1:],
        "a member twice, inside": body[:-1] + b', "x": [{"a": 1, "a": 2}]}',
        "byte order mark": b"\xef\xbb\xbf" + body,
        "UTF-16": json.dumps(claims).encode("utf-16"),
        "Latin-1": body[:-1] + b', "x": "\xe9"}',
        "overlong UTF-8": body[:-1] + b', "x": "\xc0\xaf"}',
        "surrogate in UTF-8": body[:-1] + b', "x": "\xed\xa0\x80"}',
        "surrogate escaped": body[:-1] + b', "x": "\\ud800"}',
        "surrogate escaped in a name": body[:-1] + b', "\\ud800": 1}',
        "surrogate pair escaped": body[:-1] + b', "x": "\\ud83d\\ude00"}',
        "a control character": body[:-1] + b', "x": "\x01"}',
        "a null octet behind": body + b"\0",
        "trailing comma": body[:-1] + b",}",
        "a comment": body[:-1] + b"/**/}",
        "single quotes": body.replace(b'"', b"'"),
        "two objects": body + body,
        "cut": body[:-1],
        "NaN": body[:-1] + b', "x": NaN}',
        "a leading zero": body[:-1] + b', "x": 01}',
        "a number beyond doubles": body[:-1] + b', "x": 1e999}',
        "a number of 4000 digits": body[:-1] + b', "x": ' + b"9" * 4000 + b"}",
        "a number of 5000 digits": body[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        "an array": b"[" + body + b"]",
        "a string": json.dumps(json.dumps(claims)).encode(),
        "null": b"null",
        "a number": b"5",
        "nothing": b"",
        "an empty object": b"{}",
    }
    for depth in (8, 31, 32, 100, 3000):
        payloads[f"{depth} levels"] = body[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    yield from ((name, sign_token(signer(), header, payload)) for name, payload in payloads.items())


def vary_header_json() -> Tokens:
    header, claims = make_header(signer()), make_claims()
    head = json.dumps(header).encode()
    headers: dict[str, bytes] = {
        "spaces and line breaks": json.dumps(header, indent=4).encode(),
        "alg twice": b'{"alg": "none", ' + head[1:],
        "alg twice, none last": head[:-1] + b', "alg": "none"}',
        "kid twice": head[:-1] + b', "kid": "ES256"}',
        "an array": b"[" + head + b"]",
        "null": b"null",
        "a string": b'"ES256"',
        "byte order mark": b"\xef\xbb\xbf" + head,
        "Latin-1": head[:-1] + b', "x": "\xe9"}',
        "nothing": b"",
    }
    yield from ((name, sign_token(signer(), octets, claims)) for name, octets in headers.items())
