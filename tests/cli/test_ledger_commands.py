"""`tidegate ledger`, as its users and their scripts meet it: processes, pipes, exit codes, folders left alone."""

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from gateway.ledger import Ledger
from tests.cli.ledgers import TIDEGATE, make, said, tidegate

NOTE = b'{"kind":"note","route":null,"class":"telemetry","body":%d}\n'
READING_COMMANDS = [
    ["ledger", "export"],
    ["ledger", "verify"],
    ["ledger", "verify", "--deep"],
    ["ledger", "head"],
    ["ledger", "show"],
    ["ledger", "tail"],
    ["ledger", "get", "1"],
    ["ledger", "stats"],
    ["history", "a/b/c"],
    ["replay"],
    ["why", "1"],
]
ids = " ".join


def lines_of(done: subprocess.CompletedProcess[bytes]) -> list[dict]:
    return [json.loads(line) for line in said(done)[1].splitlines()]


def exported(folder: Path) -> list[dict]:
    return lines_of(tidegate("ledger", "export", "--dir", folder))


def writer(folder: Path) -> subprocess.Popen[bytes]:
    """Start an `append` that stays open."""
    command = [*TIDEGATE, "ledger", "append", "--dir", str(folder), "--stdin"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def tell(process: subprocess.Popen[bytes], line: bytes) -> dict:
    """Write one line; return the answer to it."""
    process.stdin.write(line)
    process.stdin.flush()
    return next_line(process)


def next_line(process: subprocess.Popen[bytes]) -> dict:
    """Return what it says next; one that says nothing is ended, so that nobody waits for it."""
    if not select.select([process.stdout], [], [], 60)[0]:
        process.kill()
        pytest.fail("nothing was said")
    return json.loads(process.stdout.readline())


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "ledger")


@pytest.fixture
def filled(tmp_path):
    return make(
        tmp_path / "ledger",
        ("desired", "a/b/c@desired", {"value": 1}, "state"),
        ("reading", "a/b/c", 2.5, "telemetry", 1),
        ("note", None, b"\x00\xff", "audit"),
    )


# ---- append


def test_lines_become_records_in_order(folder):
    done = tidegate("ledger", "append", "--dir", folder, "--stdin", stdin=NOTE % 1 + NOTE % 2)
    assert said(done) == (0, '{"seq":1,"durable":true}\n{"seq":2,"durable":true}\n')
    assert [each["body"] for each in exported(folder)] == [1, 2]


def test_a_refused_line_is_answered_and_the_others_are_kept(folder):
    done = tidegate("ledger", "append", "--dir", folder, "--stdin", stdin=NOTE % 1 + b"\nx\n" + NOTE % 2)
    assert done.returncode == 1
    assert [each.get("seq", each.get("line")) for each in lines_of(done)] == [1, 2, 3, 2]
    assert [each["body"] for each in exported(folder)] == [1, 2]


def test_a_line_without_an_end_is_a_line(folder):
    assert said(tidegate("ledger", "append", "--dir", folder, "--stdin", stdin=(NOTE % 1).rstrip()))[0] == 0


def test_no_lines_are_fine(folder):
    assert said(tidegate("ledger", "append", "--dir", folder, "--stdin")) == (0, "")


def test_a_ledger_is_made_where_there_is_none(tmp_path):
    done = tidegate("ledger", "append", "--dir", tmp_path / "new" / "ledger", "--stdin", stdin=NOTE % 1)
    assert said(done)[0] == 0
    assert len(exported(tmp_path / "new" / "ledger")) == 1


