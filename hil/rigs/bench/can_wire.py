"""One bus of a bench by python-can: its frames as tests see them, and what is on its way between two adapters."""

from __future__ import annotations

import contextlib
import errno
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from drivers._can_netlink import Interface
from drivers._can_python import KERNEL_ERRORS, split_target
from drivers._usb_identity import can_interface_of
from gateway.errors import PortNotFoundError, PortOptionError
from gateway.profile.model import LinkSpec
from gateway.registry import require
from hil.can_frames import Frame
from hil.rigs.base import RigError, TxFullError
from hil.rigs.bench.wire import POLL_S, GoneError, ReadWire, leased
from hil.rigs.bench.world import BenchWorld

__tracebackhide__ = True  # pytest shows the line of the test instead

SEND_S: Final = 1.0
SHARED: Final = frozenset({"socketcan", "virtual", "udp_multicast"})
MOST_UNDER_WAY: Final = 4096
LOOKS: Final = 3  # at two clocks, of which one may be interrupted
STUCK_NS: Final = 200_000_000  # without a frame arriving: what is under way does not
BELIEVABLE_NS: Final = 5_000_000_000  # an adapter's stamp that is older, or of the future, is of another clock


class CanWire(ReadWire):
    """One bus by python-can."""

    def __init__(self, name: str, identity: str, link: LinkSpec, receive: Callable[[Frame, int], None]) -> None:
        """Take who gets frames, with their stamps on the machine's monotonic clock."""
        super().__init__(name, identity)
        self.link = link
        self._receive = receive
        self._bus: Any = None
        self.interface = ""
        self.channel: str | None = None

    @property
    def has_kernel_errors(self) -> bool:
        """Whether its error frames are those of linux/can/error.h."""
        return speaks_kernel(self.interface)

    @property
    def is_shared(self) -> bool:
        """Whether the interface takes a second socket, which is another node to whoever has the first."""
        return interface_of(self.identity) in SHARED

    @leased
    def send(self, frame: Frame, sent: Callable[[int], None] = lambda _at_ns: None) -> None:
        """Send one frame; `sent` hears when. Raises: RigLostError, RigError, TxFullError: no room for a second."""
        self.check()
        stamp_ns = time.monotonic_ns()
        send(self._bus, frame, f"{self.name} ({self.identity})", self.check)
        sent(stamp_ns)

    def restart(self, *, is_off: bool) -> None:
        """Let the controller begin anew: by the kernel where it is off the bus, else its port is closed and opened.

        Raises: RigLostError; RigError where the kernel does not let this user do so.
        """
        self.check()
        interface = Interface(self.channel or "") if self.interface == "socketcan" else None
        if interface is None or not is_off or not interface.can_restart():
            self.close()
            self.open()
            return
        try:
            interface.restart()
        except OSError as error:
            raise RigError(
                f"{self.name} ({self.identity}) cannot be restarted ({error.strerror}); "
                f"sudo ip link set {interface.name} type can restart-ms 100 lets it come back by itself"
            ) from error

    def second(self) -> Any:
        """Return another bus of python-can on the same interface, as another node. Raises: RigError."""
        try:
            return self._make()
        except (PortNotFoundError, PortOptionError) as error:
            raise RigError(f"{self.name}: {error}") from error

    def _open(self) -> None:
        self._bus = self._make()

    def _make(self) -> Any:
        can = require("can", "can")
        self.interface, self.channel, options = _place(self.identity)
        if self.link.bitrate is not None:
            options.setdefault("bitrate", self.link.bitrate)
        if self.link.fd:
            options.setdefault("fd", True)
        if self.link.data_bitrate is not None:
            options.setdefault("data_bitrate", self.link.data_bitrate)
        try:
            return can.Bus(self.channel, self.interface, ignore_config=True, **options)
        except can.CanInterfaceNotImplementedError as error:
            raise PortOptionError(self.identity, str(error)) from error
        except (can.CanError, OSError) as error:
            raise PortNotFoundError(self.identity, str(error)) from error
        except (ValueError, TypeError, ImportError, AttributeError, NotImplementedError) as error:
            raise PortOptionError(self.identity, str(error)) from error

    def _read_some(self) -> None:
        can = require("can", "can")
        try:
            message = self._bus.recv(POLL_S)
        except (can.CanError, OSError) as error:
            raise GoneError(str(error)) from error
        except (ValueError, TypeError, IndexError, KeyError):  # python-can on a damaged line
            return
        if message is not None:
            self._receive(frame_from(message), _stamp_of(message))

    def _close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.shutdown()


