"""A runner and an agent over a loopback socket."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from gateway.errors import PortError, PortLostError, PortTimeoutError
from hil.agent.client import connect
from hil.agent.dialling import Line
from hil.agent.errors import AgentLostError, AgentProtocolError, AgentRefusedError
from hil.agent.messages import VERSION, Hello, Write, encoded
from hil.lease import LeaseLostError, Pool
from tests.hil.agent.agents import PlayedPort, payloads, serving
from tests.waiting import WITHIN_S, until

NOTICES_SOON = {"beat_s": 0.1, "silence_s": 0.6}  # that the agent is gone, and on a busy machine also that it is not


@pytest.fixture
def port():
    return PlayedPort()


class Cable:
    """Ways to an agent that a test can cut."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self.sockets = []
        self.is_out = False

    def __call__(self):
        if self.is_out:
            raise AgentLostError("the cable is out")
        self.sockets.append(socket.create_connection(self._address, WITHIN_S))
        return Line(self.sockets[-1])

    def cut(self):
        self.is_out = True
        self.sockets[-1].shutdown(socket.SHUT_RDWR)


def test_what_the_port_gives_comes_with_the_agent_s_stamp(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        port.feed(b"hello", stamp_ns=17)
        assert stream.read(WITHIN_S) == [(17, b"hello", None)]
        assert (stream.protocol, stream.is_stream) == ("uart", True)


def test_writes_reach_the_port_before_they_return(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        stream.write(b"abc", 0x123)
        assert port.writes == [(b"abc", 0x123)]


def test_an_answer_comes_with_its_request(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        stream.ask(b"\x01\x02")
        (answer,) = stream.read(WITHIN_S)
        assert (answer.payload, answer.address) == (b"\x02\x01", b"\x01\x02")


def test_reading_waits_no_longer_than_it_should(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        assert stream.read(0.05) == []
        assert stream.read(0) == []


def test_what_a_port_says_is_the_runner_s_error(port):
    port.takes_nothing = True
    with (
        serving(port) as (_, address),
        connect(address, "uart0") as stream,
        pytest.raises(PortTimeoutError, match=r"port took nothing in time \(stuck\)"),
    ):
        stream.write(b"abc")


def test_a_port_that_is_missing_is_told_and_tried_again_by_the_next(port):
    port.is_missing = True
    with serving(port) as (_, address):
        with pytest.raises(AgentRefusedError, match="port is not there"):
            connect(address, "uart0")
        port.is_missing = False
        connect(address, "uart0").close()


def test_a_port_that_goes_away_ends_the_stream_behind_what_it_gave(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        port.feed(b"last")
        port.vanish()
        assert payloads(stream, 1) == [b"last"]
        with pytest.raises(PortLostError, match="unplugged"):
            stream.read(WITHIN_S)
        with pytest.raises(PortLostError):
            stream.write(b"x")


def test_after_a_loss_the_port_is_opened_anew_for_the_next(port):
    with serving(port) as (_, address):
        with connect(address, "uart0") as stream:
            port.vanish()
            with pytest.raises(PortError):
                stream.read(WITHIN_S)
        with connect(address, "uart0") as stream:
            port.feed(b"again")
            assert payloads(stream, 1) == [b"again"]


def test_a_wrong_resource_is_told_with_the_nearest(port):
    with serving(port) as (_, address), pytest.raises(AgentRefusedError, match="did you mean 'uart0'"):
        connect(address, "uart9")


def test_a_port_belongs_to_one_runner_at_a_time(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        with pytest.raises(AgentRefusedError, match=r"uart0 is in use by 127\.0\.0\.1"):
            connect(address, "uart0")
        stream.write(b"still mine")
    assert port.writes == [(b"still mine", None)]


def test_the_port_is_free_when_its_runner_has_left(port):
    with serving(port) as (agent, address):
        connect(address, "uart0").close()
        until(lambda: agent.wire("uart0").user is None)
        connect(address, "uart0").close()


def test_the_port_is_closed_when_nobody_came_back(port):
    with serving(port, linger_s=0.1) as (agent, address):
        connect(address, "uart0").close()
        until(lambda: not agent.wire("uart0").instance)
        connect(address, "uart0").close()
    assert port.opened == 2


def test_what_came_before_one_opened_is_not_given(port):
    with serving(port) as (agent, address):
        connect(address, "uart0").close()
        until(lambda: agent.wire("uart0").user is None)
        port.feed(b"old")
        until(lambda: agent.wire("uart0").history.next_sequence == 2)
        with connect(address, "uart0") as stream:
            port.feed(b"new")
            assert payloads(stream, 1) == [b"new"]
            assert not stream.gaps


def test_what_came_during_an_interruption_follows_it(port):
    with serving(port) as (agent, address):
        cable = Cable(address)
        with connect("pi", "uart0", line=cable) as stream:
            port.feed(b"1")
            assert payloads(stream, 1) == [b"1"]
            cable.cut()
            until(lambda: agent.wire("uart0").user is None)
            port.feed(b"2")
            port.feed(b"3")
            cable.is_out = False
            assert payloads(stream, 2) == [b"2", b"3"]
            assert not stream.gaps


def test_what_the_agent_could_not_keep_is_told_in_its_place(port):
    with serving(port, kept_bytes=300) as (agent, address):
        cable = Cable(address)
        with connect("pi", "uart0", line=cable) as stream:
            port.feed(b"1", stamp_ns=5)
            assert payloads(stream, 1) == [b"1"]
            cable.cut()
            until(lambda: agent.wire("uart0").user is None)
            for number in range(50):
                port.feed(b"%d" % number)
            until(lambda: agent.wire("uart0").history.next_sequence == 52)
            cable.is_out = False
            found = payloads(stream, 1)
            (gap,) = stream.gaps
            assert (gap.after_ns, gap.records) == (5, int(found[0]))
            assert stream.lost_records == gap.records


def test_an_agent_that_was_started_anew_is_told_as_a_gap_of_unknown_size(port):
    with serving(port) as (_, address):
        cable = Cable(address)
        stream = connect("pi", "uart0", line=cable, **NOTICES_SOON)
        at = int(address.rpartition(":")[2])
    port.takes_nothing = False
    other = PlayedPort()
    with serving(other, port=at), stream:
        until(lambda: other.opened == 1 and stream.gaps)
        other.feed(b"again")
        assert payloads(stream, 1) == [b"again"]
        assert [(gap.records, gap.why) for gap in stream.gaps] == [(0, "the agent or its port was started anew")]


def test_a_port_that_another_runner_has_meanwhile_is_waited_for(port):
    with serving(port) as (agent, address):
        cable = Cable(address)
        with connect("pi", "uart0", line=cable, **NOTICES_SOON) as stream:
            cable.cut()
            until(lambda: agent.wire("uart0").user is None)
            with connect(address, "uart0") as other:
                cable.is_out = False
                until(lambda: agent.counts["refused"] >= 2)
                other.write(b"other's")
            stream.write(b"mine", timeout_s=WITHIN_S)
    assert port.writes == [(b"other's", None), (b"mine", None)]


def test_an_agent_that_stays_away_ends_the_stream(port):
    with serving(port) as (_, address):
        stream = connect(address, "uart0", patience_s=0.3, **NOTICES_SOON)
    with stream, pytest.raises(PortLostError, match=r"no agent for 0\.3 s"):
        stream.read(WITHIN_S)


def test_a_write_that_was_under_way_fails_and_is_not_repeated(port):
    begun = threading.Event()

    async def never(data, address=None):
        port.writes.append(data)
        begun.set()
        await port._queue.join()  # for ever: nothing is ever done
        raise AssertionError

    with serving(port) as (_, address):
        cable = Cable(address)
        with connect("pi", "uart0", line=cable) as stream:
            port.feed(b"keeps the queue unfinished")
            payloads(stream, 1)
            port.write = never
            threading.Thread(target=lambda: (begun.wait(WITHIN_S), cable.cut()), daemon=True).start()
            with pytest.raises(PortLostError, match="whether it was written nobody knows"):
                stream.write(b"once")
            del port.write
            cable.is_out = False
            stream.write(b"next")
            assert port.writes == [b"once", (b"next", None)]


def test_the_agent_s_clock_is_known_to_a_fraction_of_a_second(port):
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        before_ns = time.monotonic_ns()
        port.feed(b"x")
        (record,) = stream.read(WITHIN_S)
        offset = stream.clock_offset
        assert abs(offset.offset_ns) <= offset.uncertainty_ns  # both clocks are this machine's
        at_ns = stream.local_ns(record.stamp_ns)
        assert before_ns - offset.uncertainty_ns <= at_ns <= time.monotonic_ns() + offset.uncertainty_ns


def test_nobody_at_the_address_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(AgentLostError, match="no agent answers at"):
        connect(address, "uart0")


def test_something_else_at_the_address_is_no_agent():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            other, _ = server.accept()
            with other:
                other.recv(100)
                other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(AgentProtocolError, match="no agent as we know them"):
            connect(f"127.0.0.1:{server.getsockname()[1]}", "uart0")


def raw(address):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), WITHIN_S)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x02\xc1\xc1",
        b"\xff" * 100,
        encoded(Write(1, b"x")),
        encoded(Hello(VERSION, "uart0", "s")) + encoded(Hello(VERSION, "uart0", "s")),
        encoded(Hello(VERSION, "uart0", "s")) + b"\x00\x00\x00\x02\xc1\xc1",
        encoded(Hello(VERSION, "uart0", "s")) + encoded(Write(1, b"x" * (65 << 10))),
    ],
)
def test_a_runner_that_says_nonsense_is_dropped_counted_and_harms_nobody(port, said):
    with serving(port) as (agent, address):
        with raw(address) as hostile:
            hostile.sendall(said)
            while hostile.recv(65536):
                pass
        until(lambda: agent.counts["refused"] == 1)
        connect(address, "uart0").close()
    assert port.writes == []


def test_another_version_is_told_which_is_the_older(port):
    with serving(port) as (_, address), raw(address) as runner:
        runner.sendall(encoded(Hello(VERSION + 1, "uart0", "s")))
        told = b"".join(iter(lambda: runner.recv(1000), b""))
    assert b"it speaks version 2, this agent 1; update the older" in told


def test_a_runner_that_falls_silent_is_let_go(port):
    with serving(port, beat_silence_s=0.3) as (agent, address), raw(address) as silent:
        silent.sendall(encoded(Hello(VERSION, "uart0", "s")))
        until(lambda: agent.wire("uart0").user is not None)
        until(lambda: agent.wire("uart0").user is None)


def test_a_runner_that_reads_nothing_holds_no_more_than_the_buffer(port):
    with serving(port, kept_bytes=10_000, beat_silence_s=60) as (agent, address), raw(address) as lazy:
        lazy.sendall(encoded(Hello(VERSION, "uart0", "s")))
        until(lambda: agent.wire("uart0").user is not None)
        for _ in range(400):
            port.feed(b"x" * 60_000)
        until(lambda: agent.wire("uart0").history.next_sequence == 401)
        assert agent.wire("uart0").history._held_bytes < 70_000
        assert agent.wire("uart0").history.dropped > 300


@pytest.fixture
def pool(tmp_path):
    pool = Pool(tmp_path / "pool")
    pool.put("a")
    return pool


def test_with_a_pool_a_runner_needs_a_lease(port, pool):
    with serving(port, pool=pool) as (_, address), pytest.raises(AgentRefusedError, match="tidegate hil reserve take"):
        connect(address, "uart0")


def test_a_runner_that_loses_its_lease_loses_its_stream_at_once(port, pool):
    with serving(port, pool=pool) as (_, address):
        lease = pool.take("name=a")
        with connect(address, "uart0", lease_token=lease.token) as stream:
            stream.write(b"mine")
            pool.kick("a")
            with pytest.raises(LeaseLostError, match="lease 1 of a is lost: kicked by"):
                stream.write(b"not mine")
            with pytest.raises(LeaseLostError):
                stream.read(WITHIN_S)
        with pytest.raises(LeaseLostError, match="lease 1 of a is lost"):
            connect(address, "uart0", lease_token=lease.token)
    assert port.writes == [(b"mine", None)]


def test_a_new_holder_gets_the_port_from_the_old_one(port, pool):
    with serving(port, pool=pool) as (_, address):
        old = connect(address, "uart0", lease_token=pool.take("name=a").token)
        pool.kick("a")
        with old, connect(address, "uart0", lease_token=pool.take("name=a").token) as new:
            new.write(b"new")
            with pytest.raises(LeaseLostError):
                old.write(b"old")
    assert port.writes == [(b"new", None)]


def test_an_agent_that_runs_under_a_lease_serves_until_that_is_lost(port, pool):
    lease = pool.take("name=a")
    with serving(port, lease=lease) as (_, address), connect(address, "uart0") as stream:
        stream.write(b"mine")
        pool.kick("a")
        with pytest.raises(LeaseLostError):
            stream.write(b"not mine")
    assert port.writes == [(b"mine", None)]


def test_the_lease_of_the_environment_is_shown(port, pool, monkeypatch):
    lease = pool.take("name=a")
    monkeypatch.setenv("TIDEGATE_TARGET", "a")
    monkeypatch.setenv("TIDEGATE_TOKEN", str(lease.token))
    with serving(port, pool=pool) as (_, address), connect(address, "uart0") as stream:
        stream.write(b"mine")
    assert port.writes == [(b"mine", None)]
