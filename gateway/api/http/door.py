"""Layer 7: the HTTP door, open: one listening socket in the gateway's own loop, tried again when it cannot be had."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import ssl
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from uvicorn.config import Config

from gateway.api.api import Api
from gateway.api.http.about import AboutOperations
from gateway.api.http.app import App
from gateway.api.http.guard import MOST_HEAD_BYTES
from gateway.api.http.ledger import LedgerOperations
from gateway.api.http.operations import Operations
from gateway.api.http.pages import Pages
from gateway.api.http.profiles import ProfileOperations
from gateway.api.http.protocol import REQUEST_S, HttpProtocol, State, WsProtocol
from gateway.api.http.watch import Watch
from gateway.api.settings import HttpConfig, MetricsConfig, address_of

RETRY_S: Final = 5.0
BACKLOG: Final = 128
CLOSE_S: Final = 0.5  # for answers under way, when the gateway ends
MOST_MESSAGE_BYTES: Final = 4_096  # from a WebSocket client, which has nothing to say

log = logging.getLogger(__name__)
logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it tells of every bad request; we count those


class HttpDoor:
    """One per gateway."""

    def __init__(
        self,
        api: Api,
        config: HttpConfig,
        folder: Path | None = None,
        *,
        metrics: MetricsConfig | None = None,
        is_whole: bool = True,
    ) -> None:
        """Take what is behind the door and where it stands; `folder`: where relative files start.

        `is_whole`: False for a door that tells metrics, health and readiness, and nothing else.
        """
        self._config = config
        self._folder = folder or Path()
        self.watch = Watch(api)
        operations = [*Operations(api).all(), *ProfileOperations(api).all(), *LedgerOperations(api).all()]
        about = AboutOperations(api, operations, tells_values=metrics is not None and metrics.values)
        every = [*operations, *about.all(), *Pages().all()] if is_whole else about.for_machines()
        self.app = App(
            api, every, streams={"/v1/watch": self.watch.serve} if is_whole else {}, is_loopback=config.is_loopback,
            names=_names(api.name), max_body=config.max_body,
        )  # fmt: skip
        self._state = State(config.max_connections, self.app.answered)
        self.error = ""  # why it is not open
        self.is_open = False

    async def run(self) -> None:
        """Be open until cancelled. What keeps it shut is logged once, counted nowhere, and tried again."""
        while True:
            try:
                server = await self._listen()
            except (OSError, ssl.SSLError) as error:
                if str(error) != self.error:
                    log.warning("http: %s is not open: %s; it is tried again", self._config.listen, error)
                self.error = str(error)
                await asyncio.sleep(RETRY_S)
                continue
            self.error = ""
            log.info("http: open at %s", self._config.listen)
            self.is_open = True
            try:
                await self._stay()
            finally:
                self.is_open = False
                server.close()
                self._end()

    def status(self) -> dict[str, Any]:
        """Return the part `http` of `status --json`."""
        return {
            "listen": self._config.listen,
            "is_open": self.is_open,
            "error": self.error or None,
            "connections": len(self._state.connections),
            "refused_connections": self._state.over,
            "stalled_connections": self._state.stalled,
            "watching": len(self.watch.open),
            "watch_closed": dict(self.watch.closed),
            "answered": {str(status): count for status, count in sorted(self.app.answered.items())},
        }

    async def _listen(self) -> asyncio.Server:
        host, port = address_of(self._config.listen)
        config = Config(
            self.app, http=HttpProtocol, ws=WsProtocol, lifespan="off", interface="asgi3", log_config=None,
            access_log=False, h11_max_incomplete_event_size=MOST_HEAD_BYTES, ws_max_size=MOST_MESSAGE_BYTES,
            ws_per_message_deflate=False, proxy_headers=False, date_header=True, server_header=False,
            ssl_certfile=self._file(self._config.tls_cert), ssl_keyfile=self._file(self._config.tls_key),
        )  # fmt: skip
        try:
            config.load()
        except OSError as error:  # of the files, and of what is in them
            files = f"tls_cert {self._config.tls_cert} with tls_key {self._config.tls_key}"
            raise OSError(f"{files} cannot be used: {error.strerror or error}") from error
        return await asyncio.get_running_loop().create_server(
            lambda: HttpProtocol(config, self._state, {}), host, port, ssl=config.ssl, backlog=BACKLOG,
            reuse_address=True, ssl_handshake_timeout=REQUEST_S if config.ssl else None,
        )  # fmt: skip

    async def _stay(self) -> None:
        """Keep the date of answers and look for sockets that take nothing, second by second."""
        loop = asyncio.get_running_loop()
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            self._state.look(loop.time())
            await asyncio.sleep(1.0)

    def _end(self) -> None:
        for reader in list(self.watch.open):
            reader.close()
        for connection in list(self._state.connections):
            connection.transport.abort()

    def _file(self, name: str | None) -> str | None:
        return None if name is None else str(self._folder / name)


def _names(gateway: str) -> set[str]:
    """Return what this machine is called. Asks nobody: a resolver may take seconds to say that there is no network."""
    node = platform.node()
    names = {gateway, node, f"{gateway}.local", f"{node}.local"}
    for address, *called in _fields("/etc/hosts"):
        if node in called or address.startswith("127."):
            names.update(called)
    domains = [domain for word, *some in _fields("/etc/resolv.conf") if word in {"domain", "search"} for domain in some]
    return names | {f"{node}.{domain.rstrip('.')}" for domain in domains}


def _fields(file: str) -> Iterator[list[str]]:
    """Yield the words of each line that has any; none of a file that is not there."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path(file).read_text().splitlines():
            if words := line.partition("#")[0].split():
                yield words
