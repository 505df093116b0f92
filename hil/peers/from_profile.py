"""A device as its profile has it: says each message with given values, answers what it is asked, obeys orders. Pure.

What it reports of a setpoint is what it was ordered to; an order is acknowledged as the profile wants it. Time and
bytes come in, bytes go out: buses attach it (`hil.peers.attach`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from msgspec import structs

from gateway.errors import EncodeError
from gateway.frame import Address, Garbage
from gateway.framing.isotp import flagged, is_flow_control, partner_of, start_of
from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.modbus_pdu import Question, question_in, sealed
from gateway.framing.spec import IsoTp, ModbusRtu
from gateway.notation import hex_bytes
from gateway.profile.build import CompiledProfile
from gateway.profile.model import AckSpec, LinkSpec
from gateway.profile.setpoint_ack import AckRule, fields_of
from gateway.schema.asked import question_of
from gateway.schema.spec import MessageSpec
from hil.peers.orders import Orders, Told
from hil.peers.sayings import Sayings
from hil.peers.wire import Said, can_frames, element_of
from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.modbus import ModbusSlave
from hil.sim.modbus_write import COILS, Write, write_in
from hil.sim.obedience import clamped

MOST_ORDERS: Final = 65_536  # that are remembered
MOST_PENDING_BYTES: Final = 4096  # of a stream in which a request may begin
DEVICE_FAILURE: Final = 4  # with which a Modbus device refuses an order that is right
MOST_CODES: Final = 256  # of an answer, among which is one that means no


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
        self.said: set[str] = set()  # messages that it has said so far
        self._profile = profile
        self._framer = profile.framer()
        self._sayings = Sayings(profile, values)
        self._orders = Orders(profile)
        self._behaviour = GOOD
        self._pending = b""
        self._rest: list[Said] = []  # of an answer by ISO-TP, until the gateway wants it
        self._overlay: dict[int, int] = {}  # registers of an SPI device that were written
        is_modbus = isinstance(profile.profile.framing, ModbusRtu)
        self._slave = ModbusSlave(profile, self._sayings.values) if is_modbus else None

    # ---- what a test says

    def set(self, name: str, value: Any) -> None:
        """Let the device say this from now on. Raises: ValueError naming the nearest; EncodeError for no such value."""
        self._sayings.set(name, value)

    def behave(self, **facts: Any) -> None:
        """Treat orders so from now on: `ignores`, `refuses`, `lies`, `clamp=(low, high)`; nothing: obey.

        Raises: ValueError for ways that only the models have.
        """
        behaviour = Behaviour.of(facts)
        known = Behaviour(
            ignores=behaviour.ignores, refuses=behaviour.refuses, lies=behaviour.lies, clamp=behaviour.clamp
        )
        if behaviour != known:
            raise ValueError("a device of a profile ignores, refuses, lies or clamps; other ways have the models")
        self._behaviour = behaviour

    @property
    def messages(self) -> Mapping[str, MessageSpec]:
        """The messages that it can say."""
        return self._sayings.messages

    @property
    def silent(self) -> dict[str, str]:
        """The messages that the profile does not say how to build, and why."""
        return self._sayings.silent

    @property
    def ordered_at(self) -> frozenset[str]:
        """The characteristics that orders are written to."""
        profile = self._profile.profile
        specs = [profile.message[each.write.partition(".")[0]] for each in profile.setpoint.values()]
        return frozenset(uuid for spec in specs if (uuid := element_of(spec).characteristic) is not None)

    @property
    def link(self) -> LinkSpec:
        """What its profile says of its link."""
        return self._profile.profile.link

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """What it says, by message and field."""
        return {message: dict(values) for message, values in self._sayings.values.items()}

    def body(self, message: str) -> bytes:
        """Return the body of a message. Raises: ValueError saying why it has none."""
        return self._sayings.body(message)

    # ---- what its bus asks of it

    def unasked(self) -> Iterator[Said]:
        """Give what it says by itself, each message once. With ISO-TP everything is an answer."""
        if isinstance(self._profile.profile.framing, IsoTp):
            return
        for name, spec in self.messages.items():
            if spec.ask is None and not self._is_ack(name):
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
        if self.link.bus == "can":
            return self._heard_frame(data, address, now_ns)
        if self.link.bus == "ble":
            return self._ordered(data, address, now_ns)
        bodies = [body for body in self._framer.feed(data) if not isinstance(body, Garbage)]
        answers = [each for body in bodies for each in self._heard(body, None, now_ns)]
        return answers + self._heard_unframed(data)

    def exchange(self, tx: bytes, now_ns: int) -> bytes:
        """Return what an SPI device puts out while `tx` comes in."""
        transfers = self._profile.transfers()
        head = self.link.address_bytes
        for name, spec in self.messages.items():
            if spec.ask is not None and transfers.request(spec.ask) == tx:
                self.said.add(name)
                body = self.body(name)
                if spec.ask.send is not None:
                    return body.ljust(len(tx), b"\0")
                return (bytes(head) + self._with_written(spec, body)).ljust(len(tx), b"\0")
        self._written(tx, now_ns)
        return bytes(len(tx))

    # ---- what it hears

    def _heard(self, body: bytes, address: Address, now_ns: int) -> list[Said]:
        for name, spec in self._sayings.specs.items():
            if spec.ask is not None and spec.ask.send is not None and hex_bytes(spec.ask.send) == body:
                return self.say(name) if name in self.messages else []
        return self._ordered(body, address, now_ns)

    def _heard_unframed(self, data: bytes) -> list[Said]:
        """Return the answers to requests that are framed otherwise than what the device says."""
        asked = {
            name: hex_bytes(spec.ask.send)
            for name, spec in self.messages.items()
            if spec.ask is not None and spec.ask.send is not None and not spec.ask.framed
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
            flagged(spec.ask.can_id)
            for spec in self._sayings.specs.values()
            if spec.ask and spec.ask.can_id is not None
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
        answers: list[bytes] = []
        for body in self._framer.feed(data):
            if isinstance(body, Garbage) or body[0] != self._slave.unit:
                continue
            write = write_in(body)
            question = question_in(sealed(body))
            if write is not None:
                answers += self._written_by_modbus(self._slave, write, now_ns)
            elif isinstance(question, Question):
                self.said |= {
                    name
                    for name, spec in self._sayings.specs.items()
                    if spec.ask is not None and question_of(spec.ask, self._slave.unit) == question
                }
                answers.append(self._slave.answer(question, now_ns / 1e9))
        return [Said(answer) for answer in answers if answer]

    def _written_by_modbus(self, slave: ModbusSlave, write: Write, now_ns: int) -> list[bytes]:
        if self._behaviour.ignores:
            return []
        if write.table == COILS:
            told = self._orders.in_coils(write.start, write.quantity, write.data)
        else:
            told = self._orders.in_registers(write.start, write.data)
        if told:
            decisions = [self._decide(each, now_ns) for each in told]
            refusal = bytes([slave.unit, write.function | 0x80, DEVICE_FAILURE])
            return [sealed(write.head if all(decisions) else refusal)]
        answers = slave.take(write, now_ns / 1e9)
        if answers and not answers[0][1] & 0x80:
            what = "coil" if write.table == COILS else "register"
            self.orders.append(Order(f"{what} {write.start}", write.data.hex(), now_ns))
        return answers

    # ---- what it obeys

    def _ordered(self, body: bytes, address: Address, now_ns: int) -> list[Said]:
        answers: list[Said] = []
        for told in self._orders.in_message(body, address):
            if self._behaviour.ignores:
                continue
            is_yes = self._decide(told, now_ns)
            answers += self._acknowledged(told, is_yes=is_yes)
            if is_yes and told.reported is not None and self._sayings.specs[told.reported[0]].ask is None:
                answers += self.say(told.reported[0])
        return answers

    def _decide(self, told: Told, now_ns: int) -> bool:
        """Obey an order, if that is how it behaves; return whether it says yes."""
        behaviour = self._behaviour
        if behaviour.ignores or behaviour.refuses or behaviour.lies:
            return behaviour.lies
        value = clamped(told.value, behaviour)
        message, field = told.written
        changes: dict[str, dict[str, Any]] = {}
        if message in self.messages:
            changes[message] = {**told.values, field: value}
        if told.reported is not None:
            changes.setdefault(told.reported[0], {})[told.reported[1]] = value
        try:
            self._sayings.put(changes)
        except EncodeError:
            return False
        self.orders.append(Order(told.name, told.value, now_ns))
        return True

    def _acknowledged(self, told: Told, *, is_yes: bool) -> list[Said]:
        """Return what it answers to an order; nothing where the profile has no such answer."""
        ack = told.spec.ack
        if ack is None:
            return []
        same = {mine: told.facts[its] for mine, its in ack.same.items() if told.facts.get(its) is not None}
        where = {key: _first(fact) for key, fact in ack.where.items()}
        wanted = "accepted" if is_yes else "rejected"
        rule = AckRule(self._profile, structs.replace(ack, same={}))
        for result in self._results(ack, is_yes=is_yes):
            try:
                self._sayings.put({ack.message: {**same, **where, **result}})
            except EncodeError:
                continue
            if rule.judge(self.body(ack.message), {}).answer == wanted:
                return self.say(ack.message)
        return []

    def _results(self, ack: AckSpec, *, is_yes: bool) -> Iterator[dict[str, Any]]:
        """Give what an ack may say for yes, or for no."""
        accept = {key: _first(fact) for key, fact in ack.accept.items()}
        if is_yes:
            yield accept
            return
        fields = fields_of(self._profile.profile.message[ack.message])
        for name in accept:
            for code in (*(fields[name].labels or {}).values(), *range(MOST_CODES)):
                yield {**accept, name: code}

    def _written(self, tx: bytes, now_ns: int) -> None:
        """Take what an SPI device is written: a whole message, or registers."""
        head = self.link.address_bytes
        register = int.from_bytes(tx[:head], "big")
        is_read = self.link.read_mask and register & self.link.read_mask == self.link.read_mask
        told = self._orders.in_message(tx, None)
        if len(tx) > head and not is_read:
            told += self._orders.in_registers(register, tx[head:])
        for each in told:
            self._decide(each, now_ns)
        if not told and len(tx) > head and not is_read:
            self._overlay.update({register + at: byte for at, byte in enumerate(tx[head:])})
            self.orders.append(Order(f"register {register}", tx[head:].hex(), now_ns))

    def _with_written(self, spec: MessageSpec, body: bytes) -> bytes:
        assert spec.ask is not None
        first = (spec.ask.register or 0) & self.link.write_mask
        return bytes(self._overlay.get(first + at, byte) for at, byte in enumerate(body))

    def _is_ack(self, message: str) -> bool:
        return any(each.ack and each.ack.message == message for each in self._profile.profile.setpoint.values())


def _first(fact: Any) -> Any:
    """Return one value with which a fact holds."""
    return fact[0] if isinstance(fact, list) else fact
