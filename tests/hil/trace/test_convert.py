"""Logs of other programs become traces and come back; python-can and Bumble say what is in them."""

from __future__ import annotations

import io
import os
import random
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import can
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UsageError
from hil.trace import Header, TraceDamagedError, TraceHeaderError, TraceWriter, make, read
from hil.trace.convert import convert
from hil.trace.errors import ForeignError
from hil.trace.formats.base import STRANGE_ID

STARTED = "2026-11-28T12:00:00.25Z"
WRITERS = {".asc": can.ASCWriter, ".blf": can.BLFWriter, ".trc": can.TRCWriter, ".log": can.CanutilsLogWriter}
READERS = {".asc": can.ASCReader, ".blf": can.BLFReader, ".trc": can.TRCReader, ".log": can.CanutilsLogReader}
LENGTHS = [*range(9), 12, 16, 20, 24, 32, 48, 64]
T0_S = 1_700_000_000.123457


def frame(chance, seconds, kinds):
    kind = chance.choice(kinds)
    facts = {"timestamp": seconds, "channel": chance.randrange(3), "is_rx": chance.random() < 0.7}
    if kind == "error":
        return can.Message(timestamp=seconds, channel=facts["channel"], is_error_frame=True)
    facts["is_extended_id"] = chance.random() < 0.5
    facts["arbitration_id"] = chance.randrange(1 << (29 if facts["is_extended_id"] else 11))
    if kind == "remote":
        return can.Message(is_remote_frame=True, dlc=chance.randrange(9), **facts)
    if kind == "fd":
        brs, esi = chance.random() < 0.5, chance.random() < 0.5
        data = chance.randbytes(chance.choice(LENGTHS[1:]))
        return can.Message(is_fd=True, bitrate_switch=brs, error_state_indicator=esi, data=data, **facts)
    return can.Message(data=chance.randbytes(chance.randrange(9)), **facts)


def frames(kinds, seed=1, count=120):
    chance = random.Random(seed)
    stamps = [T0_S + index * 0.01 + chance.random() * 0.01 for index in range(count)]
    return [frame(chance, seconds, kinds) for seconds in stamps]


def written_by_python_can(path, messages):
    with WRITERS[path.suffix](str(path)) as writer:
        for message in messages:
            writer.on_message_received(message)
    return path


def read_by_python_can(path):
    options = {"relative_timestamp": False} if path.suffix == ".asc" else {}
    return list(READERS[path.suffix](str(path), **options))


def written(path, records, buses=None, started=STARTED):
    writer = TraceWriter(path, Header(1, started, 7, buses or {"can0": {"protocol": "can"}}))
    for record in records:
        writer.write(record)
    return path


def there_and_back(source):
    """Return what comes back of a file that went through a trace, and that nothing was lost."""
    trace, back = source.with_name("there.trace"), source.with_name(f"back{source.suffix}")
    outcomes = [convert(source, trace), convert(trace, back)]
    assert [outcome.is_whole for outcome in outcomes] == [True, True], [each.told for each in outcomes]
    return back


def read_trace_of(source):
    convert(source, source.with_name("there.trace"))
    return read(source.with_name("there.trace"))


ALL = ("data", "data", "fd", "remote", "error")


@pytest.mark.parametrize(
    ("suffix", "kinds"),
    [(".asc", ALL), (".blf", ALL), (".trc", ("data",)), (".log", ALL)],
    ids=str,
)
def test_a_log_of_python_can_comes_back_frame_for_frame(tmp_path, suffix, kinds):
    source = written_by_python_can(tmp_path / f"a{suffix}", frames(kinds))
    before, after = read_by_python_can(source), read_by_python_can(there_and_back(source))
    assert len(before) == len(after) == 120
    assert [a for a, b in zip(before, after, strict=True) if not a.equals(b, timestamp_delta=1e-6)] == []


