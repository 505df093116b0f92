"""Each fixture in the words in which a stranger who read only what is promised would use it."""

from __future__ import annotations

import errno

import pytest

TAG = "CB:B8:33:4C:88:4F"
BATTERY = "2a19"
CLIMATE = """
[profile]
id     = "me/my-sensor@1.0.0"
family = "climate"
[link]
bus  = "uart"
baud = 9600
[framing]
kind   = "length"
start  = "aa 55"
length = { at = 2, type = "u8", adds = 4 }
check  = { kind = "sum-8" }
body   = "3:-1"
[message.climate]
when   = { length = 3 }
fields = [
  { name = "temperature", type = "s16be", scale = 0.01, units = "Cel" },
  { name = "humidity",    type = "u8",    units = "%" },
]
"""
WARM = bytes.fromhex("aa550308662898")


def test_the_rig_that_serves_without_a_file(rig):
    assert (rig.name, rig.target) == ("sim", "sim")
    assert dict(rig.resources) == {"uart0": "uart", "can0": "can", "ble0": "ble", "spi0": "spi", "power": "power"}
    assert isinstance(rig.seed, int)


def test_a_fixture_is_the_first_resource_of_its_protocol(rig, uart, can_bus, ble, spi, power):
    names = ("uart0", "can0", "ble0", "spi0", "power")
    assert [rig.get(name) for name in names] == [uart, can_bus, ble, spi, power]


def test_switching_power_off_and_on_is_one_boot_however_often_it_is_switched(dut, power):
    before = dut.boots
    power.off()
    power.off()
    assert dut.state == "off"
    power.on()
    power.on()
    assert dut.state == "powered"
    dut.to("configured", timeout=5)
    assert dut.boots == before + 1


@pytest.mark.parametrize("kind", ["reset", "brown_out"])
def test_a_board_that_restarts_by_itself_boots_once_more_and_is_no_longer_configured(kind, dut, faults, clock):
    before = dut.boots
    hit = faults.add(kind)
    clock.sleep("5s")
    assert (hit.hits, dut.boots, dut.state) == (1, before + 1, "answering")


def test_sleep_takes_seconds_and_text_and_both_clocks_go(clock):
    before = clock.monotonic_ns(), clock.wall_ns()
    clock.sleep(1.5)
    clock.sleep("250ms")
    assert (clock.monotonic_ns() - before[0], clock.wall_ns() - before[1]) == (1_750_000_000, 1_750_000_000)


def test_a_clock_jump_moves_the_wall_clock_alone_and_may_go_back(clock, faults):
    before = clock.monotonic_ns(), clock.wall_ns()
    faults.add("clock_jump", by="-1h")
    assert (clock.monotonic_ns(), clock.wall_ns()) == (before[0], before[1] - 3_600_000_000_000)


def test_a_disk_is_full_after_so_many_writes_until_the_fault_is_removed(rig, faults):
    full = faults.add("disk_full", after=2)
    rig.disk.write(b"one")
    rig.disk.write(b"two")
    with pytest.raises(OSError) as refused:  # noqa: PT011 - its number is looked at
        rig.disk.write(b"three")
    full.remove()
    rig.disk.write(b"three")
    assert (refused.value.errno, full.hits) == (errno.ENOSPC, 1)


