"""One port of a bench: opened by its identity, read by a thread, gone when its hardware is gone."""

from __future__ import annotations

import contextlib
import errno
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar

from gateway.errors import GatewayError, PortError
from hil.lease.errors import LeaseError
from hil.lease.held import Lease
from hil.rigs.base import RigError, RigLostError
from hil.rigs.bench.leased import Ear, deed, need, waited
from hil.rigs.bench.world import BenchWorld

__tracebackhide__ = True  # pytest shows the line of the test instead

POLL_S: Final = 0.1  # how soon a reading thread sees that it should stop
JOIN_S: Final = 1.0  # of the time that closing may take
SEEN_NS: Final = 1_000_000_000  # a read that has no timeout of its own

T = TypeVar("T")
P = ParamSpec("P")
W = TypeVar("W", bound="Wire")


class Wire(ABC):
    """A port on which nothing comes unasked; `ReadWire` is one on which something does.

    Kept open between tests: opening it may restart a board.
    """

    def __init__(self, name: str, identity: str) -> None:
        """Take what messages call it, for example `a.uart0`, and its port text."""
        self.name = name
        self.identity = identity
        self.world: BenchWorld | None = None  # of the run that is under way
        self.lease: Lease | None = None  # without which nothing may be done to the board
        self._ear = Ear()
        self._lock = threading.Lock()
        self._lost: str | None = None
        self._thread: threading.Thread | None = None
        self._was_opened = False
        self._is_closing = False

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._was_opened and self._lost is None

    @property
    def loss(self) -> str | None:
        """Why it went away, None as long as it is there."""
        return self._lost

    def open(self) -> None:
        """Open it, if it is not. Raises: RigError naming it, its identity and the next step; LeaseLostError."""
        if self.is_open:
            return
        self.close()
        try:
            with deed(self.lease):  # opening a port may restart a board
                self._open()
        except LeaseError:
            raise
        except PortError as error:
            raise RigError(f"{self.name}: {error}") from error
        except GatewayError as error:
            raise RigError(f"{self.name} ({self.identity}): {error}") from error
        self._lost, self._is_closing, self._was_opened = None, False, True
        self._begin_to_hear()

    def close(self) -> None:
        """Give the port back, whatever state it is in."""
        self._is_closing = True
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(JOIN_S)
        was_opened, self._was_opened = self._was_opened, False
        if was_opened:
            with contextlib.suppress(Exception):  # an adapter that is gone may fail in any way; it is being left
                self._close()

    def lose(self, cause: str) -> None:
        """Learn, from any thread, that the hardware is gone."""
        with self._lock:
            if self._lost is not None or self._is_closing:
                return
            self._lost = cause
        world = self.world
        if world is not None:
            world.record(self.name.rpartition(".")[2], "note", "note", text=f"{self.name} is gone: {cause}")
            world.wake()

    def hearing(self) -> BenchWorld | None:
        """Return the run that hears what comes now; None between two, and for who has lost the board."""
        return self.world if self._ear.is_ours(self.lease) else None

    def need_lease(self) -> None:
        """Raise LeaseLostError where the board is somebody else's by now."""
        need(self.lease)

    def check(self) -> None:
        """Raise RigLostError where it is gone, RigError where it was not opened, LeaseLostError."""
        self.need_lease()
        if self._lost is not None:
            error = RigLostError(f"{self.name} ({self.identity}) went away: {self._lost}; look at its cable and power")
            error.errno = errno.ENODEV
            raise error
        if not self._was_opened:
            raise RigError(f"{self.name} ({self.identity}) is not open: the target is off; bring it up with dut.to")

    def take(self, look: Callable[[], T | None], timeout_ns: int) -> T | None:
        """Return what `look` finds, waiting for it. Raises: RigLostError where the port goes away, LeaseLostError."""
        world = self.world
        assert world is not None, "a test has begun"
        if not look():  # what came before it went away is still there
            self.check()
        found = waited(world, self.lease, lambda: look() or (self._lost and _GONE), world.now_ns + timeout_ns)
        if found is _GONE or (found is None and self._lost is not None):
            self.check()
        return found

    @abstractmethod
    def _open(self) -> None:
        """Open and configure. Raises: PortError, DriverError."""

    @abstractmethod
    def _close(self) -> None:
        """Give it back."""

    def _begin_to_hear(self) -> None:  # noqa: B027 - that is all
        """Do nothing: nothing comes unasked."""


class ReadWire(Wire):
    """A port that is read by a thread of its own."""

    def _run(self) -> None:
        cause = "its reader ended"
        try:
            while not self._is_closing:
                self._read_some()
        except GoneError as error:
            cause = str(error)
        except Exception as error:  # noqa: BLE001 - a library's bug must show as a lost port, not as silence
            cause = f"{type(error).__name__}: {error}"
        if not self._is_closing:
            self.lose(cause)

    def _begin_to_hear(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"hil {self.name}", daemon=True)
        self._thread.start()

    @abstractmethod
    def _read_some(self) -> None:
        """Wait a moment for something, and take it in. Raises: GoneError."""


def leased(method: Callable[Concatenate[W, P], T]) -> Callable[Concatenate[W, P], T]:
    """Let a wire's method be done only under the wire's lease, which cannot pass to another in its middle.

    What it returns raises LeaseLostError, too.
    """

    @wraps(method)
    def done(wire: W, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with deed(wire.lease):
            return method(wire, *args, **kwargs)

    return done


def no_peer(wire: Wire) -> NoReturn:
    """Raise what says that there is nobody to play the board."""
    raise RigError(
        f"{wire.name} ({wire.identity}) has the real board at its other end, which no test can play; wire a second "
        "adapter to it and name that with `peer` in the rig file, or mark the test for simulated rigs"
    )


class GoneError(Exception):
    """The hardware is gone; said by a reading thread."""


_GONE: Final[Any] = object()