@pytest.mark.parametrize("suffix", [".asc", ".blf"])
def test_a_long_id_that_is_not_extended_comes_back(tmp_path, suffix):
    ids = (0x800, 0xFFFF, 0x4444444)  # python-can's own BLF captures have such: test/data/test_CanMessage.blf
    messages = [can.Message(timestamp=T0_S, arbitration_id=id_, is_extended_id=False, data=b"\1") for id_ in ids]
    source = written_by_python_can(tmp_path / f"a{suffix}", messages)
    back = read_by_python_can(there_and_back(source))
    assert [(each.arbitration_id, each.is_extended_id) for each in back] == [(id_, False) for id_ in ids]


@pytest.mark.parametrize(("suffix", "count"), [(".trc", 1), (".log", 3)])
def test_where_a_long_id_would_read_as_extended_that_is_counted(tmp_path, suffix, count):
    ids = (0x800, 0xFFFF, 0x4444444)
    records = [make(0, "can0", "rx", "data", b"", extended=False, id=f"{id_:08X}") for id_ in ids]
    outcome = convert(written(tmp_path / "a.trace", records), tmp_path / f"a{suffix}")
    assert outcome.losses.counts == {STRANGE_ID: count}
    assert len(read_by_python_can(tmp_path / f"a{suffix}")) == 3


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc", ".log"])
def test_a_trace_becomes_each_format_as_python_can_reads_it(tmp_path, suffix):
    records = [
        make(0, "can0", "rx", "data", b"\x01\x02", id="123"),
        make(1_000, "can1", "tx", "data", b"", id="18FEF100"),
        make(5_000_000_000, "can0", "rx", "fd", bytes(range(12)), id="7FF", brs=True, esi=False),
        make(5_000_001_000, "can0", "tx", "fd", bytes(64), id="00000123", brs=True, esi=True),
        make(5_000_002_000, "can0", "rx", "remote", id="001", dlc=3),
    ]
    buses = {"can0": {"protocol": "can"}, "can1": {"protocol": "can"}}
    source = written(tmp_path / "a.trace", records, buses)
    target = tmp_path / f"a{suffix}"
    assert convert(source, target).is_whole
    got = read_by_python_can(target)
    first = {".trc": 1, ".log": "can"}.get(suffix, 0)
    assert [each.channel for each in got] == (
        [f"can{n}" for n in (0, 1, 0, 0, 0)] if first == "can" else [first + n for n in (0, 1, 0, 0, 0)]
    )
    assert [(each.arbitration_id, each.is_extended_id) for each in got] == [
        (0x123, False), (0x18FEF100, True), (0x7FF, False), (0x123, True), (1, False),
    ]  # fmt: skip
    assert [bytes(each.data) for each in got] == [record.payload for record in records]
    assert [each.is_rx for each in got] == [True, False, True, False, True]
    assert [(each.is_fd, each.bitrate_switch, each.error_state_indicator) for each in got[2:4]] == [
        (True, True, False), (True, True, True),
    ]  # fmt: skip
    assert (got[4].is_remote_frame, got[4].dlc) == (True, 3)
    start_s = 1_795_867_200.25
    assert [round((each.timestamp - start_s) * 1e6) for each in got] == [0, 1, 5_000_000, 5_000_001, 5_000_002]


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc"])
def test_channel_1_of_a_file_is_can0(tmp_path, suffix):
    message = can.Message(timestamp=T0_S, channel=0, arbitration_id=1, data=b"\1")
    source = written_by_python_can(tmp_path / f"a{suffix}", [message])
    convert(source, tmp_path / "a.trace")
    assert [record.bus for record in read(tmp_path / "a.trace").records] == ["can0"]


def test_an_import_counts_from_its_first_absolute_stamp(tmp_path):
    (tmp_path / "a.log").write_text("(1436509052.249713) can0 123#0102\n(1436509051.249713) can0 123#03\n")
    convert(tmp_path / "a.log", tmp_path / "a.trace")
    trace = read(tmp_path / "a.trace")
    assert trace.header.started == "2015-07-10T06:17:32.249713Z"
    assert [record.t_ns for record in trace.records] == [0, -1_000_000_000]
    assert dict(trace.records[0].items()) == {
        "t_ns": 0, "bus": "can0", "dir": "rx", "kind": "data", "data": "0102", "id": "123",
    }  # fmt: skip


