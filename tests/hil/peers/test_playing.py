"""A trace as the device, on every simulated bus."""

from __future__ import annotations

from contextlib import suppress

import pytest

from hil.rigs.base import Round
from hil.rigs.radio import BleRefusedError
from hil.rigs.simulated.rig import SimulatedRig
from hil.trace import TraceDamagedError, TraceHeaderError, read

STRAP = "A0:9E:1A:00:00:01"


class Uart:
    name = "uart0"

    @staticmethod
    def script(peer):
        peer.on(b"a", b"1.5", delay="3ms")
        peer.on(b"b", b"24.1", delay="7ms")
        peer.every("40ms", b"tick")

    @staticmethod
    def talk(rig, requests):
        uart = rig.get("uart0")
        for request in requests:
            uart.write(request.encode())
            uart.read(9, timeout="20ms")


class Can:
    name = "can0"

    @staticmethod
    def script(peer):
        peer.on((0x10, b"a"), (0x11, b"1.5"), delay="3ms")
        peer.on((0x10, b"b"), [(0x18FEF100, b"24.1"), (0x12, b"")], delay="7ms")
        peer.every("40ms", (0x80, b"tick"))

    @staticmethod
    def talk(rig, requests):
        for request in requests:
            rig.get("can0").send(0x10, request.encode())
            rig.clock.sleep("21ms")


class Spi:
    name = "spi0"

    @staticmethod
    def script(peer):
        peer.on(b"a\0", b"\0\xe5")
        peer.on(b"b\0\0", b"\0\x12\x34")

    @staticmethod
    def talk(rig, requests):
        for request in requests:
            rig.get("spi0").transfer(request.encode() + (b"\0\0" if request == "b" else b"\0"))
            rig.clock.sleep("20ms")


class Ble:
    name = "ble0"

    @staticmethod
    def script(peer):
        peer.advertise(STRAP, rssi=-71, manufacturer_data={0x0499: b"\5"}, name="strap", interval="1s")
        peer.characteristic("2a19", b"\x63", notify=True)
        peer.characteristic("2a37", bytes(30), notify=True)
        peer.every("200ms", ("2a37", b"\0\x48"))
        peer.on("2a19", ("2a37", b"\0\x49"), delay="50ms")

    @staticmethod
    def talk(rig, requests):
        if not requests:
            return
        with rig.get("ble0").connect(STRAP) as link:
            link.notifications("2a37")
            for request in requests:
                if request == "x":
                    link.write("2a19", b"x")
                else:
                    link.read("2a19" if request == "a" else "2a37")
            rig.clock.sleep("200ms")


class Quiet(Ble):
    """One that says nothing unasked: in strict order, too, only requests decide."""

    @staticmethod
    def script(peer):
        peer.characteristic("2a19", b"\x63", notify=True, address=STRAP)
        peer.characteristic("2a37", bytes(30), notify=True, address=STRAP)


EVERY = pytest.mark.parametrize("bus", [Uart, Can, Spi, Ble])
QUIET = pytest.mark.parametrize("bus", [Uart, Can, Spi, Quiet])


def begin(tmp_path, name):
    rig = SimulatedRig()
    rig.begin(Round(name, 1, tmp_path), tmp_path / f"{name}.trace")
    return rig


def recorded(tmp_path, bus, requests="ab", name="recorded"):
    rig = begin(tmp_path, name)
    bus.script(rig.get(bus.name).peer)
    bus.talk(rig, requests)
    assert rig.end() == []
    return tmp_path / f"{name}.trace"


def played(tmp_path, bus, requests, trace=None, wait=0, **how):
    """Return what a trace was as the device of a run, and the run's own trace."""
    rig = begin(tmp_path, "played")
    playing = rig.get(bus.name).peer.play(trace or tmp_path / "recorded.trace", **how)
    with suppress(OSError):  # from a device that has fallen silent
        bus.talk(rig, requests)
    rig.clock.sleep(wait)
    rig.end()
    return playing, rig.trace


def traffic(trace, bus):
    return [record.line() for record in trace.records if record.bus == bus.name and record.dir in ("rx", "tx")]


@EVERY
def test_a_device_that_was_recorded_does_it_all_again_to_the_nanosecond(tmp_path, bus):
    trace = read(recorded(tmp_path, bus, "aba"))
    playing, again = played(tmp_path, bus, "aba", trace)
    assert traffic(again, bus) == traffic(trace, bus)
    assert (playing.diverged, playing.is_over, playing.skipped) == (None, True, {})


@QUIET
def test_who_asks_otherwise_is_told_where_and_the_device_falls_silent(tmp_path, bus):
    recorded(tmp_path, bus)
    playing, again = played(tmp_path, bus, "ax")
    expected = playing.diverged.expected
    assert expected.dir == "tx"
    assert expected == read(tmp_path / "recorded.trace").records[playing.diverged.record - 1]
    assert str(playing.diverged).startswith(f"diverged at record {playing.diverged.record}:")
    assert playing.diverged.context
    [note] = [record.text for record in again.records if record.dir == "note" and "diverged" in record.text]
    assert f"record {playing.diverged.record}:" in note