def test_a_disk_takes_data_and_a_file_s_name_in_either_order(rig, tmp_path):
    rig.disk.write(b"one", "logs/a")
    rig.disk.write("logs/a", b"two")
    rig.disk.write(tmp_path / "b", b"three")
    assert ((rig.disk.folder / "logs/a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"onetwo", b"three")
    with pytest.raises(ValueError, match="give bytes"):
        rig.disk.write(5)


@pytest.mark.parametrize(("bus", "duration"), [("uart0", None), ("can0", None), ("uart0", "3s")])
def test_restore_waits_for_a_port_that_is_coming_back(rig, faults, bus, duration):
    faults.add("reenumerate", bus=bus, duration=duration)
    rig.restore()
    assert rig.get(bus).is_there


def test_an_event_lasts_as_long_as_it_says(faults, dut, uart, clock):
    faults.add("brown_out", duration="2s")
    faults.add("break", duration="50ms")
    clock.sleep("1.9s")
    assert (dut.state, uart.errors, uart.read(2, timeout=0)) == ("off", {"break": 1, "framing": 1}, b"\0")
    clock.sleep("1s")
    assert (dut.state, dut.boots) == ("answering", 2)


def test_restore_ends_faults_and_brings_the_device_up(rig, faults, power, dut, uart):
    faults.add("unplug", bus="uart0")
    power.off()
    rig.restore()
    assert (faults.active, dut.state) == ([], "configured")
    uart.peer.send(b"here")
    assert uart.read(4, timeout=1) == b"here"


def test_uart_reads_what_came_and_nothing_as_no_bytes(uart):
    uart.peer.on(b"ping", b"pong", delay="20ms", ignore=1)
    uart.write(b"ping")
    assert uart.read(4, timeout=0.1) == b""
    uart.write(b"ping")
    assert uart.read(10, timeout=0.1) == b"pong"
    uart.peer.send(b"\x00", errors=["framing"])
    assert (uart.read_some(timeout=1), dict(uart.errors)) == (b"\x00", {"framing": 1})


def test_can_frames_go_both_ways_with_all_that_they_are(can_bus, clock):
    can_bus.send(0x123, b"\x01\x02")
    can_bus.send(0x12345678, b"\x01", extended=True)
    can_bus.send(0x123, bytes(12), fd=True)
    clock.sleep("10ms")
    assert [(frame.id, len(frame.data)) for frame in can_bus.peer.received] == [
        (0x123, 2),
        (0x12345678, 1),
        (0x123, 12),
    ]
    can_bus.peer.send(0x321, b"\xaa")
    frame = can_bus.recv(timeout=1)
    assert (frame.id, frame.data, frame.extended, frame.error) == (0x321, b"\xaa", False, False)
    assert can_bus.recv(timeout=0.1) is None


def test_a_can_node_goes_through_its_states_and_comes_back(can_bus, faults, clock):
    seen = [can_bus.state]
    passive = faults.add("error_passive", bus="can0")
    clock.sleep("1ms")
    seen.append(can_bus.state)
    passive.remove()
    off = faults.add("bus_off", bus="can0")
    clock.sleep("1ms")
    seen.append(can_bus.state)
    off.remove()
    clock.sleep("2s")
    can_bus.send(1, b"back")
    clock.sleep("10ms")
    assert (seen, can_bus.state, can_bus.peer.received[-1].data) == (
        ["active", "passive", "bus_off"], "active", b"back",
    )  # fmt: skip


def test_an_error_frame_is_received_as_one(can_bus, faults):
    faults.add("error_frame", bus="can0")
    assert can_bus.recv(timeout=1).error is True


def test_a_radio_hears_connects_reads_and_is_notified(ble, clock):
    ble.peer.advertise(TAG, rssi=-60, manufacturer_data={0x0499: b"\x05"})
    heard = ble.next(timeout=1)
    assert (heard.address, heard.rssi, heard.manufacturer_data) == (TAG, -60, {0x0499: b"\x05"})
    ble.peer.characteristic(BATTERY, b"\x64", notify=True)
    with ble.connect(TAG) as device:
        level = device.read(BATTERY)
        notified = device.notifications(BATTERY)
        ble.peer.notify(BATTERY, b"\x63")
        clock.sleep("1s")
        assert (level, list(notified.received), device.mtu >= 23) == (b"\x64", [b"\x63"], True)


def test_a_link_that_breaks_in_mid_read_is_a_connection_error(ble, faults):
    ble.peer.characteristic(BATTERY, b"\x64")
    broken = faults.add("disconnect", during="read")
    with ble.connect(TAG) as device, pytest.raises(ConnectionError):
        device.read(BATTERY)
    assert broken.hits == 1


def test_spi_answers_as_scripted_until_miso_sticks(spi, faults):
    spi.peer.on(b"\x9f\x00", b"\x00\xef")
    before = spi.transfer(b"\x9f\x00")
    stuck = faults.add("stuck_miso", value=0xFF)
    during = spi.transfer(b"\x9f\x00")
    stuck.remove()
    assert (before, during, spi.transfer(b"\x9f\x00")) == (b"\x00\xef", b"\xff\xff", b"\x00\xef")


def test_a_gateway_on_the_rig_gives_values_and_drops_what_a_fault_damaged(gateway, uart, faults, tmp_path):
    profile = tmp_path / "my-sensor.toml"
    profile.write_text(CLIMATE)
    gateway.add("room", profile=str(profile), port="uart0")
    faults.add("bit_flip", bus="uart0", count=1)
    uart.peer.send(WARM)
    uart.peer.send(WARM)
    assert gateway.wait("room/climate/temperature", timeout=5).value == 21.5
    assert gateway.wait("room/climate/humidity", timeout="5s").value == 40


def test_a_stale_value_is_told_as_stale_and_not_as_given_before(gateway, uart, tmp_path, clock):
    profile = tmp_path / "my-sensor.toml"
    profile.write_text(CLIMATE)
    gateway.add("room", profile=str(profile), port="uart0")
    for _ in range(3):
        uart.peer.send(WARM)
        clock.sleep("1s")
    clock.sleep("1h")
    with pytest.raises(AssertionError, match=r"old, stale; room is"):
        gateway.wait("room/climate/temperature", timeout=1)