CANDUMP = [
    b"(1436509052.249713) vcan0 044#2A366C2BBA\n",
    b"(1436509052.249713) can0 18FEF100#\n",
    b"(1436509052.249713) can0 044#2a366c2bba\n",
    b"(1436509052.2497) can0 044#01\n",
    b"(1436509052.249713001) can0 044#01\n",
    b"(0000000000.000000) can0 044#01\n",
    b" (1436509052.249713)  can0  044#01 \n",
    b"(1436509052.249713) can0 044#01\r\n",
    b"(1436509052.249713) can0 044#01 R\n",
    b"(1436509052.249713) can0 044#01 T\n",
    b"(1436509052.249713) can0 044#R\n",
    b"(1436509052.249713) can0 044#R8 T\n",
    b"(1436509052.249713) can0 044##1AABB\n",
    b"(1436509052.249713) can0 00000044##5AABBCCDDEEFF00112233445566\n",
    b"(1436509052.249713) can0 044#01.02.03\n",
    b"(1436509052.249713) can0 044#1122334455667788_9\n",
    b"(1436509052.249713) can0 20000080#0000000000000000\n",
    b"(1436509052.249713) can0 20000004#0008000000000000\n",
    b"(1436509052.249713) slcan0 FFF#01\n",
    b" (1436509052.249713)  can0  044   [5]  2A 36 6C 2B BA   '*6l+.'\n",
    b"  can0  09F8027F   [8]  00 FC FF FF 00 00 FF FF\n",
    b" (1436509052.249713)  can0  TX - -  044  [12]  01 02 03 04 05 06 07 08 09 0A 0B 0C\n",
    b"  can0  044   [4]  remote request\n",
    b"\n",
    b"   \t\r\n",
    b"# a comment\n",
    b"# \xff\xfe no UTF-8\n",
    "# Übersicht\u2028\n".encode(),
    b"(1436509052.249713) can0 044#0\n",
    b"(1436509052.249713) can0 04#00\n",
    b"(99999999999999.249713) can0 044#00\n",
    b"hello \x00\n",
]


@pytest.mark.parametrize("line", CANDUMP, ids=str)
def test_each_line_of_candump_comes_back_byte_for_byte(tmp_path, line):
    source = tmp_path / "a.log"
    source.write_bytes(b"(1436509050.000001) can0 001#00\n" + line)
    assert there_and_back(source).read_bytes() == source.read_bytes()


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.sampled_from(CANDUMP), max_size=12), cut=st.integers(0, 30))
def test_any_candump_log_comes_back_byte_for_byte_also_without_its_end(tmp_path_factory, lines, cut):
    source = tmp_path_factory.mktemp("log") / "a.log"
    whole = b"".join([CANDUMP[0], *lines])
    source.write_bytes(whole[: max(len(CANDUMP[0]), len(whole) - cut)])
    assert there_and_back(source).read_bytes() == source.read_bytes()


def test_a_line_whose_record_was_changed_is_written_anew(tmp_path):
    source = written(
        tmp_path / "a.trace", [make(0, "can0", "rx", "data", b"\1", id="044", source="(1.5) can0 044#02\n")]
    )
    convert(source, tmp_path / "a.log")
    assert (tmp_path / "a.log").read_bytes() == b"(1795867200.250000) can0 044#01\n"


def test_an_empty_log_is_a_trace_of_no_records(tmp_path):
    (tmp_path / "a.log").write_bytes(b"")
    assert there_and_back(tmp_path / "a.log").read_bytes() == b""


@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf", ".trc", ".btsnoop"])
def test_a_file_of_another_format_is_refused_and_nothing_written(tmp_path, suffix):
    source = tmp_path / f"a{suffix}"
    source.write_bytes(b"$GPGGA,1,2\r\n\x00\x01hello\n" * 40)
    with pytest.raises(ForeignError, match=f"a{suffix}:1: no "):
        convert(source, tmp_path / "b.trace")
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name]


def test_an_extension_that_is_no_format_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"\.trace"):
        convert(tmp_path / "a.log", tmp_path / "a.trac")


