"""Layer 9: `tidegate status`."""

from __future__ import annotations

import json
from typing import Any

import click

from gateway.cli.client import ask, data_option, json_option, table
from gateway.plain import age_text

FRAMES = ("in", "delivered", "dropped", "refused", "pending")


@click.command(name="status")
@json_option
@data_option
def command(as_json: bool, data: str | None) -> None:
    """Show what a running gateway does: states, frames, what was lost and why.

    For example `tidegate status`, or `tidegate status --json --data /var/lib/tidegate` for programs.
    Exit 3 where no gateway answers.
    """
    answer = ask(data, "status")
    click.echo(json.dumps(answer, ensure_ascii=False) if as_json else _plain(answer))


def _plain(answer: dict[str, Any]) -> str:
    uptime = age_text(answer["uptime"])
    rows = [("DEVICE", "STATE", "SINCE", *(name.upper() for name in FRAMES), "PORT", "")]
    for device in answer["devices"]:
        state = f"{device['state']}{' (stale)' if device['stale'] else ''}"
        counts = tuple(f"{device['frames'][name]:,}" for name in FRAMES)
        why = device["fault"] or device["first_error"] or device["reason"]
        rows.append((device["name"], state, age_text(device["since"]), *counts, device["port"], why))
    lines = [f"{answer['name']}, up {uptime}, boot {answer['boot']}, data in {answer['data']}", table(rows)]
    for port in answer["ports"]:
        if port["garbage"] or port["unknown"] or port["dropped"]:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in port["garbage_by_reason"].items())
            garbage = f"{port['garbage']:,} pieces of garbage" + (f" ({reasons})" if reasons else "")
            lines.append(f"{port['name']}: {garbage}, {port['unknown']:,} unknown, {port['dropped']:,} dropped")
        if port["link"]:
            lines.append(f"{port['name']}: {_facts(port['link'])}")
        for found in port["discovered"]:
            told = {"evicted": found["evicted"], "frames without room": found["refused"]}
            more = "".join(f", {count:,} {what}" for what, count in told.items() if count)
            lines.append(f"{port['name']}: {found['devices']} of {found['limit']} devices {found['name']}{more}")
    lines += [line for device in answer["devices"] if (line := _polls(device["name"], device["polls"]))]
    return "\n".join(lines)


def _facts(link: dict[str, Any]) -> str:
    """Return what a port knows of its wire in one line; what is zero or empty says nothing."""
    parts = []
    for name, value in link.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{key} {_short(each)}" for key, each in value.items() if each)
            parts += [f"{name} ({inner})"] if inner else []
        elif value:
            parts.append(name if value is True else f"{name} {_short(value)}")
    return ", ".join(parts) or "nothing to report"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _polls(name: str, polls: dict[str, Any]) -> str:
    """Return what went wrong in asking one device, "" where nothing did."""
    refused = [f"{count:,} {reason}" for reason, count in polls["exceptions"].items()]
    found = [f"{polls[key]:,} {word}" for key, word in (("timeouts", "timed out"), ("late", "late")) if polls[key]]
    if not found and not refused:
        return ""
    now = "".join(f"; {message}: {reason}" for message, reason in polls["failing"].items())
    slowed = ", asked more seldom" if polls["slowed"] else ""
    return f"{name}: {polls['asked']:,} asked, {', '.join(found + refused)}{slowed}{now}"
