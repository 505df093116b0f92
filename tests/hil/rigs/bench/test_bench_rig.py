"""A bench behind the fixtures: pseudo-terminals and python-can's virtual bus stand for hardware."""

from __future__ import annotations

import re
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from hil.rigs.base import BringUpError, RigError, RigLostError, Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S, first_met, heard, until

pytest.importorskip("serial")
pytest.importorskip("can")

WITHIN_NS = int(WITHIN_S * 1e9)
GONE = "(hung up|Input/output error)"  # a kernel says one or the other
HEAD = '[rig]\nname = "bench"\n[target.a]\nstates = ["off", "powered", "answering"]\n'


class Board:
    """A rig on a cable, with a run under way."""

    def __init__(self, tmp_path: Path, more: str = "", uart: str = "", cable: Cable | None = None) -> None:
        self.cable = cable or Cable(tmp_path / "board")
        self.cable.plug()
        file = tmp_path / "rig.toml"
        line = f'[target.a.resource.uart0]\nprotocol = "uart"\nport = "{self.cable.path}"\nbaud = 115200\n{uart}\n'
        file.write_text(HEAD + line + more)
        self.rig = BenchRig(load(file), "a")
        self.folder = tmp_path
        self.number = 0

    def begin(self) -> Any:
        self.number += 1
        self.rig.begin(Round("t", 1, self.folder), self.folder / f"{self.number}.trace")
        return self.rig.get("uart0")

    def lines(self) -> list[str]:
        """Return the trace without its times."""
        told = (self.folder / f"{self.number}.trace").read_text().splitlines()[1:]
        return [re.sub(r'"t_ns":\d+,', "", line) for line in told]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.rig.close()
    made.cable.unplug()


def came(board: Board, data: bytes) -> None:
    """Wait until the rig has read these bytes."""
    assert board.rig.world is not None
    assert board.rig.world.wait_for(
        lambda: data.hex() in "".join(each.data for each in board.rig.trace.records if each.dir == "rx"), WITHIN_NS
    )


def test_what_is_written_reaches_the_board(board: Board) -> None:
    board.begin().write(b"\x01\x02")
    assert heard(board.cable.receive, 2) == b"\x01\x02"


def test_what_the_board_says_is_read_in_the_pieces_asked_for(board: Board) -> None:
    uart = board.begin()
    board.cable.send(b"abcdef")
    assert [uart.read(2, timeout=WITHIN_S), uart.read(3, timeout=WITHIN_S), uart.read(4, timeout=0.05)] == [
        b"ab",
        b"cde",
        b"f",
    ]


def test_nothing_comes_as_nothing_in_time(board: Board) -> None:
    uart = board.begin()

    def waited() -> float:
        began_s = time.monotonic()
        assert uart.read_some(timeout="50ms") == b""
        return time.monotonic() - began_s

    assert 0.05 <= first_met(waited, lambda took_s: took_s < 2) < 2


def test_every_byte_is_in_the_trace_read_or_not(board: Board) -> None:
    uart = board.begin()
    uart.write(b"\xaa")
    board.cable.send(b"\xbb")
    came(board, b"\xbb")
    board.rig.end()
    assert [line for line in board.lines() if '"bytes"' in line] == [
        '{"bus":"uart0","dir":"tx","kind":"bytes","data":"aa"}',
        '{"bus":"uart0","dir":"rx","kind":"bytes","data":"bb"}',
    ]


def test_a_test_finds_nothing_that_was_said_before_it_began(board: Board) -> None:
    board.begin()
    board.cable.send(b"old")
    came(board, b"old")
    board.rig.end()
    assert board.begin().read_some(timeout=0.05) == b""


def test_the_port_stays_open_between_tests(board: Board) -> None:
    first = board.begin().node
    board.rig.end()
    assert board.begin().node == first == board.cable.node


