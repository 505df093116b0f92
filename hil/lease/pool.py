"""A pool of shared targets: put some in, take one that fits, see who has which, take one away from its holder.

Pure decisions are in `table.py`; here they meet the files, under the pool's lock.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from gateway.environment import variable
from gateway.errors import UsageError
from hil.lease.errors import LeaseBusyError, LeaseLostError
from hil.lease.folder import PoolFolder, boottime_ns
from hil.lease.held import Lease
from hil.lease.matching import Facts, Template, facts_of, matches, matching, target_name, template_texts
from hil.lease.table import (
    KICK_GRACE_NS,
    MOST_FACTS,
    MOST_TARGETS,
    MOST_WAITERS,
    Stock,
    Table,
    Waiter,
    Who,
    ahead,
    assigned,
    granted,
    kicked,
    released,
    settled,
    waiting,
    why_lost,
    without,
)
from hil.lease.table import Lease as Entry

TTL_S: Final = 60.0
SHORTEST_TTL_S: Final = 0.1
LONGEST_S: Final = 366 * 86_400.0

_POLL_S: Final = 0.05
_SHOW_LIFE_NS: Final = 1_000_000_000


class Wait(NamedTuple):
    """What one that waits is told: how many come first, and who has what would fit."""

    ahead: int
    holders: tuple[tuple[str, Entry], ...]  # by target


class Seen(NamedTuple):
    """One target as `read` shows it."""

    target: str
    facts: dict[str, str]
    lease: Entry | None


class Pool:
    """The pool in one folder. Any number of processes of this machine may use it at once."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder).absolute()
        self._folder = PoolFolder(self.path)

    def put(self, name: str, facts: str | Sequence[str] | Facts = ()) -> bool:
        """Add a target, or give the one of that name other facts, as texts or by key. Return whether it is new.

        A holder keeps its lease. The folder is made where there is none. Raises: UsageError, LeaseError.
        """
        target_name(name)
        told = facts_of(facts)
        if len(told) > MOST_FACTS:
            raise UsageError(f"{name} has {len(told)} facts; at most {MOST_FACTS}")
        with self._folder.locked(makes=True):
            stock = self._folder.stock_or_new()
            if len(stock.targets) >= MOST_TARGETS and name not in stock.targets:
                raise UsageError(
                    f"{self.path} holds {MOST_TARGETS} targets; drop one first: tidegate hil reserve drop NAME"
                )
            self._folder.keep_stock(Stock(last_token=stock.last_token, targets=stock.targets | {name: told}))
        return name not in stock.targets

    def drop(self, name: str) -> None:
        """Take a target out of the pool. Raises: NoSuchTargetError, LeaseBusyError where it is held, LeaseError."""
        with self._folder.locked():
            stock = self._known(name)
            entry = self._settled().leases.get(name)
            if entry is not None:
                raise LeaseBusyError(
                    f"{name} is held by {entry.who}; kick that one first: tidegate hil reserve kick {name}"
                )
            targets = {other: facts for other, facts in stock.targets.items() if other != name}
            self._folder.keep_stock(Stock(last_token=stock.last_token, targets=targets))

    def read(self, template: Template = ()) -> list[Seen]:
        """Return the targets that are meant, and who holds them. Changes nothing. Raises: UsageError, LeaseError."""
        texts = template_texts(template)
        targets = self._folder.stock().targets
        table = self._settled()
        return [
            Seen(name, facts, table.leases.get(name))
            for name, facts in sorted(targets.items())
            if matches(texts, name, facts)
        ]

    def take(
        self,
        template: Template,
        *,
        ttl_s: float = TTL_S,
        wait_s: float = 0.0,
        on_wait: Callable[[Wait], None] | None = None,
    ) -> Lease:
        """Return a lease of a free target that fits, kept alive by a thread of its own until `put` back.

        It is lost `ttl_s` after the last sign of life of this process (which runs to the lease's end, also while this
        process is stopped or the machine sleeps), at once when this process dies, and when somebody kicks.
        Raises: NoSuchTargetError, LeaseBusyError when nothing came free within `wait_s`, UsageError, LeaseError.
        """
        lease = self.acquire(template, ttl_s=ttl_s, wait_s=wait_s, on_wait=on_wait)
        lease.keep_alive()
        return lease

    def acquire(
        self,
        template: Template,
        *,
        ttl_s: float = TTL_S,
        wait_s: float = 0.0,
        on_wait: Callable[[Wait], None] | None = None,
    ) -> Lease:
        """Return a lease that nobody keeps alive yet: the caller calls `beat`."""
        texts = template_texts(template)
        are_numbers = all(isinstance(each, int | float) for each in (ttl_s, wait_s))
        if not are_numbers or not SHORTEST_TTL_S <= ttl_s <= LONGEST_S or not 0 <= wait_s <= LONGEST_S:
            raise UsageError(
                f"ttl_s={ttl_s!r}, wait_s={wait_s!r}: a lease lives {SHORTEST_TTL_S:g} s to 366 days without a sign of "
                "life, and waits at most so; write seconds"
            )
        turn = _Turn(self._folder, texts, round(ttl_s * 1e9))
        try:
            deadline_ns = boottime_ns() + round(wait_s * 1e9)
            lease = turn.try_once(is_last=not wait_s)
            while lease is None and boottime_ns() < deadline_ns:
                if on_wait is not None:
                    on_wait(turn.wait)
                time.sleep(_POLL_S)
                lease = turn.look()
        except BaseException:
            turn.leave()
            raise
        if lease is None:
            turn.leave()
            raise LeaseBusyError(turn.busy(wait_s))
        return lease

    def lease(self, target: str, token: int) -> Lease:
        """Return a lease that another process took and keeps alive. Raises: LeaseLostError, LeaseError."""
        table = self._folder.table()
        why = why_lost(table, target, token, boottime_ns())
        if why is not None:
            raise LeaseLostError(target, token, why)
        facts = self._folder.stock().targets.get(target, {})
        return Lease(self._folder, target, facts, table.leases[target], live_fd=None)

    def kick(self, name: str) -> Who | None:
        """Take a target away from its holder; return who that was, when it is free. None where nobody held it.

        From the start of this call on no guarded write begins; it returns when the holder has let go and what it was
        writing is written, or after a second, from which on the target is free anyhow.
        Raises: NoSuchTargetError, LeaseError.
        """
        with self._folder.locked():
            self._known(name)
            table = self._settled()
            entry = table.leases.get(name)
            if entry is None:
                return None
            table = kicked(table, name, boottime_ns(), str(_me()))
            self._folder.keep_table(table)
        deadline_ns = boottime_ns() + KICK_GRACE_NS
        while boottime_ns() < deadline_ns and (self._folder.is_alive(entry.ticket) or self._is_being_written(name)):
            time.sleep(_POLL_S / 5)
        with self._folder.locked():
            table = self._settled()
            held = table.leases.get(name)
            if held is not None and held.token == entry.token:
                table = released(table, name)
            self._folder.keep_table(table)
            self._folder.drop_ticket(entry.ticket)
        return entry.who

    def _is_being_written(self, name: str) -> bool:
        try:
            with self._folder.fenced(name, alone=True):
                return False
        except BlockingIOError:
            return True

    def _settled(self) -> Table:
        return settled(self._folder.table(), boottime_ns(), self._folder.is_alive)

    def _known(self, name: str) -> Stock:
        stock = self._folder.stock()
        if name not in stock.targets:
            matching([f"name={target_name(name)}"], stock.targets)
        return stock


