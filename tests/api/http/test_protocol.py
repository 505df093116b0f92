"""What does not keep to HTTP, or takes its time: typed answers, bounded, and others do not notice."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from gateway.api.http import protocol
from gateway.api.settings import HttpConfig
from tests.api.kit import HttpBench, served
from tests.integration.test_ports import until


def sent(port: int, data: bytes, *, ends: bool = False) -> tuple[int, str]:
    """Send bytes and return the status of the answer and its code."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(data)
        if ends:
            link.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := link.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"nonsense\r\n\r\n", (400, "malformed")),
        (b"GET / HTTP/9.9\r\n\r\n", (403, "foreign_host")),
        (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", (400, "malformed")),  # HTTP/1.1 takes a Host
        (b"GET /healthz HTTP/1.0\r\n\r\n", (403, "foreign_host")),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", (431, "headers")),
        (b"GET /" + b"x" * 40_000, (431, "headers")),
    ],
)
def test_what_is_no_request_of_ours_gets_a_typed_answer(tmp_path: Path, data: bytes, expected: tuple[int, str]) -> None:
    async def play(bench: HttpBench) -> None:
        assert await asyncio.to_thread(sent, bench.port, data) == expected
        assert (await bench.get("/healthz")).status == 200

    served(tmp_path, play)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: local", (408, "timeout")),
        (b"", None),
    ],
)
def test_a_request_that_does_not_become_whole_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, expected: tuple[int, str] | None
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.3)

    def look(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
            link.sendall(data)
            return link.recv(65_536)

    async def play(bench: HttpBench) -> None:
        answer = await asyncio.to_thread(look, bench.port)
        if expected is None:
            assert answer == b""
        else:
            assert answer.startswith(b"HTTP/1.1 408")

    served(tmp_path, play)


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.api.http.protocol.REQUEST_S", 0.3)

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        head = (
            "PUT /v1/devices/node/setpoints/node/valve HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
            "Connection: close\r\nContent-Length: 100\r\n\r\n{"
        )
        assert await asyncio.to_thread(sent, bench.port, head.encode()) == (408, "timeout")

    served(tmp_path, play)


def test_one_connection_too_many_is_told_so_and_there_is_room_again_when_one_goes(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        held = [socket.create_connection(("127.0.0.1", bench.port)) for _ in range(4)]
        await until(lambda: bench.gateway.status()["http"]["connections"] == 4, 30)
        assert (await bench.get("/healthz")).code == (503, "busy")
        for each in held:
            each.close()
        await until(lambda: bench.gateway.status()["http"]["connections"] == 0, 30)
        assert (await bench.get("/healthz")).status == 200
        assert bench.gateway.status()["http"]["refused_connections"] == 1

    served(tmp_path, play, http=HttpConfig(max_connections=4))
