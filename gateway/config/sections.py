"""The sections of the file that are no lists: listeners, upstream, identity, limits, timeouts, streams."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from gateway.config.addresses import parse_upstream
from gateway.config.names import parse_header_name
from gateway.config.scalars import (
    Count,
    Duration,
    Flag,
    PositiveDuration,
    Size,
    SizeOrUnlimited,
    Text,
    Texts,
    read_number,
)


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, and no error shows what was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


def option(description: str, *, default: Any, **more: Any) -> Any:
    """Return a key that may be left out; ``default`` is written as in the file."""
    return Field(default=default, description=description, **more)


HeaderName = Annotated[str, PlainValidator(parse_header_name), WithJsonSchema({"type": "string"})]


class UpstreamSection(Section):
    """Where requests go, in the long form."""

    url: Annotated[str, PlainValidator(parse_upstream), WithJsonSchema({"type": "string"})] = Field(
        description="http(s)://host:port with an optional base path, or unix:/path."
    )
    ca_file: Text | None = option("Certificates (PEM) to trust for https, instead of the system's.", default=None)
    server_name: Text | None = option("The name that the certificate must have; default: the host.", default=None)
    certificate: Text | None = option("Our certificate for the upstream (PEM); needs key.", default=None)
    key: Text | None = option("The private key of certificate (PEM).", default=None)
    preserve_host: Flag = option("Pass the client's Host on instead of the upstream's own.", default=False)


def read_upstream(value: object) -> object:
    """Return the long form of a mere address."""
    return value if isinstance(value, dict) else {"url": parse_upstream(value)}


class TlsSection(Section):
    """The certificate of the public listener."""

    certificate: Text = Field(description="The certificate and its chain (PEM).")
    key: Text = Field(description="The private key (PEM).")
    client_ca: Text | None = option("Clients must show a certificate of these authorities (PEM).", default=None)


class IdentitySection(Section):
    """How the upstream is told who calls."""

    header: HeaderName = option("The header that carries the identity.", default="X-Identity")
    format: Literal["json", "base64url"] = option("Compact ASCII JSON, or base64url of the same.", default="json")
    max_size: Size = option("The largest value of one identity header.", default="8KiB")
    headers: dict[HeaderName, Text] = option(
        "More headers, each with the claim that it carries: {X-User-Id: subject}.", default={}
    )
    include: Texts | None = option("Claims of the token to carry; default: all.", default=None)
    exclude: Texts | None = option("Claims of the token not to carry.", default=None)


class LimitsSection(Section):
    """How much of anything is taken."""

    token: Size = option("The longest token.", default="16KiB")
    request_line: Size = option("The longest request line.", default="8KiB")
    header_field: Size = option("The longest header field.", default="16KiB")
    headers: Size = option("All header fields of a request together.", default="64KiB")
    header_count: Count = option("The number of header fields of a request.", default=100)
    body: SizeOrUnlimited = option("The longest request body.", default="unlimited")
    connections: Count = option("Connections of clients at one time.", default=10_000)
    upstream_connections: Count = option("Connections to the upstream at one time.", default=1_000)
    cached_tokens: Count = option("Tokens whose signature is not checked again with the same keys.", default=10_000)


class TimeoutsSection(Section):
    """How long anything may take."""

    header_read: PositiveDuration = option("Until the head of a request is there.", default="10s")
    keep_alive: PositiveDuration = option("How long an idle connection of a client is kept.", default="75s")
    connect: PositiveDuration = option("Until the upstream accepts a connection.", default="5s")
    response_headers: PositiveDuration = option("Until the head of the upstream's response is there.", default="60s")
    idle_stream: PositiveDuration = option("The pause between two pieces of a body or stream.", default="300s")


class StreamsSection(Section):
    """What becomes of WebSockets and long responses."""

    end_at_expiry: Flag = option("End them when the caller's token ends.", default=True)
    expiry_close_code: Annotated[Literal[3000, 1008], BeforeValidator(read_number)] = option(
        "The close code of WebSockets that end with their token.", default=3000
    )


class JwksOptionsSection(Section):
    """How the keys of a provider are kept fresh."""

    refresh: PositiveDuration | None = option(
        "The longest time between two fetches; left out, it is what the issuer says, else 10m.", default=None
    )
    cooldown: PositiveDuration = option("The least time between two fetches for an unknown kid.", default="30s")
    max_stale: Duration = option("How long the last good keys serve while the issuer fails.", default="24h")
    timeout: PositiveDuration = option("How long one fetch may take.", default="5s")
    ca_file: Text | None = option("Certificates (PEM) to trust instead of the system's.", default=None)
