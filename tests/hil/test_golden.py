"""Golden files: compared, updated, and left alone."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import golden
from hil.golden import DamagedGoldenError, GoldenError, assert_golden, compare, updated_lines

rows = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc"), "v": st.integers(0, 9), "t": st.integers(0, 99)}),
    max_size=12,
)


def lines_of(rows) -> list[str]:
    return [json.dumps(row) for row in rows]  # not as we write them: with blanks


def record(direction, data, kind="bytes", bus="uart0", **extra):
    return SimpleNamespace(bus=bus, dir=direction, kind=kind, data=data, extra=extra)


@pytest.fixture
def path(tmp_path):
    return golden.path_of(tmp_path / "test_it.py", "boot")


@pytest.fixture
def shown():
    return []


def written(path, *lines):
    path.parent.mkdir()
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    return path


def test_a_golden_file_lies_beside_the_test_file(tmp_path):
    assert golden.path_of(tmp_path / "test_it.py", "boot[sim]") == tmp_path / "golden" / "boot[sim].jsonl"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a..b", ".hidden", "a\0", "a\n", "-x", "a" * 121, None])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no name of a golden file"):
        golden.path_of(tmp_path / "test_it.py", name)


def test_a_missing_file_names_the_option_that_writes_it(path):
    with pytest.raises(AssertionError, match="--hil-update-golden"):
        assert_golden(path, [{"v": 1}])
    assert not path.parent.exists()


def test_rows_that_agree_pass(path):
    written(path, '{"v": 1.0, "t": 5}')

    assert_golden(path, [{"t": 7, "v": 1.05}], {"v": 0.1}, ["t"])


def test_rows_that_differ_fail_with_file_and_line(path):
    written(path, '{"v":1}', '{"v":2}')

    with pytest.raises(GoldenError, match=r"boot\.jsonl:2: v is 3, golden 2") as caught:
        assert_golden(path, [{"v": 1}, {"v": 3}])
    assert (caught.value.difference.row, caught.value.difference.field) == (2, "v")
    assert "--hil-update-golden" in str(caught.value)


def test_an_update_writes_a_missing_file_and_shows_it(path, shown):
    assert_golden(path, [{"v": 1, "raw": b"\xff"}], update=True, show=shown.append)

    assert path.read_bytes() == b'{"v":1,"raw":"ff"}\n'
    assert shown[0].splitlines() == ["--- /dev/null", f"+++ {path}", "@@ -0,0 +1 @@", '+{"v":1,"raw":"ff"}']
    assert_golden(path, [{"v": 1, "raw": b"\xff"}])


def test_an_update_without_rows_is_an_empty_file_that_holds(path, shown):
    assert_golden(path, [], update=True, show=shown.append)

    assert path.read_bytes() == b""
    assert len(shown) == 1
    assert_golden(path, [])


def test_an_update_that_changes_nothing_leaves_the_file_alone(path, shown):
    written(path, '{ "v" : 1.0 }')
    assert_golden(path, [{"v": 1.05}], {"v": 0.1}, update=True, show=shown.append)

    assert path.read_text() == '{ "v" : 1.0 }\n'
    assert path.stat().st_mtime_ns == 1
    assert shown == []


def test_an_update_rewrites_only_what_changed_and_shows_it(path, shown):
    written(path, '{ "v" : 1.0, "t": 1 }', '{ "v" : 2.0, "t": 2 }', '{ "v" : 3.0, "t": 3 }')
    got = [{"v": 1.05, "t": 4}, {"v": 2.5, "t": 5}, {"v": 2.95, "t": 6}]
    assert_golden(path, got, {"v": 0.1}, ["t"], update=True, show=shown.append)

    lines = path.read_text().splitlines()
    assert lines == ['{ "v" : 1.0, "t": 1 }', '{"v":2.5,"t":2}', '{ "v" : 3.0, "t": 3 }']
    assert '-{ "v" : 2.0, "t": 2 }\n+{"v":2.5,"t":2}\n' in shown[0]
    assert [entry.name for entry in path.parent.iterdir()] == ["boot.jsonl"]


def test_an_update_keeps_the_rows_between_two_new_ones():
    old = lines_of({"name": name, "v": 1} for name in "abcdef")
    got = [{"name": name, "v": 1.05} for name in "aXbcdYef"]

    new = updated_lines(old, got, {"v": 0.1})

    assert [line for line in new if line in old] == old
    assert [json.loads(line)["name"] for line in new] == list("aXbcdYef")


@given(old=rows, got=rows, tolerance=st.sampled_from([{}, {"v": 1}, {"v": 3}]), ignore=st.sampled_from([[], ["t"]]))
def test_after_an_update_the_same_rows_agree(old, got, tolerance, ignore):
    new = updated_lines(lines_of(old), got, tolerance, ignore)

    assert compare([json.loads(line) for line in new], got, tolerance, ignore) is None


@given(old=rows, ignore=st.sampled_from([[], ["t"]]), place=st.integers(0, 11), drift=st.integers(-1, 1))
def test_rows_within_tolerance_keep_their_lines_around_one_that_is_gone(old, ignore, place, drift):
    lines = lines_of(old)
    drifted = [{**row, "v": row["v"] + drift} for row in old]
    got = drifted[:place] + drifted[place + 1 :]
    new = updated_lines(lines, got, {"v": 1}, ignore)

    assert len(new) == len(got)
    assert set(new) <= set(lines)


def test_a_link_stays_a_link_when_its_file_is_updated(path, tmp_path):
    real = tmp_path / "shared.jsonl"
    real.write_text('{"v":1}\n')
    path.parent.mkdir()
    path.symlink_to(real)
    assert_golden(path, [{"v": 2}], update=True, show=lambda _: None)

    assert path.is_symlink()
    assert real.read_text() == '{"v":2}\n'


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[1]", b"5", b'{"v":NaN}', b'{"v":"\xff"}', b'{"v":1}{', b"[" * 100_000, b"1" * 5000]
)
@pytest.mark.parametrize("update", [False, True])
def test_a_damaged_line_is_told_with_file_and_line_and_stays(path, damage, update):
    written(path)
    path.write_bytes(b'{"v":1}\n' + damage + b'\n{"v":1}\n')
    before = path.read_bytes()

    with pytest.raises(DamagedGoldenError, match=r"boot\.jsonl:2: "):
        assert_golden(path, [{"v": 1}], update=update)
    assert path.read_bytes() == before


def test_a_last_line_without_its_end_is_a_line(path):
    written(path)
    path.write_bytes(b'{"v":1}\n{"v":2}')

    assert_golden(path, [{"v": 1}, {"v": 2}])


@pytest.mark.parametrize(
    ("environ", "refused"), [({}, False), ({"CI": ""}, False), ({"CI": "1"}, True), ({"CI": "true"}, True)]
)
def test_an_update_is_refused_where_ci_is_set(environ, refused):
    assert bool(golden.refusal(environ)) == refused


def test_traffic_has_bytes_and_directions_and_no_times():
    records = [
        record("tx", "0102"),
        record("rx", "aa", bus="uart1"),
        record("note", ""),
        record("rx", "03"),
        record("fault", "", kind="drop", params={}),
        record("rx", "04"),
        record("tx", "05"),
    ]

    assert golden.traffic(records, "uart0") == [
        {"dir": "tx", "data": "0102"},
        {"dir": "rx", "data": "0304"},
        {"dir": "tx", "data": "05"},
    ]


@given(data=st.binary(min_size=1, max_size=80), cuts=st.sets(st.integers(1, 79)))
def test_how_a_stream_was_cut_into_reads_does_not_matter(data, cuts):
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    starts = [0, *ends]
    reads = [record("rx", data[start:end].hex()) for start, end in zip(starts, ends, strict=False)]

    pieces = golden.traffic(reads, "uart0")

    assert pieces == golden.traffic([record("rx", data.hex())], "uart0")
    assert bytes.fromhex("".join(piece["data"] for piece in pieces)) == data


def test_frames_stay_frames_with_what_tells_them_apart():
    frames = [record("rx", "01", "data", "can0", id="123"), record("rx", "01", "data", "can0", id="123")]

    assert golden.traffic(frames, "can0") == [{"dir": "rx", "kind": "data", "data": "01", "id": "123"}] * 2


def test_bytes_with_errors_are_rows_of_their_own():
    reads = [record("rx", "01"), record("rx", "02", errors=["parity"]), record("rx", "03")]

    assert [row.get("errors") for row in golden.traffic(reads, "uart0")] == [None, ["parity"], None]


def test_a_bus_that_is_none_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'uart0'"):
        golden.traffic([], "uart", ["uart0", "can0"])
