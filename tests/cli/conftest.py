"""Fixtures of the command line's tests."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from tests.cli.answerer import Gate, Ran


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gate:
    """The whole command line, in this process, with its data folder in the environment."""
    folder = tmp_path / "data"
    monkeypatch.setenv("TIDEGATE_DATA", str(folder))
    monkeypatch.delenv("TIDEGATE_TOKEN", raising=False)

    def run(*arguments: str, lines: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["tidegate", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Ran(int(end.value.code or 0), *capfd.readouterr())

    return Gate(folder, run)
