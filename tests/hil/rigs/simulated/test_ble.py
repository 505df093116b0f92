"""The simulated radio: advertisements, links, and every fault of them."""

from __future__ import annotations

import errno
import itertools

import pytest

from hil.rigs.base import RigError, RigLostError
from hil.rigs.radio import BleAuthenticationError, BleLinkLostError, BleRefusedError, BleTimeoutError
from hil.rigs.simulated.rig import SimulatedRig
from hil.trace import read

TAG = "CB:B8:33:4C:88:4F"
STRAP = "A0:9E:1A:00:00:01"
RATE = "2a37"
LONG = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
INTERVAL_NS = 30_000_000


def kinds_of(rig):
    return [f"{record.dir} {record.kind}" for record in rig.trace.records if record.bus == "ble0"]


def heard(ble, count=100):
    """Return how many advertisements come, of `count` that are sent."""
    for number in range(count):
        ble.peer.advertise(TAG, manufacturer_data={0x0499: bytes([number])})
    found = 0
    while ble.next(timeout="10ms") is not None:
        found += 1
    return found


# ---- advertisements


def test_an_advertisement_is_heard_as_it_was_sent(ble, rig, clock):
    ble.peer.advertise(TAG, rssi=-71, manufacturer_data={0x0499: b"\x05\x01"}, service_data={"FE9F": b"\0"}, name="R")
    advert = ble.next(timeout=1)
    assert (advert.address, advert.rssi, advert.name) == (TAG, -71, "R")
    assert (advert.manufacturer_data, advert.service_data) == ({0x0499: b"\x05\x01"}, {"fe9f": b"\0"})
    [record] = rig.trace.records
    assert record.data == "020106" + "020952" + "04169ffe00" + "05ff99040501"
    assert (record.kind, record.address, record.rssi) == ("adv", TAG, -71)
    assert record.t_ns == advert.t_ns == clock.monotonic_ns() == 8_000 * (16 + 17)
    assert ble.next(timeout="1s") is None


def test_manufacturer_data_may_have_the_company_in_front(ble):
    ble.peer.advertise(TAG, manufacturer_data=b"\x99\x04\x05")
    assert ble.next().manufacturer_data == {0x0499: b"\x05"}


def test_what_is_on_the_air_is_heard_without_waiting(ble):
    ble.peer.advertise(TAG.lower())
    assert ble.next(timeout=0).address == TAG


def test_advertising_goes_on_until_it_is_stopped(ble, clock):
    numbers = iter(range(100))
    advertising = ble.peer.advertise(TAG, manufacturer_data=lambda: {1: bytes([next(numbers)])}, interval="1285ms")
    adverts = [ble.next() for _ in range(3)]
    assert [advert.manufacturer_data[1] for advert in adverts] == [b"\0", b"\1", b"\2"]
    assert [later.t_ns - advert.t_ns for advert, later in itertools.pairwise(adverts)] == [1_285_000_000] * 2
    advertising.stop()
    advertising.stop()
    clock.sleep("10s")
    assert ble.next(timeout=0) is None


@pytest.mark.parametrize(
    ("address", "more", "named"),
    [
        ("CB:B8", {}, "AA:BB"), (TAG, {"rssi": -200}, "rssi"), (TAG, {"interval": "1ms"}, "20 ms"),
        (TAG, {"manufacturer_data": {70000: b""}}, "company"), (TAG, {"manufacturer_data": {1: "05"}}, "bytes"),
        (TAG, {"manufacturer_data": b"\1"}, "two bytes"), (TAG, {"service_data": {"zz": b""}}, "UUID"),
        (TAG, {"service_uuids": [-1]}, "UUID"), (TAG, {"manufacturer_data": {1: bytes(300)}}, "at most"),
        (TAG, {"manufacturer_data": [1]}, "manufacturer"), (TAG, {"interval": "soon"}, "soon"),
    ],
)  # fmt: skip
def test_an_advertisement_that_cannot_be_is_refused(ble, address, more, named):
    with pytest.raises(ValueError, match=named):
        ble.peer.advertise(address, **more)


