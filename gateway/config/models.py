"""The file as it is written, with the defaults of every key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from gateway.config.addresses import parse_listen, parse_network, parse_resource
from gateway.config.entries import AnyProvider, RouteEntry
from gateway.config.names import parse_realm
from gateway.config.organizations import OrganizationsSection
from gateway.config.places import Origins
from gateway.config.scalars import Duration, Flag, OneOrMore, Text, Workers, read_number
from gateway.config.sections import (
    IdentitySection,
    LimitsSection,
    Section,
    StreamsSection,
    TimeoutsSection,
    TlsSection,
    UpstreamSection,
    option,
    read_upstream,
)

_STRING = WithJsonSchema({"type": "string"})
Resource = Annotated[str, PlainValidator(parse_resource), _STRING]
Listen = Annotated[str, PlainValidator(parse_listen), _STRING]


class _ShortForm(BeforeValidator):
    """Mark of the upstream, which may be its mere address."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """Show editors both forms."""
        return {"anyOf": [{"type": "string"}, handler(core)]}


Upstream = Annotated[UpstreamSection, _ShortForm(read_upstream)]


class GatewayFile(Section):
    """The configuration of auth-gateway."""

    version: Annotated[Literal[1], BeforeValidator(read_number)] = Field(description="The version of this format.")
    listen: Listen = option("The public listener: host:port, [::]:port or unix:/path.", default="0.0.0.0:8080")
    admin: Listen = option("Liveness, readiness, metrics and status; never public.", default="127.0.0.1:9090")
    upstream: Upstream = Field(
        description="Where requests go: http(s)://host:port[/base] or unix:/path, or the long form."
    )
    tls: TlsSection | None = option("TLS on the public listener.", default=None)
    providers: tuple[AnyProvider, ...] = Field(description="Who issues the tokens; tried in this order.")
    keys_snapshot: Text | None = option(
        "A folder for the last good keys of each issuer, to start with while it is away.", default=None
    )
    routes: tuple[RouteEntry, ...] = option("Rules by path; the first that matches wins.", default=())
    default_access: Literal["required", "deny"] = option(
        "What holds where no route matches: a token is required, or 404.", default="required"
    )
    encoded_slashes: Literal["reject", "keep"] = option(
        "Whether %2F is refused in paths, or kept as data inside of its segment.", default="reject"
    )
    organizations: OrganizationsSection | None = option("Which organizations may call; default: all.", default=None)
    identity: IdentitySection = option("How the upstream is told who calls.", default=IdentitySection())
    forward_token: Flag = option("Pass the Authorization header on to the upstream.", default=False)
    via: Flag = option("Add ourselves to Via.", default=True)
    trusted_proxies: (
        Annotated[tuple[Annotated[str, PlainValidator(parse_network), _STRING], ...], OneOrMore()] | None
    ) = option("Networks of proxies whose X-Forwarded-* and Forwarded are kept.", default=None)
    allowed_origins: Origins | None = option(
        "Origins whose pages may do more than read with a token in a cookie.", default=None
    )
    error_detail: Literal["none", "reason", "full"] = option(
        "How much a refusal tells the caller; full adds what was expected and received.", default="reason"
    )
    realm: Annotated[str, PlainValidator(parse_realm), _STRING] = option(
        "The realm of challenges.", default="auth-gateway"
    )
    resource: Resource | None = option(
        "Our URL as clients know it; where to get a token for it is then published (RFC 9728).", default=None
    )
    cors_preflight: Flag = option("Pass the preflights of browsers on without a token.", default=False)
    mode: Literal["enforce", "observe"] = option(
        "observe lets pass what would be refused, and writes it down.", default="enforce"
    )
    limits: LimitsSection = option("How much of anything is taken.", default=LimitsSection())
    timeouts: TimeoutsSection = option("How long anything may take.", default=TimeoutsSection())
    streams: StreamsSection = option("WebSockets and long responses.", default=StreamsSection())
    workers: Workers = option("Processes that serve; auto is one a core.", default=1)
    drain_delay: Duration = option("How long to go on accepting after SIGTERM, not ready.", default="0s")
    shutdown_timeout: Duration = option("How long requests in flight may take to finish then.", default="25s")
