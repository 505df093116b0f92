"""The SPI driver on the kernel's own SPI core and spidev; the devices are models behind the hilspi controller."""

from __future__ import annotations

import asyncio
import errno
import time
from pathlib import Path

import pytest

from drivers._spi_device import in_words, py_spidev
from gateway.errors import PortLostError, PortNotFoundError, PortOptionError, PortTimeoutError
from gateway.port import Sample
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.profile.model import LinkSpec
from gateway.schema.identity import identity_fault
from gateway.schema.plan import values_of
from gateway.testing import check_driver
from hil.hosts.spi import SpiWire
from hil.sim.spi.bosch import TRIM

ID = b"\xd0\x00"  # of a BME280
MS = 1_000_000
LIMIT_S = 20.0  # an emulated machine is slow
LOST_S = 0.75  # half a second, plus what the emulated machine takes to tell


def run(port, scenario):
    async def whole():
        async with asyncio.timeout(60):
            await port.open()
            try:
                return await scenario()
            finally:
                await port.close()

    return asyncio.run(whole())


async def asked(port, request):
    await port.ask(request)
    batch = await port.read()
    assert batch.addresses == [request]
    return batch.payloads[0]


async def answers(port, count):
    found = []
    async with asyncio.timeout(LIMIT_S):
        while len(found) < count:
            found += (await port.read()).payloads
    return found


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_the_bus_sees_mode_and_speed(guest, mode):
    port = guest.port(link=LinkSpec(bus="spi", mode=mode, speed_hz=1_250_000))
    run(port, lambda: port.ask(ID))
    assert guest.remote.transfers()[-1] == (ID, mode, 1_250_000, 8)


def test_a_device_says_who_it_is(guest):
    port = guest.port()
    assert run(port, lambda: asked(port, ID))[1:] == b"\x60"


def test_a_burst_reads_registers_in_one_transfer(guest):
    port = guest.port()
    assert run(port, lambda: asked(port, b"\x88" + bytes(len(TRIM))))[1:] == TRIM
    assert len(guest.remote.transfers()) == 1


def test_a_transfer_is_full_duplex(guest):
    guest.put("mcp3008")
    port = guest.port()
    assert run(port, lambda: asked(port, b"\x01\xf0\x00"))[1:] == b"\xfb\xff"  # channel 7 at full scale


def test_a_bme280_measures_through_its_profile(guest):
    compiled = CompiledProfile(load_profile(find_profile("bme280")))
    transfers, memory, profile = compiled.transfers(), compiled.memory(), compiled.profile
    port = guest.port(link=profile.link)

    async def values(message):
        request = transfers.request(profile.message[message].ask)
        name, body = transfers.read(request, await asked(port, request))
        return values_of(compiled.messages[name], memory.decoder(name)(body))

    async def scenario():
        for step in profile.lifecycle.connect:
            if step.ask is not None:
                await values(step.ask)
            elif step.write is not None:
                await port.write(transfers.write(step.write.register, bytes.fromhex(step.write.data)))
        return await values("sample")

    measured = run(port, scenario)
    assert abs(measured["temperature"] - 25.08) < 0.011
    assert abs(measured["pressure"] - 100_653) < 3
    assert abs(measured["humidity"] - 39.12) < 0.05


def test_a_write_beyond_the_kernel_s_buffer_goes_in_pieces(guest):
    port = guest.port(1)
    run(port, lambda: port.write(bytes(range(1, 251)) * 40))
    assert [len(each.tx) for each in guest.remote.transfers(1)] == [4096, 4096, 1808]


def test_a_transfer_of_the_whole_buffer_passes_and_a_larger_one_is_refused(guest):
    port = guest.port(1)
    assert len(run(port, lambda: asked(port, b"\x01" * 4096))) == 4096
    with pytest.raises(PortOptionError, match="4096"):
        run(port, lambda: port.ask(b"\x01" * 4097))


def test_words_of_sixteen_bits_stand_in_payloads_as_on_the_wire(guest):
    port = guest.port(1, LinkSpec(bus="spi", bits=16))
    run(port, lambda: port.write(b"\x12\x34\x56\x78"))
    seen = guest.remote.transfers(1)[-1]
    assert (in_words(seen.tx, 2), seen.bits) == (b"\x12\x34\x56\x78", 16)


@pytest.mark.parametrize(("link", "told"), [({"bits": 12}, "bits = 12"), ({"mode": 5}, "mode = 5")])
def test_a_setting_that_the_controller_refuses_is_named(guest, link, told):
    port = guest.port(link=LinkSpec(bus="spi", **link))
    with pytest.raises(PortOptionError, match=told):
        run(port, lambda: port.ask(ID))


def test_a_speed_below_the_controller_s_shows_at_the_first_transfer(guest):
    port = guest.port(link=LinkSpec(bus="spi", speed_hz=10))
    with pytest.raises(PortOptionError, match="speed_hz"):
        run(port, lambda: port.ask(ID))


