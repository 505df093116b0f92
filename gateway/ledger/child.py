"""Layer 5: sealing in a child process of low priority: `python -m gateway.ledger.child`, one job on its standard input.

The child writes an archive under an unfinished name, and a snapshot; only the parent gives the archive its name. So a
child that outlives its parent leaves nothing that counts.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.ledger import snapshot
from gateway.ledger.archive import ArchiveInfo, archive_name
from gateway.ledger.recovery import Live
from gateway.ledger.seal import ArchiveFile, frames_of_segment, name_archive, pack
from gateway.ledger.shelf import archives_of
from gateway.ledger.storage import OsStorage

LIMIT_S: Final = 600.0
NICE: Final = 19


class _Job(msgspec.Struct):
    folder: str
    log_id: str
    unit_bytes: int
    segments: list[Live]
    salvages: bool
    is_small: bool


class _Done(msgspec.Struct):
    unfinished: str
    info: ArchiveInfo
    snapshot: dict[str, Any] | None


class ChildSeal:
    """One child at its work."""

    def __init__(
        self,
        storage: OsStorage,
        log_id: bytes,
        unit_bytes: int,
        segments: Sequence[Live],
        *,
        salvages: bool = False,
        is_small: bool = False,
    ) -> None:
        """Start it; `salvages` as for `seal`, `is_small` as for `snapshot.take`. Raises: OSError."""
        self._storage = storage
        job = _Job(str(storage.path), log_id.hex(), unit_bytes, list(segments), salvages, is_small)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads yet would hold up the child
        self._complained = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.ledger.child"],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._complained,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(job))
            self._process.stdin.close()
        self._process.stdin = None

    @property
    def is_running(self) -> bool:
        """Return whether it still works."""
        return self._process.poll() is None

    def result(self) -> tuple[ArchiveInfo, dict[str, Any] | None]:
        """Wait for it, name its archive; return that and the body of its snapshot's record. Raises: OSError."""
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise OSError(f"sealing took more than {LIMIT_S:g} s") from error
        out, complaint = self._read()
        if self._process.returncode:
            text = complaint.decode(errors="replace").strip().splitlines()
            raise OSError(f"sealing failed: {text[-1] if text else f'exit {self._process.returncode}'}")
        done = msgspec.json.decode(out, type=_Done)
        name_archive(self._storage, done.unfinished, done.info.name)
        return done.info, done.snapshot

    def stop(self) -> None:
        """End it; what it wrote is removed at the next opening."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._read()

    def _read(self) -> tuple[bytes, bytes]:
        """Return what the child said and complained of, once."""
        found = []
        for file in (self._said, self._complained):
            with file:
                file.seek(0)
                found.append(file.read())
        return found[0], found[1]


def _work(job: _Job) -> _Done:
    storage, log_id = OsStorage(Path(job.folder)), bytes.fromhex(job.log_id)
    with ArchiveFile(storage, archive_name(job.segments[0].first_seq)) as file:
        info = pack(storage, log_id, job.unit_bytes, job.segments, file, salvages=job.salvages)
        file.sync(info)
    earlier = [each for each in archives_of(storage, log_id) if each.last_seq < info.first_seq]
    sealed = (
        frame.records
        for segment in job.segments
        for frame in frames_of_segment(storage, log_id, job.unit_bytes, segment, salvages=job.salvages)
    )
    told = snapshot.take(storage, log_id, earlier, info.last_seq, sealed, salvages=job.salvages, is_small=job.is_small)
    return _Done(file.unfinished, info, told)


def main() -> int:
    """Do the job on standard input; say on standard output what came of it."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        done = _work(msgspec.json.decode(sys.stdin.buffer.read(), type=_Job))
    except (OSError, msgspec.DecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