def test_a_device_without_power_is_not_heard(ble, power, dut):
    power.off()
    ble.peer.advertise(TAG, interval="100ms")
    assert ble.next(timeout="1s") is None
    dut.to("configured")
    assert ble.next(timeout="1s").address == TAG


def test_lost_advertisements_are_as_many_as_the_fault_says(ble, faults):
    loss = faults.add("adv_loss", probability=0.3)
    assert heard(ble) == 100 - loss.hits
    assert 15 < loss.hits < 45
    loss.remove()
    assert heard(ble) == 100


def test_a_duplicated_advertisement_is_heard_twice(ble, faults):
    faults.add("adv_duplicate", count=1)
    assert heard(ble, 3) == 4


def test_strength_walks_and_comes_back_with_the_end_of_the_fault(ble, faults):
    walk = faults.add("rssi_walk", step=4)
    found = []
    for _ in range(200):
        ble.peer.advertise(TAG, rssi=-60)
        found.append(ble.next().rssi)
    assert max(abs(a - b) for a, b in itertools.pairwise(found)) <= 5  # a step, rounded
    assert max(found) - min(found) > 8
    walk.remove()
    ble.peer.advertise(TAG, rssi=-60)
    assert ble.next().rssi == -60


def test_encrypted_advertisements_do_not_open_with_changed_keys(ble, faults):
    change = faults.add("key_change")
    for _ in range(2):
        ble.peer.advertise(TAG, manufacturer_data={1: b"\x10\x02secret"}, encrypted_from=2)
    first, second = ble.next().manufacturer_data[1], ble.next().manufacturer_data[1]
    assert first[:2] == b"\x10\x02"
    assert first[2:] != b"secret"
    assert first == second
    change.remove()
    ble.peer.advertise(TAG, manufacturer_data={1: b"\x10\x02secret"}, encrypted_from=2)
    assert ble.next().manufacturer_data[1] == b"\x10\x02secret"


# ---- links


def test_a_value_is_read_at_connection_events(ble, rig, clock):
    ble.peer.characteristic(RATE, b"\x00\x48")
    with ble.connect(STRAP) as link:
        began_ns = clock.monotonic_ns()
        assert link.read("00002A37-0000-1000-8000-00805F9B34FB") == b"\x00\x48"
        assert clock.monotonic_ns() - began_ns == 2 * INTERVAL_NS
        assert link.mtu == 247
        assert link.characteristics == [RATE]
    assert kinds_of(rig) == ["tx connect", "rx connect", "tx read", "rx read", "tx disconnect"]
    assert not link.is_connected


def test_what_is_written_is_the_value(ble):
    orders = []
    written = ble.peer.characteristic(LONG, b"", on_write=orders.append)
    with ble.connect(STRAP) as link:
        link.write(LONG, b"\x01")
        link.write(LONG, b"\x02", response=False)
        assert link.read(LONG) == b"\x02"
    assert written.written == orders == [b"\x01", b"\x02"]


def test_notifications_come_in_order_to_who_subscribed(ble, clock):
    ble.peer.characteristic(RATE, b"", notify=True)
    ble.peer.notify(RATE, b"nobody")
    with ble.connect(STRAP) as link:
        values = link.notifications(0x2A37)
        for number in range(3):
            ble.peer.notify(RATE, bytes([number]))
        assert values.received == [b"\0", b"\1", b"\2"]
        assert link.read(RATE) == b"\2"
        assert values.next() == b"\0"
        values.stop()
        ble.peer.notify(RATE, b"\3")
        clock.sleep("1s")
        assert len(values.received) == len(values.times_ns) == 3


