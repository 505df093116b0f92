"""A CAN frame as tests see it: what can be sent, and what a controller says of errors in SocketCAN's words. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, NamedTuple

from hil.can_bits import CLASSIC_BYTES, EXTENDED_MAX, FD_LENGTHS, STANDARD_MAX
from hil.can_confinement import Counters, State
from hil.data import bytes_of

__tracebackhide__ = True  # pytest shows the line of the test instead

ERROR_FLAG: Final = 0x20000000  # linux/can.h CAN_ERR_FLAG

# linux/can/error.h: classes of the id, and what stands in data[1] and data[2]
_CONTROLLER, _PROTOCOL, _NO_ACK, _BUS_OFF, _BUS_ERROR, _RESTARTED, _COUNTERS = (
    0x04,
    0x08,
    0x20,
    0x40,
    0x80,
    0x100,
    0x200,
)
_STATE_BITS: Final = {"active": (0x40, 0x40), "warning": (0x08, 0x04), "passive": (0x20, 0x10)}  # by tx, by rx
_VIOLATIONS: Final = {"bit": 0x01, "form": 0x02, "stuff": 0x04}
_SENDING: Final = 0x80


class Frame(NamedTuple):
    """One frame. An error frame is what the host's controller reports: `id` are its classes, as linux/can/error.h."""

    id: int
    data: bytes = b""
    extended: bool = False
    error: bool = False
    fd: bool = False
    remote: bool = False
    brs: bool = False
    """FD: its data phase is at the fast rate."""
    esi: bool = False
    """FD: its sender says that it is error passive."""
    dlc: int = 0
    """What its length field says, in bytes; beyond 8 of a classic frame: the field as it is."""
    t_ns: int = 0
    """When the host had it, or had sent it; on the trace's time."""

    @property
    def code(self) -> int:
        """Its length field as on the wire, 0..15."""
        return FD_LENGTHS.index(self.dlc) if self.fd else self.dlc

    @property
    def id_text(self) -> str:
        """The id as candump writes it."""
        if self.error:
            return f"{self.id | ERROR_FLAG:08X}"
        return f"{self.id:08X}" if self.extended else f"{self.id:03X}"

    @property
    def kind(self) -> str:
        """What a trace calls it."""
        return "error" if self.error else "remote" if self.remote else "fd" if self.fd else "data"

    def facts(self) -> dict[str, Any]:
        """Return what a trace says of it beside its data."""
        if self.error:
            return {"id": self.id_text}
        facts: dict[str, Any] = {"id": self.id_text}
        if self.fd:
            facts |= {"brs": self.brs, "esi": self.esi}
        if self.remote or self.dlc != len(self.data):
            facts["dlc"] = self.dlc
        return facts

    def __str__(self) -> str:
        """Return it as candump would."""
        data = f"R{self.dlc:X}" if self.remote else self.data.hex().upper()
        return f"{self.id_text}{'##' if self.fd else '#'}{data}"


def frame_of(  # noqa: PLR0917 - in the order in which they are given
    id: object,  # noqa: A002 - the name it has in tests
    data: object = b"",
    extended: bool = False,
    fd: bool = False,
    remote: bool = False,
    brs: bool | None = None,
    esi: bool = False,
    dlc: int | None = None,
) -> Frame:
    """Return a frame that can be sent; `brs` is as `fd` unless given; `dlc` is what a remote frame asks for.

    Raises: ValueError naming what is wrong and the next step.
    """
    number = _id_of(id, extended=bool(extended))
    payload = bytes_of(data)
    if remote:
        if fd or payload:
            raise ValueError("a remote frame is never FD and carries no data; give dlc= for what it asks for")
        return Frame(number, b"", bool(extended), remote=True, dlc=_dlc_of(dlc or 0))
    if dlc is not None and dlc != len(payload):
        raise ValueError(f"dlc = {dlc} with {len(payload)} bytes: faults.add('dlc', dlc=...) lets a frame lie about it")
    if not fd and (brs or esi):
        raise ValueError("brs and esi are of FD frames; write fd=True")
    _check_length(len(payload), fd=bool(fd))
    is_fast = bool(fd) if brs is None else bool(brs)
    return Frame(number, payload, bool(extended), fd=bool(fd), brs=is_fast, esi=bool(esi), dlc=len(payload))


