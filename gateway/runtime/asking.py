"""Layer 6: what goes over a wire to ask a device something or to set it up, for every kind of link.

UART: framed bytes, or Modbus by unit and function. CAN: a frame with an id, or a whole message by ISO-TP. SPI: a
transfer. GATT: a characteristic. When it goes out, and what the answer is, is not decided here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.errors import PortOptionError
from gateway.frame import Address, Element, short_uuid
from gateway.framing.base import Framer
from gateway.framing.isotp import flagged
from gateway.framing.modbus_pdu import Question, question_to_write, request_of, write_of
from gateway.framing.spec import IsoTp, ModbusRtu
from gateway.notation import duration_ns, hex_bytes
from gateway.port import AskingPort, Port
from gateway.profile.model import ConnectStep
from gateway.profile.setpoint import Seen, compile_setpoints
from gateway.profile.setpoint_value import Refusal
from gateway.profile.setpoints import Setpoints
from gateway.runtime.device import Device
from gateway.runtime.isotp import IsoTpLink
from gateway.runtime.polls import NS, Poll
from gateway.schema.asked import question_of
from gateway.schema.plan import values_of
from gateway.schema.spec import AskSpec, MessageSpec

DEFAULT_UNIT: Final = 1  # of a profile without parameter `unit`
WRITE: Final = ""  # the message of a target that only writes
WRITE_TIMEOUT_NS: Final = 500_000_000  # until a register write is acknowledged: what `timeout` is by default
WRITE_ATTEMPTS: Final = 2


class Request(NamedTuple):
    """One thing to send."""

    data: bytes
    address: Address = None
    link: IsoTpLink | None = None  # where it goes out as a message of several frames


class Target(NamedTuple):
    """One question with what goes over the wire for it."""

    poll: Poll
    device: Device
    spec: MessageSpec  # of the answer
    question: Question | None  # Modbus only
    request: Request
    timeout_s: float


class Speech:
    """How one device is spoken to."""

    def __init__(self, device: Device, framer: Framer, link: IsoTpLink | None, *, character_s: float) -> None:
        """Take the framing of the wire; `character_s`: how long one byte is on it, 0 where that tells nothing."""
        self._device = device
        self._profile = device.profile.profile
        self._framer = framer
        self._link = link
        self._character_s = character_s
        self._setpoints: Setpoints | None = None  # of connect steps that set something
        self._transfers = device.profile.transfers() if self._profile.link.bus == "spi" else None
        self.is_modbus = isinstance(self._profile.framing, ModbusRtu)
        self.unit = DEFAULT_UNIT if self._profile.unit is None else self._profile.unit

    def targets(self) -> dict[str, Target]:
        """Return the question behind every message that can be asked for, by the message's name."""
        found = {}
        for name, spec in self._profile.message.items():
            if spec.ask is None or spec.direction == "out":
                continue
            question = question_of(spec.ask, self.unit) if self.is_modbus else None
            request = Request(request_of(question)) if question is not None else self._request(spec.ask)
            if request is None:
                continue
            every = None if spec.every in {"connect", "never"} else duration_ns(spec.every or "1s")
            poll = Poll(self._device.name, name, every, duration_ns(spec.timeout), spec.attempts)
            found[name] = Target(poll, self._device, spec, question, request, self._timeout_s(poll, request, question))
        return found

    def step(self, step: ConnectStep) -> Target | Request:
        """Return what a `write` or `send` step sends: a target where an answer is due. Raises: PortOptionError."""
        if step.send is not None:
            request = self._request(AskSpec(send=step.send, framed=step.framed))
        elif step.write is not None and self.is_modbus:
            return self._written(step.write.register, hex_bytes(step.write.data))
        elif step.set is not None:
            return self._set(step.set, step.value)
        elif step.write is not None and self._transfers is not None:
            request = Request(self._transfers.write(step.write.register, hex_bytes(step.write.data)))
        else:
            request = None
        if request is None:
            what = "write" if step.write is not None else "send"
            raise PortOptionError(self._device.name, f"this version runs no connect step {what!r} on this bus")
        return request

    def _set(self, name: str, value: object) -> Target | Request:
        """Return what sets a setpoint, as its profile fills the frame. Raises: PortOptionError saying why it cannot."""
        if self._setpoints is None:
            self._setpoints = Setpoints(compile_setpoints(self._device.profile), self._device.adjust)
        made = self._setpoints.attempt(name, value, self._said)
        if isinstance(made, Refusal):
            raise PortOptionError(self._device.name, made.message)
        write = made.write
        if write.question is not None:
            return self.writing(write.question, write.data)
        return Request(write.data, write.address, self._link if write.by_isotp else None)

    def _said(self, name: str) -> Seen | None:
        message = self._device.messages.get(name)
        if message is None or message.row is None:
            return None
        return Seen(values_of(message.plan, message.row), message.received_ns, is_restored=message.is_restored)

    def _request(self, ask: AskSpec) -> Request | None:
        bus = self._profile.link.bus
        if bus == "spi" and self._transfers is not None:
            return Request(self._transfers.request(ask))
        if bus == "ble":
            uuid = ask.characteristic
            return None if uuid is None else Request(b"", Element("", characteristic=short_uuid(uuid)))
        if ask.send is None:
            return None
        data = hex_bytes(ask.send)
        if bus == "can":
            return self._can_request(data, ask.can_id)
        return Request(self._framer.encode(data) if ask.framed else data)

    def _can_request(self, data: bytes, can_id: int | None) -> Request | None:
        framing = self._profile.framing
        if isinstance(framing, IsoTp):
            address = flagged(framing.tx if can_id is None else can_id)
            return None if self._link is None else Request(data, address, self._link)
        return None if can_id is None else Request(data, flagged(can_id))

    def _written(self, register: int, data: bytes) -> Target:
        question = question_to_write(self.unit, register, data)
        return self.writing(question, write_of(question, data))

    def writing(self, question: Question, frame: bytes) -> Target:
        """Return the question behind a Modbus write whose whole frame is given."""
        request = Request(frame)
        poll = Poll(self._device.name, WRITE, None, WRITE_TIMEOUT_NS, WRITE_ATTEMPTS)
        timeout_s = self._timeout_s(poll, request, question)
        return Target(poll, self._device, MessageSpec(), question, request, timeout_s)

    def _timeout_s(self, poll: Poll, request: Request, question: Question | None) -> float:
        """Return until when the whole answer should be here: the request's own time on the wire included."""
        on_wire = len(request.data) + (question.frame_bytes if question is not None else 0)
        return poll.timeout_ns / NS + on_wire * self._character_s


async def send(port: Port, request: Request, *, asks: bool) -> None:
    """Put one request on the wire; `asks`: its answer is wanted.

    Raises: PortRefusedError, PortTimeoutError, PortLostError, PortClosedError, PortOptionError.
    """
    if request.link is not None:
        assert isinstance(request.address, int)
        await request.link.send(port, request.data, request.address)
    elif asks and isinstance(port, AskingPort):
        await port.ask(request.data, request.address)
    else:
        await port.write(request.data, request.address)