def test_a_board_that_vanishes_is_named_with_its_identity(board: Board) -> None:
    uart = board.begin()
    board.cable.unplug()
    with pytest.raises(RigLostError, match=rf"a\.uart0 \({board.cable.path}\) went away: {GONE}; look at"):
        uart.read(1, timeout=WITHIN_S)


def test_a_board_that_vanishes_ends_the_wait_for_it_and_the_writes(board: Board) -> None:
    uart = board.begin()
    board.cable.unplug()
    began_s = time.monotonic()
    with pytest.raises(RigLostError):
        uart.read_some(timeout=60)
    with pytest.raises(RigLostError):
        uart.write(b"x")
    assert time.monotonic() - began_s < WITHIN_S


def test_what_came_before_a_board_vanished_is_still_read(board: Board) -> None:
    uart = board.begin()
    board.cable.send(b"last words")
    assert uart.read(1, timeout=WITHIN_S) == b"l"
    board.cable.unplug()
    assert board.rig.world is not None
    board.rig.world.run_until(board.rig.world.now_ns + 200_000_000)
    assert uart.read_some(timeout=1) == b"ast words"


def test_a_loss_is_left_behind_for_the_report_and_a_note_in_the_trace(board: Board) -> None:
    uart = board.begin()
    board.cable.unplug()
    with pytest.raises(RigLostError):
        uart.read_some(timeout=WITHIN_S)
    (left,) = board.rig.end()
    assert re.fullmatch(f"a.uart0 went away: {GONE}", left)
    assert any('"bus":"uart0","dir":"note"' in line and "a.uart0 is gone: " in line for line in board.lines())


def test_after_a_loss_the_next_test_has_the_board_again_where_it_is_back_elsewhere(board: Board) -> None:
    uart = board.begin()
    board.cable.unplug()
    with pytest.raises(RigLostError):
        uart.read_some(timeout=WITHIN_S)
    board.rig.end()
    board.cable.plug(elsewhere=True)
    board.begin().write(b"back")
    assert heard(board.cable.receive, 4) == b"back"


def test_a_bring_up_that_failed_is_repeated_at_once_and_not_tried_again(board: Board) -> None:
    board.cable.unplug()
    with pytest.raises(BringUpError, match=r"a is powered and did not get answering: a\.uart0: .*board is not there"):
        board.begin()
    board.cable.plug()
    with pytest.raises(BringUpError, match=r"not tried again after it failed before: a is powered and did not get"):
        board.begin()


def test_without_a_peer_port_a_test_cannot_play_the_board(board: Board) -> None:
    uart = board.begin()
    with pytest.raises(RigError, match=r"has the real board at its other end.*name that with `peer` in the rig file"):
        uart.peer.send(b"x")


def test_a_state_that_it_has_not_is_told_with_those_it_has(board: Board) -> None:
    board.begin()
    with pytest.raises(ValueError, match="a has no state 'configured'; it has off, powered, answering"):
        board.rig.dut.to("configured")


def test_a_resource_that_it_has_not_is_told_with_the_nearest(board: Board) -> None:
    board.begin()
    with pytest.raises(ValueError, match="a has no resource 'uart1'; did you mean 'uart0'"):
        board.rig.get("uart1")


def test_a_fault_that_no_real_wire_has_is_refused(board: Board) -> None:
    board.begin()
    with pytest.raises(ValueError, match="this rig cannot do 'flow_stall' on uart0"):
        board.rig.faults.add("flow_stall", bus="uart0")


def test_what_is_read_passes_through_the_faults(board: Board) -> None:
    uart = board.begin()
    fault = board.rig.faults.add("truncate", keep=2)
    board.cable.send(b"abcdef")
    assert (uart.read(2, timeout=WITHIN_S), fault.hits) == (b"ab", 1)
    assert uart.read_some(timeout=0.05) == b""


