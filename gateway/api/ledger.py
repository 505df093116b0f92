"""Layer 7: what can be asked of the ledger: its end and its entries here, what takes long in a child process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.api.ledger_child import Job, Told
from gateway.api.ledger_text import facts_of
from gateway.errors import LedgerError, LedgerMissingError, UnknownError, UsageError
from gateway.ledger import Ledger
from gateway.ledger.record import Gap

MOST_JOBS: Final = 2  # at once; each is a process
LOOK_S: Final = 0.02
LIMIT_S: Final = 600.0
PAGE_BYTES: Final = 1 << 20  # of bodies in one page of entries


class BusyError(LedgerError):
    """Too much is looked for already."""


class _Running:
    """One child at its work."""

    def __init__(self, job: Job) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads yet would hold up the child
        self.users = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.api.ledger_child"],
            stdin=subprocess.PIPE, stdout=self._said, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(job))
        self._process.stdin.close()
        self.ends_at_s = asyncio.get_running_loop().time() + LIMIT_S

    @property
    def is_done(self) -> bool:
        if asyncio.get_running_loop().time() > self.ends_at_s:
            self._process.kill()
        return self._process.poll() is not None

    def end(self) -> None:
        """Stop it, if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._said.close()

    def answer(self) -> bytes:
        """Return what it found. Raises: as it says."""
        self._said.seek(0)
        head, _, body = self._said.read().partition(b"\n")
        try:
            told = msgspec.json.decode(head, type=Told)
        except msgspec.MsgspecError as error:
            raise LedgerError("what was looked for was not found in time; ask for less") from error
        if told.ok:
            return body
        if told.kind.startswith("unknown_"):
            raise UnknownError(told.kind.removeprefix("unknown_"), told.message)
        raise {"usage": UsageError, "no_ledger": LedgerMissingError}.get(told.kind, LedgerError)(told.message)


class LedgerQueries:
    """One per gateway."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the ledger."""
        self._folder = folder
        self._running: dict[Job, _Running] = {}

    async def head(self) -> dict[str, Any]:
        """Return the object of `ledger head --json`. Raises: LedgerError, OSError."""
        return await asyncio.to_thread(self._head)

    async def entries(self, after: int, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Return entries as `ledger export` prints them, gaps as they are met, and the cursor of the next page."""
        return await asyncio.to_thread(self._entries, after, limit)

    async def verify(self, *, deep: bool, within_s: float) -> bytes | None:
        """Return the JSON of `ledger verify --json`; None: not in time, it goes on and may be asked for again."""
        return await self._find(Job(ask="verify", folder=str(self._folder), deep=deep), within_s)

    async def why(self, of: str) -> bytes:
        """Return the JSON of `why --json`."""
        found = await self._find(Job(ask="why", folder=str(self._folder), of=of), LIMIT_S)
        return found or b""

    async def history(self, job: Job) -> bytes:
        """Return the JSON or the CSV of `history`."""
        return await self._find(msgspec.structs.replace(job, folder=str(self._folder)), LIMIT_S) or b""

    def close(self) -> None:
        """End what is looked for still."""
        for running in self._running.values():
            running.end()
        self._running.clear()

    async def _find(self, job: Job, within_s: float) -> bytes | None:
        """Let a child find something; who asks for the same meanwhile waits for the same child."""
        running = self._running.get(job)
        if running is None:
            if len(self._running) >= MOST_JOBS:
                raise BusyError(f"{MOST_JOBS} questions of this kind are looked into already; ask again later")
            running = self._running[job] = _Running(job)
        running.users += 1
        ends_s = asyncio.get_running_loop().time() + within_s
        try:
            while not running.is_done:
                if asyncio.get_running_loop().time() >= ends_s:
                    return None
                await asyncio.sleep(LOOK_S)
            answer = running.answer()
        except asyncio.CancelledError:
            if running.users == 1:
                self._let_go(job, running)
            raise
        finally:
            running.users -= 1
            if running.users == 0 and running.is_done:
                self._let_go(job, running)
        return answer

    def _let_go(self, job: Job, running: _Running) -> None:
        if self._running.get(job) is running:
            del self._running[job]
            running.end()

    # ---- in a thread

    def _head(self) -> dict[str, Any]:
        with Ledger.open(self._folder, read_only=True) as ledger:
            told: dict[str, Any] = msgspec.to_builtins(ledger.head())
            return told

    def _entries(self, after: int, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        found: list[dict[str, Any]] = []
        last, size = after, 0
        with Ledger.open(self._folder, read_only=True) as ledger:
            for item in ledger.read(after + 1):
                if len(found) >= limit or size >= PAGE_BYTES:
                    return found, str(last)
                if isinstance(item, Gap):
                    found.append({"gap": {"from": item.from_seq, "to": item.to_seq, "cause": item.reason}})
                    last = item.to_seq
                else:
                    found.append(facts_of(item))
                    last, size = item.seq, size + len(item.raw)
        return found, None
