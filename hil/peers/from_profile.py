"""A device as its profile has it: says each message with given values, answers what it is asked, obeys orders. Pure.

What it reports of a setpoint is what it was ordered to; an order is acknowledged as the profile wants it. Time and
bytes come in, bytes go out: buses attach it (`hil.peers.attach`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from gateway.errors import EncodeError
from gateway.frame import Address, Garbage
from gateway.framing.isotp import flagged, is_flow_control, partner_of, start_of
from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.modbus_pdu import Question, question_in, sealed
from gateway.framing.spec import IsoTp, ModbusRtu
from gateway.notation import hex_bytes
from gateway.profile.build import CompiledProfile
from gateway.profile.model import LinkSpec, SetpointSpec
from gateway.route import segment_of
from gateway.schema.asked import question_of
from gateway.schema.match import tests_of
from gateway.schema.plan import Refused, values_of
from gateway.schema.spec import MessageSpec
from gateway.spelling import did_you_mean
from hil.peers.filling import filled
from hil.peers.wire import Said, can_frames, element_of
from hil.sim.modbus import ModbusSlave
from hil.sim.modbus_write import write_in

MOST_ORDERS: Final = 65_536  # that are remembered
MOST_PENDING_BYTES: Final = 4096  # of a stream in which a request may begin


class Order(NamedTuple):
    """One order that the device obeyed."""

    setpoint: str
    value: Any
    t_ns: int


class ProfilePeer:
    """One device from power-on."""

    def __init__(self, profile: CompiledProfile, values: Mapping[str, Any] | None = None) -> None:
        """Take values by `family/value`, `message.field` or `field`. Raises: ValueError naming the nearest."""
        self.orders: deque[Order] = deque(maxlen=MOST_ORDERS)
        self.silent: dict[str, str] = {}  # messages that the profile does not say how to build, and why
        self.said: set[str] = set()  # messages that it has said so far
        self._profile = profile
        self._framer = profile.framer()
        self._said = {name: spec for name, spec in profile.profile.message.items() if spec.direction != "out"}
        self._names = dict(self._known_names())
        self._given: dict[str, dict[str, Any]] = {name: {} for name in self._said}
        for name, value in (values or {}).items():
            self._take(name, value)
        self._bodies: dict[str, bytes] = {}
        self._values: dict[str, dict[str, Any]] = {}
        for name in self._said:
            self._build(name)
        self._pending = b""
        self._rest: list[Said] = []  # of an answer by ISO-TP, until the gateway wants it
        self._overlay: dict[int, int] = {}  # registers of an SPI device that were written
        is_modbus = isinstance(profile.profile.framing, ModbusRtu)
        self._slave = ModbusSlave(profile, self._values) if is_modbus else None

    # ---- what a test says

    def set(self, name: str, value: Any) -> None:
        """Let the device say this from now on. Raises: ValueError naming the nearest; EncodeError for no such value."""
        before = {message: dict(given) for message, given in self._given.items()}
        message = self._take(name, value)
        try:
            self._bodies[message], self._values[message] = self._filled(message)
        except EncodeError:
            self._given = before
            raise

    @property
    def messages(self) -> Mapping[str, MessageSpec]:
        """The messages that it can say."""
        return {name: spec for name, spec in self._said.items() if name in self._bodies}

    @property
    def link(self) -> LinkSpec:
        """What its profile says of its link."""
        return self._profile.profile.link

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """What it says, by message and field."""
        return {message: dict(values) for message, values in self._values.items()}

    def body(self, message: str) -> bytes:
        """Return the body of a message. Raises: ValueError saying why it has none."""
        if message not in self._bodies:
            raise ValueError(f"{message}: {self.silent.get(message) or 'no such message' + self._near(message)}")
        return self._bodies[message]

    # ---- what its bus asks of it

    def unasked(self) -> Iterator[Said]:
        """Give what it says by itself, each message once. With ISO-TP everything is an answer."""
        if isinstance(self._profile.profile.framing, IsoTp):
            return
        for name, spec in self._said.items():
            if spec.ask is None and name in self._bodies and not self._is_ack(name):
                yield from self.say(name)

    def say(self, message: str) -> list[Said]:
        """Return a message as it goes over the wire. Raises: EncodeError, ValueError."""
        body = self.body(message)
        self.said.add(message)
        profile = self._profile.profile
        if profile.link.bus == "can":
            return can_frames(self._profile, profile.message[message], body)
        if profile.link.bus == "ble":
            return [Said(body, element_of(profile.message[message]))]
        is_framed = profile.link.bus == "uart" and self._slave is None
        return [Said(self._framer.encode(body) if is_framed else body)]

    def hear(self, data: bytes, address: Address, now_ns: int) -> list[Said]:
        """Take what the host sent; return the answers."""
        if self._slave is not None:
            return self._asked_by_modbus(data, now_ns)
        if self._profile.profile.link.bus == "can":
            return self._heard_frame(data, address, now_ns)
        if self._profile.profile.link.bus == "ble":
            return self._obeyed(data, address, now_ns)
        bodies = [body for body in self._framer.feed(data) if not isinstance(body, Garbage)]
        answers = [each for body in bodies for each in self._heard(body, None, now_ns)]
        return answers + self._heard_unframed(data)

    def exchange(self, tx: bytes, now_ns: int) -> bytes:
        """Return what an SPI device puts out while `tx` comes in."""
        transfers = self._profile.transfers()
        head = self._profile.profile.link.address_bytes
        for name, spec in self._said.items():
            if spec.ask is not None and name in self._bodies and transfers.request(spec.ask) == tx:
                self.said.add(name)
                if spec.ask.send is not None:
                    return self._bodies[name].ljust(len(tx), b"\0")
                return (bytes(head) + self._with_written(spec, self._bodies[name])).ljust(len(tx), b"\0")
        self._written(tx, now_ns)
        return bytes(len(tx))

    # ---- what it hears

    def _heard(self, body: bytes, address: Address, now_ns: int) -> list[Said]:
        for name, spec in self._said.items():
            if spec.ask is not None and spec.ask.send is not None and hex_bytes(spec.ask.send) == body:
                return self.say(name) if name in self._bodies else []
        return self._obeyed(body, address, now_ns)

    def _heard_unframed(self, data: bytes) -> list[Said]:
        """Return the answers to requests that are framed otherwise than what the device says."""
        asked = {
            name: hex_bytes(spec.ask.send)
            for name, spec in self._said.items()
            if spec.ask is not None and spec.ask.send is not None and not spec.ask.framed and name in self._bodies
        }
        self._pending = (self._pending + data)[-MOST_PENDING_BYTES:] if asked else b""
        answers: list[Said] = []
        while found := [(self._pending.index(sent), name) for name, sent in asked.items() if sent in self._pending]:
            at, name = min(found)
            self._pending = self._pending[at + len(asked[name]) :]
            answers += self.say(name)
        return answers

    def _heard_frame(self, data: bytes, address: Address, now_ns: int) -> list[Said]:
        framing = self._profile.profile.framing
        if not isinstance(framing, IsoTp) or not isinstance(address, int):
            return self._heard(data, address, now_ns)
        asked_at = {
            flagged(spec.ask.can_id) for spec in self._said.values() if spec.ask and spec.ask.can_id is not None
        }
        if not data or (partner_of(framing, address) is None and address not in asked_at):
            return []
        if is_flow_control(data):
            rest, self._rest = self._rest, []
            return rest
        start = start_of(data)
        if start is None or start.size > len(start.data):
            return []
        frames = self._heard(start.data, address, now_ns)
        self._rest = frames[1:]
        return frames[:1]

    def _asked_by_modbus(self, data: bytes, now_ns: int) -> list[Said]:
        assert self._slave is not None
        assert isinstance(self._framer, ModbusRtuFramer)
        now_s = now_ns / 1e9
        answers: list[bytes] = []
        for body in self._framer.feed(data):
            if isinstance(body, Garbage) or body[0] != self._slave.unit:
                continue
            write = write_in(body)
            question = question_in(sealed(body))
            if write is not None:
                answers += self._slave.take(write, now_s)
                self.orders.append(Order(f"register {write.start}", write.data.hex(), now_ns))
            elif isinstance(question, Question):
                self.said |= {
                    name
                    for name, spec in self._said.items()
                    if spec.ask is not None and question_of(spec.ask, self._slave.unit) == question
                }
                answers.append(self._slave.answer(question, now_s))
        return [Said(answer) for answer in answers if answer]

    # ---- what it obeys

    def _obeyed(self, body: bytes, address: Address, now_ns: int) -> list[Said]:
        answers: list[Said] = []
        for name, setpoint in self._profile.profile.setpoint.items():
            message, _, field = setpoint.write.partition(".")
            spec = self._profile.profile.message[message]
            if not all(test(body, address) for test in tests_of(spec)):
                continue
            plan = self._profile.messages[message]
            try:
                told = {**plan.decode_raw(body), **values_of(plan, plan.decode(body))}
            except Refused:
                continue
            if told.get(field) is None:
                continue
            answers += self._carry_out(name, setpoint, told, told[field], now_ns)
        return answers

    def _carry_out(
        self, name: str, setpoint: SetpointSpec, told: Mapping[str, Any], value: Any, now_ns: int
    ) -> list[Said]:
        self.orders.append(Order(name, value, now_ns))
        answers: list[Said] = []
        ack = setpoint.ack
        if ack is not None:
            same = {mine: told[its] for mine, its in ack.same.items() if told.get(its) is not None}
            facts = {key: _first(fact) for key, fact in {**ack.where, **ack.accept}.items()}
            self._given[ack.message] |= same | facts
            self._build(ack.message)
            answers += self.say(ack.message)
        if setpoint.report is not None:
            message, _, field = setpoint.report.partition(".")
            self._given[message][field] = value
            self._build(message)
            answers += self.say(message)
        return answers

    def _written(self, tx: bytes, now_ns: int) -> None:
        """Take registers that an SPI device is written."""
        link = self._profile.profile.link
        head = link.address_bytes
        register = int.from_bytes(tx[:head], "big")
        if len(tx) <= head or (link.read_mask and register & link.read_mask == link.read_mask):
            return
        self._overlay.update({register + at: byte for at, byte in enumerate(tx[head:])})
        self.orders.append(Order(f"register {register}", tx[head:].hex(), now_ns))

    def _with_written(self, spec: MessageSpec, body: bytes) -> bytes:
        assert spec.ask is not None
        first = (spec.ask.register or 0) & self._profile.profile.link.write_mask
        return bytes(self._overlay.get(first + at, byte) for at, byte in enumerate(body))

    # ---- what it says

    def _build(self, message: str) -> None:
        try:
            body, values = self._filled(message)
        except EncodeError as error:
            if self._given[message]:
                raise
            self.silent[message] = str(error)
            return
        self._bodies[message], self._values[message] = body, values

    def _filled(self, message: str) -> tuple[bytes, dict[str, Any]]:
        spec = self._profile.profile.message[message]
        length = spec.when.length
        return filled(
            self._profile.messages[message],
            self._given[message],
            is_free=spec.format == "tlv",
            fits=partial(_has_length, length) if isinstance(length, str) and length.endswith("..") else _any,
        )

    def _is_ack(self, message: str) -> bool:
        return any(each.ack and each.ack.message == message for each in self._profile.profile.setpoint.values())

    def _take(self, name: str, value: Any) -> str:
        if name not in self._names:
            raise ValueError(f"{self._profile.profile.profile.id} has no value {name!r}{self._near(name)}")
        message, field = self._names[name]
        self._given[message][field] = value
        return message

    def _near(self, name: str) -> str:
        return did_you_mean(name, self._names)

    def _known_names(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Give every spelling of every value, with its message and field; of equal ones the first counts."""
        seen: set[str] = set()
        for message in self._said:
            family = segment_of(self._profile.family_of(message))
            for field in self._profile.messages[message].names:
                for spelling in (f"{family}/{segment_of(field)}", f"{message}.{field}", field):
                    if spelling not in seen:
                        seen.add(spelling)
                        yield spelling, (message, field)


def _has_length(length: str, body: bytes) -> bool:
    """Return whether a body has as many bytes as `"9.."` asks for."""
    return len(body) >= int(length.removesuffix(".."))


def _any(_body: bytes) -> bool:
    return True


def _first(fact: Any) -> Any:
    """Return one value with which a fact holds."""
    return fact[0] if isinstance(fact, list) else fact