def test_a_delayed_read_is_overtaken_by_none(board: Board) -> None:
    uart = board.begin()
    fault = board.rig.faults.add("delay", by="80ms", count=1)
    board.cable.send(b"first ")
    assert board.rig.world is not None
    board.rig.world.wait_for(lambda: fault.hits, WITHIN_NS)
    board.cable.send(b"second")
    assert uart.read(12, timeout=WITHIN_S) == b"first second"


def test_a_strike_is_in_the_trace_with_what_it_struck(board: Board) -> None:
    uart = board.begin()
    fault = board.rig.faults.add("truncate", keep=0)
    board.cable.send(b"Z")
    until(lambda: fault.hits)
    assert uart.read(1, timeout=0.05) == b""
    board.rig.end()
    assert '{"bus":"uart0","dir":"fault","kind":"truncate","data":"5a","params":{"keep":0}}' in board.lines()


def test_a_port_that_a_fault_takes_is_lost_and_back_when_it_ends(board: Board) -> None:
    uart = board.begin()
    fault = board.rig.faults.add("unplug")
    with pytest.raises(RigLostError, match="unplugged by a fault"):
        uart.read(1, timeout=WITHIN_S)
    fault.remove()
    board.cable.send(b"x")
    assert (uart.read(1, timeout=WITHIN_S), board.rig.end()) == (b"x", [])


ASKING = '[target.a.state.answering]\ntimeout = "{timeout}"\nretries = {retries}\nsend = "id {{boot}}?"\n'


def asking(expect: str, timeout: str = "30s", retries: int = 0) -> str:
    how = ASKING.format(timeout=timeout, retries=retries)
    return f"{how}expect = '{expect}'\n[target.a.options]\nboot = \"safe\"\n"


class Answering(threading.Thread):
    """A board that says the same to everything that it hears."""

    def __init__(self, cable: Cable, answer: bytes) -> None:
        super().__init__(daemon=True)
        self._cable = cable
        self._answer = answer
        self._is_over = threading.Event()
        self.heard = b""

    def run(self) -> None:
        while not self._is_over.wait(0.001):
            if came := self._cable.receive():
                self.heard += came
                self._cable.send(self._answer)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()


def test_a_state_is_reached_when_the_board_answers(tmp_path: Path) -> None:
    made = Board(tmp_path, asking("node [0-9]{2}"))
    with Answering(made.cable, b"...node 42...") as its:
        made.begin()
    made.rig.close()
    assert (made.rig.dut.state, its.heard) == ("answering", b"id safe?")


def test_a_board_that_answers_otherwise_is_quoted_after_all_tries(tmp_path: Path) -> None:
    made = Board(tmp_path, asking("node", timeout="1s", retries=1))
    with (
        Answering(made.cable, b"boot error 7"),
        pytest.raises(BringUpError, match=r"did not get answering in 2 tries: expected b'node', got 'boot error 7'"),
    ):
        made.begin()
    made.rig.close()
    assert [text for text in ("try 1", "try 2", "try 3") if any(text in line for line in made.lines())] == [
        "try 1",
        "try 2",
    ]


def test_a_board_is_switched_by_programs(tmp_path: Path) -> None:
    said = tmp_path / "said"
    write = f"import sys; open({str(said)!r}, 'a').write(sys.argv[1])"
    words = {on: [sys.executable, "-c", write, on] for on in ("on ", "off ")}
    power = (
        f'[target.a.resource.power]\nprotocol = "power"\ncommand_on = {words["on "]}\ncommand_off = {words["off "]}\n'
    )
    made = Board(tmp_path, power)
    try:
        made.begin()
        made.rig.dut.to("off")
        assert (made.rig.dut.state, made.rig.dut.boots) == ("off", 1)
        with pytest.raises(RigError, match="is not open: the target is off; bring it up with dut"):
            made.rig.get("uart0").write(b"x")
        made.rig.dut.to("answering")
        assert (said.read_text(), made.rig.dut.boots) == ("on off on ", 2)
    finally:
        made.rig.close()


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    bad = [sys.executable, "-c", "import sys; sys.exit('no such relay')"]
    power = f'[target.a.resource.power]\nprotocol = "power"\ncommand_on = {bad}\ncommand_off = {bad}\n'
    made = Board(tmp_path, power)
    with pytest.raises(BringUpError, match=r"did not get powered: a\.power: .* ended with 1: no such relay"):
        made.begin()


