"""One of the board's ports beside the board: open while somebody uses it and a moment longer, read without pause."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from gateway.errors import DriverError, PortError, PortLostError
from gateway.port import Port
from hil.agent.history import KEPT_BYTES, History

LINGER_S: Final = 10.0  # what comes while a runner is away for so long is kept for it

log = logging.getLogger(__name__)


class User(Protocol):
    """Whoever has a wire."""

    session: str
    peer: str
    token: int  # of its lease, 0 without

    def displace(self, why: str) -> None:
        """End, soon."""
        ...


class Wire:
    """A port, its latest records, and its one user."""

    def __init__(
        self,
        name: str,
        protocol: str,
        make: Callable[[], Port],
        *,
        kept_bytes: int = KEPT_BYTES,
        linger_s: float = LINGER_S,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.port = make()
        self.instance = ""  # of this opening of the port
        self.history = History()
        self.lost: PortError | None = None  # why there will be nothing more
        self.user: User | None = None
        self.news = asyncio.Event()  # set when the history grew, or is over
        self._kept_bytes = kept_bytes
        self._linger_s = linger_s
        self._wanted = asyncio.Event()
        self._opening: asyncio.Future[None] | None = None
        self._free_at_s = 0.0  # on the loop's clock

    async def run(self) -> None:
        """Open the port whenever it is wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            opening, self._opening = self._opening, None
            try:
                await self.port.open()
            except (PortError, DriverError) as error:
                if opening is not None and not opening.done():
                    opening.set_exception(error)
                continue
            self.instance, self.history, self.lost = secrets.token_hex(8), History(self._kept_bytes), None
            self._free_at_s = asyncio.get_running_loop().time() + self._linger_s
            log.info("port open: resource=%s", self.name)
            if opening is not None and not opening.done():
                opening.set_result(None)
            try:
                await self._read_while_wanted()
            finally:
                self.instance = ""
                self.news.set()
                await self.port.close()
                log.info("port closed: resource=%s", self.name)

    async def opened(self) -> None:
        """Return when the port is open. Raises: PortError, DriverError."""
        if self.instance and self.lost is None:
            self._free_at_s = asyncio.get_running_loop().time() + self._linger_s
            return
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_future()
            self._wanted.set()
        await asyncio.shield(self._opening)

    def leave(self, user: User) -> None:
        """End a user's use; the port stays open a moment, in case it comes back."""
        if self.user is user:
            self.user = None
            self._free_at_s = asyncio.get_running_loop().time() + self._linger_s

    async def _read_while_wanted(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(), name=f"{self.name}/read")
            while not reading.done() and (self.user is not None or loop.time() < self._free_at_s):
                await asyncio.wait([reading], timeout=min(1.0, self._linger_s / 4))
            reading.cancel()

    async def _read(self) -> None:
        try:
            while True:
                self.history.add(await self.port.read())
                self.news.set()
        except PortError as error:
            self.lost = error
        except EOFError:  # a recording that was served as a port has ended
            self.lost = PortLostError(self.port.name, "its recording has ended")
        self.news.set()