def test_a_body_comes_back_letter_for_letter(folder):
    body = '{"b":1.50,"a":[1e2,123456789012345678901234567890,"\\u00e9",1e400]}'
    line = f'{{"kind":"note","route":null,"class":"audit","body":{body}}}\n'
    assert said(tidegate("ledger", "append", "--dir", folder, "--stdin", stdin=line.encode()))[0] == 0
    assert f'"body":{body}}}\n' in said(tidegate("ledger", "export", "--dir", folder))[1]


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert said(tidegate("ledger", "append", "--dir", tmp_path, "--stdin", stdin=NOTE % 1)) == (2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_without_stdin_it_says_what_to_give(folder):
    done = tidegate("ledger", "append", "--dir", folder)
    assert (said(done)[0], b"--stdin" in done.stderr) == (2, True)


def test_a_line_that_comes_alone_is_answered_at_once(folder):
    with writer(folder) as process:
        assert [tell(process, NOTE % number)["seq"] for number in (1, 2, 3)] == [1, 2, 3]
        process.stdin.close()
        assert process.wait(60) == 0


def test_what_was_acknowledged_survives_a_kill(folder):
    with writer(folder) as process:
        acknowledged = [tell(process, NOTE % number)["seq"] for number in range(5)]
        process.kill()
    assert [each["seq"] for each in exported(folder)][: len(acknowledged)] == acknowledged


def test_killed_in_a_flood_every_acknowledged_record_is_there(folder):
    with writer(folder) as process:
        tell(process, NOTE % 1)  # it has started, and hears signals
        os.set_blocking(process.stdin.fileno(), False)
        answers, sent, rest = b"", 0, b""
        while answers.count(b"\n") < 2000:
            readable, writable, _ = select.select([process.stdout], [process.stdin], [], 60)
            if writable:
                rest = rest or NOTE % sent
                taken = os.write(process.stdin.fileno(), rest)
                sent, rest = sent + (taken == len(rest)), rest[taken:]
            if readable:
                answers += os.read(process.stdout.fileno(), 65_536)
        process.kill()
        answers += process.stdout.read()
    bodies = {each["seq"]: each["body"] for each in exported(folder)}
    whole = [json.loads(line) for line in answers.split(b"\n")[:-1]]
    assert [bodies.get(each["seq"]) for each in whole] == list(range(len(whole)))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_commit_in_hand(folder, number, code):
    with writer(folder) as process:
        tell(process, NOTE % 1)
        process.send_signal(number)
        assert process.wait(60) == code
        assert process.stderr.read() == b""
    verified = lines_of(tidegate("ledger", "verify", "--json", "--dir", folder))[0]
    assert (verified["verdict"], verified["records"]) == ("intact", 1)


def test_a_signal_ends_it_though_nobody_reads_the_answers(folder):
    with writer(folder) as process:
        tell(process, NOTE % 1)  # it has started, and hears signals
        os.set_blocking(process.stdin.fileno(), False)
        while select.select([], [process.stdin], [], 1)[1]:  # until both pipes are full
            os.write(process.stdin.fileno(), NOTE % 1 * 50)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


def test_a_reader_that_left_ends_it_with_a_reason(folder):
    with writer(folder) as process:
        tell(process, NOTE % 1)
        process.stdout.close()
        process.stdin.write(NOTE % 2)
        process.stdin.close()
        assert process.wait(60) == 1
        said_of_it = process.stderr.read().decode()
    assert "nobody reads the answers any more" in said_of_it
    assert "Traceback" not in said_of_it


def test_a_second_writer_is_refused_and_told_who_holds_it(folder):
    with writer(folder) as process:
        tell(process, NOTE % 1)
        second = tidegate("ledger", "append", "--dir", folder, "--stdin", stdin=NOTE % 2)
        process.stdin.close()
    assert (said(second), str(process.pid) in second.stderr.decode()) == ((1, ""), True)


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_standard_stream_is_never_taken_for_a_file_of_the_ledger(folder, closed):
    command = ["bash", "-c", f'"$@" {closed}', "bash", *TIDEGATE, "ledger", "append", "--dir", str(folder), "--stdin"]
    done = subprocess.run(command, input=NOTE % 1, capture_output=True, timeout=120, check=False)
    assert (done.returncode, b"must be open" in done.stderr) == (2, True)
    assert said(tidegate("ledger", "verify", "--deep", "--dir", folder))[0] == 0


# ---- reading


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_reading_an_intact_ledger_exits_0(filled, command):
    assert said(tidegate(*command, "--dir", filled))[0] == 0


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_where_there_is_no_ledger_reading_exits_64(tmp_path, command):
    assert said(tidegate(*command, "--dir", tmp_path)) == (64, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_where_there_is_no_folder_reading_exits_64_and_makes_none(tmp_path, command):
    assert said(tidegate(*command, "--dir", tmp_path / "x")) == (64, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_reading_beside_a_writer_changes_nothing(filled, command):
    with Ledger.open(filled) as ledger:
        before = {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()}
        assert said(tidegate(*command, "--dir", filled))[0] == 0
        assert {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()} == before
        ledger.append("note", None, 1)


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_a_wrong_option_exits_64_because_2_is_damage(filled, command):
    assert said(tidegate(*command, "--nonsense", "--dir", filled)) == (64, "")


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_help_has_an_example_and_the_exit_codes(command):
    text = " ".join(
        said(tidegate(*[word for word in command if word.isalpha() and len(word) > 1], "--help"))[1].split()
    )
    assert "For example" in text or "one day `tidegate ledger verify" in text
    assert "64" in text


@pytest.mark.parametrize("command", READING_COMMANDS, ids=ids)
def test_damage_in_the_ring_exits_2(filled, command):
    segment = next(path for path in sorted((filled / "hot").iterdir()) if any(path.read_bytes()))
    data = bytearray(segment.read_bytes())
    data[data.rindex(b"\x00\xff")] ^= 1
    segment.write_bytes(data)
    code, _ = said(tidegate(*command, "--dir", filled))
    assert code == 2


def test_the_data_folder_of_the_gateway_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path))
    make(tmp_path / "ledger", ("note", None, 1))
    assert len(lines_of(tidegate("ledger", "export"))) == 1


# ---- export, head, verify


def test_export_prints_exactly_what_was_recorded(filled):
    told = exported(filled)
    assert [list(each) for each in told] == [
        ["seq", "incarnation", "kind", "route", "class", "time", "boot_no", "cause", "body"]
    ] * 3
    assert [
        (each["seq"], each["kind"], each["route"], each["class"], each["cause"], each["body"]) for each in told
    ] == [
        (1, "desired", "a/b/c@desired", "state", None, {"value": 1}),
        (2, "reading", "a/b/c", "telemetry", 1, 2.5),
        (3, "note", None, "audit", None, {"hex": "00ff"}),
    ]


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path):
    make(tmp_path / "x", *[("note", None, number) for number in range(5000)])
    command = ["bash", "-o", "pipefail", "-c", '"$@" | head -1', "bash", *TIDEGATE, "ledger", "export", "--dir"]
    done = subprocess.run([*command, str(tmp_path / "x")], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr, json.loads(done.stdout)["seq"]) == (0, b"", 1)