@pytest.mark.parametrize(
    ("make", "use", "code"),
    [
        ({}, lambda link: link.read("2a38"), 0x0A),
        ({"readable": False}, lambda link: link.read(RATE), 0x02),
        ({"writable": False}, lambda link: link.write(RATE, b"\0"), 0x03),
        ({}, lambda link: link.notifications(RATE), 0x0A),
        ({}, lambda link: link.write(RATE, bytes(245), response=False), 0x0D),
    ],
)
def test_what_the_device_refuses_is_refused_with_its_code(ble, make, use, code):
    ble.peer.characteristic(RATE, b"\0", **make)
    with ble.connect(STRAP) as link, pytest.raises(BleRefusedError) as raised:
        use(link)
    assert raised.value.code == code
    with ble.connect(STRAP) as link:
        link.characteristics.index(RATE)


def test_mistakes_of_a_test_name_what_is_near(ble):
    ble.peer.characteristic(RATE, b"\0")
    with pytest.raises(ValueError, match="notify=True"):
        ble.peer.notify(RATE, b"\0")
    with pytest.raises(ValueError, match="2a37"):
        ble.peer.notify("2a36", b"\0")
    with pytest.raises(ValueError, match="at most 512"):
        ble.peer.characteristic(RATE, bytes(513))
    with ble.connect(STRAP) as link, pytest.raises(BleRefusedError, match="2a37"):
        link.read("2a36")


def test_only_an_address_that_the_device_advertised_answers(ble):
    ble.peer.advertise(TAG)
    ble.peer.characteristic(RATE, b"\0", address=STRAP)
    with pytest.raises(BleTimeoutError, match="A0:9E:1A:00:00:02"):
        ble.connect("A0:9E:1A:00:00:02", timeout="500ms")
    with ble.connect(TAG) as tag, ble.connect(STRAP) as strap:
        assert (tag.characteristics, strap.characteristics) == ([], [RATE])


def test_a_device_that_loses_power_is_missed_after_the_supervision_time(ble, power, clock):
    ble.peer.characteristic(RATE, b"\0")
    link = ble.connect(STRAP)
    power.off()
    began_ns = clock.monotonic_ns()
    with pytest.raises(BleLinkLostError, match="does not answer any more"):
        link.read(RATE)
    assert clock.monotonic_ns() - began_ns == 420_000_000
    with pytest.raises(BleTimeoutError):
        ble.connect(STRAP, timeout="1s")


def test_a_device_that_has_restarted_does_not_know_its_links(ble, faults, clock):
    ble.peer.characteristic(RATE, b"\x07")
    link = ble.connect(STRAP)
    faults.add("reset")
    with pytest.raises(BleLinkLostError):
        link.read(RATE)
    clock.sleep("1s")
    with ble.connect(STRAP) as again:
        assert again.read(RATE) == b"\x07"


# ---- faults of links


@pytest.mark.parametrize("during", ["read", "write", "notify", "connect"])
def test_a_disconnect_in_the_middle_fails_at_once_and_reconnecting_works(ble, faults, rig, during):
    ble.peer.characteristic(RATE, b"\x07", notify=True)
    fault = faults.add("disconnect", during=during)

    def use():
        with ble.connect(STRAP) as link:
            values = link.notifications(RATE) if during == "notify" else None
            ble.peer.notify(RATE, b"\x07")
            if values is not None:
                assert not values.received
            if during == "write":
                link.write(RATE, b"\x07")
            assert link.read(RATE) == b"\x07"

    with pytest.raises(BleLinkLostError, match=STRAP):
        use()
    assert (fault.hits, faults.active) == (1, [])
    assert kinds_of(rig)[-2:] == ["fault disconnect", "rx disconnect"]
    if during != "notify":
        use()


def test_a_disconnect_is_bounded_and_leaves_a_link_that_only_fails(ble, faults, clock):
    ble.peer.characteristic(RATE, b"\x07")
    link = ble.connect(STRAP)
    faults.add("disconnect", during="read", count=1)
    began_ns = clock.monotonic_ns()
    for _ in range(3):
        with pytest.raises(RigLostError):
            link.read(RATE)
    assert clock.monotonic_ns() - began_ns <= 3 * INTERVAL_NS
    with pytest.raises(RigError):
        link.notifications(RATE)
    assert not link.is_connected


