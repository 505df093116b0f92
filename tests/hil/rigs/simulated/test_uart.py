"""The simulated UART as a test sees it, through the plugin's own fixtures."""

from __future__ import annotations

import errno
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.faults.catalogue import KINDS as KNOWN
from hil.rigs.base import RigLostError, Round
from hil.rigs.simulated.rig import SimulatedRig
from hil.rigs.simulated.uart import (
    AWAY_NS,
    DEVICE_CAPACITY_BYTES,
    RX_CAPACITY_BYTES,
    TX_CAPACITY_BYTES,
    WriteStalledError,
)

CHARACTER_NS = 86_806  # ten bits at 115200 baud, rounded up


def records(rig, *directions):
    return [each for each in rig.trace.records if each.bus == "uart0" and each.dir in directions]


def traffic(rig):
    return [(each.dir, each.payload) for each in records(rig, "rx", "tx")]


# ---- reading and writing


def test_a_request_gets_its_reply(uart):
    uart.peer.on(b"ping", b"pong")
    assert uart.write(b"ping") == 4
    assert uart.read(4) == b"pong"


def test_bytes_take_their_time_on_the_wire(uart, clock):
    uart.peer.on(b"ping", b"pong!")
    uart.write(b"ping")
    uart.read(5)
    assert clock.monotonic_ns() == -(-4 * 10**10 // 115_200) + -(-5 * 10**10 // 115_200)


def test_a_slower_format_takes_longer(uart, clock):
    uart.configure("9600-8e2", device="9600-8e2")
    uart.peer.send(b"x")
    assert uart.read(1) == b"x"
    assert clock.monotonic_ns() == -(-12 * 10**9 // 9600)


def test_reading_gives_what_came_within_the_time(uart, clock):
    uart.peer.send(b"abc")
    assert uart.read(5, timeout="20ms") == b"abc"
    assert clock.monotonic_ns() == 20_000_000
    assert uart.read(1, timeout=0.5) == b""
    assert clock.monotonic_ns() == 520_000_000


def test_a_read_of_fewer_leaves_the_rest(uart):
    uart.peer.send(b"abcdef")
    assert [uart.read(2), uart.read_some(), uart.read(0)] == [b"ab", b"cdef", b""]


def test_what_the_device_sends_at_once_is_one_read(uart):
    uart.peer.send(b"ab")
    uart.peer.send(b"cd")
    assert [uart.read_some(), uart.read_some(), uart.read_some(timeout=0)] == [b"ab", b"cd", b""]


def test_a_read_spans_what_was_sent_apart(uart):
    uart.peer.send(b"ab")
    uart.peer.send(b"cd")
    assert uart.read(3) == b"abc"


def test_a_long_unit_comes_in_reads_as_long_as_the_system_gives(uart):
    uart.peer.send(bytes(5000))
    assert [len(uart.read_some()), len(uart.read_some())] == [4096, 904]


def test_everything_is_in_the_trace_once(uart, rig):
    uart.peer.on(b"ping", b"pong")
    uart.write(b"ping")
    uart.read(1)
    uart.peer.send(b"unread")
    uart.settle()
    assert traffic(rig) == [("tx", b"ping"), ("rx", b"pong"), ("rx", b"unread")]


@pytest.mark.parametrize("wrong", ["text", 7, None])
def test_only_bytes_can_be_sent(uart, wrong):
    with pytest.raises(ValueError, match="is no bytes"):
        uart.write(wrong)
    with pytest.raises(ValueError, match="is no bytes"):
        uart.peer.send(wrong)


@pytest.mark.parametrize("wrong", [-1, True, "4"])
def test_a_count_of_bytes_is_a_number(uart, wrong):
    with pytest.raises(ValueError, match="how many bytes"):
        uart.read(wrong)


def test_nine_bits_are_no_byte(uart):
    with pytest.raises(ValueError, match="8 data bits"):
        uart.configure("9600-9n1")


# ---- errors


def test_one_error_flag_may_be_its_name(uart):
    uart.peer.send(b"x", errors="parity")
    uart.read(1)
    assert uart.errors == {"parity": 1}


@pytest.mark.parametrize("wrong", ["framng", ["framng"]])
def test_an_error_flag_that_is_none_names_the_nearest(uart, wrong):
    with pytest.raises(ValueError, match="no error flag 'framng'; did you mean 'framing'"):
        uart.peer.send(b"x", errors=wrong)


def test_errors_come_with_what_the_device_sends(uart, rig):
    uart.peer.send(b"\x55", errors=["parity", "framing"])
    assert uart.errors == {"framing": 1, "parity": 1}
    assert uart.errors["overrun"] == 0
    assert uart.read(1) == b"\x55"
    assert records(rig, "rx")[0].errors == ["framing", "parity"]


def test_an_error_can_come_without_a_byte(uart):
    uart.peer.send(b"", errors=["overrun"])
    assert uart.errors == {"overrun": 1}
    assert uart.read_some(timeout=0) == b""


def test_an_unknown_error_is_refused_by_name(uart):
    with pytest.raises(ValueError, match="framing"):
        uart.peer.send(b"x", errors=["framming"])


def test_what_nobody_reads_overruns_and_is_counted(uart, rig, clock):
    for _ in range(17):
        uart.peer.send(bytes(4096))
    clock.sleep(10)
    assert uart.errors == {"overrun": 1}
    assert records(rig, "rx")[-1].extra == {"errors": ["overrun"], "lost": 4096}
    assert len(uart.read(100_000, timeout=0)) == RX_CAPACITY_BYTES


def test_a_reader_that_keeps_up_loses_nothing(uart):
    for _ in range(20):
        uart.peer.send(bytes(4096))
    assert len(uart.read(20 * 4096, timeout=10)) == 20 * 4096
    assert not uart.errors


def test_two_sides_with_different_formats_do_not_understand_each_other(uart):
    uart.configure("19200-8n1", device="9600-8n1")
    uart.peer.send(b"hello")
    assert uart.read(5, timeout="50ms") != b"hello"
    assert uart.errors["framing"]
    uart.write(b"hello")
    assert b"hello" not in uart.peer.received


# ---- the device


def test_a_reply_can_be_late_and_first_requests_ignored(uart, clock):
    uart.peer.on(b"?", b"!", delay="30ms", ignore=1)
    uart.write(b"?")
    assert uart.read(1, timeout="100ms") == b""
    uart.write(b"?")
    assert uart.read(1, timeout="100ms") == b"!"
    assert clock.monotonic_ns() == 100_000_000 + 30_000_000 + 2 * CHARACTER_NS


def test_a_reply_can_be_made_from_the_request(uart):
    uart.peer.on(re.compile(rb"add (\d+) (\d+)\r"), lambda match: b"%d\r" % (int(match[1]) + int(match[2])))
    uart.peer.on(b"who\r", lambda request: request[::-1])
    uart.write(b"add 20 22\rwho\r")
    assert uart.read(7) == b"42\r\rohw"


def test_a_device_has_states(uart):
    uart.peer.on(b"start\r", b"ok\r", when="idle", then="running")
    uart.peer.on(b"start\r", b"busy\r", when="running")
    uart.peer.on(b"stop\r", None, when="running", then="idle")
    uart.write(b"start\rstart\r")
    assert uart.read(8) == b"ok\rbusy\r"
    assert uart.peer.state == "running"
    uart.write(b"stop\rstart\r")
    assert uart.read(3) == b"ok\r"
    uart.peer.state = "idle"
    uart.write(b"start\r")
    assert uart.read(3) == b"ok\r"


def test_what_the_device_heard_can_be_looked_at(uart):
    uart.write(b"one")
    uart.write(b"two")
    assert uart.peer.received == b"onetwo"


def test_a_device_can_send_by_itself(uart, clock, rig):
    stop = uart.peer.every("10ms", lambda: b"%d" % (clock.monotonic_ns() // 1_000_000))
    clock.sleep("35ms")
    stop()
    clock.sleep("35ms")
    assert traffic(rig) == [("rx", b"10"), ("rx", b"20"), ("rx", b"30")]


def test_without_power_the_device_hears_and_says_nothing(uart, power):
    uart.peer.on(b"ping", b"pong")
    power.off()
    uart.write(b"ping")
    uart.peer.send(b"hello")
    assert uart.read(9, timeout="100ms") == b""
    assert uart.peer.received == b""


def test_a_booting_device_answers_nothing_and_an_answering_one_does(uart, dut):
    uart.peer.on(b"ping", b"pong")
    dut.to("powered")
    uart.write(b"ping")
    assert uart.read(4, timeout="10ms") == b""
    dut.to("answering")
    uart.write(b"ping")
    assert uart.read(4) == b"pong"


def test_power_that_fails_cuts_what_the_device_was_saying_and_about_to_say(uart, power, dut):
    uart.peer.on(b"ping", b"pong", delay="50ms")
    uart.write(b"ping")
    assert uart.read(4, timeout="10ms") == b""
    uart.peer.send(bytes(100))
    power.off()
    power.on()
    dut.to("configured")
    assert uart.read(100, timeout="200ms") == b""


def test_a_restarted_device_begins_in_its_first_state(uart, faults, dut):
    uart.peer.on(b"go", b"ok", when="idle", then="gone")
    uart.write(b"go")
    assert uart.read(2) == b"ok"
    faults.add("reset")
    dut.to("configured")
    assert uart.peer.state == "idle"


# ---- faults


def test_a_fault_strikes_what_it_is_told_to(uart, faults):
    fault = faults.add("truncate", keep=1, after=1, count=1)
    for each in (b"ab", b"cd", b"ef"):
        uart.peer.send(each)
    assert uart.read(6, timeout="50ms") == b"abcef"
    assert (fault.hits, faults.active) == (1, [])


def test_without_the_fault_all_is_well_again(uart, faults):
    fault = faults.add("noise")
    uart.peer.send(b"abc")
    assert uart.read(99, timeout="50ms") != b"abc"
    fault.remove()
    uart.peer.send(b"abc")
    assert uart.read(3) == b"abc"


def test_a_split_unit_is_two_reads(uart, faults):
    faults.add("split", at_byte=2)
    uart.peer.send(b"abcde")
    assert [uart.read_some(), uart.read_some()] == [b"ab", b"cde"]


def test_merged_units_are_one_read(uart, faults):
    faults.add("merge", count=1)
    uart.peer.send(b"ab")
    uart.peer.send(b"cd")
    assert uart.read_some() == b"abcd"


def test_a_unit_that_waits_in_vain_for_the_next_arrives_alone(uart, faults, clock):
    faults.add("merge")
    uart.peer.send(b"ab")
    assert uart.read_some() == b"ab"
    assert 100_000_000 < clock.monotonic_ns() < 101_000_000


def test_single_bytes_that_are_reordered_change_places_with_the_next(uart, faults):
    faults.add("reorder", count=1)
    uart.peer.send(b"a")
    uart.peer.send(b"b")
    uart.peer.send(b"c")
    assert uart.read(3) == b"bac"


def test_a_delayed_unit_comes_later_and_is_not_overtaken(uart, faults, clock):
    faults.add("delay", by="40ms", count=1)
    uart.peer.send(b"a")
    uart.peer.send(b"b")
    assert uart.read(2, timeout="30ms") == b""
    assert uart.read(2) == b"ab"
    assert clock.monotonic_ns() == 40_000_000 + CHARACTER_NS


def test_jitter_moves_each_unit_by_another_time(uart, faults, clock):
    faults.add("jitter", by="0ms..9ms")
    late_ns = []
    for _ in range(20):
        sent_ns = clock.monotonic_ns()
        uart.peer.send(b"x")
        assert uart.read(1) == b"x"
        late_ns.append(clock.monotonic_ns() - sent_ns - CHARACTER_NS)
        clock.sleep("10ms")
    assert 0 <= min(late_ns) < max(late_ns) <= 9_000_000
    assert len(set(late_ns)) > 10


def test_a_device_sends_more_at_once_than_may_wait_behind_it(uart, rig):
    uart.peer.send(b"x" * (DEVICE_CAPACITY_BYTES + 1))
    came = 0
    while some := uart.read_some():
        came += len(some)
    uart.peer.send(b"y" * DEVICE_CAPACITY_BYTES)
    uart.peer.send(b"z" * DEVICE_CAPACITY_BYTES)
    assert came == DEVICE_CAPACITY_BYTES + 1
    assert [each.get("text") for each in records(rig, "note")] == ["the device has no room for 1048576 bytes more"]


def test_a_break_is_a_zero_with_its_flags(uart, faults):
    faults.add("break")
    assert uart.errors == {"break": 1, "framing": 1}
    assert uart.read(1) == b"\0"


def test_a_break_can_wait_for_traffic(uart, faults):
    faults.add("break", after=1, count=1)
    uart.peer.send(b"a")
    uart.peer.send(b"b")
    assert uart.read(3) == b"a\0b"


def test_stop_bits_change_nothing_and_the_trace_says_so(uart, faults, rig):
    faults.add("stop", send=2)
    uart.peer.send(b"abc")
    assert uart.read(3) == b"abc"
    assert not uart.errors
    assert "none" in records(rig, "fault")[0].effect


def test_a_wrong_baud_rate_and_parity_give_what_a_receiver_makes_of_them(uart, faults):
    fault = faults.add("baud", factor=0.5)
    uart.peer.send(b"U")
    assert uart.read(4, timeout="50ms") not in (b"", b"U")
    fault.remove()
    faults.add("parity", send="e")
    uart.peer.send(b"\x03")
    assert uart.read(1) == b"\x03"
    assert uart.errors["framing"] >= 1


def test_flow_that_is_stalled_holds_both_sides_and_loses_nothing(uart, faults, clock):
    uart.peer.on(b"ping", b"pong")
    faults.add("flow_stall", duration="300ms")
    uart.write(b"ping")
    uart.peer.send(b"hello")
    assert uart.read(1, timeout="200ms") == b""
    assert uart.read(9) == b"hellopong"
    assert clock.monotonic_ns() > 300_000_000


def test_a_write_into_a_stall_without_end_is_told_so(uart, faults, clock):
    faults.add("flow_stall")
    uart.write(bytes(TX_CAPACITY_BYTES))
    with pytest.raises(WriteStalledError, match="flow control"):
        uart.write(b"x")
    assert clock.monotonic_ns() == 1_000_000_000


def test_a_write_waits_for_room_as_long_as_something_goes_out(rig, uart, clock):
    for _ in range(3):
        uart.write(bytes(TX_CAPACITY_BYTES))
    clock.sleep("10s")
    assert sum(len(each.payload) for each in rig.trace.records if each.dir == "tx") == 3 * TX_CAPACITY_BYTES


# ---- away and back


def test_an_unplugged_port_raises_until_it_is_plugged_in(uart, faults):
    fault = faults.add("unplug", bus="uart0")
    for act in (lambda: uart.read(1), uart.read_some, lambda: uart.write(b"x"), lambda: uart.host_send(b"x")):
        with pytest.raises(RigLostError, match="/dev/ttyUSB0 is gone") as caught:
            act()
        assert caught.value.errno == errno.ENODEV
    assert not uart.is_there
    fault.remove()
    uart.peer.send(b"back")
    assert uart.read(4) == b"back"
    assert uart.node == "/dev/ttyUSB0"


def test_a_read_that_waits_when_the_port_goes_raises(uart, faults, clock):
    faults.add("unplug", bus="uart0", at="50ms", duration="1ms")
    with pytest.raises(ConnectionError):
        uart.read(1)
    assert clock.monotonic_ns() == 50_000_000


def test_what_was_under_way_or_unread_is_gone_with_the_port(uart, faults):
    uart.peer.send(b"unread")
    uart.settle()
    uart.peer.send(b"on the wire")
    uart.write(b"out")
    faults.add("unplug", bus="uart0").remove()
    assert uart.read(20, timeout="50ms") == b""
    assert uart.peer.received == b""


def test_a_reenumerated_port_comes_back_under_another_name(uart, faults, clock, rig):
    faults.add("reenumerate", bus="uart0")
    assert uart.node == "/dev/ttyUSB1"
    with pytest.raises(OSError, match="ttyUSB1"):
        uart.read(1)
    clock.sleep("250ms")
    uart.peer.send(b"back")
    assert uart.read(4) == b"back"
    assert [(each.t_ns, each.kind) for each in records(rig, "fault", "note")] == [
        (0, "reenumerate"),
        (AWAY_NS, "note"),
    ]
    faults.add("reenumerate", bus="uart0")
    assert uart.node == "/dev/ttyUSB0"


def test_two_ports_never_have_one_name(tmp_path):
    rig = SimulatedRig(resources={"uart0": "uart", "uart1": "uart"})
    rig.begin(Round("two", 1, tmp_path), None)
    ports = [rig.get("uart0"), rig.get("uart1")]
    rig.faults.add("reenumerate", bus="uart0")
    assert [port.node for port in ports] == ["/dev/ttyUSB2", "/dev/ttyUSB1"]
    rig.faults.add("reenumerate", bus="uart1")
    assert [port.node for port in ports] == ["/dev/ttyUSB2", "/dev/ttyUSB0"]


# ---- what a gateway needs


def test_a_listener_hears_what_the_fixture_hears(uart):
    heard, lost = [], []
    stop = uart.listen(heard.append, lost.append)
    uart.peer.send(b"ab")
    assert uart.read(2) == b"ab"
    stop()
    stop()
    uart.peer.send(b"cd")
    assert uart.read(2) == b"cd"
    assert (heard, lost) == ([b"ab"], [])


def test_a_listener_is_told_once_that_the_port_is_gone(uart, faults, clock):
    lost = []
    uart.listen(lambda _: None, lost.append)
    faults.add("reenumerate", bus="uart0")
    faults.add("unplug", bus="uart0", duration="300ms")
    with pytest.raises(OSError, match="ttyUSB"):
        uart.listen(lambda _: None, lost.append)
    clock.sleep("290ms")
    assert not uart.is_there
    clock.sleep("10ms")
    assert uart.is_there
    assert lost == ["reenumerate"]


def test_a_gateway_that_listens_keeps_the_fixture_from_overrunning(uart, clock):
    uart.listen(lambda _: None, lambda _: None)
    for _ in range(20):
        uart.peer.send(bytes(4096))
    clock.sleep(10)
    assert not uart.errors
    assert len(uart.read(100_000, timeout=0)) <= RX_CAPACITY_BYTES


# ---- the same seed, the same trace

KINDS = st.sampled_from(
    [
        ("bit_flip", {}), ("drop", {}), ("duplicate", {}), ("insert", {"data": b"xyz"}), ("truncate", {"keep": 2}),
        ("delay", {"by": "3ms"}), ("jitter", {"by": "0ms..9ms"}), ("reorder", {}), ("split", {"at_byte": 1}),
        ("merge", {}), ("noise", {}), ("break", {}), ("baud", {"factor": 1.1}), ("parity", {"send": "o"}),
        ("stop", {"send": 1.5}), ("flow_stall", {"duration": "5ms"}), ("unplug", {"duration": "4ms"}),
        ("reenumerate", {}),
    ]
)  # fmt: skip
SCHEDULES = st.sampled_from(
    [{}, {"probability": 0.4}, {"after": 2}, {"count": 2}, {"at": "20ms"}, {"pattern": b"2", "probability": 0.9}]
)


def _group(added):
    kind = added[0][0]
    return KNOWN[kind].excludes or kind


ADDED = st.lists(st.tuples(KINDS, SCHEDULES), max_size=8, unique_by=_group)


def run(seed, folder, added):
    rig = SimulatedRig()
    rig.begin(Round("same", seed, folder), None)
    uart = rig.get("uart0")
    uart.peer.on(re.compile(rb"get (\d);"), lambda match: b"value " + match[1] * 9, delay="2ms")
    for (kind, params), schedule in added:
        rig.faults.add(kind, bus="uart0", **params, **schedule)
    for number in range(8):
        try:
            uart.write(b"get %d;" % number)
            uart.read(99, timeout="12ms")
        except RigLostError:
            rig.clock.sleep("5ms")
    assert rig.end() == []
    heard = b"".join(each.payload for each in records(rig, "rx"))
    return rig.trace.hash, heard


@settings(max_examples=60, deadline=None)
@given(added=ADDED, seed=st.integers(0, 1 << 32))
def test_the_same_seed_gives_the_same_trace(tmp_path_factory, added, seed):
    folder = tmp_path_factory.getbasetemp()
    assert run(seed, folder, added) == run(seed, folder, added)


def test_another_seed_gives_another_trace(tmp_path):
    added = [(("bit_flip", {}), {})]
    assert len({run(seed, tmp_path, added)[0] for seed in range(8)}) == 8


def test_a_strike_does_the_same_when_those_before_it_are_spared(tmp_path):
    def heard(only):
        rig = SimulatedRig()
        rig.begin(Round("spared", 7, tmp_path, only), None)
        rig.faults.add("bit_flip")
        for _ in range(3):
            rig.get("uart0").peer.send(bytes(40))
        rig.end()
        return [each.payload for each in records(rig, "rx")]

    assert heard(None)[2] == heard({(0, 2)})[2]
