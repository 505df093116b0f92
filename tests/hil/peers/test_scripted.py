"""Scripted devices mean the same on every simulated bus: states, delays, ignored requests, patterns, what fails."""

from __future__ import annotations

import re

import pytest

from hil.peers.scripted import ScriptError
from hil.rigs.base import Round
from hil.rigs.simulated.rig import SimulatedRig
from hil.sim.spi.model import SpiModel
from tests.hil.plugin.runs import ALWAYS

pytest_plugins = ["pytester"]

STRAP = "A0:9E:1A:00:00:01"
ASKED, TOLD = "2a19", "2a37"


class Bus:
    """A bus on which `ask` sends letters and returns those that come in answer."""

    def __init__(self, rig):
        self.rig = rig
        self.handle = rig.get(self.name)
        self.peer = self.handle.peer

    def wait(self):
        self.rig.clock.sleep("60ms")  # two connection events of a radio

    letters_of = staticmethod(bytes)  # of what a function is called with


class Uart(Bus):
    name = "uart0"

    def ask(self, letters):
        self.handle.write(letters)
        return self.handle.read(99, timeout="60ms")


class Can(Bus):
    name = "can0"
    letters_of = staticmethod(lambda frame: frame.data)

    def ask(self, letters):
        self.handle.send(0x10, letters)
        frame = self.handle.recv(timeout="60ms")
        return b"" if frame is None else frame.data


class Ble(Bus):
    name = "ble0"
    letters_of = staticmethod(lambda written: written.data)

    def __init__(self, rig):
        super().__init__(rig)
        self.peer.characteristic(ASKED, notify=True)
        self.link = self.told = None

    def ask(self, letters):
        if self.link is None or not self.link.is_connected:
            self.link = self.handle.connect(STRAP)
            self.told = self.link.notifications(ASKED)
        before = len(self.told.received)
        self.link.write(ASKED, letters)
        self.wait()
        return b"".join(self.told.received[before:])


class Spi(Bus):
    name = "spi0"

    def ask(self, letters):
        answer = self.handle.transfer(letters)
        self.wait()
        return answer.rstrip(b"\xff")


BUSES = [Uart, Can, Ble, Spi]
EVERY = pytest.mark.parametrize("kind", BUSES)


@pytest.fixture
def rig(tmp_path):
    made = SimulatedRig()
    made.begin(Round("scripted", 1, tmp_path), tmp_path / "run.trace")
    yield made
    made.end()


@EVERY
def test_a_request_gets_its_reply_and_is_counted(rig, kind):
    bus = kind(rig)
    rule = bus.peer.on(b"ask", b"ans")
    assert [bus.ask(b"ask"), bus.ask(b"bad"), bus.ask(b"ask")] == [b"ans", b"", b"ans"]
    assert rule.heard == 2
    bus.peer.forget(rule)
    bus.peer.forget(rule)
    assert bus.ask(b"ask") == b""


@EVERY
def test_the_first_requests_are_ignored_and_lead_nowhere(rig, kind):
    bus = kind(rig)
    rule = bus.peer.on(b"ask", b"ans", ignore=2, when="a", then="b")
    assert [bus.ask(b"ask"), bus.ask(b"ask"), bus.peer.state] == [b"", b"", "a"]
    assert (bus.ask(b"ask"), bus.peer.state, rule.heard) == (b"ans", "b", 3)


@EVERY
def test_a_state_says_what_is_heard_and_where_it_leads(rig, kind):
    bus = kind(rig)
    bus.peer.on(b"go!", b"up!", when="idle", then="busy")
    bus.peer.on(b"go!", b"no!", when="busy")
    bus.peer.on(b"end", b"ok!", when="busy", then="idle")
    assert bus.peer.state == "idle"
    asked = (b"end", b"go!", b"go!", b"end", b"go!")
    assert [bus.ask(each) for each in asked] == [b"", b"up!", b"no!", b"ok!", b"up!"]
    bus.peer.state = "idle"
    assert bus.ask(b"go!") == b"up!"


@EVERY
def test_a_restart_brings_the_first_state_back(rig, kind):
    bus = kind(rig)
    bus.peer.on(b"go!", b"up!", when="idle", then="busy")
    assert (bus.ask(b"go!"), bus.peer.state) == (b"up!", "busy")
    rig.get("power").off()
    rig.dut.to("configured")
    assert bus.peer.state == "idle"
    rig.clock.sleep(1)
    assert bus.ask(b"go!") == b"up!"


