"""One writer: held by a process as long as it lives, and named to who comes second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import LedgerBusyError, LedgerStorageError
from gateway.ledger.lock import WriterLock, holder_of

HOLD = """
import pathlib, sys
from gateway.ledger.lock import WriterLock
lock = WriterLock(pathlib.Path(sys.argv[1]))
lock.tell(b"x" * 16)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    first = WriterLock(tmp_path)
    first.tell(bytes(16))
    with pytest.raises(LedgerBusyError, match=f"process {os.getpid()}"):
        WriterLock(tmp_path)
    first.release()
    WriterLock(tmp_path).release()


def test_a_killed_process_lets_go_of_it(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(LedgerBusyError, match=f"process {child.pid}"):
        WriterLock(tmp_path)
    child.kill()
    child.communicate()
    WriterLock(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[1]", b"\xff" * 9000])
def test_whatever_the_file_says_a_free_lock_is_free(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "LOCK").write_bytes(content)
    WriterLock(tmp_path).release()
    assert holder_of(tmp_path) == {}


def test_a_folder_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(LedgerStorageError, match="nowhere"):
        WriterLock(tmp_path / "nowhere")