def test_a_disconnect_without_more_happens_now_and_at_its_time(ble, faults, clock):
    ble.peer.characteristic(RATE, b"\x07")
    link, later = ble.connect(STRAP), "2s"
    faults.add("disconnect")
    assert not link.is_connected
    link = ble.connect(STRAP)
    faults.add("disconnect", at=later)
    assert link.is_connected
    clock.sleep("2s")
    assert not link.is_connected


def test_a_disconnect_may_strike_the_nth_read(ble, faults):
    ble.peer.characteristic(RATE, b"\x07")
    faults.add("disconnect", during="read", after=2, count=1)
    with ble.connect(STRAP) as link:
        for _ in range(2):
            link.write(RATE, b"\x07")
            link.read(RATE)
        with pytest.raises(BleLinkLostError):
            link.read(RATE)


def test_with_a_stale_cache_the_host_sees_what_was(ble, faults):
    ble.peer.characteristic(RATE, b"old")
    stale = faults.add("stale_cache")
    ble.peer.characteristic(RATE, b"new")
    ble.peer.characteristic("2a38", b"\1")
    with ble.connect(STRAP) as link:
        assert link.read(RATE) == b"old"
        with pytest.raises(BleRefusedError):
            link.read("2a38")
        stale.remove()
        assert link.read(RATE) == b"new"
        assert link.read("2a38") == b"\1"


def test_a_cache_that_began_empty_is_what_the_next_connect_saw(ble, faults):
    faults.add("stale_cache")
    ble.peer.characteristic(RATE, b"old")
    with ble.connect(STRAP) as link:
        assert link.read(RATE) == b"old"
        ble.peer.characteristic(RATE, b"new")
        assert link.read(RATE) == b"old"


def test_a_write_with_a_stale_cache_meets_what_is_there(ble, faults):
    ble.peer.characteristic(RATE, b"old")
    faults.add("stale_cache")
    ble.peer.forget(RATE)
    with ble.connect(STRAP) as link, pytest.raises(BleRefusedError, match="any more"):
        link.write(RATE, b"\0")


def test_notifications_in_a_gap_are_lost_without_a_word(ble, faults):
    ble.peer.characteristic(RATE, b"", notify=True)
    with ble.connect(STRAP) as link:
        values = link.notifications(RATE)
        gap = faults.add("notify_gap", duration="1s")
        ble.peer.notify(RATE, b"lost")
        assert values.received == []
        assert link.read(RATE) == b"lost"
        assert values.next(timeout="1s") is None
        ble.peer.notify(RATE, b"heard")
        assert values.received == [b"heard"]
        assert gap.hits == 1


def test_changed_keys_refuse_what_is_encrypted_until_they_match_again(ble, faults):
    ble.peer.characteristic(RATE, b"secret", notify=True)
    ble.peer.characteristic("2a00", b"name", encrypted=False)
    change = faults.add("key_change")
    with ble.connect(STRAP) as link:
        with pytest.raises(BleAuthenticationError, match="0x05"):
            link.read(RATE)
        with pytest.raises(PermissionError):
            link.notifications(RATE)
        assert link.read("2a00") == b"name"
        change.remove()
        assert link.read(RATE) == b"secret"
    assert change.hits == 1


def test_a_small_mtu_cuts_notifications_and_makes_long_reads_slow(ble, faults, clock):
    value = bytes(range(50))
    ble.peer.characteristic(RATE, value, notify=True)
    faults.add("mtu_shrink", mtu=23)
    with ble.connect(STRAP) as link:
        assert link.mtu == 23
        values = link.notifications(RATE)
        ble.peer.notify(RATE, value)
        assert values.received == [value[:20]]
        began_ns = clock.monotonic_ns()
        assert link.read(RATE) == value
        assert clock.monotonic_ns() - began_ns == (1 + 3) * INTERVAL_NS
        began_ns = clock.monotonic_ns()
        link.write(RATE, value)
        assert clock.monotonic_ns() - began_ns == (1 + 4) * INTERVAL_NS
    with pytest.raises(ValueError, match="23"):
        faults.add("mtu_shrink", mtu=22)


