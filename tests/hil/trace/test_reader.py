from __future__ import annotations

import hashlib

import pytest

from hil.trace import Header, TraceDamagedError, TraceHeaderError, TraceWriter, make, read

HEADER = Header(1, "2026-11-28T12:00:00Z", 7, {"uart0": {"protocol": "uart"}})
RECORDS = [
    make(0, "uart0", "tx", "bytes", b"ping"),
    make(1500, "uart0", "rx", "bytes", b"pong", errors=["parity"]),
    make(1500, "uart0", "fault", "drop", b"p", params={"count": 1}),
    make(-20, "", "note", "note", text="Prüfling läuft"),
]


def written(path, records=RECORDS):
    writer = TraceWriter(path, HEADER)
    for record in records:
        writer.write(record)
    writer.close()
    return writer


def test_a_trace_comes_back_as_it_was_written(tmp_path):
    writer = written(tmp_path / "a.trace")
    trace = read(tmp_path / "a.trace")
    assert (trace.header, trace.records, trace.torn) == (HEADER, RECORDS, False)
    behind_header = (tmp_path / "a.trace").read_bytes().split(b"\n", 1)[1]
    assert trace.hash == writer.hash == hashlib.sha256(behind_header).hexdigest()


def test_half_a_surrogate_pair_comes_back(tmp_path):
    writer = TraceWriter(tmp_path / "a.trace", HEADER)
    writer.write(make(0, "", "note", "note", text="\ud800 and \U0001f600"))
    assert read(tmp_path / "a.trace").records == writer.records
    assert (tmp_path / "a.trace").read_bytes().endswith(b'"text":"\\ud800 and \xf0\x9f\x98\x80"}\n')


def test_a_line_has_its_five_keys_first_and_the_rest_by_name():
    record = make(5, "can0", "rx", "fd", b"\x01\xab", id="123", esi=True, brs=False)
    assert record.line() == (
        b'{"t_ns":5,"bus":"can0","dir":"rx","kind":"fd","data":"01ab","brs":false,"esi":true,"id":"123"}\n'
    )


def test_a_record_gives_its_keys_as_items_and_as_attributes():
    record = make(5, "can0", "rx", "data", b"\x01", id="123")
    assert (record.id, record["id"], record.get("id"), record["t_ns"], record.payload) == (
        "123",
        "123",
        "123",
        5,
        b"\1",
    )
    assert record.get("brs") is None
    assert "brs" not in record
    with pytest.raises(AttributeError, match="brs"):
        _ = record.brs


def test_a_record_is_as_good_as_the_table_of_its_line():
    record = make(5, "can0", "rx", "data", b"\x01", id="123")
    table = {"t_ns": 5, "bus": "can0", "dir": "rx", "kind": "data", "data": "01", "id": "123"}
    assert (dict(record), list(record), len(record)) == (table, list(table), 6)
    assert record == table
    assert record != {**table, "t_ns": 6}


def test_a_trace_cut_at_any_byte_gives_all_whole_records(tmp_path):
    path = tmp_path / "a.trace"
    written(path)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        lines = whole[:cut].count(b"\n")
        if lines == 0:
            with pytest.raises(TraceHeaderError, match=r"a\.trace:1: no trace"):
                read(path)
            continue
        trace = read(path)
        is_torn = not whole[:cut].endswith(b"\n")
        assert trace.records == RECORDS[: lines - 1]
        assert (trace.torn, trace.torn_line) == (is_torn, lines + 1 if is_torn else None)


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"{}\n",
        b"[1]\n",
        b"\n",
        b"[" * 100_000 + b"\n",
        b'{"t_ns":1.5,"bus":"a","dir":"rx","kind":"bytes","data":""}\n',
        b'{"t_ns":true,"bus":"a","dir":"rx","kind":"bytes","data":""}\n',
        b'{"t_ns":1,"bus":"a","dir":"in","kind":"bytes","data":""}\n',
        b'{"t_ns":1,"bus":"a","dir":"rx","kind":"bytes","data":"AB"}\n',
        b'{"t_ns":1,"bus":"a","dir":"rx","kind":"bytes","data":"abc"}\n',
        b'{"t_ns":1,"bus":"a","dir":"rx","kind":"bytes","data":"","x":NaN}\n',
        b'{"t_ns":1,"bus":"a","dir":"rx","kind":"bytes","data":"","x":1e999}\n',
    ],
)
def test_damage_in_the_middle_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "a.trace"
    path.write_bytes(HEADER.line() + RECORDS[0].line() + line + RECORDS[1].line())
    with pytest.raises(TraceDamagedError, match=r"a\.trace:3: damaged: ") as caught:
        read(path)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"", "empty"),
        (b"hello\n", "no trace"),
        (b'{"a":1}\n', "no trace"),
        (b'{"trace":"1"}\n', "no trace"),
        (b'{"trace":2,"started":"","seed":1,"buses":{}}\n', "version 2"),
        (b'{"trace":1,"seed":1,"buses":{}}\n', "started"),
        (b'{"trace":1,"started":"yesterday","seed":1,"buses":{}}\n', "started: 'yesterday' is no date and time"),
        (b'{"trace":1,"started":"2026-01-01","seed":"1","buses":{}}\n', "seed"),
        (b'{"trace":1,"started":"2026-01-01","seed":1,"buses":[]}\n', "buses"),
    ],
)
def test_a_foreign_header_is_refused_saying_why(tmp_path, first, words):
    path = tmp_path / "a.trace"
    path.write_bytes(first)
    with pytest.raises(TraceHeaderError, match=words):
        read(path)


def test_a_writer_that_keeps_no_records_writes_them_all_the_same(tmp_path):
    writer = TraceWriter(tmp_path / "a.trace", HEADER, keeps=False)
    for record in RECORDS:
        writer.write(record)
    assert (writer.records, writer.count) == ([], len(RECORDS))
    assert read(tmp_path / "a.trace").records == RECORDS


def test_each_record_is_in_the_file_when_its_write_returns(tmp_path):
    writer = TraceWriter(tmp_path / "a.trace", HEADER)
    writer.write(RECORDS[0])
    assert (tmp_path / "a.trace").read_bytes() == HEADER.line() + RECORDS[0].line()


def test_a_value_that_json_lacks_is_refused_and_nothing_written(tmp_path):
    writer = TraceWriter(tmp_path / "a.trace", HEADER)
    with pytest.raises(ValueError, match="JSON"):
        writer.write(make(0, "", "note", "note", value=float("nan")))
    assert read(tmp_path / "a.trace").records == []
