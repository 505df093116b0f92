from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers._ble_reports import MAX_DEVICES, MAX_ELEMENTS, Reports, Selection, is_device
from drivers._ble_target import target_of
from gateway.errors import PortOptionError
from gateway.frame import Element
from gateway.profile.model import MatchSpec
from gateway.schema.advert import elements_of

MAC = "CB:B8:33:4C:88:4F"
S = 1_000_000_000
BATTERY = "0000180f-0000-1000-8000-00805f9b34fb"


class Table:
    """BlueZ's table of one device as bleak hands it on: announced properties are new objects, others stay."""

    def __init__(self, address: str = MAC, name: str | None = "Ruuvi 884F") -> None:
        self.address = address
        self.properties: dict[str, Any] = {"Address": address, "RSSI": -60}
        if name is not None:
            self.properties["Name"] = name

    def changed(self, **announced: Any) -> Any:
        self.properties.update(announced)
        properties = dict(self.properties)
        return SimpleNamespace(
            local_name=properties.get("Name"),
            manufacturer_data=dict(properties.get("ManufacturerData", {})),
            service_data=dict(properties.get("ServiceData", {})),
            service_uuids=properties.get("UUIDs", []),
            rssi=properties.get("RSSI", -127),
            platform_data=(f"/org/bluez/hci0/dev_{self.address}", properties),
        )


def test_each_entry_of_a_report_is_one_element():
    advertisement = Table().changed(ManufacturerData={0x0499: b"\5", 0x004C: b"\2"}, ServiceData={BATTERY: b"\x64"})
    assert Reports().entries(MAC, advertisement) == [
        (b"\5", Element(MAC, -60, "Ruuvi 884F", manufacturer=0x0499)),
        (b"\2", Element(MAC, -60, "Ruuvi 884F", manufacturer=0x004C)),
        (b"\x64", Element(MAC, -60, "Ruuvi 884F", service="180f")),
    ]


def test_elements_are_those_that_decode_finds_in_the_same_advertisement():
    line = {
        "address": MAC,
        "rssi": -60,
        "name": "Ruuvi 884F",
        "manufacturer_data": {"1177": "0512"},
        "service_data": {BATTERY.upper(): "64", "6e400001-b5a3-f393-e0a9-e50e24dcca9e": "01"},
    }
    service_data = {BATTERY: b"\x64", "6e400001-b5a3-f393-e0a9-e50e24dcca9e": b"\1"}
    advertisement = Table().changed(ManufacturerData={1177: b"\5\x12"}, ServiceData=service_data)
    assert Reports().entries(MAC, advertisement) == elements_of(line)


def test_data_that_a_report_carried_unchanged_are_given_again():
    table, reports = Table(), Reports()
    reports.entries(MAC, table.changed(ManufacturerData={1: b"a"}))
    assert len(reports.entries(MAC, table.changed(ManufacturerData={1: b"a"}, RSSI=-61))) == 1


@pytest.mark.parametrize("announced", [{"RSSI": -61}, {"Connected": True}, {"ServiceData": {BATTERY: b"\x64"}}])
def test_old_data_are_no_news_because_something_else_changed(announced):
    table, reports = Table(), Reports()
    reports.entries(MAC, table.changed(ManufacturerData={1: b"a"}))
    entries = reports.entries(MAC, table.changed(**announced))
    assert [element for _, element in entries if element.manufacturer is not None] == []


def test_what_bluez_knew_before_the_scan_is_not_taken_for_heard():
    table, reports = Table(), Reports()
    old = {"ManufacturerData": {1: b"a"}}
    reports.know(MAC, old)
    assert reports.entries(MAC, table.changed(**old)) == []


def test_new_data_of_a_device_that_bluez_knew_are_given():
    table, reports = Table(), Reports()
    reports.know(MAC, {"ManufacturerData": {1: b"a"}})
    assert len(reports.entries(MAC, table.changed(ManufacturerData={1: b"b"}))) == 1


def test_a_report_without_signal_strength_says_none():
    table = Table()
    del table.properties["RSSI"]
    ((_, element),) = Reports().entries(MAC, table.changed(ManufacturerData={1: b"a"}))
    assert element.rssi is None


def test_addresses_that_change_for_ever_take_bounded_memory():
    reports = Reports()
    for number in range(MAX_DEVICES + 100):
        address = f"00:00:00:00:{number >> 8:02X}:{number & 255:02X}"
        reports.entries(address, Table(address).changed(ManufacturerData={1: b"a"}))
    assert len(reports) == MAX_DEVICES