def test_a_link_keeps_pointing_at_what_is_written(tmp_path):
    (tmp_path / "a.log").write_bytes(b"(0000000001.000000) can0 044#01\n")
    (tmp_path / "b.log").symlink_to(tmp_path / "real.log")
    convert(tmp_path / "a.log", tmp_path / "b.log")
    assert (tmp_path / "b.log").is_symlink()
    assert (tmp_path / "real.log").read_bytes() == (tmp_path / "a.log").read_bytes()


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    (tmp_path / "a.log").write_bytes(b"(0000000001.000000) can0 044#01\n")
    os.mkfifo(tmp_path / "b.log")
    with ThreadPoolExecutor() as reading:
        came = reading.submit((tmp_path / "b.log").read_bytes)
        convert(tmp_path / "a.log", tmp_path / "b.log")
    assert (came.result(), (tmp_path / "b.log").is_fifo()) == ((tmp_path / "a.log").read_bytes(), True)


def test_a_full_device_is_named(tmp_path):
    (tmp_path / "a.log").write_bytes(b"(0000000001.000000) can0 044#01\n")
    (tmp_path / "b.log").symlink_to("/dev/full")
    with pytest.raises(UsageError, match=r"b\.log cannot be written: No space left"):
        convert(tmp_path / "a.log", tmp_path / "b.log")


def test_a_dlc_that_is_not_the_length_is_in_candumps_own_place_or_counted(tmp_path):
    records = [
        make(0, "can0", "rx", "data", bytes(8), dlc=9, id="001"),
        make(0, "can0", "rx", "remote", b"", dlc=15, id="001"),
        make(0, "can0", "rx", "data", bytes(8), dlc=32, id="001"),
        make(0, "can0", "rx", "remote", b"", brs=False, dlc=2, esi=False, id="001"),
        make(0, "can0", "rx", "remote", b"", dlc=64, id="001"),
    ]
    outcome = convert(written(tmp_path / "a.trace", records, started="1970-01-01T00:00:01Z"), tmp_path / "a.log")
    lines = [f"(0000000001.000000) can0 001#{body}\n" for body in ("0" * 16 + "_9", "R8_F", "0" * 16, "R2")]
    assert (tmp_path / "a.log").read_text() == "".join(lines)
    assert dict(outcome.losses.counts) == {
        "DLC that is not the length of data frames": 1,
        "FD flags of remote frames": 1,
        "can0 remote": 1,
    }


def test_what_candump_shows_of_an_fd_frame_is_in_the_record(tmp_path):
    (tmp_path / "a.log").write_text(" (1.000000)  can0  TX B -  123  [02]  11 22\n  can0  RX - E  123  [01]  11\n")
    convert(tmp_path / "a.log", tmp_path / "a.trace")
    told = [(each.dir, each.kind, each["brs"], each["esi"]) for each in read(tmp_path / "a.trace").records]
    assert told == [("tx", "fd", True, False), ("rx", "fd", False, True)]


