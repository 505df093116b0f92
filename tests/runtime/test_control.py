from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.authority.decision import Caller
from gateway.clock import SystemClock
from gateway.errors import DeniedError
from gateway.route import RoutePattern
from gateway.runtime.control import MAX_LINE_BYTES, MAX_VISITORS, ControlServer, line_of
from gateway.runtime.device import Device
from gateway.runtime.doorway import SOCKET_NAME, Doorway
from gateway.runtime.parcel import Parcel
from gateway.runtime.watch import Watcher
from tests.runtime.kit import cobs_profile, reading


class Answers:
    """A gateway with one device, fed by hand."""

    def __init__(self) -> None:
        self.device = Device("node", cobs_profile(), SystemClock())

    def status(self) -> dict[str, Any]:
        return {"name": "test"}

    def devices(self) -> list[dict[str, Any]]:
        return [{"name": "node"}]

    def routes(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        return [] if pattern.text == "gone" else [{"pattern": pattern.text}]

    async def left(self, what: str, pattern: RoutePattern) -> list[dict[str, Any]]:
        return [{"left": pattern.text, "what": what}]

    def values(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        return [{"pattern": pattern.text, "value": 1}]

    def fields(self, pattern: RoutePattern) -> dict[str, Any]:
        return {"of": pattern.text}

    @contextlib.contextmanager
    def watcher(self, pattern: RoutePattern) -> Iterator[Watcher]:
        watcher = Watcher(pattern, SystemClock(), 256)
        self.device.watchers.append(watcher)
        try:
            yield watcher
        finally:
            self.device.watchers.remove(watcher)

    @property
    def names(self) -> list[str]:
        return ["whoami"]

    async def answer(self, name: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return {"name": name, "args": args, "principal": caller.principal, "token": caller.token}

    async def may_look(self, caller: Caller, pattern: str = "*") -> None:
        if caller.token == "bad":
            raise DeniedError("a token that is none of ours")

    def feed(self, numbers: range) -> None:
        bodies = [reading(number) for number in numbers]
        self.device.serve(Parcel(bodies, ["reading"] * len(bodies), 1, 2))


Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def visit(folder: Path, scenario: Callable[[Answers, Reader, Writer], Awaitable[Any]]) -> Any:
    """Run a server and one visitor's scenario."""

    async def run() -> Any:
        answers = Answers()
        doorway = Doorway(folder)
        serving = asyncio.get_running_loop().create_task(ControlServer(doorway, answers, answers).run())
        try:
            async with asyncio.timeout(20):
                reader, writer = await asyncio.open_unix_connection(folder / SOCKET_NAME)
                result = await scenario(answers, reader, writer)
                writer.close()
                return result
        finally:
            serving.cancel()
            doorway.close()

    return asyncio.run(run())


def test_who_asks_is_who_the_kernel_says_and_a_token_comes_along(tmp_path: Path) -> None:
    async def scenario(_answers: Answers, reader: Reader, writer: Writer) -> Any:
        return await exchange(reader, writer, b'{"request": "whoami", "args": {"a": 1}, "token": "tg1"}')

    me = f"user:{pwd.getpwuid(os.getuid()).pw_name}"
    told = {"name": "whoami", "args": {"a": 1}, "principal": me, "token": "tg1"}
    assert visit(tmp_path, scenario) == {"ok": told}


@pytest.mark.parametrize("request_", ["status", "devices", "routes", "watch"])
def test_a_bad_token_is_refused_by_whoever_only_looks_too(tmp_path: Path, request_: str) -> None:
    async def scenario(_answers: Answers, reader: Reader, writer: Writer) -> Any:
        return await exchange(reader, writer, json.dumps({"request": request_, "token": "bad"}).encode())

    assert visit(tmp_path, scenario)["error"]["type"] == "DeniedError"


def test_a_request_that_is_nested_too_deeply_is_answered_and_the_next_one_too(tmp_path: Path) -> None:
    async def scenario(_answers: Answers, reader: Reader, writer: Writer) -> Any:
        deep = await exchange(
            reader, writer, b'{"request": "whoami", "args": {"a": ' + b"[" * 9000 + b"]" * 9000 + b"}}"
        )
        return deep["error"]["type"], await exchange(reader, writer, b'{"request": "status"}')

    assert visit(tmp_path, scenario) == ("request", {"ok": {"name": "test"}})


async def exchange(reader: Reader, writer: Writer, line: bytes) -> Any:
    writer.write(line + b"\n")
    return json.loads(await reader.readline())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"request": "status"}', {"ok": {"name": "test"}}),
        (b'{"request": "devices"}', {"ok": [{"name": "node"}]}),
        (b'{"request": "routes", "pattern": "a/b"}', {"ok": [{"pattern": "a/b"}]}),
        (b'{"request": "routes", "pattern": "gone"}', {"ok": [{"left": "gone", "what": "routes"}]}),
        (b'{"request": "values", "pattern": "a/b"}', {"ok": [{"pattern": "a/b", "value": 1}]}),
    ],
)
def test_a_request_is_answered_by_one_line(tmp_path: Path, line: bytes, expected: object) -> None:
    assert visit(tmp_path, lambda _, reader, writer: exchange(reader, writer, line)) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"request": 5}',
        b'{"request": "stop"}',
        b'{"request": "status", "more": 1}',
        b'{"request": "routes", "pattern": "a/b/c/d"}',
        b'{"request": "watch", "pattern": "a//b"}',
    ],
)
def test_a_malformed_request_is_a_typed_error_and_the_next_one_is_answered(tmp_path: Path, line: bytes) -> None:
    async def scenario(_: Answers, reader: Reader, writer: Writer) -> list[Any]:
        return [await exchange(reader, writer, each) for each in (line, b'{"request": "status"}')]

    error, answer = visit(tmp_path, scenario)
    assert error["error"]["type"]
    assert error["error"]["message"]
    assert answer == {"ok": {"name": "test"}}


