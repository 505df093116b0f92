from __future__ import annotations

import asyncio
import errno
import sys
import threading
import time

import pytest

from drivers._spi_bus import Buses
from drivers._spi_device import in_words, word_bytes
from drivers.spi import DRIVER, HAND_OVER_ANSWERS, SpiPort
from gateway.clock import SystemClock
from gateway.errors import (
    DriverError,
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
    PortTimeoutError,
)
from gateway.port import AskingPort, ReportingPort, Sample, SamplingPort
from gateway.profile.model import LinkSpec
from hil.sim.spi.adxl345 import Adxl345
from hil.sim.spi.bosch import Bme280
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.model import SpiModel
from hil.sim.spi.w25q import W25q
from tests.waiting import first_met

LINK = LinkSpec(bus="spi")
MS = 1_000_000
ID = b"\xd0\x00"  # of a BME280
LIMIT_S = 30.0


class Bench:
    """A bus in a folder, with ports on it."""

    def __init__(self, folder):
        self.bus = FakeBus(folder)
        self.buses = Buses()
        self.ports = []

    def plug(self, model=None, name="spidev0.0"):
        return self.bus.plug(name, model or Bme280())

    def port(self, name="spidev0.0", link=LINK):
        port = SpiPort(str(self.bus.path(name)), link, SystemClock(), self.buses, self.bus.device)
        self.ports.append(port)
        return port

    def run(self, scenario):
        async def whole():
            try:
                async with asyncio.timeout(4 * LIMIT_S):
                    return await scenario
            finally:
                for port in self.ports:
                    await port.close()

        return asyncio.run(whole())

    @staticmethod
    def threads():
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("spi bus")]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


