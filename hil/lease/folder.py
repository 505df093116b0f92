"""A pool's folder: its files, its locks. Knows nothing of who may have what.

    pool.json            what outlives a reboot (`table.Stock`); replaced whole, synced before it counts
    leases-BOOT.json     what a reboot ends (`table.Table`); replaced whole, never synced, named by the boot it is of
    lock                 held while one of the two is read, changed and replaced
    live-TICKET          locked by a holder or waiter as long as it lives: the kernel lets go when it dies
    fence-TARGET         locked shared around "is it still mine? then write", exclusively where a holder changes

All locks are the kernel's (flock), so no crash leaves one behind. A folder belongs to one machine: others come to it
(`ssh`, or `tidegate hil agent`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gateway.folder import sync_names
from hil.lease.errors import LeaseError, PoolAccessError, PoolDamagedError, PoolMissingError
from hil.lease.table import VERSION, Stock, Table

STOCK_NAME: Final = "pool.json"
LOCK_PATIENCE_S: Final = 10.0  # what is done under a lock takes milliseconds
MOST_BYTES: Final = 4 << 20

_RETRY_S: Final = 0.002
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_Document = TypeVar("_Document", Stock, Table)


def boottime_ns() -> int:
    """Return nanoseconds since this machine booted, those it slept included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class PoolFolder:
    """The files of one pool."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table_path = path / f"leases-{_BOOT_ID.read_text().strip()}.json"

    @contextlib.contextmanager
    def locked(self, *, makes: bool = False) -> Iterator[None]:
        """Hold the pool, alone. Raises: PoolMissingError unless it is to be made, PoolAccessError."""
        with _access_named(self.path):
            if makes:
                self.path.mkdir(parents=True, exist_ok=True)
            elif not (self.path / STOCK_NAME).exists():
                raise PoolMissingError(self._missing())
            fd = _lock(self.path / "lock", fcntl.LOCK_EX, LOCK_PATIENCE_S)
        try:
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def fenced(self, target: str, *, alone: bool) -> Iterator[None]:
        """Hold a target's fence: shared while writing to it, alone while its holder changes.

        Raises: BlockingIOError where it is not to be had alone at once, PoolAccessError.
        """
        kind, patience_s = (fcntl.LOCK_EX, 0.0) if alone else (fcntl.LOCK_SH, LOCK_PATIENCE_S)
        with _access_named(self.path):
            fd = _lock(self.path / f"fence-{target}", kind, patience_s)
        try:
            yield
        finally:
            os.close(fd)

    def stock(self) -> Stock:
        """Return what outlives a reboot. Raises: PoolMissingError, PoolDamagedError, PoolAccessError."""
        with _access_named(self.path):
            stock = _read(self.path / STOCK_NAME, Stock)
        if stock is None:
            raise PoolMissingError(self._missing())
        return stock

    def stock_or_new(self) -> Stock:
        """Return what outlives a reboot, of a pool that may be about to be made."""
        with _access_named(self.path):
            return _read(self.path / STOCK_NAME, Stock) or Stock()

    def table(self) -> Table:
        """Return who has what since this boot. Raises: PoolDamagedError, PoolAccessError."""
        with _access_named(self.path):
            return _read(self._table_path, Table) or Table()

    def keep_stock(self, stock: Stock) -> None:
        """Replace what outlives a reboot; return when it does. Only while `locked`."""
        with _access_named(self.path):
            _replace(self.path / STOCK_NAME, msgspec.json.encode(stock), is_synced=True)

    def keep_table(self, table: Table) -> None:
        """Replace who has what. Only while `locked`."""
        with _access_named(self.path):
            if not self._table_path.exists():
                self._forget_other_boots()
            _replace(self._table_path, msgspec.json.encode(table), is_synced=False)

    def open_ticket(self, ticket: str) -> int:
        """Return the open file that says "alive" until it is closed. Only while `locked`."""
        with _access_named(self.path):
            return _lock(self.path / f"live-{ticket}", fcntl.LOCK_EX, LOCK_PATIENCE_S)

    def drop_ticket(self, ticket: str) -> None:
        """Remove the file of one that is over."""
        with contextlib.suppress(OSError):  # it is empty, and forgotten after the next boot anyhow
            (self.path / f"live-{ticket}").unlink(missing_ok=True)

    def is_alive(self, ticket: str) -> bool:
        """Return whether whoever has a ticket still runs, also where it is stopped."""
        try:
            fd = os.open(self.path / f"live-{ticket}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def _forget_other_boots(self) -> None:
        for path in (*self.path.glob("leases-*.json"), *self.path.glob("live-*")):
            if path.name.startswith("leases-") or not self.is_alive(path.name.removeprefix("live-")):
                path.unlink(missing_ok=True)

    def _missing(self) -> str:
        return (
            f"no pool of targets in {self.path}; make one: tidegate hil reserve put NAME KEY=VALUE --pool {self.path}"
        )


@contextlib.contextmanager
def _access_named(folder: Path) -> Iterator[None]:
    """Say what the system's refusal means for the pool."""
    try:
        yield
    except (LeaseError, BlockingIOError):
        raise
    except OSError as error:
        raise PoolAccessError(f"the pool {folder} cannot be used: {error}") from error