def test_a_line_without_end_is_refused_at_its_limit(tmp_path: Path) -> None:
    async def scenario(_: Answers, reader: Reader, writer: Writer) -> tuple[Any, bytes]:
        writer.write(b"x" * (MAX_LINE_BYTES * 3))
        answer = json.loads(await reader.readline())
        with contextlib.suppress(ConnectionError):
            return answer, await reader.read()
        return answer, b""

    answer, rest = visit(tmp_path, scenario)
    assert "bytes long" in answer["error"]["message"]
    assert rest == b""


def test_watching_gives_fields_first_and_then_a_line_per_message(tmp_path: Path) -> None:
    async def scenario(answers: Answers, reader: Reader, writer: Writer) -> list[Any]:
        lines = [await exchange(reader, writer, b'{"request": "watch", "pattern": "node"}')]
        answers.feed(range(3))
        return lines + [json.loads(await reader.readline()) for _ in range(3)]

    first, *records = visit(tmp_path, scenario)
    assert first == {"ok": {"fields": {"of": "node"}}}
    assert [record["seq"] for record in records] == [1, 2, 3]
    assert set(records[0]) == {"device", "message", "seq", "t", "values", "taints"}


def test_a_reader_that_does_not_read_is_told_what_it_missed_and_stops_nobody(tmp_path: Path) -> None:
    async def scenario(answers: Answers, reader: Reader, writer: Writer) -> tuple[int, int]:
        await exchange(reader, writer, b'{"request": "watch"}')
        fed = 0
        for _ in range(200):  # far more than socket, transport and mailbox hold
            answers.feed(range(100))
            fed += 100
            await asyncio.sleep(0)
        seen = missed = 0
        while seen + missed < fed:
            record = json.loads(await reader.readline())
            missed += record.get("dropped", 0)
            seen += "seq" in record
        return missed, answers.device.frames().delivered

    missed, delivered = visit(tmp_path, scenario)
    assert missed > 0
    assert delivered == 20_000


def test_a_watcher_is_forgotten_when_its_reader_leaves_even_if_nothing_comes(tmp_path: Path) -> None:
    async def scenario(answers: Answers, reader: Reader, writer: Writer) -> bool:
        await exchange(reader, writer, b'{"request": "watch"}')
        assert len(answers.device.watchers) == 1
        writer.close()
        while answers.device.watchers:  # noqa: ASYNC110 - the end of the connection travels through the kernel
            await asyncio.sleep(0.01)
        return True

    assert visit(tmp_path, scenario)


def test_there_is_a_limit_of_visitors_and_the_next_one_is_told(tmp_path: Path) -> None:
    async def scenario(_: Answers, reader: Reader, writer: Writer) -> Any:
        await exchange(reader, writer, b'{"request": "status"}')
        others = [await asyncio.open_unix_connection(tmp_path / SOCKET_NAME) for _ in range(MAX_VISITORS)]
        answer = json.loads(await others[-1][0].readline())
        for _, other in others:
            other.close()
        return answer

    assert visit(tmp_path, scenario)["error"]["type"] == "busy"


def test_numbers_beyond_64_bits_are_written_out() -> None:
    assert json.loads(line_of({"value": 10**30})) == {"value": 10**30}
