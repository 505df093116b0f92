"""`tidegate ledger init`: what is made, what is refused, and that a failure leaves nothing behind."""

import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from gateway.cli import exit_code_of
from gateway.cli.ledger_init import init_command
from gateway.errors import GatewayError
from gateway.notation import size_bytes
from gateway.plain import size_text

TIDEGATE = [sys.executable, "-m", "gateway"]
KIB = 1024


def init(*arguments: str) -> tuple[int, str]:
    """Return exit code and everything said, as the command line's main would give them."""
    done = CliRunner().invoke(init_command, list(arguments))
    if isinstance(done.exception, GatewayError):
        return exit_code_of(done.exception), str(done.exception)
    return done.exit_code, done.output


def test_init_writes_the_whole_ring(tmp_path):
    folder = tmp_path / "deep" / "ledger"
    assert init(str(folder), "--ring", "1MiB", "--segment", "256KiB")[0] == 0
    assert [path.stat().st_size for path in sorted((folder / "hot").iterdir())] == [256 * KIB] * 4


def test_init_says_what_it_made(tmp_path):
    code, said = init(str(tmp_path / "x"), "--ring", "1MiB", "--segment", "256KiB", "--unit", "16384")
    assert (code, "4 segments of 256 KiB, commits padded to 16384 bytes" in said) == (0, True)


def test_an_empty_folder_and_the_root_of_a_partition_are_taken(tmp_path):
    (tmp_path / "lost+found").mkdir()
    assert init(str(tmp_path), "--ring", "1MiB", "--segment", "256KiB")[0] == 0


def test_a_small_footprint_has_a_ring_that_leaves_room_for_archives(tmp_path):
    assert init(str(tmp_path / "x"), "--footprint", "small")[0] == 0
    assert sum(path.stat().st_size for path in (tmp_path / "x").rglob("*")) < 4 * KIB * KIB


def test_a_folder_with_a_ledger_is_refused_and_left_alone(tmp_path):
    init(str(tmp_path), "--ring", "1MiB", "--segment", "256KiB")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, said = init(str(tmp_path), "--ring", "1MiB", "--segment", "256KiB")
    assert (code, "holds a ledger already" in said) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_a_killed_init_left_is_in_nobody_s_way(tmp_path):
    command = [*TIDEGATE, "ledger", "init", str(tmp_path / "ledger"), "--ring", "1GiB", "--segment", "4MiB"]
    with subprocess.Popen(command) as process:
        while not (tmp_path / "ledger" / "hot" / "00.seg").exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert init(str(tmp_path / "ledger"), "--ring", "1MiB", "--segment", "256KiB")[0] == 0
    assert len(list((tmp_path / "ledger" / "hot").iterdir())) == 4


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    code, said = init(str(tmp_path))
    assert (code, "notes.txt" in said) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert init(str(tmp_path / "file"))[0] == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--ring", "64MB"], "--ring: '64MB' is no size"),
        (["--ring", "-1"], "no size"),
        (["--ring", "2MiB"], "at least 3"),  # of the default segment
        (["--segment", "1000"], "multiple of the commit unit"),
        (["--ring", "10MiB", "--segment", "3MiB"], "multiple of the segment"),
        (["--unit", "5000"], "power of two"),
        (["--unit", "0"], "power of two"),
        (["--segment", "0"], "segments of 0 bytes"),
        (["--footprint", "small", "--ring", "16MiB"], "at most 4.0 MiB"),
        (["--backend", "sqlite", "--ring", "64MiB"], "--ring is of our own format"),
        (["--backend", "sqlite", "--footprint", "small"], "--footprint is of our own format"),
        (["--footprint", "tiny"], "small"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_made(tmp_path, arguments, word):
    code, said = init(str(tmp_path / "new" / "ledger"), *arguments)
    assert (code, word in said, list(tmp_path.iterdir())) == (2, True, []), said


def test_a_ring_for_which_there_is_no_room_is_refused_before_a_byte_is_written(tmp_path):
    code, said = init(str(tmp_path / "new" / "ledger"), "--ring", "4096GiB", "--segment", "1GiB")
    assert (code, "are needed" in said, list(tmp_path.iterdir())) == (1, True, []), said


def test_a_medium_that_fails_half_way_leaves_nothing_behind(tmp_path):
    command = ["bash", "-c", 'ulimit -f 100 && exec "$@"', "bash", *TIDEGATE, "ledger", "init", str(tmp_path / "a/b")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "no ledger was made" in done.stderr, list(tmp_path.iterdir())) == (1, True, [])
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_init_leaves_nothing_behind(tmp_path, number):
    command = [*TIDEGATE, "ledger", "init", str(tmp_path / "ledger"), "--ring", "1GiB", "--segment", "4MiB"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "ledger" / "hot").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, list(tmp_path.iterdir())) == (130, []), said
    assert "Traceback" not in said


def test_help_names_its_exit_codes():
    assert "Exit 0: made. 1: the medium refused. 2: bad usage" in " ".join(init("--help")[1].split())


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("256KiB", 1 << 18), ("64MiB", 1 << 26), ("1GiB", 1 << 30), ("0", 0)]
)
def test_sizes_are_read_as_they_are_written(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "64M", "64 MiB", "1.5MiB", "+1", "-1", "1e6", "64mib", "٤"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (4096, "4.0 KiB"), (1 << 18, "256 KiB"), (1 << 26, "64 MiB")]
)
def test_sizes_are_said_as_people_say_them(size, text):
    assert size_text(size) == text
