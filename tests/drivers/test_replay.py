from __future__ import annotations

import asyncio
import json

import can
import pytest

from drivers.replay import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortClosedError, PortNotFoundError, PortOptionError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_REMOTE
from gateway.profile.model import LinkSpec
from gateway.testing import FakeClock, run_on_fake_clock

CAN = LinkSpec(bus="can")
UART = LinkSpec(bus="uart", baud=9600)
BLE = LinkSpec(bus="ble", mode="advertisement")

LOG = """\
(1700000000.000000) can0 123#0102
(1700000000.500000) can0 18FEF100#FFFEFDFC R
not a record
(1700000002.000000) can0 456##1AABBCC
(1700000002.000000) can0 7FF#R4
(1700000002.000100) can0 20000004#0004000000000000
"""


async def everything(port):
    batches = []
    await port.open()
    try:
        while True:
            batches.append(await port.read())
    except EOFError:
        await port.close()
        return batches


def payloads(batches):
    return [payload for batch in batches for payload in batch.payloads]


def addresses(batches):
    return [address for batch in batches for address in batch.addresses]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "trip.log"
    path.write_text(LOG)
    return path


def test_a_candump_log_comes_whole_with_ids_flags_and_stamps(log, caplog):
    batches = asyncio.run(everything(DRIVER.make(f"replay:{log}?speed=0", CAN, SystemClock())))
    assert payloads(batches) == [
        b"\x01\x02",
        b"\xff\xfe\xfd\xfc",
        b"\xaa\xbb\xcc",
        b"",
        bytes.fromhex("0004000000000000"),
    ]
    assert addresses(batches) == [0x123, 0x18FEF100 | CAN_EXTENDED, 0x456, 0x7FF | CAN_REMOTE, 4 | CAN_ERROR]
    assert [stamp for batch in batches for stamp in batch.stamps_ns][1] == 1_700_000_000_500_000_000
    assert "lines=1" in caplog.text


@pytest.mark.parametrize(("query", "expected_s"), [("", 2.0001), ("?speed=1", 2.0001), ("?speed=4", 2.0001 / 4)])
def test_time_passes_as_recorded_or_scaled(log, query, expected_s):
    clock = FakeClock()
    port = DRIVER.make(f"replay:{log}{query}", CAN, clock)
    batches = run_on_fake_clock(everything(port), clock)
    assert clock.monotonic_ns() / 1e9 == pytest.approx(expected_s, abs=0.001)
    assert len(batches) >= 3
    assert batches[0].received_ns == 0
    assert batches[1].received_ns / 1e9 == pytest.approx(0.5 * expected_s / 2.0001, abs=0.001)


def test_full_speed_takes_no_time_at_all(log):
    clock = FakeClock()
    run_on_fake_clock(everything(DRIVER.make(f"replay:{log}?speed=0", CAN, clock)), clock)
    assert clock.monotonic_ns() == 0


def test_a_cancelled_read_loses_nothing(log):
    clock = FakeClock()
    port = DRIVER.make(f"replay:{log}?speed=1", CAN, clock)

    async def scenario():
        await port.open()
        got = []
        while len(got) < 5:
            try:
                async with asyncio.timeout(0.01):
                    got += (await port.read()).payloads
            except TimeoutError:
                pass
        return got

    assert len(run_on_fake_clock(scenario(), clock)) == 5


def test_a_looped_recording_starts_again(log):
    async def scenario():
        port = DRIVER.make(f"replay:{log}?speed=0&loop=1", CAN, SystemClock())
        await port.open()
        got = []
        while len(got) < 12:
            got += (await port.read()).payloads
        await port.close()
        return got

    got = asyncio.run(scenario())
    assert got[5:10] == got[:5]


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc", ".log"])
def test_logs_of_python_can_come_back_as_written(tmp_path, suffix):
    path = tmp_path / f"trip{suffix}"
    sent = [
        can.Message(
            timestamp=1_700_000_000 + n / 10, arbitration_id=0x100 + n, data=bytes([n] * 4), is_extended_id=n % 2
        )
        for n in range(10)
    ]
    with can.Logger(str(path)) as writer:
        for message in sent:
            writer(message)
    batches = asyncio.run(everything(DRIVER.make(f"replay:{path}?speed=0", CAN, SystemClock())))
    assert payloads(batches) == [bytes(message.data) for message in sent]
    assert addresses(batches) == [m.arbitration_id | (CAN_EXTENDED if m.is_extended_id else 0) for m in sent]