def _read(path: Path, kind: type[_Document]) -> _Document | None:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    try:
        if len(data) > MOST_BYTES:
            raise PoolDamagedError(f"{path} is larger than {MOST_BYTES} bytes: no pool's file; move it away")
        document = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PoolDamagedError(_damage(path, data, str(error))) from error
    if isinstance(document, Stock) and document.pool != VERSION:
        raise PoolDamagedError(_damage(path, data, ""))
    return document


def _damage(path: Path, data: bytes, why: str) -> str:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        told = msgspec.json.decode(data)
        version = told.get("pool") if isinstance(told, dict) else None
        if isinstance(version, int) and version != VERSION:
            return f"{path} is of version {version}, this Tidegate knows {VERSION}; update Tidegate here"
    if path.name == STOCK_NAME:
        return f"{path} is damaged ({why}); restore it from a copy, or make the pool anew in another folder"
    return f"{path} is damaged ({why}); when nobody uses the pool's targets, remove it"


def _replace(path: Path, data: bytes, *, is_synced: bool) -> None:
    draft = path.with_name(f".{path.name}.new")  # one writer at a time; what a crash left is overwritten
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        _write_all(fd, data)
        if is_synced:
            os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(path)
    if is_synced:
        sync_names(path.parent)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _open_lock(path: Path) -> int:
    """Return an open file to lock: one that is there may be another user's."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _lock(path: Path, kind: int, patience_s: float) -> int:
    """Return an open file that is locked. Raises: BlockingIOError (no patience), PoolAccessError (patience is over)."""
    fd = _open_lock(path)
    deadline_s = time.monotonic() + patience_s
    try:
        while True:
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not patience_s:
                    raise
                if time.monotonic() >= deadline_s:
                    raise PoolAccessError(_stuck(path, fd, patience_s)) from error
                time.sleep(_RETRY_S)
            else:
                return fd
    except BaseException:
        os.close(fd)
        raise


def _stuck(path: Path, fd: int, patience_s: float) -> str:
    """Return who keeps a lock that is for milliseconds, in words."""
    inode = f":{os.fstat(fd).st_ino}"
    held = f"{path} has been locked for {patience_s:g} s"
    with contextlib.suppress(OSError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()  # 1: FLOCK ADVISORY WRITE 812 08:01:1234 0 EOF
            if words[1] == "FLOCK" and words[5].endswith(inode):
                state = Path(f"/proc/{words[4]}/stat").read_text().rpartition(") ")[2][0]
                what = "is stopped; continue it: kill -CONT" if state in "Tt" else "hangs; look at it: ps -fp"
                return f"{held} by process {words[4]}, which {what} {words[4]}"
    return f"{held} by another process; is it stopped?"