async def until(condition):
    """Wait for something that another thread brings about."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - threads set no asyncio.Event
            await asyncio.sleep(0.002)


async def answers(port, count):
    """Read so many answers; return (request, answer, stamp) of each."""
    found = []
    async with asyncio.timeout(LIMIT_S):
        while len(found) < count:
            batch = await port.read()
            found += zip(batch.addresses, batch.payloads, batch.stamps_ns, strict=True)
    return found


def test_the_answer_to_a_request_comes_by_read_with_the_request_as_its_address(bench):
    bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        before = time.time_ns()
        await port.ask(ID)
        batch = await port.read()
        return before, batch

    before, batch = bench.run(scenario())
    assert (batch.payloads, batch.addresses, batch.dropped) == ([b"\xff\x60"], [ID], 0)
    assert before <= batch.stamps_ns[0] <= batch.wall_ns


def test_a_port_asks_samples_and_reports(bench):
    port = bench.port()
    assert isinstance(port, AskingPort)
    assert isinstance(port, SamplingPort)
    assert isinstance(port, ReportingPort)


def test_what_is_written_reaches_the_device_and_nothing_is_read(bench):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        await port.write(b"\x74\x27")
        await port.ask(b"\xf4\x00")
        return (await port.read()).payloads

    assert bench.run(scenario()) == [b"\xff\x27"]
    assert [transfer.tx for transfer in line.transfers] == [b"\x74\x27", b"\xf4\x00"]


def test_the_bus_sees_what_the_link_says(bench):
    line = bench.plug()
    port = bench.port(link=LinkSpec(bus="spi", mode=3, speed_hz=2_500_000, bits=16))

    async def scenario():
        await port.open()
        await port.ask(ID)

    bench.run(scenario())
    assert line.transfers[0][1:] == (3, 2_500_000, 16)


@pytest.mark.parametrize("target", ["spidev0.1", "spi0.1", "/dev/spidev0.1", "/dev/spi/thermometer", "./spidev0.0"])
def test_nodes_and_their_short_names_are_targets(target):
    assert DRIVER.make(target, LINK, SystemClock()).name == target


@pytest.mark.parametrize("target", ["", "spidev", "spi0", "COM3", "spidev0.0x", "/dev/\0"])
def test_text_that_can_never_be_a_node_is_refused_at_once(target):
    with pytest.raises(PortOptionError, match="spidev"):
        DRIVER.make(target, LINK, SystemClock())


def test_the_driver_claims_devices_on_spi_but_no_recordings():
    assert DRIVER.claims("/dev/spidev0.0", "spi")
    assert not DRIVER.claims("/dev/spidev0.0", "uart")
    assert not DRIVER.claims("replay:log.jsonl", "spi")


def test_a_link_to_a_node_is_followed_at_every_open(bench, tmp_path):
    bench.plug()
    bench.plug(Adxl345(), "spidev1.0")
    link = tmp_path / "sensor"
    link.symlink_to(bench.bus.path("spidev0.0"))
    port = bench.port("sensor")

    async def scenario():
        await port.open()
        await port.ask(ID)
        first = (await port.read()).payloads
        link.unlink()
        link.symlink_to(bench.bus.path("spidev1.0"))
        await port.open()
        await port.ask(b"\x80\x00")
        return first, (await port.read()).payloads

    assert bench.run(scenario()) == ([b"\xff\x60"], [b"\xff\xe5"])


def test_a_missing_node_says_how_to_get_one(bench):
    port = bench.port()
    with pytest.raises(PortNotFoundError, match="dtparam=spi=on"):
        bench.run(port.open())


def test_without_spidev_opening_says_what_to_install(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "spidev", None)
    bench.plug()
    port = SpiPort(str(bench.bus.path("spidev0.0")), LINK, SystemClock(), bench.buses)
    with pytest.raises(DriverError, match=r"^spidev is not installed; run: pip install 'tidegate\[spi\]'$"):
        bench.run(port.open())


def test_a_path_to_something_else_is_no_spidev_node(bench, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PortOptionError, match=r"notes\.txt is no spidev node"):
        bench.run(bench.port("notes.txt").open())


def test_a_node_that_is_not_ours_names_the_group(bench):
    bench.plug().open_error = errno.EACCES
    with pytest.raises(PortPermissionError, match="usermod -aG spi "):
        bench.run(bench.port().open())


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ({"mode": 7}, "mode = 7"),
        ({"mode": 256}, "mode = 256"),
        ({"bits": 12}, "bits = 12"),
        ({"bits": 99}, "bits = 99"),
        ({"speed_hz": 60_000_000}, "speed_hz = 60000000"),
        ({"speed_hz": 0}, "speed_hz = 0"),
    ],
)
def test_a_setting_that_is_refused_is_named_with_its_value(bench, link, told):
    bench.plug()
    with pytest.raises(PortOptionError, match=told):
        bench.run(bench.port(link=LinkSpec(bus="spi", **link)).open())
    assert bench.bus.opened == 0


def test_a_transfer_larger_than_the_kernel_s_buffer_is_refused_with_the_limit(bench):
    bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        await port.ask(bytes(4096))
        with pytest.raises(PortOptionError, match="1 to 4096"):
            await port.ask(bytes(4097))
        with pytest.raises(PortOptionError, match="1 to 4096"):
            await port.ask(b"")

    bench.run(scenario())


def test_a_write_larger_than_the_kernel_s_buffer_goes_in_pieces(bench):
    line = bench.plug(W25q())
    port = bench.port()

    async def scenario():
        await port.open()
        await port.write(bytes(10_000))

    bench.run(scenario())
    assert [len(transfer.tx) for transfer in line.transfers] == [4096, 4096, 1808]


def test_words_stand_in_payloads_as_on_the_wire(bench):
    line = bench.plug(Bme280())
    port = bench.port(link=LinkSpec(bus="spi", bits=16))

    async def scenario():
        await port.open()
        await port.ask(b"\x12\x34\x56\x78")
        with pytest.raises(PortOptionError, match="no whole number of words"):
            await port.ask(b"\x12\x34\x56")

    bench.run(scenario())
    assert line.transfers[0].tx == in_words(b"\x12\x34\x56\x78", 2)


def test_a_word_takes_a_power_of_two_of_bytes():
    assert [word_bytes(bits) for bits in (8, 9, 16, 17, 24, 32)] == [1, 2, 2, 4, 4, 4]
    assert in_words(bytes(range(8)), 4) == bytes([3, 2, 1, 0, 7, 6, 5, 4])


def test_a_transfer_that_fails_is_typed_and_counted_and_the_next_one_works(bench):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        line.error = errno.EIO
        with pytest.raises(PortTimeoutError, match="Input/output error"):
            await port.ask(ID)
        line.error = None
        await port.ask(ID)
        return (await port.read()).payloads

    assert bench.run(scenario()) == [b"\xff\x60"]
    assert port.health()["errors"] == 1
    assert "Input/output error" in port.health()["last_error"]


def test_a_controller_that_refuses_a_transfer_is_an_option_error(bench):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        line.error = errno.EINVAL
        await port.ask(ID)

    with pytest.raises(PortOptionError, match="Invalid argument"):
        bench.run(scenario())


def test_a_stuck_bus_holds_neither_the_loop_nor_a_request_for_long(bench):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        line.hang()
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        async with asyncio.TaskGroup() as group:
            turning = group.create_task(turn())
            with pytest.raises(PortTimeoutError, match="stuck"):
                await port.ask(ID)
            turning.cancel()
        line.release()
        return turns

    assert bench.run(scenario()) > 20


def test_an_answer_that_comes_after_its_time_is_dropped_and_counted(bench):
    line = bench.plug(Slow())
    port = bench.port()

    async def scenario():
        await port.open()
        asking = asyncio.ensure_future(port.ask(b"\x01"))  # noqa: TID251 - a test is its own edge
        await until(line.model.began.is_set)
        asking.cancel()
        await asyncio.wait({asking})
        line.model.go.set()
        await port.ask(b"\x02")
        return await answers(port, 1)

    assert [request for request, _, _ in bench.run(scenario())] == [b"\x02"]
    assert port.health()["late_answers"] == 1


class Slow(SpiModel):
    """Takes its time over one transfer."""

    def __init__(self):
        self.began, self.go = threading.Event(), threading.Event()

    def exchange(self, tx):
        self.began.set()
        self.go.wait(LIMIT_S)
        return tx


def test_what_was_not_begun_in_time_never_goes_out(bench):
    line = bench.plug(Slow())
    port = bench.port()

    async def scenario():
        await port.open()
        first = asyncio.ensure_future(port.ask(b"\x01"))  # noqa: TID251
        await until(line.model.began.is_set)
        second = asyncio.ensure_future(port.write(b"\x02"))  # noqa: TID251
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        line.model.go.set()
        await first
        await port.ask(b"\x03")

    bench.run(scenario())
    assert [transfer.tx for transfer in line.transfers] == [b"\x01", b"\x03"]


def test_closing_does_not_wait_for_a_transfer_that_hangs_and_ends_who_waits(bench):
    line = bench.plug()

    async def scenario():
        port = bench.port()
        await port.open()
        line.hang()
        asking = asyncio.ensure_future(port.ask(ID))  # noqa: TID251
        await until(lambda: port.health()["transfer_takes_s"] > 0)
        start = time.monotonic()
        await port.close()
        took = time.monotonic() - start
        with pytest.raises(PortClosedError):
            await asking
        with pytest.raises(PortTimeoutError, match="hangs"):
            await port.open()
        line.release()
        await until(lambda: not bench.threads())
        left = bench.bus.opened
        await port.open()
        await port.ask(ID)
        assert left == 0
        return took

    assert first_met(lambda: bench.run(scenario()), lambda took_s: took_s < 1.0) < 1.0


def test_a_node_that_vanishes_while_nothing_is_transferred_is_a_lost_port(bench):
    async def scenario():
        bench.plug()
        port = bench.port()
        await port.open()
        bench.bus.unplug("spidev0.0")
        start = time.monotonic()
        with pytest.raises(PortLostError, match="node is gone"):
            await port.read()
        took = time.monotonic() - start
        with pytest.raises(PortLostError):
            await port.ask(ID)
        with pytest.raises(PortLostError):
            await port.write(b"x")
        with pytest.raises(PortLostError):
            port.sample([Sample(ID, MS)])
        await port.close()
        with pytest.raises(PortClosedError):
            await port.read()
        return took

    assert first_met(lambda: bench.run(scenario()), lambda took_s: took_s < 2.0) < 2.0


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ESHUTDOWN, errno.ENXIO])
def test_a_device_that_is_gone_in_a_transfer_is_a_lost_port(bench, number):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        port.sample([Sample(ID, MS)])
        await answers(port, 3)
        line.error = number
        with pytest.raises(PortLostError):
            await answers(port, HAND_OVER_ANSWERS + 1)
        line.error = None
        await port.open()
        await port.ask(ID)
        return await answers(port, 1)

    assert bench.run(scenario())[0][1] == b"\xff\x60"


class Watchful(SpiModel):
    """Notices when two devices of one bus are selected at once."""

    now = 0
    clashes = 0

    def exchange(self, tx):
        Watchful.now += 1
        time.sleep(0.0005)
        Watchful.clashes += Watchful.now > 1
        Watchful.now -= 1
        return tx


def test_two_chip_selects_of_one_bus_share_a_thread_and_never_overlap(bench):
    bench.plug(Watchful())
    bench.plug(Watchful(), "spidev0.1")
    first, second = bench.port(), bench.port("spidev0.1")

    async def scenario():
        await first.open()
        await second.open()
        threads = bench.threads()
        first.sample([Sample(b"\x01", MS)])
        second.sample([Sample(b"\x02", MS)])
        for _ in range(20):
            await asyncio.gather(first.ask(b"\x03"), second.ask(b"\x04"))
        await first.close()
        still = bench.threads()
        await second.close()
        return threads, still, bench.threads()

    assert bench.run(scenario()) == (["spi bus 0"], ["spi bus 0"], [])
    assert Watchful.clashes == 0


def test_another_bus_has_a_thread_of_its_own_and_goes_on_when_the_first_hangs(bench):
    line = bench.plug()
    bench.plug(Adxl345(), "spidev1.0")
    first, second = bench.port(), bench.port("spidev1.0")

    async def scenario():
        await first.open()
        await second.open()
        line.hang()
        asking = asyncio.ensure_future(first.ask(ID))  # noqa: TID251
        await until(lambda: first.health()["transfer_takes_s"] > 0)
        await second.ask(b"\x80\x00")
        line.release()
        with pytest.raises(PortTimeoutError):
            await asking
        return (await second.read()).payloads

    assert bench.run(scenario()) == [b"\xff\xe5"]


def test_samples_come_on_their_grid(bench):
    bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        port.sample([Sample(ID, 5 * MS)])
        found = await answers(port, 40)
        port.sample(())
        return [stamp for _, _, stamp in found]

    stamps = bench.run(scenario())
    points = (stamps[-1] - stamps[0]) / (5 * MS)
    assert abs(points - (len(stamps) - 1 + port.health()["missed"])) < 2  # each end is less than a period off its point


def test_two_samples_keep_a_pace_of_their_own(bench):
    bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        port.sample([Sample(ID, 5 * MS), Sample(b"\xf3\x00", 20 * MS)])
        return await answers(port, 50)

    found = [request for request, _, _ in bench.run(scenario())]
    assert found.count(ID) > 2 * found.count(b"\xf3\x00") > 0


def test_new_samples_take_the_place_of_the_old_ones_and_none_end_them(bench):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        port.sample([Sample(ID, MS)])
        await answers(port, 3)
        port.sample([Sample(b"\xf3\x00", MS)])
        await until(lambda: line.transfers[-1].tx == b"\xf3\x00")
        port.sample(())
        await port.ask(b"\xf4\x00")  # behind whatever was under way
        count = len(line.transfers)
        await asyncio.sleep(0.02)
        return count

    assert bench.run(scenario()) == len(line.transfers)


@pytest.mark.parametrize("sample", [Sample(b"", MS), Sample(ID, 0), Sample(bytes(5000), MS)])
def test_a_sample_that_cannot_be_is_refused(bench, sample):
    bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        port.sample([sample])

    with pytest.raises(PortOptionError):
        bench.run(scenario())


def test_requests_are_not_starved_by_samples_that_the_bus_has_no_time_for(bench):
    bench.plug(Watchful())
    port = bench.port()

    async def scenario():
        await port.open()
        port.sample([Sample(b"\x01", MS // 10), Sample(b"\x02", MS // 10)])
        for number in range(20):
            await port.write(bytes([number]))

    bench.run(scenario())
    health = port.health()
    assert health["missed"] > 0
    assert health["samples"] >= 10


def test_a_sample_that_fails_is_asked_more_rarely_and_told_once(bench, caplog):
    line = bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        line.error = errno.EIO
        port.sample([Sample(ID, MS)])
        await until(lambda: port.health()["errors"] >= 6)
        line.error = None
        return await answers(port, 20)

    with caplog.at_level("INFO", "drivers.spi"):
        assert len(bench.run(scenario())) >= 20
    assert port.health()["held_back"] > 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_answers_that_nobody_reads_are_bounded_and_counted(bench):
    bench.plug()
    port = bench.port()

    async def scenario():
        await port.open()
        for _ in range(HAND_OVER_ANSWERS + 100):
            await port.ask(ID)
        got, dropped = 0, 0
        while got + dropped < HAND_OVER_ANSWERS + 100:
            batch = await port.read()
            got, dropped = got + len(batch), dropped + batch.dropped
        return got, dropped

    assert bench.run(scenario()) == (HAND_OVER_ANSWERS, 100)


def test_health_is_there_while_closed_and_tells_of_jitter_and_load_while_sampling(bench):
    bench.plug()
    port = bench.port()
    before = port.health()

    async def scenario():
        await port.open()
        port.sample([Sample(ID, MS)])
        await answers(port, 50)
        return port.health()

    during = bench.run(scenario())
    assert (before["samples"], before["jitter_us"], before["bus_busy_share"]) == (0, None, 0.0)
    assert during["samples"] >= 50
    assert during["jitter_us"]["p50"] <= during["jitter_us"]["p99"] <= during["jitter_us"]["max"]
    assert 0 < during["bus_busy_share"] < 1
    assert port.health()["samples"] >= 50
