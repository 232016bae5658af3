"""What the gateway says of its own beginning and its reloads: once, however many processes it is."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from gateway.admin.metrics import Metrics
from gateway.config.problems import ConfigError
from gateway.config.settings import ListenAddress, Settings

logger = logging.getLogger(__name__)


def announce(
    settings: Settings, path: str, listen: ListenAddress, admin: ListenAddress, more: Mapping[str, object]
) -> None:
    """Say that the gateway listens, where, and for whom."""
    fields = {
        "listen": str(listen),
        "admin": str(admin),
        "upstream": settings.upstream.host_field.decode(),
        "providers": [provider.name for provider in settings.policy.providers],
        "config": path,
        "digest": settings.digest,
        **more,
    }
    logger.info("the gateway listens", extra={"event": "listening", "fields": fields})


def say_draining() -> None:
    """Say that the gateway is about to stop."""
    logger.info("the gateway stops", extra={"event": "draining", "fields": {}})


async def reload(take: Callable[[], Awaitable[Mapping[str, object] | None]], metrics: Metrics) -> None:
    """
    Take the file and its certificates as they are now; bad ones change nothing but a log line and a gauge.

    ``take`` returns what to say of a file that is new, None of one that is not.
    """
    try:
        fields = await take()
    except (ConfigError, OSError) as error:
        metrics.count_config_reload(is_successful=False)
        problems = {"problems": str(error).splitlines()}
        logger.error(  # noqa: TRY400 - the problems are the user's to read, the traceback is not
            "the file was not taken: it has mistakes", extra={"event": "config_refused", "fields": problems}
        )
        return
    if fields is not None:
        metrics.count_config_reload(is_successful=True)
        logger.info("the file was taken", extra={"event": "config_reloaded", "fields": fields})


def list_fixed_changes(old: Settings, new: Settings) -> list[str]:
    """Return what differs and cannot change while running: bound sockets, processes, and whom TLS asks for what."""
    changed = [name for name in ("listen", "admin", "workers") if getattr(old, name) != getattr(new, name)]
    asked = [tls and tls.client_ca for tls in (old.tls, new.tls)]
    if (old.tls is None) != (new.tls is None) or asked[0] != asked[1]:
        changed.append("tls")
    return changed
