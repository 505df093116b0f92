"""A target that is ours for now: keeping it, guarding streams with it, giving it back."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, Self

from hil.lease.errors import LeaseError, LeaseLostError
from hil.lease.folder import PoolFolder, boottime_ns
from hil.lease.guard import Guarded
from hil.lease.table import Lease as Entry
from hil.lease.table import beaten, released, why_lost

_LOOK_S: Final = 0.1  # how often a holder looks whether it still is one
_BEATS_PER_TTL: Final = 4


class Lease:
    """A lease of `target`; `token` is greater than that of every earlier holder."""

    def __init__(
        self, folder: PoolFolder, target: str, facts: Mapping[str, str], entry: Entry, live_fd: int | None
    ) -> None:
        self.target = target
        self.token = entry.token
        self.facts = dict(facts)
        self.ttl_s = entry.ttl_ns / 1e9
        self._folder = folder
        self._ticket = entry.ticket
        self._live_fd = live_fd
        self._beat_due_ns = entry.beat_ns + entry.ttl_ns // _BEATS_PER_TTL
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def why_lost(self) -> str | None:
        """Return why the target is not ours any more, None while it is. Raises: LeaseError."""
        return why_lost(self._folder.table(), self.target, self.token, boottime_ns())

    def check(self) -> None:
        """Raise LeaseLostError unless the target is ours at this moment, which a moment later says nothing."""
        why = self.why_lost()
        if why is not None:
            raise LeaseLostError(self.target, self.token, why)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the target ours for a short deed: nobody gets it before that is done. Raises: LeaseLostError."""
        with self._folder.fenced(self.target, alone=False):
            self.check()
            yield

    def guard(self, stream: object) -> Guarded:
        """Return the stream so that it takes and gives nothing once the lease is lost (LeaseLostError).

        Each write is one step with the check: from the moment on at which somebody else gets the target, none of ours
        reaches it. Reading fails from the loss on; what was read while it happened is not given.
        """
        return Guarded(stream, self)

    def put(self) -> None:
        """Give the target back; a lost one is somebody else's already. May be called twice.

        Where the pool's folder fails the target is free all the same: whoever asks sees that its holder let go.
        """
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        try:
            with contextlib.suppress(LeaseError), self._folder.locked():
                table = self._folder.table()
                entry = table.leases.get(self.target)
                if entry is not None and entry.token == self.token:
                    self._folder.keep_table(released(table, self.target))
                self._folder.drop_ticket(self._ticket)
        finally:
            self.let_go()

    def beat(self) -> None:
        """Show life when it is time to. Raises: LeaseLostError, LeaseError."""
        if boottime_ns() < self._beat_due_ns:
            self.check()
            return
        with self._folder.locked():
            table = self._folder.table()
            now_ns = boottime_ns()
            why = why_lost(table, self.target, self.token, now_ns)
            if why is not None:
                raise LeaseLostError(self.target, self.token, why)
            self._folder.keep_table(beaten(table, self.target, now_ns))
            self._beat_due_ns = now_ns + table.leases[self.target].ttl_ns // _BEATS_PER_TTL

    def keep_alive(self) -> None:
        """Show life from a thread until the lease is put back or lost."""
        self._thread = threading.Thread(target=self._beat_on, name=f"lease of {self.target}", daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        """Stop being alive for the others."""
        fd, self._live_fd = self._live_fd, None
        if fd is not None:
            self._folder.drop_ticket(self._ticket)
            os.close(fd)

    def environment(self) -> dict[str, str]:
        """Return the variables by which a child process knows its lease."""
        return {
            "TIDEGATE_TARGET": self.target,
            "TIDEGATE_TOKEN": str(self.token),
            "TIDEGATE_POOL": str(self._folder.path),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.put()

    def _beat_on(self) -> None:
        period_s = min(_LOOK_S, self.ttl_s / (2 * _BEATS_PER_TTL))
        while not self._stop.wait(period_s):
            try:
                self.beat()
            except LeaseLostError:
                self.let_go()
                return
            except LeaseError:  # the folder is not to be had for a moment; without it the lease runs out
                continue
