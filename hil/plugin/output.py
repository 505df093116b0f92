"""What a test's run leaves behind: JUnit properties, bus logs, the last records of each bus, a file of results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from hil.plugin.session import Running
from hil.rigs.standard import PROTOCOLS

LAST_RECORDS: Final = 50  # of each bus, shown where a test failed
MOST_REASON: Final = 4_000  # characters, of why a test failed
LOG_RECORDS: Final = 20_000  # of a test, into JUnit; a trace has all
BUSES: Final = frozenset(PROTOCOLS) - {"power"}


def properties_of(running: Running) -> list[tuple[str, object]]:
    """Return a run's JUnit properties."""
    return [
        ("hil.seed", str(running.seed)),
        ("hil.trace", str(running.trace)),
        ("hil.rig", running.rig.name),
        ("hil.target", running.rig.target),
        ("hil.gateway", _gateway_version()),
        ("hil.firmware", running.rig.dut.firmware),
        *((each.name, each.text) for each in running.measurements),
    ]


def log_of(records: Iterable[Any], resources: Mapping[str, str]) -> str:
    """Return what passed on each bus, a line each, `BUS no traffic` for a quiet one."""
    buses = [name for name, protocol in resources.items() if protocol in BUSES]
    lines: list[str] = []
    heard: set[str] = set()
    left = 0
    for record in records:
        if record.bus in buses and record.dir in ("rx", "tx"):
            heard.add(record.bus)
            if len(lines) < LOG_RECORDS:
                lines.append(f"{record.bus} {record.dir} {record.data}")
            else:
                left += 1
    lines += [f"... {left} more in the trace"] if left else []
    return "\n".join([*lines, *(f"{bus} no traffic" for bus in buses if bus not in heard)])


def tails_of(records: Iterable[Any], resources: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the last records of each bus, as sections of a report."""
    shown: dict[str, list[str]] = {}
    for record in records:
        shown.setdefault(record.bus, []).append(record.line().decode().rstrip("\n"))
    return [
        (f"hil: last records of {bus}", "\n".join(lines[-LAST_RECORDS:]))
        for bus, lines in shown.items()
        if bus in resources or lines
    ]


def write_results(running: Running, test: str) -> Path:
    """Write what is known of a run beside its trace, for `tidegate hil report` and `compare`; return where.

    Raises: OSError, for example of a full disk; nothing is written then.
    """
    result = {
        "test": test,
        "outcome": running.outcome,
        "reason": running.reason[:MOST_REASON].encode(errors="backslashreplace").decode(),
        "duration_s": round(running.duration_s, 6),
        "rig": running.rig.name,
        "target": running.rig.target,
        "seed": running.seed,
        "round": running.number,
        "trace": running.trace.name,
        "gateway": _gateway_version(),
        "firmware": running.rig.dut.firmware,
        "measurements": [asdict(each) for each in running.measurements],
        "covered": running.covered,
    }
    path = running.trace.with_suffix(".json")
    _write(path, result)
    return path


def write_minimal(path: Path, schedule: Sequence[Mapping[str, Any]]) -> None:
    """Add to a failed round's results which strikes matter."""
    _write(path, {**json.loads(path.read_bytes()), "minimal": list(schedule)})


def _write(path: Path, result: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".json.new")
    try:
        draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def add_to_junit(config: pytest.Config, report: pytest.TestReport, log: str) -> None:
    """Put a bus log into the JUnit file, if there is to be one."""
    from _pytest.junitxml import xml_key

    xml = config.stash.get(xml_key, None)
    if xml is not None:
        element = ET.Element("system-out")
        element.text = log
        xml.node_reporter(report).append(element)


@cache
def _gateway_version() -> str:
    try:
        return version("tidegate")
    except PackageNotFoundError:
        return ""
