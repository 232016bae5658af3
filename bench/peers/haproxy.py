"""HAProxy with its converter ``jwt_verify``; it has no cache of tokens."""

from __future__ import annotations

from bench.install import install_debian
from bench.machine import ask_version
from bench.names import COMMON, WEBSOCKETS
from bench.peers.site import Peer, Site, Start
from bench.tokens import ALGORITHMS, AUDIENCE, name_issuer, write_pems

_CONFIG = """\
global
    maxconn 8000
    nbthread 1

defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    http-reuse always

frontend public
    bind 127.0.0.1:{site.port}
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
    http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.sub) var(txn.token),jwt_payload_query('$.sub')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str {algorithms} }}
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.aud) -m str {audience} }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
{verify}
    http-request set-header X-Identity %[var(txn.sub)]
    http-request del-header Authorization
    default_backend upstream

backend upstream
    server one 127.0.0.1:{site.upstream_port}
"""
_VERIFY = (
    "    http-request deny deny_status 401 if {{ var(txn.alg) -m str {algorithm} }}"
    ' !{{ var(txn.token),jwt_verify(txn.alg,"{path}") -m int 1 }}'
)


def build_config(site: Site, pems: dict[str, str]) -> str:
    """Return the configuration file; ``pems`` are the paths of public keys by algorithm."""
    return _CONFIG.format(
        site=site,
        algorithms=" ".join(pems),
        issuer=name_issuer(0),
        audience=AUDIENCE,
        verify="\n".join(_VERIFY.format(algorithm=algorithm, path=path) for algorithm, path in pems.items()),
    )


def prepare(site: Site) -> Start:
    """Write keys and file and return the command; ``-db`` stays in the foreground, as one process."""
    pems = write_pems(site.folder)
    config = build_config(site, {algorithm: str(pems[algorithm]) for algorithm in ALGORITHMS})
    return Start(("haproxy", "-db", "-f", str(site.write("haproxy.cfg", config))))


def install() -> str:
    """Install it from Debian and return its version."""
    install_debian("haproxy", "haproxy")
    return ask_version(["haproxy", "-v"])


HAPROXY = Peer("haproxy", "HAProxy jwt_verify", prepare, install, suites=(*COMMON, WEBSOCKETS))