def test_a_second_adapter_plays_the_board(tmp_path: Path) -> None:
    with Cable(tmp_path / "board") as cable, Cable(tmp_path / "peer") as other:
        made = Board(tmp_path, uart=f'peer = "{other.path}"', cable=cable)
        try:
            uart = made.begin()
            uart.peer.on(b"ask", b"answer", ignore=1)
            other.send(b"ask.a")
            other.send(b"sk")
            assert heard(other.receive, 6) == b"answer"
            uart.peer.send(b"unasked")
            assert heard(other.receive, 7) == b"unasked"
        finally:
            made.rig.close()


def test_an_adapter_cannot_send_parity_errors(tmp_path: Path) -> None:
    with Cable(tmp_path / "board") as cable, Cable(tmp_path / "peer") as other:
        made = Board(tmp_path, uart=f'peer = "{other.path}"', cable=cable)
        try:
            with pytest.raises(ValueError, match="an adapter cannot send parity errors"):
                made.begin().peer.send(b"x", errors=["parity"])
        finally:
            made.rig.close()


@pytest.fixture
def can_rig(tmp_path: Path) -> Iterator[BenchRig]:
    file = tmp_path / "rig.toml"
    name = tmp_path.name
    ports = f'port = "virtual:{name}"\npeer = "virtual:{name}?a=1"\nfd = true\n'
    ports = ports.replace("?a=1", "?receive_own_messages=false")
    file.write_text(f'{HEAD}[target.a.resource.can0]\nprotocol = "can"\nshared = true\n{ports}')
    rig = BenchRig(load(file), "a")
    rig.begin(Round("t", 1, tmp_path), tmp_path / "1.trace")
    yield rig
    rig.close()


def test_frames_go_both_ways_and_into_the_trace(can_rig: BenchRig, tmp_path: Path) -> None:
    bus = can_rig.get("can0")
    bus.send(0x123, b"\x01")
    bus.peer.send(0x18FF0001, b"\x02\x03", extended=True)
    frame = bus.recv(timeout=WITHIN_S)
    assert (frame.id, frame.data, frame.extended, frame.error) == (0x18FF0001, b"\x02\x03", True, False)
    assert can_rig.world is not None
    assert can_rig.world.wait_for(lambda: bus.peer.received, WITHIN_NS)[0].id == 0x123
    can_rig.end()
    told = [re.sub(r'"t_ns":\d+,', "", line) for line in (tmp_path / "1.trace").read_text().splitlines()]
    assert '{"bus":"can0","dir":"tx","kind":"data","data":"01","id":"123"}' in told
    assert '{"bus":"can0","dir":"rx","kind":"data","data":"0203","id":"18FF0001"}' in told


def test_a_line_is_configured_until_the_test_is_over(board: Board) -> None:
    uart = board.begin()
    assert uart.format == "115200-8n1"
    uart.configure("9600-8n2")
    assert (uart.format, speed_of(uart.node)) == ("9600-8n2", termios.B9600)
    with pytest.raises(ValueError, match="at most 8 data bits"):
        uart.configure("9600-9n1")
    with pytest.raises(RigError, match="has the real board at its other end"):
        uart.configure(device="9600-8n1")
    board.rig.end()
    assert (board.begin().format, speed_of(uart.node)) == ("115200-8n1", termios.B115200)


def speed_of(node: str) -> int:
    with Path(node).open("rb", buffering=0) as line:
        return int(termios.tcgetattr(line)[4])


def test_a_quiet_bus_gives_none(can_rig: BenchRig) -> None:
    assert can_rig.get("can0").recv(timeout="20ms") is None
