"""Whatever stands where a token may stand: one token is found, or a refusal; and what is taken out is gone."""

from __future__ import annotations

import re
import urllib.parse

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, Reason
from gateway.core.fields import FieldSet
from gateway.core.places import AUTHORIZATION, PlaceKind, TokenPlace, find_credentials
from gateway.proxy.carried_tokens import CarriedTokens

from .test_core import attempt

PLACES = (
    AUTHORIZATION,
    TokenPlace(PlaceKind.COOKIE, "s"),
    TokenPlace(PlaceKind.QUERY, "s"),
    TokenPlace(PlaceKind.WEBSOCKET_PROTOCOL),
)
carrying = st.lists(
    st.sampled_from([b"s", b"=", b"S=t", b"s=t", b";", b"; ", b",", b'"', b" ", b"&", b"%73=t", b"bearer", b"t", b"x"]),
    max_size=8,
).map(b"".join)


@given(carrying, carrying, carrying)
@example(b'x="; s=t"; s=t', b"", b"")
@example(b"", b"%73=t", b"bearer, t")
def test_no_token_goes_past_the_one_that_was_found(cookie, query, protocols):
    """A careless reader finds no second token in what one was found in, and what is taken out is not found again."""
    upgrade = (b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Protocol", protocols)
    fields, target = FieldSet([(b"Cookie", cookie), *upgrade]), f"/?{query.decode()}"
    found = attempt(find_credentials, PLACES, target, fields)
    if isinstance(found, GatewayError):
        assert found.reason in (Reason.MULTIPLE_CREDENTIALS, Reason.MALFORMED_CREDENTIALS)
        return
    careless = [
        *re.findall(rb'(?:^|[;," ])s *=', cookie),
        *(
            key
            for key, _ in urllib.parse.parse_qsl(query.decode().replace(";", "&"), keep_blank_values=True)
            if key == "s"
        ),
        *re.findall(rb"(?:^|,) *bearer *(?:,|$)", protocols),
    ]
    assert len(careless) == (found.place is not None)
    carried = CarriedTokens(PLACES, forward_token=False)
    lines = carried.cut_lines([b"Cookie: " + cookie, b"Sec-WebSocket-Protocol: " + protocols], fields)
    left = FieldSet([*((name, value) for name, _, value in (line.partition(b": ") for line in lines)), *upgrade[:2]])
    assert find_credentials(PLACES, carried.cut_target(target), left) == ((), None)