def given(item: Any) -> Frame:
    """Return what a gateway's driver sends as a frame, FD data filled up to a length there is. Raises: ValueError."""
    frame = filled(Frame(item.id, bytes(item.data), fd=bool(item.fd)))
    dlc = getattr(item, "dlc", 0) if item.remote else None
    return frame_of(item.id, frame.data, item.extended, item.fd, item.remote, dlc=dlc)


def filled(frame: Frame) -> Frame:
    """Return an FD frame of any length up to 64 with zeros up to the next one there is, as drivers send it."""
    if frame.fd and len(frame.data) not in FD_LENGTHS and len(frame.data) < FD_LENGTHS[-1]:
        return frame._replace(data=frame.data.ljust(FD_LENGTHS[bisect_left(FD_LENGTHS, len(frame.data))], b"\0"))
    return frame


def with_dlc(frame: Frame, code: int) -> Frame:
    """Return a frame whose length field is `code`: its data is cut to that, or goes on with zeros."""
    if frame.fd:
        size = FD_LENGTHS[code]
        return frame._replace(data=frame.data[:size].ljust(size, b"\0"), dlc=size)
    if frame.remote:
        return frame._replace(dlc=code)
    size = min(code, CLASSIC_BYTES)
    return frame._replace(data=frame.data[:size].ljust(size, b"\0"), dlc=code)


class Report(NamedTuple):
    """What a controller has to say: what went wrong on the bus, its new state, or both."""

    violation: str = ""  # bit, form, stuff, ack; "" for none
    is_sending: bool = False
    state: State | None = None  # where it changed
    is_restarted: bool = False


def error_frame(report: Report, counters: Counters) -> Frame:
    """Return the frame by which SocketCAN says that."""
    classes, data = _COUNTERS, bytearray(8)
    if report.violation == "ack":
        classes |= _NO_ACK
    elif report.violation:
        classes |= _PROTOCOL | _BUS_ERROR
        data[2] = _VIOLATIONS[report.violation] | (_SENDING if report.is_sending else 0)
    if report.state == "bus_off":
        classes |= _BUS_OFF
    elif report.state is not None:
        classes |= _CONTROLLER
        by_tx, by_rx = _STATE_BITS[report.state]
        data[1] = by_tx if counters.tx >= counters.rx else by_rx
    if report.is_restarted:
        classes |= _RESTARTED
    data[6], data[7] = min(counters.tx, 255), min(counters.rx, 255)
    return Frame(classes, bytes(data), error=True, dlc=8)


def _id_of(value: object, *, extended: bool) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"id {value!r:.40}: a whole number such as 0x123")  # noqa: TRY004 - one error
    if not 0 <= value <= EXTENDED_MAX:
        raise ValueError(f"id {value:#x}: from 0 to {EXTENDED_MAX:#x}")
    if value > STANDARD_MAX and not extended:
        raise ValueError(f"id {value:#x}: a standard one ends at {STANDARD_MAX:#x}; write extended=True")
    return value


def _dlc_of(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= CLASSIC_BYTES:
        raise ValueError(f"dlc = {value!r}: 0 to {CLASSIC_BYTES}")
    return value


def _check_length(size: int, *, fd: bool) -> None:
    if not fd and size > CLASSIC_BYTES:
        raise ValueError(f"{size} bytes do not fit a frame of {CLASSIC_BYTES}; fd=True allows {FD_LENGTHS[-1]}")
    if fd and size not in FD_LENGTHS:
        if size > FD_LENGTHS[-1]:
            raise ValueError(f"{size} bytes do not fit an FD frame of {FD_LENGTHS[-1]}")
        longer = FD_LENGTHS[bisect_left(FD_LENGTHS, size)]
        raise ValueError(f"an FD frame has no length of {size} bytes; fill it up to {longer}")
