"""The entries of the file's lists: providers of both kinds, and routes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from gateway.config.addresses import parse_domain, parse_issuer, parse_resource
from gateway.config.claims import parse_audience, parse_claim_values, parse_path, parse_requirement
from gateway.config.keys import parse_jwks
from gateway.config.names import (
    parse_acr_value,
    parse_algorithm,
    parse_method,
    parse_provider_name,
    parse_scope,
    parse_tool,
    parse_typ,
)
from gateway.config.places import TokenFrom
from gateway.config.scalars import Flag, Leeway, OneOrMore, PositiveDuration, Text, Texts, WholeDuration
from gateway.config.sections import JwksOptionsSection, Section, option
from gateway.core.jwks import ALGORITHMS

_STRING = WithJsonSchema({"type": "string"})
_SCALAR = {"type": ["string", "number", "boolean"]}
_SCALARS = WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]})

Algorithm = Annotated[str, PlainValidator(parse_algorithm), WithJsonSchema({"enum": sorted(ALGORITHMS | {"Ed25519"})})]
Audience = Annotated[
    str | dict[str, str],
    PlainValidator(parse_audience),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "properties": {"regex": {"type": "string"}},
                    "required": ["regex"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
# Said to pydantic, for it finds no list in a union of a tuple and something else.
_AS_WRITTEN = PlainSerializer(lambda value: list(value) if isinstance(value, tuple) else value)
ClaimValues = Annotated[bool | tuple[Any, ...], PlainValidator(parse_claim_values), _AS_WRITTEN, _SCALARS]
RequiredValues = Annotated[str | tuple[Any, ...], PlainValidator(parse_requirement), _AS_WRITTEN, _SCALARS]


def _show_audience(schema: dict[str, Any]) -> None:
    """Tell editors of the second name, and that one way of saying who the tokens are for is needed."""
    properties = schema["properties"]
    properties["audience"] = {**properties["applicationID"], "description": "Another name of applicationID."}
    schema["anyOf"] = [{"required": [name]} for name in ("applicationID", "audience", "allow_any_audience")]


class ProviderEntry(Section):
    """What both kinds of provider have: whose tokens are for us, and what they must say."""

    model_config = ConfigDict(json_schema_extra=_show_audience)

    name: Annotated[str, PlainValidator(parse_provider_name), _STRING] | None = option(
        "A name for logs, metrics and the identity; default: the issuer's host.", default=None
    )
    algorithm: Annotated[tuple[Algorithm, ...], OneOrMore()] = option(
        "Signature algorithms that are accepted.", default=("RS256", "ES256", "ES384", "EdDSA")
    )
    application_id: Annotated[tuple[Audience, ...], OneOrMore()] | None = option(
        "Audiences (aud) that are accepted: text, with * or {name} for a run of characters.",
        default=None,
        validation_alias=AliasChoices("applicationID", "audience"),
        serialization_alias="applicationID",
    )
    allow_any_audience: Flag = option("Take tokens for every audience, instead of applicationID.", default=False)
    profile: Literal["rfc9068"] | None = option("Access tokens by RFC 9068 only.", default=None)
    typ: Annotated[tuple[Annotated[str, PlainValidator(parse_typ), _STRING], ...], OneOrMore()] | None = option(
        "Header types that are accepted, none for an absent one; default: JWT, at+jwt, none.", default=None
    )
    required_claims: dict[str, ClaimValues] = option(
        "Claims that a token must have: a value, a list of values, or true for any.", default={}
    )
    leeway: Leeway = option("How far the clocks may be apart, at most ten minutes.", default="5s")
    max_lifetime: PositiveDuration | None = option("The longest exp - iat that is accepted.", default=None)
    audience_claim: Text = option("The claim that names the audience.", default="aud")
    scope_claims: Texts = option("The claims that hold scopes.", default=("scope", "scp"))
    organization_claim: Texts = option(
        "The claims that name the caller's organization; dots go inwards.", default=("organization_id", "org_id")
    )
    client_claims: Texts = option("The claims that name the client.", default=("client_id", "azp"))
    token_from: Annotated[tuple[TokenFrom, ...], OneOrMore()] = option(
        "Where its tokens may stand: authorization, or a header, cookie, query or websocket_protocol.",
        default=("authorization",),
    )
    jwks_options: JwksOptionsSection = option("How keys are kept fresh.", default=JwksOptionsSection())


class CustomJwtEntry(ProviderEntry):
    """An issuer whose keys stand at a known place."""

    type: Literal["customJwt"] = Field(description="Keys from jwks.")
    issuer: Annotated[tuple[Annotated[str, PlainValidator(parse_issuer), _STRING], ...], OneOrMore()] = Field(
        description="The iss of its tokens; trailing slashes are ignored."
    )
    jwks: Annotated[
        str | dict[str, Any], PlainValidator(parse_jwks), WithJsonSchema({"type": ["string", "object"]})
    ] = Field(description="The keys: http(s) URL, file:PATH, data: URI, or {keys: [...]}.")


class OidcEntry(ProviderEntry):
    """An issuer whose keys are found by OpenID Connect Discovery."""

    type: Literal["oidc"] = option("Keys by OpenID Connect Discovery.", default="oidc")
    domain: Annotated[str, PlainValidator(parse_domain), _STRING] = Field(
        description="The issuer; its /.well-known/openid-configuration leads to the keys."
    )


AnyEntry = CustomJwtEntry | OidcEntry

# Tags never come from the file, so that they can be told from its keys in the place of an error.
CUSTOM_JWT, OIDC = "?customJwt", "?oidc"


def choose_kind(value: object) -> str:
    """Return the kind of a provider before it is validated, so that no error speaks of the other one."""
    if isinstance(value, CustomJwtEntry | OidcEntry):
        return OIDC if isinstance(value, OidcEntry) else CUSTOM_JWT
    if not isinstance(value, dict):
        return CUSTOM_JWT
    kind = value.get("type")
    if kind in ("oidc", "customJwt"):
        return f"?{kind}"
    return OIDC if "domain" in value else CUSTOM_JWT


AnyProvider = Annotated[
    Annotated[CustomJwtEntry, Tag(CUSTOM_JWT)] | Annotated[OidcEntry, Tag(OIDC)], Discriminator(choose_kind)
]

_Scopes = Annotated[tuple[Annotated[str, PlainValidator(parse_scope), _STRING], ...], OneOrMore()]


ToolPattern = Annotated[str, PlainValidator(parse_tool), _STRING]


class McpSection(Section):
    """An MCP server behind a route."""

    tools: dict[
        ToolPattern, Annotated[tuple[Annotated[str, PlainValidator(parse_scope), _STRING], ...], OneOrMore()]
    ] = Field(description="Scopes that a call of a tool needs, by its name with * for any text; the first fits.")


class RouteEntry(Section):
    """One rule: which requests, and what they need."""

    path: Annotated[str, PlainValidator(parse_path), _STRING] = Field(
        description="Literal segments, * for one, {name} for one captured, ** for the rest at the end."
    )
    methods: Annotated[tuple[Annotated[str, PlainValidator(parse_method), _STRING], ...], OneOrMore()] | None = option(
        "Methods that are accepted; default: all.", default=None
    )
    access: Literal["public", "optional", "required"] = option(
        "public looks at no token, optional takes one if there is one, required demands one.", default="required"
    )
    scopes: _Scopes | None = option("Scopes that a token must have, all of them.", default=None)
    any_scope: _Scopes | None = option("Scopes of which a token must have one.", default=None)
    require: dict[str, RequiredValues] = option(
        'Claims with a value, a list of values, or "{name}" for what the path captures.', default={}
    )
    providers: Texts | None = option("Names of the providers whose tokens are accepted.", default=None)
    max_age: WholeDuration | None = option("The longest time since the user signed in (auth_time).", default=None)
    acr_values: Annotated[tuple[Annotated[str, PlainValidator(parse_acr_value), _STRING], ...], OneOrMore()] | None = (
        option("Ways of signing in (acr) that are strong enough; the token must have one.", default=None)
    )
    resource: Annotated[str, PlainValidator(parse_resource), _STRING] | None = option(
        "Who the callers of this route ask for a token for (RFC 9728); default: the top level's.", default=None
    )
    mcp: McpSection | None = option("An MCP server, and the scopes that its tools need.", default=None)
    mode: Literal["enforce", "observe"] = option(
        "observe lets pass what would be refused, and writes it down.", default="enforce"
    )