def test_unplugging_the_adapter_ends_all_and_it_comes_back(ble, faults):
    told = []
    ble.listen(told.append, told.append)
    ble.peer.characteristic(RATE, b"\7")
    link = ble.connect(STRAP)
    unplugged = faults.add("unplug", bus="ble0")
    for use in (lambda: ble.next(timeout=1), lambda: ble.connect(STRAP), lambda: link.read(RATE),
                lambda: ble.listen(told.append, told.append)):  # fmt: skip
        with pytest.raises(RigLostError):
            use()
    ble.peer.advertise(STRAP)
    assert told == ["unplug"]
    unplugged.remove()
    assert ble.is_there
    with ble.connect(STRAP) as again:
        assert again.read(RATE) == b"\7"


def test_unplugging_ends_a_wait(ble, faults, clock):
    faults.add("unplug", bus="ble0", at="1s", duration="1s")
    with pytest.raises(RigLostError) as raised:
        ble.next(timeout=5)
    assert (raised.value.errno, clock.monotonic_ns()) == (errno.ENODEV, 1_000_000_000)
    clock.sleep("900ms")
    with pytest.raises(RigLostError):
        ble.next(timeout=5)
    clock.sleep("100ms")
    assert ble.next(timeout=5) is None


# ---- what a gateway uses


def test_a_gateway_hears_and_asks_without_letting_time_pass(ble, rig):
    ble.peer.characteristic(RATE, b"\7", notify=True)
    heard, ends, values, answers = [], [], [], []
    stop = ble.listen(heard.append, ends.append)
    ble.peer.advertise(STRAP)

    def connected(done):
        link = done.result(0)
        link.when_lost(ends.append)
        link.read(RATE).add_done_callback(lambda read: answers.append(read.result(0)))
        link.subscribe(RATE, values.append).add_done_callback(lambda _: ble.peer.notify(RATE, b"\x08"))

    ble.open(STRAP).add_done_callback(connected)
    assert rig.world.now_ns == 0
    rig.world.run_until(1_000_000_000)
    assert (len(heard), answers, values) == (1, [b"\7"], [b"\x08"])
    rig.faults.add("disconnect")
    assert ends == ["the device disconnected"]
    stop()
    ble.peer.advertise(STRAP)
    rig.world.run_until(2_000_000_000)
    assert len(heard) == 1


def run_with_faults(new_round, seed, tmp_path):
    rig = SimulatedRig()
    rig.begin(new_round(seed), tmp_path / f"{seed}.trace")
    ble = rig.get("ble0")
    ble.peer.advertise(STRAP, interval="100ms", manufacturer_data={1: b"\0"})
    ble.peer.characteristic(RATE, b"\7", notify=True)
    for kind, params in (("adv_loss", {}), ("rssi_walk", {"step": 3}), ("adv_duplicate", {}), ("notify_gap", {}),
                         ("disconnect", {"during": "read"})):  # fmt: skip
        rig.faults.add(kind, probability=0.3, **params)
    for _ in range(20):
        with ble.connect(STRAP) as link:
            link.notifications(RATE)
            ble.peer.notify(RATE, b"\x08")
            try:
                link.read(RATE)
            except BleLinkLostError:
                rig.clock.sleep("100ms")
    rig.end()
    assert read(tmp_path / f"{seed}.trace").hash == rig.trace.hash
    return rig.trace.hash


def test_the_same_seed_gives_the_same_trace(new_round, tmp_path):
    first = run_with_faults(new_round, 7, tmp_path)
    assert run_with_faults(new_round, 7, tmp_path) == first
    assert run_with_faults(new_round, 8, tmp_path) != first
