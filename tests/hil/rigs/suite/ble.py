"""What `ble` is on every rig: simulated, and on a bench's adapter. Collected only by those who name this file."""

from __future__ import annotations

import pytest

from hil.rigs.base import RigLostError
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


# ---- faults


def heard(ble, device, count=40):
    """Return how strong those were that came of so many advertisements."""
    for number in range(count):
        device.advertise(TAG, rssi=-60, manufacturer_data={0x0499: bytes([number])})
    found = []
    while (advert := ble.next(timeout="1s")) is not None:
        found.append(advert.rssi)
    return found


def struck(rig):
    return [(record.kind, record["params"]) for record in rig.trace.records if record.dir == "fault"]


def test_lost_advertisements_are_as_many_as_the_fault_says(ble, device, faults, rig):
    loss = faults.add("adv_loss", probability=0.3)
    assert len(heard(ble, device)) == 40 - loss.hits
    assert struck(rig) == [("adv_loss", {"probability": 0.3})] * loss.hits
    assert 2 < loss.hits < 25
    loss.remove()
    assert len(heard(ble, device)) == 40


def test_a_duplicated_advertisement_is_heard_twice(ble, device, faults, rig):
    faults.add("adv_duplicate", count=1)
    assert heard(ble, device, 3) == [-60] * 4
    assert len([each for each in rig.trace.records if each.kind == "adv"]) == 4


def test_strength_walks_and_comes_back_with_the_end_of_the_fault(ble, device, faults):
    walk = faults.add("rssi_walk", step=4)
    found = heard(ble, device)
    assert len(found) == 40
    assert max(found) - min(found) > 4
    walk.remove()
    assert heard(ble, device, 2) == [-60, -60]


def test_notifications_in_a_gap_are_lost_without_a_word(ble, strap, faults, rig):
    strap.characteristic(RATE, notify=True)
    with ble.connect(STRAP) as link:
        kept = link.notifications(RATE)
        gap = faults.add("notify_gap", count=2)
        for number in range(4):
            strap.notify(RATE, bytes([number]))
        assert [kept.next(timeout=SOON) for _ in range(2)] == [b"\2", b"\3"]
        assert (gap.hits, kept.received, link.is_connected) == (2, [b"\2", b"\3"], True)
    assert [each["data"] for each in told(rig) if each["kind"] == "notify"][-2:] == ["02", "03"]


@pytest.mark.parametrize("during", ["read", "write"])
def test_a_disconnect_in_the_middle_fails_at_once_and_reconnecting_works(ble, strap, faults, rig, during):
    strap.characteristic(RATE, b"\1")
    fault = faults.add("disconnect", during=during)
    with ble.connect(STRAP) as link:
        with pytest.raises(BleLinkLostError, match="the device disconnected"):
            link.read(RATE) if during == "read" else link.write(RATE, b"\1")
        assert not link.is_connected
    assert (fault.hits, struck(rig)) == (1, [("disconnect", {"during": during})])
    assert told(rig)[-1] == record("rx", "disconnect", reason="the device disconnected")
    with ble.connect(STRAP) as link:
        assert link.read(RATE) == b"\1"


def test_a_disconnect_in_a_connect_is_a_lost_link(ble, strap, faults):
    strap.characteristic(RATE)
    faults.add("disconnect", during="connect")
    with pytest.raises(BleLinkLostError):
        ble.connect(STRAP)
    ble.connect(STRAP).close()


def test_a_disconnect_in_a_notification_ends_the_wait_for_it(ble, strap, faults):
    strap.characteristic(RATE, notify=True)
    with ble.connect(STRAP) as link:
        kept = link.notifications(RATE)
        faults.add("disconnect", during="notify")
        strap.notify(RATE, b"x")
        assert kept.next(timeout="60s") is None
        assert (kept.received, link.is_connected) == ([], False)


def test_a_disconnect_without_more_happens_now(ble, strap, faults):
    strap.characteristic(RATE)
    with ble.connect(STRAP) as link:
        faults.add("disconnect")
        assert not link.is_connected
        with pytest.raises(BleLinkLostError):
            link.read(RATE)


def test_unplugging_the_adapter_ends_all_and_it_comes_back(ble, strap, faults):
    strap.characteristic(RATE)
    with ble.connect(STRAP) as link:
        fault = faults.add("unplug", bus="ble0")
        assert (link.is_connected, ble.is_there) == (False, False)
        with pytest.raises(RigLostError):
            ble.next(timeout=SOON)
        with pytest.raises(RigLostError):
            ble.connect(STRAP)
    fault.remove()
    assert ble.is_there
    ble.connect(STRAP).close()