@QUIET
def test_what_never_comes_diverges_with_nothing(tmp_path, bus):
    recorded(tmp_path, bus)
    playing, _ = played(tmp_path, bus, "a", wait="10s")
    assert playing.diverged is not None
    if bus is not Quiet:  # whose link is closed, which is something
        assert playing.diverged.got is None


@QUIET
def test_more_than_the_trace_has_diverges_with_nothing_expected(tmp_path, bus):
    recorded(tmp_path, bus)
    playing, _ = played(tmp_path, bus, "aba", wait="1s")
    assert playing.diverged.got.dir == "tx"
    if bus is not Quiet:  # where the end of the link is expected
        assert playing.diverged.expected is None


@QUIET
def test_another_order_of_requests_is_wrong_in_strict_and_right_in_matched_order(tmp_path, bus):
    recorded(tmp_path, bus)
    strict, _ = played(tmp_path, bus, "ba")
    matched, _ = played(tmp_path, bus, "ba", order="matched")
    assert strict.diverged is not None
    assert (matched.diverged, matched.is_over) == (None, True)


@EVERY
def test_a_torn_trace_is_played_as_far_as_it_goes(tmp_path, bus):
    path = recorded(tmp_path, bus)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    _, again = played(tmp_path, bus, "a")
    assert any("torn off" in record.text for record in again.records if record.dir == "note")


@EVERY
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", TraceHeaderError), (b"\0\xff\n" * 9, TraceHeaderError),
        (b'{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{}}\n\xff\n\xff\n', TraceDamagedError),
        (b'{"trace":2,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{}}\n', TraceHeaderError),
        (b'{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{}}\n', ValueError),
    ],
)  # fmt: skip
def test_what_is_no_trace_of_the_bus_is_refused(tmp_path, bus, content, error):
    path = tmp_path / "recorded.trace"
    path.write_bytes(content)
    rig = begin(tmp_path, "played")
    with pytest.raises(error):
        rig.get(bus.name).peer.play(path)
    rig.end()


def of_records(tmp_path, bus, *lines, protocol=None, buses=()):
    protocol = protocol or bus.__name__.lower()
    named = ",".join(f'"{name}":{{"protocol":"{protocol}"}}' for name in buses or [bus.name])
    head = f'{{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{{{named}}}}}'
    path = tmp_path / "recorded.trace"
    path.write_text("".join(f"{line}\n" for line in [head, *lines]))
    return path


@EVERY
def test_an_empty_trace_is_over_at_once_and_all_that_is_done_diverges(tmp_path, bus):
    of_records(tmp_path, bus)
    playing, _ = played(tmp_path, bus, "")
    assert playing.is_over
    if bus is not Ble:  # in a trace without any, links are nobody's
        playing, _ = played(tmp_path, bus, "a")
        assert (playing.diverged.record, playing.diverged.expected) == (1, None)


@EVERY
def test_records_that_no_device_can_do_are_counted(tmp_path, bus):
    line = '{"t_ns":%d,"bus":"%s","dir":"rx","kind":"%s","data":"%s","id":"zz","address":["x"],"uuid":7}'
    kinds = ["adv", "hci"] if bus is Ble else ["error", "data", "transfer"]
    of_records(tmp_path, bus, *(line % (at, bus.name, kind, "00") for at, kind in enumerate(kinds)))
    playing, _ = played(tmp_path, bus, "", wait="1s")
    assert playing.is_over
    if bus is not Uart:  # to which every record is bytes
        assert playing.skipped == dict.fromkeys(kinds, 1)


@EVERY
def test_a_bus_is_found_by_name_or_as_the_only_one_of_its_kind(tmp_path, bus):
    of_records(tmp_path, bus, buses=["left", "right"])
    rig = begin(tmp_path, "played")
    peer = rig.get(bus.name).peer
    with pytest.raises(ValueError, match="left, right"):
        peer.play(tmp_path / "recorded.trace")
    with pytest.raises(ValueError, match="did you mean 'left'"):
        peer.play(tmp_path / "recorded.trace", bus="lefd")
    peer.play(tmp_path / "recorded.trace", bus="left").stop()
    of_records(tmp_path, bus, buses=["other"])
    peer.play(tmp_path / "recorded.trace").stop()
    with pytest.raises(ValueError, match="the trace has no"):
        peer.play(of_records(tmp_path, bus, protocol="power"))
    rig.end()