def current() -> Lease | None:
    """Return the lease under which this process runs (`tidegate hil reserve take`), None where there is none.

    Whoever took it keeps it alive. Raises: UsageError when the variables contradict each other, LeaseLostError when it
    is over, LeaseError.
    """
    target, token, folder = (variable(f"TIDEGATE_{name}") for name in ("TARGET", "TOKEN", "POOL"))
    if target is None or folder is None:
        return None
    if token is None or not (token.isascii() and token.isdigit()):
        raise UsageError("TIDEGATE_TARGET and TIDEGATE_POOL are set, but TIDEGATE_TOKEN is no lease's number")
    return Pool(folder).lease(target, int(token))


class _Turn:
    """One taker on its way: its ticket, its place, its try."""

    def __init__(self, folder: PoolFolder, texts: tuple[str, ...], ttl_ns: int) -> None:
        self.wait = Wait(0, ())
        self._folder = folder
        self._ticket = secrets.token_hex(8)
        self._texts = texts
        self._ttl_ns = ttl_ns
        self._who = _me()
        self._live_fd: int | None = None
        self._shown_ns = 0

    def try_once(self, *, is_last: bool = False) -> Lease | None:
        """Take what is this one's by now, else stand in the queue (unless it would not wait)."""
        with self._folder.locked():
            stock = self._folder.stock()
            matching(self._texts, stock.targets)
            now_ns = boottime_ns()
            before = self._folder.table()
            table = settled(before, now_ns, self._folder.is_alive)
            if self._live_fd is None:
                if len(table.queue) >= MOST_WAITERS:
                    raise LeaseBusyError(f"{MOST_WAITERS} wait for targets of {self._folder.path} already")
                self._live_fd = self._folder.open_ticket(self._ticket)
            self._shown_ns = now_ns
            table = waiting(table, Waiter(self._ticket, self._texts, self._who, now_ns))
            lease = self._grant(stock, table, now_ns)
            if lease is None:
                self._see(stock, table)
                self._folder.keep_table(without(table, self._ticket) if is_last else table)
            self._sweep(before, table)
        return lease

    def look(self) -> Lease | None:
        """Look without locking anything, and try where it is this one's turn, or time to show life."""
        now_ns = boottime_ns()
        stock = self._folder.stock()
        table = settled(self._folder.table(), now_ns, self._folder.is_alive)
        is_known = any(waiter.ticket == self._ticket for waiter in table.queue)
        is_turn = self._ticket in assigned(table, stock.targets, now_ns)
        if not is_known or is_turn or now_ns - self._shown_ns >= _SHOW_LIFE_NS:
            return self.try_once()
        self._see(stock, table)
        return None

    def leave(self) -> None:
        """Give up the place."""
        if self._live_fd is None:
            return
        fd, self._live_fd = self._live_fd, None
        try:
            with contextlib.suppress(Exception), self._folder.locked():
                self._folder.keep_table(without(self._folder.table(), self._ticket))
                self._folder.drop_ticket(self._ticket)
        finally:
            os.close(fd)

    def busy(self, waited_s: float) -> str:
        """Return why there is nothing, in words."""
        held = ", ".join(f"{target} by {entry.who} since {entry.who.since}" for target, entry in self.wait.holders)
        first = f"{self.wait.ahead} came first" if self.wait.ahead else ""
        why = "; ".join(filter(None, (f"held: {held}" if held else "", first))) or "the last write to it is not over"
        return f"no target that is {' '.join(self._texts)} came free within {waited_s:g} s ({why})"

    def _grant(self, stock: Stock, table: Table, now_ns: int) -> Lease | None:
        target = assigned(table, stock.targets, now_ns).get(self._ticket)
        if target is None:
            return None
        try:
            with self._folder.fenced(target, alone=True):
                token = stock.last_token + 1
                self._folder.keep_stock(Stock(last_token=token, targets=stock.targets))
                entry = Entry(token, self._ticket, self._who, now_ns, boottime_ns(), self._ttl_ns)
                self._folder.keep_table(granted(table, target, entry))
        except BlockingIOError:  # what the last holder was writing is not written yet
            return None
        assert self._live_fd is not None
        return Lease(self._folder, target, stock.targets[target], entry, self._live_fd)

    def _see(self, stock: Stock, table: Table) -> None:
        fits = [name for name, facts in stock.targets.items() if matches(self._texts, name, facts)]
        holders = tuple((name, table.leases[name]) for name in sorted(fits) if name in table.leases)
        self.wait = Wait(ahead(table, stock.targets, self._ticket), holders)

    def _sweep(self, before: Table, after: Table) -> None:
        """Remove the files of those that are over."""
        kept = {entry.ticket for entry in after.leases.values()} | {waiter.ticket for waiter in after.queue}
        gone = {entry.ticket for entry in before.leases.values()} | {waiter.ticket for waiter in before.queue}
        for ticket in gone - kept - {self._ticket}:
            if not self._folder.is_alive(ticket):
                self._folder.drop_ticket(ticket)


def _me() -> Who:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as containers have them
        user = f"uid {os.getuid()}"
    return Who(user, os.getpid(), datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
