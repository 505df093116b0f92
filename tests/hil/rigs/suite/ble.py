"""What `ble` is on every rig: simulated, and on a bench's adapter. Collected only by those who name this file."""

from __future__ import annotations

import pytest

from hil.rigs.radio import BleLinkLostError, BleRefusedError, BleTimeoutError

pytestmark = pytest.mark.hil(needs=["ble"])
TAG = "CB:B8:33:4C:88:4F"
STRAP = "A0:9E:1A:00:00:01"
RATE = "2a37"
CONTROL = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
SOON = "10s"


def told(rig):
    """Return what the trace has of links, without times."""
    keys = {"t_ns", "bus"}
    found = [record for record in rig.trace.records if record.bus == "ble0" and record.kind != "adv"]
    return [{key: value for key, value in record.items() if key not in keys} for record in found]


def record(direction, kind, data=b"", **facts):
    return {"dir": direction, "kind": kind, "data": data.hex(), "address": STRAP, **facts}


@pytest.fixture
def strap(device):
    """Give the device, which is in reach under its address."""
    device.advertise(STRAP)
    return device


# ---- advertisements


def test_an_advertisement_is_heard_as_it_was_sent(ble, device, rig):
    device.advertise(TAG, rssi=-71, manufacturer_data={0x0499: b"\x05\x01"}, service_data={"FE9F": b"\0"}, name="R")
    advert = ble.next(timeout=SOON)
    assert (advert.address, advert.rssi, advert.name) == (TAG, -71, "R")
    assert (advert.manufacturer_data, advert.service_data) == ({0x0499: b"\x05\x01"}, {"fe9f": b"\0"})
    assert advert.service_uuids == ()
    [heard] = [each for each in rig.trace.records if each.kind == "adv"]
    assert heard.data == advert.data.hex() == "020106" + "020952" + "04169ffe00" + "05ff99040501"
    assert (heard.dir, heard.address, heard.rssi, heard.t_ns) == ("rx", TAG, -71, advert.t_ns)
    assert [key for key, _ in heard.items()] == ["t_ns", "bus", "dir", "kind", "data", "address", "rssi"]


def test_the_next_of_one_device_leaves_those_of_others(ble, device):
    device.advertise(TAG)
    device.advertise(STRAP)
    assert ble.next(timeout=SOON, address=STRAP.lower()).address == STRAP
    assert ble.next(timeout=SOON).address == TAG


def test_silence_is_none_when_the_time_is_over(ble):
    assert ble.next(timeout="20ms") is None


# ---- links


def test_a_link_says_what_it_is_and_every_step_is_in_the_trace(ble, strap, rig):
    strap.characteristic(RATE, b"\x00\x48")
    with ble.connect(STRAP.lower()) as link:
        assert (link.address, link.is_connected, link.mtu, link.characteristics) == (STRAP, True, 247, [RATE])
        assert link.read("00002A37-0000-1000-8000-00805F9B34FB") == b"\x00\x48"
    assert not link.is_connected
    assert told(rig) == [
        record("tx", "connect"),
        record("rx", "connect", mtu=247),
        record("tx", "read", uuid=RATE),
        record("rx", "read", b"\x00\x48", uuid=RATE),
        record("tx", "disconnect", reason="closed by the host"),
    ]


def test_what_is_written_arrives_with_and_without_response(ble, strap, rig):
    strap.characteristic(CONTROL)
    with ble.connect(STRAP) as link:
        link.write(CONTROL, b"\1\2")
        link.write(CONTROL, b"\3", response=False)
        assert link.read(CONTROL, timeout=SOON) == b"\3"
    assert [each for each in told(rig) if each["kind"] == "write"] == [
        record("tx", "write", b"\1\2", uuid=CONTROL),
        record("rx", "write", uuid=CONTROL),
        record("tx", "write", b"\3", response=False, uuid=CONTROL),
    ]


