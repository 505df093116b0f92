from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.logs import JsonFormatter, LimitedHandler, Limiter, TextFormatter, format_wanted, redacted
from tests.cli.test_run import running, site  # noqa: F401 - a fixture

TOKEN = "tg1.eyJpZCI6ImEifQ.c2lnbmF0dXJl"


class Log:
    """A logger of its own, and what it writes."""

    def __init__(self, formatter: logging.Formatter, burst: int = 3) -> None:
        self._stream = io.StringIO()
        self.handler = LimitedHandler(self._stream, Limiter(burst=burst, window_s=3600.0))
        self.handler.setFormatter(formatter)
        self.log = logging.getLogger("gateway.test")
        self.log.handlers = [self.handler]
        self.log.setLevel(logging.INFO)

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


@pytest.fixture
def told() -> Iterator[Log]:
    log = Log(JsonFormatter())
    yield log
    log.handler.close()


def test_a_line_is_one_object_with_its_template(told: Log) -> None:
    told.log.warning("%s refused: %s", "pump", "line 3\nline 4\x1b[31m")
    (line,) = told.lines
    row = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row.pop("t"))
    assert row == {
        "level": "warning", "logger": "gateway.test", "message": "pump refused: line 3\nline 4\x1b[31m",
        "event": "%s refused: %s",
    }  # fmt: skip


@given(text=st.text(), more=st.text())
def test_whatever_a_device_says_is_one_line_of_json_and_no_line_of_its_own_in_text(text: str, more: str) -> None:
    for formatter in (JsonFormatter(), TextFormatter()):
        log = Log(formatter)
        log.log.info("device said %s", text + more)
        log.handler.close()
    lines = log.lines
    assert all(line.startswith("    ") for line in lines[1:])
    assert all(line.isprintable() for line in lines)


def test_an_exception_is_in_its_object(told: Log) -> None:
    told.log.error("fault: %s", "pump", exc_info=ValueError(f"no {TOKEN}"))
    row = json.loads(told.lines[0])
    assert "ValueError: no tg1..." in row["exception"]
    assert TOKEN not in told.lines[0]


def test_a_flood_of_one_kind_is_counted_and_others_come_through(told: Log) -> None:
    for number in range(50):
        told.log.info("frame %d refused", number)
    told.log.info("something else")
    told.handler.close()
    rows = [json.loads(line) for line in told.lines]
    assert [row["message"] for row in rows] == [
        "frame 0 refused", "frame 1 refused", "frame 2 refused", "something else",
        "47 messages were not written: gateway.test: frame %d refused",
    ]  # fmt: skip
    assert rows[-1]["suppressed"] == 47


@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 9)), max_size=200))
def test_every_message_is_written_or_counted_once(steps: list[tuple[str, float]]) -> None:
    limiter, now_s, written, counted = Limiter(burst=2, window_s=10.0), 0.0, 0, 0
    for template, passed_s in steps:
        now_s += passed_s
        held = limiter.take(template, now_s)
        written += held is not None
        counted += held or 0
        counted += sum(count for _, count in limiter.due(now_s))
    counted += sum(count for _, count in limiter.due(now_s, is_end=True))
    assert written + counted == len(steps)


def test_templates_without_end_are_counted_together() -> None:
    limiter = Limiter(burst=2, window_s=10.0)
    written = sum(limiter.take(f"made up {number}", 0.0) is not None for number in range(5_000))
    assert written == 1_024 + 2


def test_templates_that_are_quiet_make_room() -> None:
    limiter = Limiter(burst=2, window_s=10.0)
    for number in range(5_000):
        assert limiter.take(f"made up {number}", number * 1.0) == 0


@pytest.mark.parametrize("text", [f"token {TOKEN} is bad", f"Authorization: Bearer {TOKEN}", "Basic dXNlcjpwdw=="])
def test_tokens_and_credentials_are_taken_out(text: str) -> None:
    assert "eyJ" not in redacted(text)
    assert "dXNl" not in redacted(text)


def test_a_journal_gets_json_and_a_terminal_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert format_wanted(None, io.StringIO()) == "text"
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    assert format_wanted(None, io.StringIO()) == "json"
    assert format_wanted(None, Tty()) == "text"
    assert format_wanted("text", io.StringIO()) == "text"
    assert format_wanted("json", Tty()) == "json"


def test_every_line_of_a_gateway_is_an_object_and_none_has_a_password_or_token(
    site: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    secret = "correct-horse-battery-staple"
    (tmp_path / "password").write_text(secret)
    more = f'[mqtt]\nhost = "127.0.0.1"\nport = 1\nusername = "boiler"\npassword = {{ file = "{tmp_path}/password" }}\n'
    site.write_text(site.read_text() + more)
    with running(site, "--log-format", "json") as process:
        first = process.first  # type: ignore[attr-defined]
        command = [sys.executable, "-m", "gateway", "status", "--token", TOKEN, "--data", str(tmp_path / "data")]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
        subprocess.run([*command[:3], "reload", *command[4:]], capture_output=True, timeout=120, check=False)
        site.write_text(site.read_text() + "[device.node]\n")
        process.send_signal(1)  # SIGHUP: a reload of a file that is wrong
        lines = [first]
        while "reload refused" not in lines[-1]:
            lines.append(process.stderr.readline())  # type: ignore[union-attr]
        process.terminate()
        lines += process.communicate(timeout=120)[1].splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[0]["message"].startswith("boiler-room: 1 device on 1 port")
    assert {row["level"] for row in rows} >= {"info", "warning"}
    assert secret not in "".join(lines)
    assert TOKEN not in "".join(lines)