@EVERY
def test_the_rule_that_was_added_last_comes_first(rig, kind):
    bus = kind(rig)
    bus.peer.on(b"ask", b"old")
    newer = bus.peer.on(b"ask", b"new")
    assert bus.ask(b"ask") == b"new"
    bus.peer.forget(newer)
    assert bus.ask(b"ask") == b"old"


@pytest.mark.parametrize("kind", [Uart, Can, Ble])
def test_a_reply_comes_when_it_is_due(rig, kind):
    bus = kind(rig)
    bus.peer.on(b"ask", b"ans", delay="500ms")
    assert bus.ask(b"ask") == b""
    rig.clock.sleep("450ms")
    assert [each.payload for each in rig.trace.records if each.dir == "rx" and each.payload == b"ans"] == [b"ans"]


def test_a_late_spi_device_is_busy_and_then_answers_the_next_transfer(rig):
    bus = Spi(rig)
    bus.peer.on(b"cmd", b"res", delay="500ms")
    bus.peer.on(b"\0\0\0", b"now")
    assert [bus.ask(b"cmd"), bus.ask(b"\0\0\0")] == [b"", b""]
    rig.clock.sleep("500ms")
    assert [bus.ask(b"\0\0\0"), bus.ask(b"\0\0\0")] == [b"res", b"now"]


@EVERY
def test_a_reply_that_is_due_after_a_restart_is_lost(rig, kind):
    bus = kind(rig)
    bus.peer.on(b"ask", b"ans", delay="500ms")
    bus.ask(b"ask")
    rig.get("power").off()
    rig.dut.to("configured")
    rig.clock.sleep(1)
    assert not [each for each in rig.trace.records if each.dir == "rx" and each.payload == b"ans"]
    if kind is Spi:
        assert bus.ask(b"\0\0\0") == b""


@EVERY
def test_a_pattern_stands_where_bytes_do_and_its_match_goes_to_a_function(rig, kind):
    bus = kind(rig)
    bus.peer.on(re.compile(rb"s(\d\d);", re.DOTALL), lambda found: found[1] + b"!")
    assert [bus.ask(b"s42;"), bus.ask(b"sxx;")] == [b"42!", b""]


@EVERY
def test_a_function_gets_the_request_and_may_say_nothing(rig, kind):
    bus = kind(rig)
    asked = []
    bus.peer.on(b"ask", lambda request: asked.append(bus.letters_of(request)))
    assert (bus.ask(b"ask"), asked, rig.end()) == (b"", [b"ask"], [])


def fail(_request):
    raise ZeroDivisionError("as tests do")


@EVERY
@pytest.mark.parametrize(
    ("reply", "named"), [(fail, "ZeroDivisionError: as tests do"), (lambda _: "text", "ValueError")]
)
def test_a_function_that_fails_fails_alone_and_the_test_is_told_in_its_end(rig, kind, reply, named):
    bus = kind(rig)
    bus.peer.on(b"ask", reply)
    bus.peer.on(b"two", b"ans")
    assert [bus.ask(b"ask"), bus.ask(b"two")] == [b"", b"ans"]
    [failure] = bus.peer.failures
    assert isinstance(failure, ScriptError)
    assert re.search(rf"{bus.name}: .*reply to b'ask' failed.*{named}", str(failure))
    assert "test_scripted.py:" in str(failure) or reply is not fail
    assert [record.text for record in rig.trace.records if "failed" in record.get("text", "")] == [str(failure)]
    assert rig.end() == [str(failure)]


@pytest.mark.parametrize("kind", [Can, Ble])
def test_a_function_that_judges_may_fail_too(rig, kind):
    bus = kind(rig)
    bus.peer.on(fail, b"ans")
    assert bus.ask(b"ask") == b""
    assert "request failed" in str(bus.peer.failures[0])


