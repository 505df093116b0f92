"""Whatever is heard, in whatever order: so many devices, one for an address, one name for an address."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from gateway.frame import Element
from gateway.lifecycle import Event
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.stubs import Stubs
from gateway.testing import FakeClock
from tests.runtime.kit import BEACON, compiled

PROFILE = compiled(BEACON)
MOST = 6  # remembered
ADDRESSES = st.integers(0, 15).map(lambda number: f"00:00:00:00:0{number // 4:X}:0{number % 4:X}")


class Table(RuleBasedStateMachine):
    """A discovery on its own, with every name that it ever gave."""

    devices = Bundle("devices")

    @initialize(limit=st.integers(1, 5))
    def begin(self, limit: int) -> None:
        self.clock = FakeClock()
        self.limit = limit
        self.held: set[str] = set()
        self.owned = self.said = 0
        self.names: dict[str, str] = {}  # address -> name, of who is here or remembered
        self.numbers: dict[str, int] = {}
        self.found = Discovery(
            "tag", PROFILE, limit, lambda name, _address: Device(name, PROFILE, self.clock), clock=self.clock,
            stubs=Stubs(most=MOST),
        )  # fmt: skip
        self.found.on_appeared = lambda device: device.happened(Event.OPENED)
        self.found.is_held = lambda device: device.name in self.held

    @rule(addresses=st.lists(ADDRESSES, min_size=1, max_size=4))
    def hear(self, addresses: list[str]) -> None:
        elements = [Element(address, manufacturer=0x0499) for address in addresses]
        held = {device.name for device in self.found.devices if device.name in self.held}
        here = {device.name for device in self.found.devices}
        forgotten = self.found.stubs.forgotten
        owners = self.found.owners(elements, ["a"] * len(elements), self.clock.monotonic_ns())
        self.said += len(addresses)
        for device, places in owners:
            self.owned += len(places)
            origin = device.origin
            assert origin is not None
            assert {addresses[place] for place in places} == {origin.address}
            message = device.messages["a"]
            is_new = device.name not in here and origin.stub is None
            if is_new and origin.address in self.names:
                assert self.found.stubs.forgotten > forgotten  # its place was needed in this very call
            elif origin.address in self.names:
                assert device.name == self.names[origin.address]
                assert message.sequence == self.numbers[origin.address]
            self.names[origin.address] = device.name
            message.sequence += len(places)
            self.numbers[origin.address] = message.sequence
            assert device in self.found.devices
        assert held <= {device.name for device in self.found.devices}
        self.forget()

    @rule(seconds=st.sampled_from([0.5, 20, 31, 61, 301, 4000]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(at_most=st.integers(1, 3))
    def let_go(self, at_most: int) -> None:
        before = len(self.found.devices)
        has_more = self.found.let_idle_go(self.clock.monotonic_ns(), at_most)
        gone = before - len(self.found.devices)
        assert gone <= at_most
        assert has_more == (gone == at_most)
        self.forget()

    @rule(address=ADDRESSES)
    def hold(self, address: str) -> None:
        self.held ^= {self.names.get(address, "")}

    def forget(self) -> None:
        """Who is neither here nor remembered may be called otherwise the next time."""
        here = {device.origin.address for device in self.found.devices if device.origin is not None}
        for address in list(self.names):
            if address not in here and address not in self.found.stubs:
                del self.names[address], self.numbers[address]

    @invariant()
    def there_are_never_more_than_the_limit(self) -> None:
        assert len(self.found.devices) <= self.limit
        assert len(self.found.stubs) <= MOST

    @invariant()
    def an_address_is_one_device_or_one_stub_and_a_name_is_one_address(self) -> None:
        addresses = [device.origin.address for device in self.found.devices if device.origin is not None]
        assert len(set(addresses)) == len(self.found.devices)
        assert not any(address in self.found.stubs for address in addresses)
        assert len(set(self.names.values())) == len(self.names)

    @invariant()
    def every_frame_has_an_owner_or_is_counted(self) -> None:
        assert self.owned + self.found.refused == self.said

    @invariant()
    def who_went_is_counted(self) -> None:
        told = self.found.as_json()
        left = told["evicted"] + told["idle"]
        assert left == told["remembered"] + told["forgotten"] + told["returned"]


TestTable = Table.TestCase
TestTable.settings = settings(deadline=None, max_examples=50, stateful_step_count=30)
