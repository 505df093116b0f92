"""Who has which target, and who is next: decided here, on values. Pure; files and clocks are in `pool.py`.

Times are nanoseconds since this machine booted, its sleep included: no clock that somebody can set. A table is of one
boot, for after a reboot nobody holds anything. Tokens are counted for the whole pool and kept for ever, so they rise
for every target and none comes twice, whatever happens to targets and files of leases in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hil.lease.matching import Facts, matches

VERSION: Final = 1
MOST_TARGETS: Final = 1000
MOST_FACTS: Final = 64
MOST_WAITERS: Final = 500
KICK_GRACE_NS: Final = 1_000_000_000  # a kicked holder's time to let go
WAITER_SILENCE_NS: Final = 5_000_000_000  # a waiter that was silent so long is passed over until it speaks again

_S: Final = 1_000_000_000


class Stock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What outlives a reboot."""

    pool: int = VERSION
    last_token: int = 0
    targets: dict[str, dict[str, str]] = {}  # name -> facts


class Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process that takes, as people recognise it."""

    user: str
    pid: int
    since: str  # ISO, wall time

    def __str__(self) -> str:
        """Return `ann (pid 812)`."""
        return f"{self.user} (pid {self.pid})"


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target's holder."""

    token: int
    ticket: str  # names the file that the holder keeps locked while it lives
    who: Who
    since_ns: int
    beat_ns: int
    ttl_ns: int
    kicked_ns: int | None = None
    kicked_by: str = ""


class Waiter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One that waits, in its place."""

    ticket: str
    template: tuple[str, ...]
    who: Who
    beat_ns: int


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the last lease of a target is over, for whoever held it."""

    token: int
    why: str


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reboot ends."""

    leases: dict[str, Lease] = {}  # by target
    queue: tuple[Waiter, ...] = ()
    ended: dict[str, Ended] = {}  # by target


def why_lost(table: Table, target: str, token: int, now_ns: int) -> str | None:
    """Return why a holder may not touch the target, None while it may."""
    lease = table.leases.get(target)
    if lease is None or lease.token != token:
        ended = table.ended.get(target)
        if ended is not None and ended.token == token:
            return ended.why
        return f"it is {lease.who}'s by now (lease {lease.token})" if lease else "it is over"
    if lease.kicked_ns is not None:
        return f"kicked by {lease.kicked_by}"
    return _silence(lease, now_ns)


def settled(table: Table, now_ns: int, is_alive: Callable[[str], bool]) -> Table:
    """Return the table without leases that are over and waiters that died."""
    over = {
        target: Ended(lease.token, why)
        for target, lease in table.leases.items()
        if (why := _why_over(lease, now_ns, is_alive)) is not None
    }
    return msgspec.structs.replace(
        table,
        leases={target: lease for target, lease in table.leases.items() if target not in over},
        queue=tuple(waiter for waiter in table.queue if is_alive(waiter.ticket)),
        ended=table.ended | over,
    )


def assigned(table: Table, targets: Mapping[str, Facts], now_ns: int) -> dict[str, str]:
    """Return the free target of each waiter that gets one now: ticket -> target.

    In the order of the queue each takes the first free target that fits. So nobody overtakes one who waits for the
    same, and who waits for something rare holds up nobody else.
    """
    free = sorted(target for target in targets if target not in table.leases)
    given: dict[str, str] = {}
    for waiter in table.queue:
        if now_ns - waiter.beat_ns >= WAITER_SILENCE_NS:
            continue
        fits = next((target for target in free if matches(waiter.template, target, targets[target])), None)
        if fits is not None:
            free.remove(fits)
            given[waiter.ticket] = fits
    return given


def ahead(table: Table, targets: Mapping[str, Facts], ticket: str) -> int:
    """Return how many who could take the same come before a waiter."""
    mine = next(waiter for waiter in table.queue if waiter.ticket == ticket)
    wanted = {name for name, facts in targets.items() if matches(mine.template, name, facts)}
    before = table.queue[: table.queue.index(mine)]
    return sum(any(matches(waiter.template, name, targets[name]) for name in wanted) for waiter in before)


def granted(table: Table, target: str, lease: Lease) -> Table:
    """Return the table with a free target given to a waiter."""
    if target in table.leases:
        raise ValueError(f"{target} is held")
    return msgspec.structs.replace(without(table, lease.ticket), leases=table.leases | {target: lease})


def waiting(table: Table, waiter: Waiter) -> Table:
    """Return the table with a waiter in its place: at the end, where it is new."""
    queue = tuple(waiter if other.ticket == waiter.ticket else other for other in table.queue)
    return msgspec.structs.replace(table, queue=queue if waiter in queue else (*queue, waiter))


def without(table: Table, ticket: str) -> Table:
    """Return the table without a waiter."""
    return msgspec.structs.replace(table, queue=tuple(other for other in table.queue if other.ticket != ticket))


def beaten(table: Table, target: str, now_ns: int) -> Table:
    """Return the table in which a holder has just shown that it lives."""
    lease = msgspec.structs.replace(table.leases[target], beat_ns=now_ns)
    return msgspec.structs.replace(table, leases=table.leases | {target: lease})


def kicked(table: Table, target: str, now_ns: int, by: str) -> Table:
    """Return the table in which a holder may not write any more, and has a moment to let go."""
    lease = msgspec.structs.replace(table.leases[target], kicked_ns=now_ns, kicked_by=by)
    return msgspec.structs.replace(table, leases=table.leases | {target: lease})


def released(table: Table, target: str, why: str = "it was given back") -> Table:
    """Return the table without a target's lease."""
    leases = dict(table.leases)
    lease = leases.pop(target)
    told = why if lease.kicked_ns is None else f"kicked by {lease.kicked_by}"
    return msgspec.structs.replace(table, leases=leases, ended=table.ended | {target: Ended(lease.token, told)})


def _why_over(lease: Lease, now_ns: int, is_alive: Callable[[str], bool]) -> str | None:
    if not is_alive(lease.ticket):
        return f"kicked by {lease.kicked_by}" if lease.kicked_ns is not None else "its holder died"
    if lease.kicked_ns is not None:
        return f"kicked by {lease.kicked_by}" if now_ns - lease.kicked_ns >= KICK_GRACE_NS else None
    return _silence(lease, now_ns)


def _silence(lease: Lease, now_ns: int) -> str | None:
    if now_ns - lease.beat_ns < lease.ttl_ns:
        return None
    return f"its holder gave no sign of life for {lease.ttl_ns / _S:g} s"
