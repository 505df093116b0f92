"""Clients that mean harm: each gets a typed answer or is closed, and what it sends costs neither memory nor time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h11
import pytest

from gateway.api.http import protocol, sockets
from gateway.api.http.sockets import CRUMBS_MOST, STALLED_S, Counting, Progress
from gateway.api.settings import HttpConfig
from tests.api.kit import VALVE, HttpBench, served
from tests.integration.test_ports import until

GREETING = b"GET /v1/watch?pattern=nobody HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
PUT = f"PUT {VALVE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()


@contextlib.contextmanager
def linked(port: int, data: bytes = b"", *, receives: int | None = None) -> Iterator[socket.socket]:
    """Give a connection on which something was said."""
    with socket.socket() as link:
        if receives is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        link.settimeout(20)
        link.connect(("127.0.0.1", port))
        link.sendall(data)
        yield link


def told(port: int, data: bytes) -> tuple[int, str]:
    """Send a request and return the status of the answer and its code."""
    with linked(port, data) as link:
        return problem_in(link)


def problem_in(link: socket.socket) -> tuple[int, str]:
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        piece = link.recv(65_536)
        assert piece, answer
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    return int(head.split()[1]), json.loads(body)["code"]


HEADS = [
    (PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, "malformed")),
    (PUT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", (400, "malformed")),
    (PUT + b"Content-Length: -5\r\n\r\nhello", (400, "malformed")),
    (PUT + b"Transfer-Encoding: gzip\r\n\r\nhello", (400, "malformed")),
    (PUT + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nhello", (400, "malformed")),
    (PUT + b"Host: localhost\r\n\r\n", (400, "malformed")),
    (PUT + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", (400, "malformed")),
    (PUT + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n", (400, "malformed")),
    (PUT + b"X: a\x00b\r\n\r\n", (400, "malformed")),
    (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, "malformed")),
    (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown_path")),
    (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown_path")),
    (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown_path")),
    (b"GET /healthz HTTP/1.1\r\nHost: evil@localhost\r\n\r\n", (403, "foreign_host")),
    (b"GET /v1/values/a%0d%0aSet-Cookie:x/b/c HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown_path")),
    (b"GET /v1/values/..%2f..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown_route")),
    (b"GET /v1/devices/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", (404, "unknown_device")),
    (b"\r\n" * 40_000, (400, "malformed")),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160), (400, "malformed")),
    (GREETING + b"X: " + b"x" * 16_384 + b"\r\n\r\n", (431, "headers")),
    (GREETING + UPGRADE + b"\r\n", (400, "malformed")),
    (GREETING + UPGRADE + b"Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", (400, "malformed")),
    (GREETING + UPGRADE.replace(b"13", b"8") + KEY + b"\r\n", (426, "handshake")),
    (GREETING.replace(b"GET", b"POST") + UPGRADE + KEY + b"\r\n", (405, "method")),
    (GREETING.replace(b"GET", b"POST") + b"\r\n", (405, "method")),
    (GREETING.replace(b"watch", b"routes") + UPGRADE + KEY + b"\r\n", (404, "unknown_path")),
    (GREETING + b"Origin: http://evil.example\r\n" + UPGRADE + KEY + b"\r\n", (403, "foreign_origin")),
    (GREETING + b"Sec-WebSocket-Protocol: tidegate.v1, tg1.no.token\r\n" + UPGRADE + KEY + b"\r\n", (401, "bad_token")),
]


def test_what_has_two_meanings_or_none_is_refused_and_counted(tmp_path: Path) -> None:
    found: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        for data, _ in HEADS:
            found.append(await asyncio.to_thread(told, bench.port, data))
        answered = bench.gateway.status()["http"]["answered"]
        assert all(answered[str(status)] for _, (status, _) in HEADS)

    served(tmp_path, play)
    assert found == [expected for _, expected in HEADS]


BOMBS: list[tuple[bytes, dict[str, str], tuple[int, str]]] = [
    (b'{"value":NaN}', {}, (400, "malformed")),
    (b'{"value":-Infinity}', {}, (400, "malformed")),
    (b'{"value":1e999}', {}, (400, "malformed")),
    (b'{"value":"\\ud800"}', {}, (400, "malformed")),
    (b'{"value":' + b"[" * 20_000 + b"]" * 20_000 + b"}", {}, (400, "malformed")),
    (b'{"value":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}", {}, (400, "malformed")),
    (b'{"value":' + b"9" * 60_000 + b"}", {}, (400, "malformed")),
    (b"\xef\xbb\xbf" + b'{"value":1}', {}, (400, "malformed")),
    (b'{"value":1}', {"Content_Encoding": "gzip"}, (415, "media_type")),
    (b'{"value":1}', {"Content_Encoding": "identity, br"}, (415, "media_type")),
]


def test_bodies_that_blow_up_are_refused_and_set_nothing(tmp_path: Path) -> None:
    found: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        for body, headers, _ in BOMBS:
            found.append((await bench.http("PUT", VALVE, body, token=token, **headers)).code)

    bench = served(tmp_path, play)
    assert found == [expected for *_, expected in BOMBS]
    assert bench.records("command_intent") == []


def test_a_body_in_crumbs_is_not_eaten_up() -> None:
    link = Counting()
    link.receive_data(PUT + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (CRUMBS_MOST + 1))
    assert isinstance(link.next_event(), h11.Request)
    for _ in range(CRUMBS_MOST):
        assert isinstance(link.next_event(), h11.Data)
    with pytest.raises(h11.RemoteProtocolError, match="small pieces"):
        link.next_event()


def test_an_answer_is_waited_for_as_long_as_some_of_it_is_taken() -> None:
    progress = Progress()
    assert not any(progress.is_stalled(100_000 - taken, 10.0 * taken) for taken in range(20))
    assert not progress.is_stalled(0, 300.0)
    assert not progress.is_stalled(5, 300.0)
    assert not progress.is_stalled(7, 300.0 + STALLED_S - 0.1)
    assert progress.is_stalled(7, 300.0 + STALLED_S)


def test_who_asks_and_does_not_read_is_closed_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "STALLED_S", 0.5)

    async def play(bench: HttpBench) -> None:
        many = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000
        with linked(bench.port, many, receives=4_096):
            await until(lambda: bench.gateway.status()["http"]["stalled_connections"] == 1, 30)
            assert bench.gateway.status()["http"]["connections"] == 0

    served(tmp_path, play)


def test_a_body_that_nobody_reads_keeps_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.5)

    def trickle(port: int) -> int:
        with linked(port, PUT + b"Content-Length: 60000\r\n\r\n") as link:
            with contextlib.suppress(ConnectionError):
                for _ in range(10_000):
                    link.sendall(b"x")
                    link.settimeout(0.01)
                    with contextlib.suppress(TimeoutError):
                        if not link.recv(65_536):
                            break
                else:
                    raise AssertionError("it was never closed")
            return 1

    async def play(bench: HttpBench) -> None:
        assert await asyncio.to_thread(trickle, bench.port)

    served(tmp_path, play)


def frame(opcode: int, data: bytes = b"", *, is_last: bool = True, mask: bool = True, more: int = 0) -> bytes:
    """Return a frame of a WebSocket client (RFC 6455, 5.2)."""
    size = struct.pack(">B", (0x80 if mask else 0) | (min(126, len(data))))
    extended = b"" if len(data) < 126 else struct.pack(">H", len(data))
    return bytes([is_last << 7 | more | opcode]) + size + extended + (bytes(4) if mask else b"") + data


FRAMES = [
    (frame(5), 1002), (frame(1, b"unmasked", mask=False), 1002), (frame(1, b"packed", more=0x40), 1002),
    (frame(1, b"x" * 5_000), 1009), (frame(8, b"\x00\x01"), 1002), (frame(0, b"of nothing"), 1002),
    (frame(9, b"x" * 126), 1002), (frame(9, is_last=False), 1002), (frame(8, b"\x03\xe8"), 1000),
]  # fmt: skip


def upgraded(port: int, more: bytes = b"") -> contextlib.AbstractContextManager[socket.socket]:
    return linked(port, GREETING + UPGRADE + KEY + more + b"\r\n")


def read_head(link: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += link.recv(1)
    return head


def test_frames_that_are_none_end_a_websocket_with_the_code_that_says_so(tmp_path: Path) -> None:
    def code(port: int, data: bytes) -> int:
        with upgraded(port) as link:
            read_head(link)
            link.sendall(data)
            answer = link.recv(1_024)
            assert answer[0] == 0x88
            return int.from_bytes(answer[2:4], "big")

    async def play(bench: HttpBench) -> None:
        for data, expected in FRAMES:
            assert await asyncio.to_thread(code, bench.port, data) == expected

    served(tmp_path, play)


def test_nothing_is_packed_for_a_client_that_could_unpack_it(tmp_path: Path) -> None:
    def head(port: int) -> bytes:
        with upgraded(port, b"Sec-WebSocket-Extensions: permessage-deflate\r\n") as link:
            return read_head(link).lower()

    async def play(bench: HttpBench) -> None:
        assert b"extensions" not in await asyncio.to_thread(head, bench.port)

    served(tmp_path, play)


@pytest.mark.parametrize("flood", [frame(0, is_last=False), frame(9, b"x" * 125)], ids=["crumbs", "pings"])
def test_a_websocket_that_says_much_and_reads_nothing_fills_no_memory(tmp_path: Path, flood: bytes) -> None:
    def talk(link: socket.socket) -> None:
        with contextlib.suppress(OSError):
            link.sendall(frame(1, is_last=False) + flood * 50_000)

    async def play(bench: HttpBench) -> None:
        state = bench.gateway.http._state  # type: ignore[union-attr]
        with upgraded(bench.port) as link:
            await asyncio.to_thread(read_head, link)
            (connection,) = state.connections
            await asyncio.to_thread(talk, link)
            held: Any = connection
            assert held.frames == []
            assert held.transport.get_write_buffer_size() < 200_000
        assert (await bench.get("/healthz")).status == 200

    served(tmp_path, play)


def test_more_connections_than_there_is_room_for_are_told_so_and_others_go_on(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        with contextlib.ExitStack() as held:
            first = held.enter_context(linked(bench.port))
            await until(lambda: bench.gateway.status()["http"]["connections"] == 1, 30)
            await asyncio.to_thread(lambda: [held.enter_context(linked(bench.port)) for _ in range(299)])
            await until(lambda: bench.gateway.status()["http"]["refused_connections"] == 300 - 32, 30)
            first.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in await asyncio.to_thread(first.recv, 65_536)
        await until(lambda: bench.gateway.status()["http"]["connections"] == 0, 30)
        assert (await bench.get("/healthz")).status == 200

    served(tmp_path, play, http=HttpConfig(max_connections=32))