class UnderWay:
    """What one adapter sent and the other has not heard yet. Usable from any thread."""

    def __init__(self) -> None:
        self._keys: deque[tuple[int, bool, bool, bytes]] = deque(maxlen=MOST_UNDER_WAY)

    def __len__(self) -> int:
        """Return how many frames that is."""
        return len(self._keys)

    def settle(self, world: BenchWorld) -> None:
        """Wait until it is nothing, as long as it gets less; what did not arrive by then does not."""
        while self._gets_less(world):
            pass
        self._keys.clear()

    @contextlib.contextmanager
    def sending(self, frame: Frame) -> Iterator[None]:
        """Count a frame as on its way from before it is sent; not where sending it fails."""
        self._keys.append(_key(frame))
        try:
            yield
        except BaseException:
            self.heard(frame)
            raise

    def heard(self, frame: Frame) -> None:
        """Count a frame as arrived."""
        with contextlib.suppress(ValueError):  # somebody else's
            self._keys.remove(_key(frame))

    def clear(self) -> None:
        """Wait for none of them any more."""
        self._keys.clear()

    def _gets_less(self, world: BenchWorld) -> bool:
        left = len(self)
        return bool(left and world.wait_for(lambda: len(self) < left, world.now_ns + STUCK_NS))


def send(bus: Any, frame: Frame, name: str, check: Callable[[], None]) -> None:
    """Send a frame by python-can. `check` raises what is wrong with the port, where anything is.

    Raises: TxFullError, RigError.
    """
    can = require("can", "can")
    try:
        bus.send(message_of(frame), SEND_S)
    except (can.CanError, OSError) as error:
        check()
        if getattr(error, "error_code", None) == errno.ENOBUFS or "full" in str(error).lower():
            raise TxFullError(errno.ENOBUFS, f"{name}: no room in the queue; does anybody acknowledge?") from error
        raise RigError(f"{name} did not send: {error}") from error
    except ValueError as error:
        raise RigError(f"{name} cannot send {frame}: {error}") from error


def interface_of(identity: str) -> str:
    """Return what python-can calls the kind of a port."""
    kind, colon, _ = identity.partition(":")
    return kind if colon and kind != "usb" else "socketcan"


def speaks_kernel(interface: str) -> bool:
    """Return whether error frames there are those of linux/can/error.h."""
    return interface == "socketcan" or interface in KERNEL_ERRORS


def frame_from(message: Any) -> Frame:
    """Return a message of python-can as a frame."""
    return Frame(
        int(message.arbitration_id),
        b"" if message.is_remote_frame else bytes(message.data),
        bool(message.is_extended_id) and not message.is_error_frame,
        error=bool(message.is_error_frame),
        fd=bool(message.is_fd),
        remote=bool(message.is_remote_frame),
        brs=bool(message.bitrate_switch),
        esi=bool(message.error_state_indicator),
        dlc=int(message.dlc),
    )


def message_of(frame: Frame) -> Any:
    """Return a frame as a message of python-can."""
    return require("can", "can").Message(
        arbitration_id=frame.id,
        data=None if frame.remote else frame.data,
        dlc=frame.dlc if frame.remote else None,
        is_extended_id=frame.extended,
        is_fd=frame.fd,
        bitrate_switch=frame.brs,
        error_state_indicator=frame.esi,
        is_error_frame=frame.error,
        is_remote_frame=frame.remote,
    )


def _place(identity: str) -> tuple[str, str | None, dict[str, Any]]:
    if identity.startswith("usb:"):
        return "socketcan", can_interface_of(identity), {}
    if ":" in identity:
        return split_target(identity)
    return "socketcan", identity, {}


def _key(frame: Frame) -> tuple[int, bool, bool, bytes]:
    return frame.id, frame.extended, frame.remote, frame.data


def _stamp_of(message: Any) -> int:
    """Return a message's time on the monotonic clock: its own stamp where that can be of this clock's."""
    ahead_ns = wall_ahead_ns([(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(LOOKS)])
    stamp_ns, now_ns = int(message.timestamp * 1e9) - ahead_ns, time.monotonic_ns()
    return stamp_ns if 0 <= now_ns - stamp_ns < BELIEVABLE_NS else now_ns


def wall_ahead_ns(looks: Iterable[tuple[int, int, int]]) -> int:
    """Return what the wall clock is ahead of the monotonic one; a look is the latter before and after the former.

    The quickest look tells: one that was interrupted saw the two clocks at two times.
    """
    return min((after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2) for before_ns, wall_ns, after_ns in looks)[
        1
    ]
