"""Layer 9: `tidegate devices`."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from gateway.cli.client import ask, data_option, json_option, table, token_option
from gateway.plain import age_text

LEAST_PER_MIN: Final = 0.1  # fewer errors are not worth a line


@click.command(name="devices")
@json_option
@token_option
@data_option
def command(as_json: bool, token: str | None, data: str | None) -> None:
    """List the devices of a running gateway: profile, port, where the connection stands and why, messages.

    For example `tidegate devices`, or `tidegate devices --json` for programs. Exit 3 where no gateway answers.
    """
    devices = ask(data, token, "devices")
    if as_json:
        click.echo(json.dumps({"devices": devices}, ensure_ascii=False))
        return
    rows = [("DEVICE", "STATE", "UP", "PROFILE", "PORT", "MESSAGES")]
    rows += [
        (each["name"], each["state"], share_text(each), each["profile"], each["port"], " ".join(each["messages"]))
        for each in devices
    ]
    click.echo(table(rows))
    for line in [*chosen_lines(devices), *filter(None, map(trouble, devices))]:
        click.echo(line)


def share_text(device: dict[str, Any]) -> str:
    """Return for which part of the time since the start a device could be trusted, `-` where nothing is known."""
    share = device.get("health", {}).get("availability")
    if share is None:
        return "-"
    return f"{share:.0%}" if share in {0.0, 1.0} else f"{min(max(share, 0.001), 0.999):.1%}"


def chosen_lines(devices: list[dict[str, Any]]) -> list[str]:
    """Return a line for each device that uses another profile than its site file says."""
    chosen = [(each["name"], each["chosen"]) for each in devices if each.get("chosen")]
    return [
        f"{name}: {one['profile']}, which {one['by']} chose in place of {one['instead_of']}" for name, one in chosen
    ]


def trouble(device: dict[str, Any]) -> str:
    """Return what is wrong with a device and what was, in one line; "" where nothing is worth one."""
    parts = []
    if device["first_error"]:
        retry = "" if device["next_retry_s"] is None else f"; next attempt in {device['next_retry_s']:.1f} s"
        parts.append(f"{device['first_error']}{retry}")
    health = device.get("health", {})
    if health.get("errors_per_min", 0) >= LEAST_PER_MIN:
        parts.append(f"{health['errors_per_min']:.1f} errors and {health['retries_per_min']:.1f} retries a minute")
    if health.get("faults"):
        parts.append(f"{health['faults']:,} faults of our own part")
    if parts and health.get("last_error") and health["last_error"] != device["first_error"]:
        parts.append(f"the last error {age_text(health['last_error_age_s'])} ago: {health['last_error']}")
    return f"{device['name']}: {', '.join(parts)}" if parts else ""