@EVERY
@pytest.mark.parametrize(("how", "named"), [({"order": "match"}, "matched"), ({"speed": "fast"}, "max")])
def test_no_order_and_no_speed_are_refused_with_those_there_are(tmp_path, bus, how, named):
    rig = begin(tmp_path, "played")
    with pytest.raises(ValueError, match=named):
        rig.get(bus.name).peer.play(of_records(tmp_path, bus), **how)
    rig.end()


def test_two_buses_of_one_trace_are_played_side_by_side(tmp_path):
    rig = begin(tmp_path, "recorded")
    for bus in (Uart, Can):
        bus.script(rig.get(bus.name).peer)
    for request in "ab":
        Uart.talk(rig, request)
        Can.talk(rig, request)
    rig.end()
    trace, rig = rig.trace, begin(tmp_path, "played")
    playing = [rig.get(bus.name).peer.play(tmp_path / "recorded.trace") for bus in (Uart, Can)]
    for request in "ab":
        Uart.talk(rig, request)
        Can.talk(rig, request)
    rig.end()
    assert [each.diverged for each in playing] == [None, None]
    assert [traffic(rig.trace, bus) for bus in (Uart, Can)] == [traffic(trace, bus) for bus in (Uart, Can)]


@pytest.mark.parametrize(("speed", "times_ms"), [(1, [0, 40, 100]), ("2x", [0, 20, 50]), (0.5, [0, 80, 200])])
@pytest.mark.parametrize("bus", [Uart, Can, Ble])
def test_what_the_device_said_unasked_is_said_at_its_times_scaled(tmp_path, bus, speed, times_ms):
    kind = {Uart: "bytes", Can: "data", Ble: "adv"}[bus]
    line = '{"t_ns":%d,"bus":"%s","dir":"rx","kind":"%s","data":"020106","id":"080","address":"%s","rssi":-50}'
    of_records(tmp_path, bus, *(line % (at * 1_000_000, bus.name, kind, STRAP) for at in (7, 47, 107)))
    rig = begin(tmp_path, "played")
    rig.get(bus.name).peer.play(tmp_path / "recorded.trace", speed=speed)
    rig.clock.sleep("1s")
    rig.end()
    came = [record.t_ns for record in rig.trace.records if record.dir == "rx"]
    assert [(each - came[0]) / 1_000_000 for each in came] == times_ms


@pytest.mark.parametrize("bus", [Uart, Can, Ble])
def test_at_once_is_as_fast_as_the_bus_is(tmp_path, bus):
    recorded(tmp_path, bus, "aba")
    playing, _ = played(tmp_path, bus, "aba", speed="max")
    assert playing.diverged is None
    assert playing.heard > 0


@EVERY
def test_a_device_without_power_says_nothing_of_its_trace(tmp_path, bus):
    recorded(tmp_path, bus)
    rig = begin(tmp_path, "played")
    playing = rig.get(bus.name).peer.play(tmp_path / "recorded.trace")
    rig.get("power").off()
    rig.clock.sleep("30s")
    rig.end()
    assert [record for record in rig.trace.records if record.bus == bus.name and record.dir == "rx"] == []
    assert playing.diverged is not None


@EVERY
def test_a_stopped_trace_hears_and_says_nothing(tmp_path, bus):
    recorded(tmp_path, bus)
    rig = begin(tmp_path, "played")
    playing = rig.get(bus.name).peer.play(tmp_path / "recorded.trace")
    playing.stop()
    bus.script(rig.get(bus.name).peer)
    bus.talk(rig, "bb")
    rig.end()
    assert (playing.diverged, playing.heard, playing.is_over) == (None, 0, True)


def test_a_log_of_another_program_is_a_trace_too(tmp_path, can_bus):
    log = tmp_path / "drive.log"
    log.write_text("(0.000000) can0 123#0102\n(0.010000) can0 18FEF100#03\n")
    playing = can_bus.peer.play(log)
    assert [(frame.id, frame.data) for frame in (can_bus.recv(), can_bus.recv())] == [
        (0x123, b"\1\2"), (0x18FEF100, b"\3"),
    ]  # fmt: skip
    assert playing.is_over


@pytest.mark.parametrize("code", [0x05, 0x0E])
def test_a_read_that_was_refused_is_refused_again(tmp_path, code):
    head = '{"t_ns":%d,"bus":"ble0","dir":"%s","kind":"%s","data":"","address":"' + STRAP + '"'
    of_records(
        tmp_path, Ble,
        head % (0, "tx", "read") + ',"uuid":"2a19"}',
        head % (5, "rx", "read") + f',"error":{code},"uuid":"2a19"}}',
    )  # fmt: skip
    rig = begin(tmp_path, "played")
    playing = rig.get("ble0").peer.play(tmp_path / "recorded.trace")
    with rig.get("ble0").connect(STRAP) as link, pytest.raises(BleRefusedError, match=f"{code:02x}") as refused:
        link.read("2a19")
    assert isinstance(refused.value, PermissionError) == (code == 5)
    rig.end()
    assert playing.diverged is None
