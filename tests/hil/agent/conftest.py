"""A board, and agents of it in processes of their own."""

from __future__ import annotations

import subprocess

import pytest

from tests.hil.agent.boards import AGENT, Board


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path)
    yield board
    board.close()


@pytest.fixture
def agents(board):
    """Starts agents that listen; gives each with its address."""
    started = []

    def listen(at=0, *more):
        words = [*AGENT, "--listen", f"127.0.0.1:{at}", "--rig", str(board.rig), *map(str, more)]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stderr.readline()
        assert line.startswith("serving a (uart0) on "), line + process.stderr.read()
        return process, line.split(" on ")[1].split(",")[0]

    yield listen
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()