def test_verify_prints_exactly_these_keys(filled):
    (told,) = lines_of(tidegate("ledger", "verify", filled, "--json", "--deep"))
    assert list(told) == ["verdict", "records", "first_seq", "last_seq", "head", "damage", "gaps", "seconds"]
    assert (told["verdict"], told["records"], told["first_seq"], told["last_seq"]) == ("intact", 3, 1, 3)


def test_verify_and_head_agree(filled):
    (head,) = lines_of(tidegate("ledger", "head", "--json", "--dir", filled))
    (told,) = lines_of(tidegate("ledger", "verify", "--json", "--dir", filled))
    assert head == {"seq": 3, "head": told["head"]}


def test_a_head_kept_elsewhere_is_taken_as_a_file_and_as_its_json(filled, tmp_path):
    _, line = said(tidegate("ledger", "head", "--json", "--dir", filled))
    (tmp_path / "head.json").write_text(line)
    for against in (tmp_path / "head.json", line, line.strip()):
        assert said(tidegate("ledger", "verify", filled, "--against", against))[0] == 0


def test_a_head_that_the_ledger_never_had_is_a_forgery(filled):
    head = json.dumps({"seq": 3, "head": "00" * 32})
    (told,) = lines_of(done := tidegate("ledger", "verify", filled, "--json", "--against", head))
    assert (done.returncode, told["verdict"], bool(told["damage"])) == (3, "forged", True)


@pytest.mark.parametrize("against", ["{}", '{"seq":1,"head":"xy"}', '{"seq":-1,"head":"%s"}' % ("00" * 32), "/", "no"])
def test_a_head_that_is_none_exits_64(filled, against):
    assert said(tidegate("ledger", "verify", filled, "--against", against)) == (64, "")


def test_two_folders_at_once_exit_64(filled, tmp_path):
    assert said(tidegate("ledger", "verify", filled, "--dir", tmp_path)) == (64, "")


# ---- tail, get, stats, show


def test_tail_prints_the_newest(filled):
    told = lines_of(tidegate("ledger", "tail", "-n", 2, "--json", "--dir", filled))
    assert [each["seq"] for each in told] == [2, 3]


def test_tail_of_none_prints_none(filled):
    assert said(tidegate("ledger", "tail", "-n", 0, "--dir", filled)) == (0, "")