def test_a_date_of_candump_is_local_time(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        (tmp_path / "a.log").write_text(
            " (2021-05-10 15:02:46.091735)  can0  39B   [1]  EE\n (2021-99-10 15:02:46.1) can0  39B   [1]  EE\n"
        )
        back = there_and_back(tmp_path / "a.log")
        trace = read(tmp_path / "there.trace")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert back.read_bytes() == (tmp_path / "a.log").read_bytes()
    assert trace.header.started == "2021-05-10T06:02:46.091735Z"
    assert [record.kind for record in trace.records] == ["data", "note"]


def test_what_a_format_cannot_hold_is_counted_by_kind(tmp_path):
    records = [
        make(0, "can0", "rx", "data", b"\1", id="044"),
        make(1, "uart0", "rx", "bytes", b"x"),
        make(2, "uart0", "tx", "bytes", b"x"),
        make(3, "can0", "fault", "error_frame", params={}),
        make(4, "", "note", "note", text="hello"),
        make(5, "can0", "rx", "error", b"\0\x08", id="20000004"),
        make(6, "can0", "rx", "data", b"\1", id="wrong"),
    ]
    source = written(tmp_path / "a.trace", records)
    common = {"uart0 bytes": 2, "fault error_frame": 1, "note": 1, "can0 data": 1}
    for suffix, more in [
        (".log", {}),
        (".asc", {"details of error frames": 1}),
        (".blf", {}),
        (".trc", {"can0 error": 1}),
    ]:
        outcome = convert(source, tmp_path / f"a{suffix}")
        assert (suffix, dict(outcome.losses.counts), outcome.is_whole) == (suffix, common | more, False)


def test_a_torn_trace_is_converted_and_told(tmp_path):
    source = written(tmp_path / "a.trace", [make(0, "can0", "rx", "data", b"\1", id="044")])
    source.write_bytes(source.read_bytes() + b'{"t_ns":')
    outcome = convert(source, tmp_path / "a.log")
    assert (outcome.is_whole, outcome.told) == (True, [f"{source}:3: torn off; the rest is used"])


def test_a_damaged_trace_is_not_converted(tmp_path):
    source = written(tmp_path / "a.trace", [make(0, "can0", "rx", "data", b"\1", id="044")])
    source.write_bytes(source.read_bytes().replace(b'"rx"', b'"??"') + make(0, "", "note", "note").line())
    with pytest.raises(TraceDamagedError, match=":2: damaged"):
        convert(source, tmp_path / "a.log")
    assert not (tmp_path / "a.log").exists()


def test_a_foreign_trace_is_not_converted(tmp_path):
    (tmp_path / "a.trace").write_text("hello\n")
    with pytest.raises(TraceHeaderError):
        convert(tmp_path / "a.trace", tmp_path / "a.log")


@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc"])
def test_frames_before_the_start_keep_their_times(tmp_path, suffix):
    stamps = [0, -3_000_001_000, 7_000]
    source = written(tmp_path / "a.trace", [make(t_ns, "can0", "rx", "data", b"", id="001") for t_ns in stamps])
    convert(source, tmp_path / f"a{suffix}")
    convert(tmp_path / f"a{suffix}", tmp_path / "b.trace")
    assert [record.t_ns for record in read(tmp_path / "b.trace").records] == stamps
    assert read(tmp_path / "b.trace").header.started == STARTED


def test_a_blf_file_with_a_damaged_header_is_refused(tmp_path):
    whole = written_by_python_can(tmp_path / "a.blf", frames(("data",))).read_bytes()
    (tmp_path / "a.blf").write_bytes(whole[:4] + bytes(4) + whole[8:])  # its header is 0 bytes long
    with pytest.raises(ForeignError, match=r"a\.blf:1: its header is damaged"):
        convert(tmp_path / "a.blf", tmp_path / "b.trace")


@pytest.mark.parametrize("t_ns", [-(10**29), 10**29])
@pytest.mark.parametrize("suffix", [".asc", ".blf", ".trc"])
def test_a_stamp_that_no_date_reaches_is_written_or_counted(tmp_path, suffix, t_ns):
    records = [make(stamp, "can0", "rx", "data", b"", id="001") for stamp in (0, t_ns)]
    lost = convert(written(tmp_path / "a.trace", records), tmp_path / f"a{suffix}").losses.counts["can0 data"]
    assert len(read_by_python_can(tmp_path / f"a{suffix}")) == 2 - lost


def test_numbers_that_btsnoop_has_no_place_for_are_counted(tmp_path):
    wrong: list[dict[str, object]] = [{"flags": 1 << 32}, {"drops": "many"}, {"original": -1}, {}]
    records = [make(0, "ble0", "rx", "hci", b"\4\16\0", **extra) for extra in wrong]
    outcome = convert(written(tmp_path / "a.trace", records, {"ble0": {"protocol": "ble"}}), tmp_path / "a.btsnoop")
    assert (dict(outcome.losses.counts), outcome.is_whole) == ({"ble0 hci": 3}, False)


def test_any_channel_that_blf_has_comes_back(tmp_path):
    records = [make(0, f"can{channel}", "rx", "data", b"", id="001") for channel in (0, 4368, 59999)]
    convert(written(tmp_path / "a.trace", records), tmp_path / "a.blf")
    assert read(written(tmp_path / "b.trace", records)).records == read_trace_of(tmp_path / "a.blf").records


def test_a_bus_that_is_no_can_number_gets_the_lowest_free_channel_and_that_is_told(tmp_path):
    records = [make(0, bus, "rx", "data", b"", id="001") for bus in ("slcan0", "can0", "vcan1")]
    buses = {bus: {"protocol": "can"} for bus in ("slcan0", "can0", "vcan1")}
    outcome = convert(written(tmp_path / "a.trace", records, buses), tmp_path / "a.asc")
    assert [each.channel for each in read_by_python_can(tmp_path / "a.asc")] == [1, 0, 2]
    assert outcome.told == ["slcan0 is channel 1, which reads as can1", "vcan1 is channel 2, which reads as can2"]


def test_a_damaged_blf_gives_what_stands_before_the_damage(tmp_path):
    whole = written_by_python_can(tmp_path / "a.blf", frames(("data",), count=20_000)).read_bytes()
    source = tmp_path / "b.blf"
    source.write_bytes(whole[:-30_000])
    outcome = convert(source, tmp_path / "b.trace")
    assert (outcome.is_whole, 0 < outcome.count < 20_000) == (False, True)
    assert "b.blf: damaged" in outcome.told[0]


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
def test_the_date_of_an_asc_log_is_the_same_in_every_zone(tmp_path, monkeypatch, zone):
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        source = written(tmp_path / "a.trace", [make(5_000_000, "can0", "rx", "data", b"", id="001")])
        convert(source, tmp_path / "a.asc")
        assert [round(each.timestamp, 6) for each in read_by_python_can(tmp_path / "a.asc")] == [1_795_867_200.255]
    finally:
        monkeypatch.undo()
        time.tzset()


# ---- btsnoop


def snoop(datalink, packets):
    """Return a file of (flags, body, original or None, drops, µs since 1970)."""
    made = struct.pack(">8sII", b"btsnoop\0", 1, datalink)
    for flags, body, original, drops, micros in packets:
        length = len(body) if original is None else original
        made += struct.pack(">IIIIq", length, len(body), flags, drops, micros + 0x00DCDDB30F2F8000) + body
    return made


PACKETS = st.lists(
    st.tuples(
        st.integers(0, 0xFFFFFFFF) | st.integers(0, 3),
        st.binary(max_size=12)
        | st.sampled_from([b"\x01\x03\x0c\x00", b"\x04\x0e\x04\x01\x03\x0c\x00", b"\x02\x40\x00"]),
        st.none() | st.integers(0, 2000),
        st.integers(0, 3),
        st.integers(-(10**12), 2 * 10**15),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(datalink=st.sampled_from([1001, 1002, 2001]), packets=PACKETS, cut=st.integers(0, 40))
def test_any_btsnoop_file_comes_back_byte_for_byte_also_torn(tmp_path_factory, datalink, packets, cut):
    source = tmp_path_factory.mktemp("snoop") / "a.btsnoop"
    whole = snoop(datalink, packets)
    source.write_bytes(whole[: max(16, len(whole) - cut)])
    assert there_and_back(source).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("stamp_us", [0, -(2**63), 2**63 - 1], ids=["year 0", "lowest", "highest"])
def test_a_stamp_that_is_in_no_year_comes_back(tmp_path, stamp_us):
    packet = bytes.fromhex("01030c00")
    stamps = [stamp_us, 0x00E0_3AB4_4A67_6000]
    records = b"".join(struct.pack(">IIIIq", 4, 4, 2, 0, stamp) + packet for stamp in stamps)
    (tmp_path / "a.btsnoop").write_bytes(b"btsnoop\0" + struct.pack(">II", 1, 1002) + records)
    assert there_and_back(tmp_path / "a.btsnoop").read_bytes() == (tmp_path / "a.btsnoop").read_bytes()


def test_a_file_that_bumble_wrote_is_h4_packets_with_directions(tmp_path):
    from bumble.snoop import BtSnooper, Snooper

    file = io.BytesIO()
    snooper = BtSnooper(file)
    snooper.snoop(b"\x01\x03\x0c\x00", Snooper.Direction.HOST_TO_CONTROLLER)
    snooper.snoop(b"\x04\x0e\x04\x01\x03\x0c\x00", Snooper.Direction.CONTROLLER_TO_HOST)
    (tmp_path / "a.btsnoop").write_bytes(file.getvalue())
    convert(tmp_path / "a.btsnoop", tmp_path / "a.trace")
    got = read(tmp_path / "a.trace").records
    assert [(each.bus, each.dir, each.kind, each.data, dict(each.extra)) for each in got] == [
        ("ble0", "tx", "hci", "01030c00", {}),
        ("ble0", "rx", "hci", "040e0401030c00", {}),
    ]


def test_an_unencapsulated_packet_gets_its_h4_type(tmp_path):
    packets = [(2, b"\x03\x0c\x00", None, 0, 0), (3, b"\x0e\x04", None, 0, 0), (0, b"\x40\x00", None, 0, 0)]
    (tmp_path / "a.btsnoop").write_bytes(snoop(1001, packets))
    convert(tmp_path / "a.btsnoop", tmp_path / "a.trace")
    got = read(tmp_path / "a.trace").records
    assert [(each.dir, each.data) for each in got] == [("tx", "01030c00"), ("rx", "040e04"), ("tx", "024000")]


def test_a_btsnoop_of_another_version_is_refused(tmp_path):
    (tmp_path / "a.btsnoop").write_bytes(struct.pack(">8sII", b"btsnoop\0", 2, 1002))
    with pytest.raises(ForeignError, match="version 2"):
        convert(tmp_path / "a.btsnoop", tmp_path / "a.trace")


# ---- PEAK's versions

TRC = {
    "1.0": """\
;##########################################################################
;   C:\\test.trc
;    Start time: 13.02.2020 16:21:43.546
;---+--   ----+----  --+--  ----+---  +  -+ -- -- -- -- -- -- --
     1)      17535 00000100  8  00 00 00 00 00 00 00 00
     2)      17540 FFFFFFFF  4  00 00 00 08 -- -- -- -- BUSHEAVY
     3)      17700 0100  2  00 08
     4)      17873 0100  3  RTR
""",
    "1.1": """\
;$FILEVERSION=1.1
;$STARTTIME=43008.920986006946
;---+--   ----+----  --+--  ----+---  +  -+ -- -- -- -- -- -- --
     1)      1059.9  Rx         0300  7  00 00 00 00 04 00 00
     2)      1283.2  Rx         0300  7  00 00 00 00 04 00 00
     3)      1298.9  Tx     00000400  2  RTR
""",
    "1.3": """\
;$FILEVERSION=1.3
;$STARTTIME=41973.4618055556
;---+--   ----+----  --+--  ----+---  +  -+ -- -- -- -- -- -- --
     1)        17.535 1  Rx    00000100 -  8    00 00 00 00 00 00 00 00
     2)        24.535 2  Tx        0100 -  2    00 01
""",
    "2.0": """\
;$FILEVERSION=2.0
;$STARTTIME=42209.4075997106
;$COLUMNS=N,O,T,I,d,l,D
      1      1059.900 DT     0300 Rx 7  00 00 00 00 04 00 00
      2      1283.231 FB     0500 Tx 12 00 08 10 11 12 13 14 15 16 17 18 19
      3      1298.945 RR 00000400 Tx 4
      4      1300.945 ST          Rx    00 00 00 08
""",
    "2.1": """\
;$FILEVERSION=2.1
;$STARTTIME=41973.4618055556
;$COLUMNS=N,O,T,B,I,d,R,L,D
      1      1059.900 DT 1     0300 Rx -  7    00 00 00 00 04 00 00
      2      1283.231 FE 2     0500 Tx -  15   """ + " ".join(["AB"] * 64) + """
      3      1298.945 RR 3 00000400 Rx -  4
""",
}  # fmt: skip


@pytest.mark.parametrize("version", TRC)
def test_each_version_of_trc_comes_back_frame_for_frame(tmp_path, version):
    source = tmp_path / "a.trc"
    source.write_text(TRC[version])
    before, after = read_by_python_can(source), read_by_python_can(there_and_back(source))
    assert len(before) == len(after) >= 2
    assert [(a, b) for a, b in zip(before, after, strict=True) if not a.equals(b, timestamp_delta=1e-6)] == []


def test_a_trc_of_another_version_is_refused(tmp_path):
    (tmp_path / "a.trc").write_text(TRC["2.1"].replace("2.1", "3.0"))
    with pytest.raises(ForeignError, match=r"a\.trc:1: TRC of version 3\.0; this Tidegate reads 1\.0, 1\.1, 1\.3"):
        convert(tmp_path / "a.trc", tmp_path / "a.trace")


ASC = """\
date Sam Sep 30 15:06:13.191 2017
base hex  timestamps absolute
internal events logged
// version 9.0.0
Begin Triggerblock Sat Sep 30 15:06:13.191 2017
   0.000000 Start of measurement
   0.015991 CAN 1 Status:chip status error passive - TxErr: 132 RxErr: 0
   2.501000 1  ErrorFrame
   2.501010 1  ErrorFrame\tECC: 10100010
   3.098426 1  C8              Rx   d 8 09 08 07 06 05 04 03 02
   3.248765 1  1234x           Tx   r 4
   4.876870 2  18EBFF00x       Rx   d 0
   5.000000 CANFD 3 Rx 1C4D8A7x 1 0 9 12 00 11 22 33 44 55 66 77 88 99 aa bb 0 0 1000 0 0 0 0 0
End TriggerBlock
"""


def test_an_asc_log_as_canoe_writes_it_comes_back_with_its_own_zero(tmp_path):
    source = tmp_path / "a.asc"
    source.write_text(ASC.replace("Sam Sep", "Sat Sep"))
    back = there_and_back(source)
    for options in ({}, {"relative_timestamp": False}):
        before, after = (list(can.ASCReader(str(path), **options)) for path in (source, back))
        assert len(before) == len(after) == 6
        assert [(a, b) for a, b in zip(before, after, strict=True) if not a.equals(b, timestamp_delta=1e-6)] == []


@pytest.mark.parametrize("suffix", [".log", ".asc", ".trc", ".btsnoop"])
def test_a_log_cut_at_any_byte_gives_what_stands_before_and_tells_of_the_cut_alone(tmp_path, suffix):
    made = [make(number * 1_000_000, "can0", "rx", "data", bytes([number]), id="123") for number in range(4)]
    if suffix == ".btsnoop":
        made = [make(number * 1_000_000, "ble0", "rx", "hci", bytes([4, 14, 1, number])) for number in range(4)]
    bus, protocol = ("ble0", "ble") if suffix == ".btsnoop" else ("can0", "can")
    convert(written(tmp_path / "a.trace", made, {bus: {"protocol": protocol}}), tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    last = len(whole) - 40
    for cut in range(last, len(whole)):
        source = tmp_path / f"cut{suffix}"
        source.write_bytes(whole[:cut])
        outcome = convert(source, tmp_path / "back.trace")
        kinds = [record.kind for record in read(tmp_path / "back.trace").records if record.kind != "note"]
        assert (outcome.is_whole, len(kinds) in (2, 3, 4)) == (True, True), (cut, outcome.told)
        is_at_an_end = whole[:cut].endswith((b"\n", b"\r"))  # the lines of TRC end with both
        if suffix != ".btsnoop":
            assert bool(outcome.told) is not is_at_an_end, (cut, outcome.told)
        if outcome.told:
            assert str(source) in outcome.told[0]


@pytest.mark.parametrize("suffix", [".asc", ".trc"])
def test_a_stamp_that_is_no_number_of_seconds_ends_what_can_be_used(tmp_path, suffix):
    made = [make(number * 1_000_000_000, "can0", "rx", "data", b"", id="123") for number in range(3)]
    convert(written(tmp_path / "a.trace", made), tmp_path / f"a{suffix}")
    text = (tmp_path / f"a{suffix}").read_text()
    second = "1.000000" if suffix == ".asc" else "1000.000"
    assert second in text
    (tmp_path / f"a{suffix}").write_text(text.replace(second, "9" * 400 + ".0"))
    outcome = convert(tmp_path / f"a{suffix}", tmp_path / "b.trace")
    assert (outcome.is_damaged, len(read(tmp_path / "b.trace").records)) == (True, 1)