def test_a_damaged_log_gives_what_stands_before_the_damage(tmp_path):
    path = tmp_path / "trip.blf"
    with can.Logger(str(path)) as writer:
        for number in range(20_000):
            writer(
                can.Message(
                    timestamp=number / 1000, arbitration_id=number % 2048, data=number.to_bytes(4), is_extended_id=False
                )
            )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 100)
    batches = asyncio.run(everything(DRIVER.make(f"replay:{path}?speed=0", CAN, SystemClock())))
    got = [int.from_bytes(payload) for payload in payloads(batches)]
    assert got[:5000] == list(range(5000))
    assert 5000 < len(got) < 20_000


def test_raw_bytes_of_a_uart_come_at_the_rate_of_the_line(tmp_path):
    path = tmp_path / "capture.bin"
    data = bytes(range(256)) * 15
    path.write_bytes(data)
    clock = FakeClock()
    port = DRIVER.make(f"replay:{path}", UART, clock)
    assert port.is_stream
    batches = run_on_fake_clock(everything(port), clock)
    assert b"".join(payloads(batches)) == data
    assert clock.monotonic_ns() / 1e9 == pytest.approx(3840 / 960, rel=0.02)
    assert batches[0].addresses is None
    assert batches[0].stamps_ns is None


def test_adverts_come_as_elements(tmp_path):
    path = tmp_path / "tags.jsonl"
    lines = [
        {"t": 10.0, "address": "cb:b8:33:4c:88:4f", "rssi": -60, "manufacturer_data": {"1177": "0512fc"}},
        {"t": 11.0, "address": "CB:B8:33:4C:88:4F", "service_data": {"0000180f-0000-1000-8000-00805f9b34fb": "64"}},
        {"t": 11.5, "address": "CB:B8:33:4C:88:4F"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n{broken\n[1]\n5\n")
    clock = FakeClock()
    batches = run_on_fake_clock(everything(DRIVER.make(f"replay:{path}", BLE, clock)), clock)
    assert payloads(batches) == [bytes.fromhex("0512fc"), b"\x64"]
    first, second = addresses(batches)
    assert (first.address, first.rssi, first.manufacturer) == ("CB:B8:33:4C:88:4F", -60, 0x0499)
    assert second.service == "180f"
    assert clock.monotonic_ns() / 1e9 == pytest.approx(1.0, abs=0.001)


def test_closing_wakes_a_waiting_read(log):
    async def scenario():
        port = DRIVER.make(f"replay:{log}?speed=0.001", CAN, SystemClock())
        await port.open()
        await port.read()

        async def read():
            with pytest.raises(PortClosedError):
                await port.read()

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            await asyncio.sleep(0)
            await port.close()

    asyncio.run(scenario())


def test_the_end_is_told_at_every_read_and_a_reopened_recording_starts_again(log):
    async def scenario():
        port = DRIVER.make(f"replay:{log}?speed=0", CAN, SystemClock())
        first = await everything(port)
        second = await everything(port)
        await port.open()
        with pytest.raises(PortOptionError, match="takes no writes"):
            await port.write(b"", 1)
        for _ in range(2):
            while True:
                try:
                    await port.read()
                except EOFError:
                    break
        return payloads(first) == payloads(second)

    assert asyncio.run(scenario())


@pytest.mark.parametrize(
    "target",
    [
        "replay:",
        "replay:?speed=1",
        "replay:a.log?speed=-1",
        "replay:a.log?speed=nan",
        "replay:a.log?speed=x",
        "replay:a?fast=1",
    ],
)
def test_options_that_make_no_sense_are_refused_when_made(target):
    with pytest.raises(PortOptionError):
        DRIVER.make(target, CAN, SystemClock())


def test_a_question_mark_in_a_name_is_part_of_it(tmp_path):
    path = tmp_path / "what?.log"
    path.write_text("(1.0) can0 001#00\n")
    batches = asyncio.run(everything(DRIVER.make(f"replay:{path}", CAN, SystemClock())))
    assert payloads(batches) == [b"\0"]


def test_a_missing_or_empty_recording_is_typed(tmp_path):
    (tmp_path / "empty.log").write_text("")

    async def scenario():
        for suffix in (".log", ".blf", ".asc"):
            with pytest.raises(PortNotFoundError):
                await DRIVER.make(f"replay:{tmp_path}/none{suffix}", CAN, SystemClock()).open()
        with pytest.raises(PortOptionError, match="empty"):
            await DRIVER.make(f"replay:{tmp_path}/empty.log", CAN, SystemClock()).open()

    asyncio.run(scenario())
