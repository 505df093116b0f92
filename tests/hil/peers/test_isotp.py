"""Messages of many CAN frames: gateway and simulated device keep to each other's flow control, and count losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.isotp import IsoTpJoiner, IsoTpPdu, segments
from gateway.framing.isotp_sender import flow_control
from gateway.framing.spec import IsoTp
from hil.peers.isotp import IsoTpNode

SPEC = IsoTp(tx=0x7E0, rx=0x7E8)
FRAME_NS = 300_000  # at most, at 500 kbit/s; the trace has the ends of frames, which are not equally long
SERIAL = "SERIAL NUMBER OF FORTY BYTES 0123456789A"
ECU = """
[profile]
id = "test/ecu@1.0.0"
family = "ecu"
[link]
bus = "can"
[framing]
kind = "isotp"
tx = 0x7e0
rx = 0x7e8
max = 200
[message.serial]
when = { bytes = { 0 = 0x62 } }
ask = { send = "22 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15" }
every = "1s"
timeout = "300ms"
attempts = 1
fields = [
  { type = "u8", const = 0x62 }, { name = "serial", type = "text", length = 40 }, { name = "count", type = "u16be" },
]
[message.write]
when = { bytes = { 0 = 0x2e } }
direction = "out"
fields = [{ type = "u8", const = 0x2e }, { name = "label", type = "text", length = 20 }]
[message.ack]
when = { bytes = { 0 = 0x6e } }
fields = [{ type = "u8", const = 0x6e }, { name = "result", type = "u8" }]
[setpoint.label]
write = "write.label"
ack = { message = "ack", accept = { result = 0 } }
timeout = "3s"
"""


@pytest.fixture
def ecu(tmp_path: Path) -> str:
    path = tmp_path / "ecu.toml"
    path.write_text(ECU, encoding="utf-8")
    return str(path)


@pytest.fixture
def started(ecu: str, gateway: Any, can_bus: Any) -> Callable[[], Any]:
    """Return what brings the device and a gateway onto the bus."""

    def start() -> Any:
        simulated = can_bus.peer.simulate(ecu, values={"serial": SERIAL, "count": 513})
        gateway.add("node", profile=ecu, port="can0")
        return simulated

    return start


def frames(rig: Any, first_ns: int = 0) -> list[tuple[int, str, bytes]]:
    """Return time, direction and bytes of the frames on the bus since then."""
    return [
        (each.t_ns, each.dir, each.payload)
        for each in rig.trace.records
        if each.kind == "data" and each.dir in {"rx", "tx"} and each.t_ns >= first_ns
    ]


def test_a_long_request_is_joined_and_its_long_answer_read(started: Any, gateway: Any) -> None:
    simulated = started()
    assert gateway.wait("node/ecu/serial").value == SERIAL
    assert gateway.get("node/ecu/count").value == 513
    assert simulated.failed == {}


@pytest.mark.parametrize(("block", "separation_ms"), [(1, 0), (2, 10), (0, 25), (3, 127)])
def test_the_gateway_keeps_to_the_devices_flow_control(
    block: int, separation_ms: int, started: Any, gateway: Any, can_bus: Any, rig: Any
) -> None:
    simulated = started()
    gateway.wait("node/ecu/serial")
    simulated.flow_control(block=block, separation_ms=separation_ms)
    result = gateway.set("node/ecu/label", "TWENTY BYTES OF TEXT")
    assert result.outcome == "acked"
    assert [(order.setpoint, order.value) for order in simulated.orders] == [("label", "TWENTY BYTES OF TEXT")]
    begun_ns = next(t_ns for t_ns, _, data in frames(rig) if data[:3] == b"\x10\x15\x2e")
    run, last_ns = 0, None
    for t_ns, direction, data in frames(rig, begun_ns):
        if direction == "rx" and data[0] >> 4 == 3:
            assert data[:3] == bytes([0x30, block, separation_ms])
            run, last_ns = 0, None
        elif direction == "tx" and data[0] >> 4 == 2:
            run += 1
            assert not block or run <= block
            assert last_ns is None or t_ns - last_ns >= separation_ms * 1_000_000 - FRAME_NS
            last_ns = t_ns


def test_a_device_without_room_is_told_as_such_and_afterwards_takes_the_order(started: Any, gateway: Any) -> None:
    simulated = started()
    gateway.wait("node/ecu/serial")
    simulated.flow_control(status=2)
    result = gateway.set("node/ecu/label", "TWENTY BYTES OF TEXT")
    assert (result.outcome, result.reason) == ("rejected", "device")
    assert simulated.orders == []
    assert simulated.failed == {"no room": 1}
    simulated.flow_control()
    assert gateway.set("node/ecu/label", "TWENTY BYTES OF MORE").outcome == "acked"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda number, frame: None if number == 3 else frame, "missing", id="lost frame"),
        pytest.param(lambda number, frame: None if number == 6 else frame, "timeout", id="lost last frame"),
        pytest.param(
            lambda number, frame: bytes([frame[0] ^ 4]) + frame[1:] if number == 3 else frame,
            "missing",
            id="wrong number",
        ),
        pytest.param(lambda number, frame: frame[:4] if number == 3 else frame, "length", id="cut frame"),
        pytest.param(lambda number, frame: None if number == 0 else frame, None, id="lost first frame"),
    ],
)
def test_an_answer_that_is_not_whole_is_counted_once_and_the_next_one_read(
    change: Any, reason: str | None, started: Any, gateway: Any, clock: Any
) -> None:
    simulated = started()
    assert gateway.wait("node/ecu/serial").value == SERIAL
    simulated.set("count", 7)
    simulated.spoil(change)
    clock.sleep("1.6s")
    assert gateway.status()["devices"][0]["polls"]["timeouts"] == 1
    assert gateway.get("node/ecu/count").value == 513
    simulated.spoil(None)
    assert gateway.wait("node/ecu/count", until=lambda value: value == 7).value == 7
    assert gateway.status()["ports"][0]["garbage_by_reason"] == ({} if reason is None else {reason: 1})


def test_an_answer_too_long_for_the_gateway_is_refused_by_it_and_counted_on_both_sides(
    tmp_path: Path, gateway: Any, can_bus: Any, clock: Any
) -> None:
    long, short = tmp_path / "long.toml", tmp_path / "short.toml"
    long.write_text(ECU, encoding="utf-8")
    short.write_text(ECU.replace("max = 200", "max = 40"), encoding="utf-8")
    simulated = can_bus.peer.simulate(str(long), values={"serial": SERIAL})
    gateway.add("node", profile=str(short), port="can0")
    clock.sleep("900ms")
    assert simulated.failed == {"overflow": 1}
    assert gateway.status()["ports"][0]["garbage_by_reason"] == {"too long": 1}
    assert gateway.get("node/ecu/serial").value is None


def test_without_power_in_mid_message_it_says_no_more(
    started: Any, gateway: Any, can_bus: Any, power: Any, clock: Any
) -> None:
    simulated = started()
    gateway.wait("node/ecu/serial")
    simulated.spoil(lambda number, frame: power.off() if number == 3 else frame)
    clock.sleep("3s")
    simulated.spoil(None)
    power.on()
    simulated.set("count", 9)
    assert gateway.wait("node/ecu/count", until=lambda value: value == 9, timeout="60s").value == 9


def test_other_devices_have_no_such_frames(can_bus: Any) -> None:
    simulated = can_bus.peer.simulate("motor")
    with pytest.raises(ValueError, match="kind = 'isotp'"):
        simulated.flow_control(block=1)


# ---- the node alone


@given(body=st.binary(min_size=8, max_size=300), block=st.integers(0, 9), separation_ms=st.integers(0, 127))
def test_it_sends_as_the_flow_control_allows(body: bytes, block: int, separation_ms: int) -> None:
    node, joiner = IsoTpNode(SPEC), IsoTpJoiner(SPEC)
    node.send(body, 0x7E8)
    now_ns, since, last_ns = 0, 0, None
    heard: list[bytes] = []
    while True:
        for said in node.due(now_ns):
            joined = joiner.feed(0x7E8, said.payload, now_ns)
            heard += [each.payload for each in joined if isinstance(each, IsoTpPdu)]
            assert len(heard) == len(joined)
            if said.payload[0] >> 4 == 2:
                since += 1
                assert last_ns is None or now_ns - last_ns >= separation_ms * 1_000_000
                last_ns = now_ns
            if not heard and (said.payload[0] >> 4 == 1 or since == block):
                assert not block or since <= block
                since, last_ns = 0, None
                node.hear(0x7E0, flow_control(block=block, separation_ms=separation_ms), now_ns)
        if node.wake_ns is None:
            break
        now_ns = max(node.wake_ns, now_ns)
    assert (heard, node.failed) == ([body], {})


@given(body=st.binary(min_size=8, max_size=300), block=st.integers(0, 9))
def test_it_asks_for_each_block_of_what_is_sent_to_it(body: bytes, block: int) -> None:
    node = IsoTpNode(SPEC)
    node.demand(block=block)
    parts, asked = segments(body), 0
    for number, frame in enumerate(parts):
        bodies, answers = node.hear(0x7E0, frame, number)
        assert bodies == ([body] if number == len(parts) - 1 else [])
        assert [each.address for each in answers] in ([], [0x7E8])
        asked += len(answers)
    assert asked == (1 + (len(parts) - 2) // block if block else 1)


@given(frames=st.lists(st.tuples(st.sampled_from([0x7E0, 0x7E8, 0x7DF]), st.binary(max_size=8)), max_size=20))
def test_after_any_frames_whatever_it_comes_to_rest_and_hears_the_next_message(frames: list[tuple[int, bytes]]) -> None:
    node = IsoTpNode(SPEC)
    node.send(bytes(100), 0x7E8)
    for number, (can_id, data) in enumerate(frames):
        node.hear(can_id, data, number)
        node.due(number)
    now_ns = len(frames)
    while node.wake_ns is not None:
        now_ns = max(now_ns, node.wake_ns)
        node.due(now_ns)
    bodies, _ = node.hear(0x7E0, b"\x02\x3e\x00", now_ns)
    assert bodies == [b"\x3e\x00"]