@pytest.mark.parametrize(
    ("kind", "said"), [(Uart, lambda said: said), (Can, lambda said: (1, said)), (Ble, lambda said: (ASKED, said))]
)
def test_a_beat_goes_on_until_it_is_stopped_or_fails(rig, kind, said):
    bus = kind(rig)
    left = [b"3", b"2", b"1"]
    bus.ask(b"ask")
    bus.peer.every("100ms", lambda: said(left.pop()))
    stop = bus.peer.every("110ms", said(b"x"))
    rig.clock.sleep("1050ms")
    stop()
    came = [record.payload for record in rig.trace.records if record.dir == "rx" and len(record.payload) == 1]
    assert [each for each in came if each != b"x"] == [b"1", b"2", b"3"]
    assert came.count(b"x") == 9
    [failure] = bus.peer.failures
    assert "beat of '100ms' failed" in str(failure)
    assert isinstance(failure.__cause__, IndexError)


@EVERY
def test_a_listener_that_fails_keeps_nobody_else_from_hearing(rig, kind):
    bus = kind(rig)
    heard = []
    bus.peer.listen(fail)
    stop = bus.peer.listen(lambda request: heard.append(bus.letters_of(request)))
    bus.ask(b"ask")
    stop()
    stop()
    bus.ask(b"two")
    assert heard == [b"ask"]
    assert len(bus.peer.failures) == 2


class Broken(SpiModel):
    def exchange(self, tx):
        raise KeyError(tx)


def test_a_model_that_fails_drives_nothing(rig):
    bus = Spi(rig)
    bus.peer.model(Broken())
    assert bus.ask(b"ask") == b""
    assert "model failed" in str(bus.peer.failures[0])


def test_a_value_that_fails_is_an_error_of_the_device_to_who_reads_it(rig):
    bus = Ble(rig)
    bus.peer.characteristic(TOLD, lambda: fail(None), on_write=fail)
    with bus.handle.connect(STRAP) as link:
        with pytest.raises(Exception, match="0x0e"):
            link.read(TOLD)
        link.write(TOLD, b"x")
        assert link.read(TOLD) == b"x"
    assert [str(each).partition(" failed")[0] for each in bus.peer.failures] == [
        "ble0: the peer's value of 2a37", "ble0: the peer's on_write of 2a37",
    ]  # fmt: skip


def test_an_advertisement_that_fails_is_the_last(rig):
    bus = Ble(rig)
    left = [{1: b"2"}, {1: b"1"}]
    bus.peer.advertise(STRAP, manufacturer_data=left.pop, interval="100ms")
    rig.clock.sleep("1s")
    assert [bus.handle.next(timeout=0).manufacturer_data[1] for _ in range(2)] == [b"1", b"2"]
    assert bus.handle.next(timeout=0) is None
    assert f"advertisement of {STRAP} failed" in str(bus.peer.failures[0])


def test_a_write_is_known_by_uuid_data_or_judgement_and_answered_elsewhere(rig):
    bus = Ble(rig)
    bus.peer.characteristic(TOLD, notify=True)
    bus.peer.on(ASKED, (TOLD, b"any"))
    bus.peer.on((ASKED, b"a"), [(TOLD, b"1"), b"2"])
    bus.peer.on(lambda written: written.address == STRAP and written.data == b"z", (0x2A37, b"z"))
    with bus.handle.connect(STRAP) as link:
        told = link.notifications(TOLD)
        for data in (b"x", b"ab", b"z"):
            link.write(ASKED, data)
        bus.wait()
        assert told.received == [b"any", b"1", b"z"]


@EVERY
@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"ignore": -1}, "ignore"), ({"ignore": True}, "ignore"), ({"delay": "soon"}, "soon"), ({"when": 1}, "state 1"),
        ({"reply": 5}, "5"), ({"request": 5.5}, "5.5"), ({"request": re.compile("text")}, "rb'"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused_by_name(rig, kind, how, named):
    rule = {"request": b"ask", "reply": b"ans", **how}
    with pytest.raises(ValueError, match=re.escape(named)):
        kind(rig).peer.on(rule.pop("request"), rule.pop("reply"), **rule)


FAILING = """
def test_it({name}):
    {name}.peer.listen(lambda heard: 1 / 0)
    {deed}
"""


@pytest.mark.parametrize(
    ("name", "deed"),
    [("uart", "uart.write(b'x')"), ("can_bus", "can_bus.send(1)"), ("spi", "spi.transfer(b'x')")],
)
def test_a_test_whose_peer_failed_is_an_error(pytester, name, deed):
    pytester.makepyfile(FAILING.format(name=name, deed=deed))
    done = pytester.runpytest_subprocess(*ALWAYS)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*listener failed at test_*: ZeroDivisionError*"])