def test_notifications_come_in_order_with_their_times(ble, strap, rig, clock):
    strap.characteristic(RATE, notify=True)
    with ble.connect(STRAP) as link:
        kept = link.notifications(0x2A37)
        for number in range(3):
            strap.notify(RATE, bytes([number]))
        assert [kept.next(timeout=SOON) for _ in range(3)] == [b"\0", b"\1", b"\2"]
        assert (kept.uuid, kept.received, kept.times_ns) == (RATE, [b"\0", b"\1", b"\2"], sorted(kept.times_ns))
        kept.stop()
        strap.notify(RATE, b"unheard")
        clock.sleep("100ms")
        assert kept.next(timeout=0) is None
    subscribed, *notified = [each for each in told(rig) if each["kind"] in {"write", "notify"}][1:]
    assert subscribed == record("rx", "write", descriptor="2902", uuid=RATE)
    assert notified[:3] == [record("rx", "notify", bytes([number]), uuid=RATE) for number in range(3)]


def test_what_is_read_is_no_notification_too(ble, strap, clock):
    strap.characteristic(RATE, b"\7", notify=True)
    with ble.connect(STRAP) as link:
        kept = link.notifications(RATE)
        assert link.read(RATE) == b"\7"
        clock.sleep("100ms")
        assert kept.received == []
        strap.notify(RATE, b"\x08")
        assert kept.next(timeout=SOON) == b"\x08"


@pytest.mark.parametrize(
    ("doing", "ask", "named", "code"),
    [
        ("read", lambda link: link.read(RATE), f"characteristic {RATE} cannot be read", 0x02),
        ("write", lambda link: link.write(RATE, b"x"), f"characteristic {RATE} cannot be written", 0x03),
        ("write", lambda link: link.notifications(RATE), f"characteristic {RATE} does not notify", 0x0A),
    ],
)
def test_what_the_device_refuses_is_an_error_with_its_number(ble, strap, rig, doing, ask, named, code):
    strap.characteristic(RATE, readable=False, writable=False)
    with ble.connect(STRAP) as link, pytest.raises(BleRefusedError, match=named) as refused:
        ask(link)
    assert refused.value.code == code
    answer = [each for each in told(rig) if each["kind"] == doing][-1]
    assert (answer["dir"], answer["data"], answer["uuid"], answer["error"]) == ("rx", "", RATE, code)


def test_a_characteristic_that_it_has_not_is_refused_with_the_nearest(ble, strap, rig):
    strap.characteristic(RATE)
    with (
        ble.connect(STRAP) as link,
        pytest.raises(BleRefusedError, match="no characteristic 2a38; did you mean '2a37'"),
    ):
        link.read("2a38")
    assert [each for each in told(rig) if each["kind"] == "read"] == []


def test_a_link_that_was_closed_is_lost(ble, strap):
    strap.characteristic(RATE)
    link = ble.connect(STRAP)
    link.close()
    link.close()
    with pytest.raises(BleLinkLostError, match=f"the link to {STRAP} is gone: it was closed; connect again"):
        link.read(RATE)


def test_a_device_that_is_not_there_does_not_answer(ble, device, rig):
    device.advertise(TAG)
    with pytest.raises(BleTimeoutError, match=f"{STRAP} does not answer, in 0.5 s"):
        ble.connect(STRAP, timeout="500ms")
    asked, failed = told(rig)
    assert asked == record("tx", "connect")
    assert (failed["dir"], failed["kind"], failed["address"]) == ("rx", "disconnect", STRAP)


@pytest.mark.parametrize(
    ("do", "named"),
    [
        (lambda ble: ble.next(address="CB:B8"), "AA:BB:CC:DD:EE:FF"),
        (lambda ble: ble.connect("somewhere"), "AA:BB:CC:DD:EE:FF"),
        (lambda ble: ble.next(timeout="soon"), "soon"),
    ],
)
def test_what_cannot_be_meant_is_a_value_error(ble, do, named):
    with pytest.raises(ValueError, match=named):
        do(ble)


def test_what_cannot_be_asked_of_a_link_is_a_value_error(ble, strap):
    strap.characteristic(RATE)
    with ble.connect(STRAP) as link:
        for ask in (lambda: link.read("zz"), lambda: link.write(RATE, "text"), lambda: link.write(RATE, bytes(513))):
            with pytest.raises(ValueError, match=r"UUID|bytes"):
                ask()
