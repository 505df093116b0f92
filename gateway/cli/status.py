"""Layer 9: `tidegate status`."""

from __future__ import annotations

import json
from typing import Any

import click

from gateway.cli.client import ask, data_option, json_option, table, token_option
from gateway.cli.devices import chosen_lines
from gateway.plain import age_text, size_text

FRAMES = ("in", "delivered", "dropped", "refused", "pending")


@click.command(name="status")
@json_option
@token_option
@data_option
def command(as_json: bool, token: str | None, data: str | None) -> None:
    """Show what a running gateway does: states, frames, what was lost and why.

    For example `tidegate status`, or `tidegate status --json --data /var/lib/tidegate` for programs.
    Exit 3 where no gateway answers.
    """
    answer = ask(data, token, "status")
    click.echo(json.dumps(answer, ensure_ascii=False) if as_json else _plain(answer))


def _plain(answer: dict[str, Any]) -> str:
    uptime = age_text(answer["uptime"])
    rows = [("DEVICE", "STATE", "SINCE", *(name.upper() for name in FRAMES), "PORT", "")]
    for device in answer["devices"]:
        is_silent = device["stale"] and device["state"] == "CONNECTED"
        state = f"{device['state']}{' (stale)' if is_silent else ''}"
        counts = tuple(f"{device['frames'][name]:,}" for name in FRAMES)
        why = device["first_error"] or device["reason"] or _fault(device)
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
            told = {
                "remembered": found["remembered"], "evicted": found["evicted"], "frames without room": found["refused"],
            }  # fmt: skip
            more = "".join(f", {count:,} {what}" for what, count in told.items() if count)
            lines.append(f"{port['name']}: {found['devices']} of {found['limit']} devices {found['name']}{more}")
    lines += chosen_lines(answer["devices"])
    lines += [line for device in answer["devices"] if (line := _polls(device["name"], device["polls"]))]
    lines += ledger_lines(answer["ledger"])
    return "\n".join(lines)


def _fault(device: dict[str, Any]) -> str:
    """Return what broke of our own part at a device that works, "" where nothing ever did."""
    return f"{device['health']['faults']:,} faults of our own, the first {device['fault']}" if device["fault"] else ""


def ledger_lines(told: dict[str, Any]) -> list[str]:
    """Return what the ledger says of itself: what a power cut may take now, wear, fill, and what went wrong."""
    mode = told["mode"]
    if mode not in {"recording", "shedding", "read-only"}:
        why = f": {told['reason']}" if told.get("reason") else ""
        return [f"ledger: {mode}{why}"]
    window_s = told["guarantees"]["telemetry"]["loss_window"]
    promise = f"a power cut now takes at most {window_s:g}s of telemetry, nothing of states and commands"
    last = f", the last {age_text(told['committed'])} ago" if told.get("committed") is not None else ""
    lines = [f"ledger: {mode}, {told['durable_seq']:,} records on the medium{last}; {promise}"]
    if told["reason"]:
        lines.append(f"ledger: {told['reason']}")
    lines += [f"ledger: {line}" for line in (_wear(told.get("wear")), _fill(told), _lost(told)) if line]
    if advice := told.get("medium", {}).get("advice"):
        lines.append(f"ledger: {advice}")
    return lines


def _wear(wear: dict[str, Any] | None) -> str:
    if not wear or not wear["commits"]:
        return ""
    years = wear["card_years"]
    life = (
        "" if years is None else f", a 32 GB card lasts {'over 100' if years > 100 else f'{years:.1f}'} years at that"
    )
    factor = wear["write_amplification"]
    saving = "" if wear["level"] == "normal" else f", {wear['level']}: windows are widened"
    return f"{size_text(round(wear['bytes_per_day']))} a day, {factor:.1f} times the records{life}{saving}"


def _fill(told: dict[str, Any]) -> str:
    ring, archives = told.get("ring"), told.get("archives")
    if not ring or not archives:
        return ""
    return (
        f"{ring['fill']:.0%} of a ring of {size_text(ring['bytes'])} to be archived, {archives['files']} archives of "
        f"{size_text(archives['bytes'])}"
    )


def _lost(told: dict[str, Any]) -> str:
    shed = told["shed"] if isinstance(told["shed"], dict) else {"archiving lags": told["shed"]}
    parts = [f"{count:,} readings not kept ({reason})" for reason, count in shed.items() if count]
    parts += [f"{told['unsure']:,} records perhaps lost when it failed"] if told.get("unsure") else []
    for each in told["damage"][:3]:
        parts.append(f"damaged from {each['seq']} on in {each['file']} at {each['offset']}: {each['reason']}")
    if len(told["damage"]) > 3:
        parts.append(f"{len(told['damage']) - 3} more places damaged; see: tidegate ledger verify")
    return "; ".join(parts)


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