def entry(payload: bytes = b"a", address: str = MAC, **parts: Any) -> tuple[bytes, Element]:
    return payload, Element(address, -60, "Tag", **(parts or {"manufacturer": 1}))


def test_unchanged_data_come_once_a_second():
    selection = Selection(None, (), repeat_ns=S)
    given_at = [now for now in range(0, 3 * S, S // 4) if selection.of([entry()], now)]
    assert given_at == [0, S, 2 * S]


def test_changed_data_come_at_once():
    selection = Selection(None, (), repeat_ns=S)
    assert [len(selection.of([entry(payload)], 0)) for payload in (b"a", b"b", b"a")] == [1, 1, 1]


def test_all_means_every_report():
    selection = Selection(None, (), repeat_ns=None)
    assert [len(selection.of([entry()], 0)) for _ in range(3)] == [1, 1, 1]


def test_what_was_held_back_is_counted():
    selection = Selection(None, (), repeat_ns=S)
    for _ in range(3):
        selection.of([entry()], 0)
    assert selection.coalesced == 2


PATTERNS = [
    ((), True),
    ((Element("", manufacturer=1),), True),
    ((Element("", manufacturer=2),), False),
    ((Element("", service="180f"),), False),
    ((Element("", manufacturer=2), Element("", manufacturer=1)), True),
    ((Element("", name="Tag"),), True),
    ((Element("", name="Other"),), False),
    ((Element("", name="Other", manufacturer=1),), False),
    ((Element(""),), True),
]


@pytest.mark.parametrize(("patterns", "is_wanted"), PATTERNS)
def test_only_what_a_pattern_wants_is_given(patterns, is_wanted):
    assert bool(Selection(None, patterns, repeat_ns=None).of([entry()], 0)) is is_wanted


def test_one_device_is_heard_alone():
    selection = Selection(MAC, (), repeat_ns=None)
    assert selection.of([entry(), entry(address="00:11:22:33:44:55")], 0) == [entry()]


@given(st.lists(st.tuples(st.binary(max_size=2), st.integers(0, S)), max_size=50))
def test_coalescing_loses_no_change(reports):
    selection, now_ns, given_payloads, changes = Selection(None, (), repeat_ns=S), 0, [], []
    for payload, pause_ns in reports:
        now_ns += pause_ns
        given_payloads += [got for got, _ in selection.of([entry(payload)], now_ns)]
        changes += [payload] if not changes or changes[-1] != payload else []
    assert [got for place, got in enumerate(given_payloads) if not place or given_payloads[place - 1] != got] == changes


def test_coalescing_takes_bounded_memory():
    selection = Selection(None, (), repeat_ns=S)
    for number in range(MAX_ELEMENTS + 100):
        selection.of([entry(address=f"{number:012X}")], 0)
    assert len(selection._given) == MAX_ELEMENTS


MATCHES = [
    (MatchSpec(manufacturer=0x0499), True),
    (MatchSpec(manufacturer=0x004C), False),
    (MatchSpec(name="Ruuvi *"), True),
    (MatchSpec(name="Govee*"), False),
    (MatchSpec(service="180f"), True),
    (MatchSpec(service=BATTERY.upper()), True),
    (MatchSpec(service="180d"), False),
    (MatchSpec(manufacturer=0x0499, name="Govee*"), False),
    (MatchSpec(manufacturer=0x0499, name="Ruuvi*", service="180f"), True),
]


@pytest.mark.parametrize(("match", "agrees"), MATCHES)
def test_a_device_is_recognised_when_all_parts_agree(match, agrees):
    advertisement = Table().changed(ManufacturerData={0x0499: b"\5"}, UUIDs=[BATTERY])
    assert is_device(match, advertisement) is agrees


def test_a_device_without_a_name_has_no_name_that_agrees():
    assert not is_device(MatchSpec(name="*"), Table(name=None).changed())


def test_a_target_is_an_adapter_or_a_device_behind_it():
    assert target_of("hci0") == ("hci0", None)
    assert target_of("hci12/cb:b8:33:4c:88:4f") == ("hci12", MAC)


@pytest.mark.parametrize("text", ["", "hci", "hci0/", "hci0/CB:B8", "bluetooth0", "hci0/CB-B8-33-4C-88-4F", "hci0 "])
def test_text_that_is_no_target_is_refused(text):
    with pytest.raises(PortOptionError, match="hci0"):
        target_of(text)