def test_tail_follows_a_writer(filled):
    command = [*TIDEGATE, "ledger", "tail", "-n", "1", "-f", "--json", "--dir", str(filled)]
    with Ledger.open(filled) as ledger, subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert next_line(process)["seq"] == 3
        for number in range(4, 8):
            ledger.append("note", None, number, "audit")
            assert next_line(process)["seq"] == number
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_get_prints_everything_about_a_record(filled):
    (told,) = lines_of(tidegate("ledger", "get", 3, "--json", "--dir", filled))
    assert (told["kind"], told["body"], told["bytes"], told["raw"]) == ("note", {"hex": "00ff"}, 2, "00ff")


def test_get_tells_where_the_record_lies(filled):
    (told,) = lines_of(tidegate("ledger", "get", 3, "--json", "--dir", filled))
    place = told["place"]
    assert b"\x00\xff" in (filled / place["file"]).read_bytes()[place["offset"] : place["offset"] + 4096]


@pytest.mark.parametrize("seq", ["0", "-1", "x", "99999999999999999999", ""])
def test_get_of_what_is_no_number_exits_64(filled, seq):
    assert said(tidegate("ledger", "get", "--dir", filled, "--", seq)) == (64, "")


def test_get_of_what_is_not_there_exits_64(filled):
    done = tidegate("ledger", "get", 4, "--dir", filled)
    assert (said(done), b"the newest is 3" in done.stderr) == ((64, ""), True)


def test_stats_count_by_kind_class_and_route(filled):
    (told,) = lines_of(tidegate("ledger", "stats", "--json", "--dir", filled))
    assert told["route"] == {
        "a/b/c@desired": {"records": 1, "bytes": 11},
        "a/b/c": {"records": 1, "bytes": 3},
        "": {"records": 1, "bytes": 2},
    }
    assert sum(each["records"] for each in told["class"].values()) == 3


def test_show_says_from_when_to_when(filled):
    (told,) = lines_of(tidegate("ledger", "show", "--json", "--dir", filled))
    first, *_, last = exported(filled)
    assert (told["records"], told["first_time"], told["last_time"]) == (3, first["time"], last["time"])


def test_an_empty_ledger_is_fine_everywhere(folder):
    codes = [said(tidegate(*command, "--dir", folder))[0] for command in READING_COMMANDS if command[-1] != "1"]
    assert codes == [0] * len(codes)


# ---- SQLite


def test_a_ledger_in_sqlite_answers_as_our_own(tmp_path):
    lines = (
        b'{"kind":"desired","route":"a/b/c@desired","class":"state","body":{"value":1}}\n'
        b'{"kind":"reading","route":"a/b/c","class":"telemetry","body":2.50,"cause":1}\n'
    )
    assert said(tidegate("ledger", "init", tmp_path / "own", "--footprint", "small"))[0] == 0
    assert said(tidegate("ledger", "init", tmp_path / "sqlite", "--backend", "sqlite"))[0] == 0
    answers = []
    for folder in (tmp_path / "own", tmp_path / "sqlite"):
        appended = said(tidegate("ledger", "append", "--dir", folder, "--stdin", stdin=lines))
        told = [{key: each[key] for key in each if key not in {"time", "boot_no"}} for each in exported(folder)]
        codes = [said(tidegate(*command, "--dir", folder))[0] for command in READING_COMMANDS]
        answers.append((appended, told, codes, said(tidegate("ledger", "stats", "--json", "--dir", folder))))
    assert answers[0] == answers[1]


# ---- compact


def test_compact_brings_records_into_archives(tmp_path):
    folder = make(tmp_path / "x", *[("note", None, "x" * 1000, "audit") for _ in range(600)])
    assert said(tidegate("ledger", "compact", "--dir", folder))[0] == 0
    assert sum(each["kind"] == "note" for each in exported(folder)) == 600
    assert list((folder / "arc").iterdir()) != []


def test_compact_waits_for_no_other_writer(filled):
    with Ledger.open(filled):
        assert said(tidegate("ledger", "compact", "--dir", filled)) == (1, "")


def test_compact_makes_no_ledger(tmp_path):
    assert said(tidegate("ledger", "compact", "--dir", tmp_path / "x")) == (64, "")
    assert list(tmp_path.iterdir()) == []