def test_a_failed_transfer_is_typed_and_the_next_one_works(guest):
    port = guest.port()

    async def scenario():
        guest.remote.do("error", errno=errno.EIO)
        with pytest.raises(PortTimeoutError, match="Input/output error"):
            await port.ask(ID)
        guest.remote.do("error", errno=None)
        return await asked(port, ID)

    assert run(port, scenario)[1:] == b"\x60"


def test_a_stuck_bus_that_the_kernel_gives_up_is_typed_and_recovers(guest):
    port = guest.port()

    async def scenario():
        guest.remote.do("hang")
        with pytest.raises(PortTimeoutError, match="timed out"):
            await port.ask(ID)
        guest.remote.do("release")
        return await asked(port, ID)

    assert run(port, scenario)[1:] == b"\x60"


def test_a_stuck_bus_that_the_kernel_waits_for_holds_neither_loop_nor_close(guest):
    guest.wait_ms(8000)
    port = guest.port()

    async def scenario():
        guest.remote.do("hang")
        asking = asyncio.ensure_future(port.ask(ID))  # noqa: TID251 - a test is its own edge
        turns, start = 0, time.monotonic()
        while not asking.done():
            await asyncio.sleep(0.02)
            turns += 1
        with pytest.raises(PortTimeoutError, match="stuck"):
            await asking
        closing = time.monotonic()
        await port.close()
        return turns, closing - start, time.monotonic() - closing

    turns, asked_s, closed_s = run(port, scenario)
    assert turns > 10
    assert asked_s < 4
    assert closed_s < 1


def test_a_line_that_nobody_drives_reads_high_and_is_told_from_a_wrong_device(guest):
    profile = CompiledProfile(load_profile(find_profile("bme280")))
    spec, plan = profile.profile.message["identity"], profile.messages["identity"]
    port = guest.port()

    async def scenario():
        guest.remote.do("stuck", level=0xFF)
        silent = await asked(port, ID)
        guest.put("bmp280")
        return silent, await asked(port, ID)

    silent, other = run(port, scenario)
    assert identity_fault(spec, plan, silent[1:]).startswith("line stuck high")
    assert identity_fault(spec, plan, other[1:]) == "wrong identity: 0x58, expected 0x60"


def test_two_chip_selects_answer_each_for_itself(guest):
    guest.put("adxl345", 1)
    first, second = guest.port(0), guest.port(1)

    async def scenario():
        await second.open()
        both = await asyncio.gather(asked(first, ID), asked(second, b"\x80\x00"))
        await second.close()
        return [rx[1] for rx in both]

    assert run(first, scenario) == [0x60, 0xE5]


def test_unbinding_an_idle_device_is_seen_within_half_a_second(guest):
    port = guest.port()

    async def scenario():
        reading = asyncio.ensure_future(port.read())  # noqa: TID251
        await asyncio.sleep(0)
        guest.unplug()
        start = time.monotonic()
        with pytest.raises(PortLostError):
            await reading
        return time.monotonic() - start

    assert run(port, scenario) < LOST_S


def test_unbinding_a_sampled_device_is_seen_and_binding_it_again_brings_it_back(guest):
    port = guest.port()

    async def scenario():
        port.sample([Sample(ID, 10 * MS)])
        await answers(port, 3)
        guest.unplug()
        with pytest.raises(PortLostError):
            await answers(port, 10_000)
        with pytest.raises(PortNotFoundError, match="dtparam"):
            await port.open()
        guest.plug()
        await port.open()
        return await asked(port, ID)

    assert run(port, scenario)[1:] == b"\x60"


def test_every_point_of_a_100_hz_grid_is_sampled_or_counted_as_missed(guest):
    """An emulated machine stands still for tens of milliseconds now and then: what it misses is known, not made up."""
    port = guest.port()

    async def scenario():
        port.sample([Sample(ID, 10 * MS)])
        stamps = []
        async with asyncio.timeout(LIMIT_S):
            while len(stamps) < 100:
                batch = await port.read()
                stamps += batch.stamps_ns
                missed = port.health()["missed"]
        return stamps, missed

    stamps, missed = run(port, scenario)
    points = (stamps[-1] - stamps[0]) / (10 * MS)
    assert points == pytest.approx(len(stamps) - 1 + missed, abs=3)  # the first and the last may be late
    assert stamps == sorted(stamps)


class KernelEnd:
    """The second chip select as the wire of the contract."""

    def __init__(self, guest):
        self._guest = guest
        self._remote = guest.remote

    def load(self, data):
        self._remote.do("load", 1, hex=data.hex())

    def take(self):
        return bytes.fromhex(self._remote.do("take", 1)["hex"])

    def unplug(self):
        self._guest.unplug(1)

    def replug(self):
        self._guest.plug(1)

    def hang(self):
        self._remote.do("hang", 1)

    def release(self):
        self._remote.do("release", 1)


def test_the_spi_driver_keeps_the_contract_of_a_port_on_the_kernel_s_spidev(guest):
    wire = SpiWire(KernelEnd(guest))
    violations = asyncio.run(
        check_driver(lambda: wire.port("/dev/spidev0.1", guest.buses, py_spidev), wire),
    )
    assert violations == []


def test_every_node_of_the_bus_is_there_again(guest):
    assert all(Path(f"/dev/spidev0.{at}").exists() for at in range(2))
