"""Layer 9: `tidegate init`: a site file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from gateway.config import load_site
from gateway.errors import UsageError

SITE: Final = """\
# Two lines a device: which profile, on which port. `tidegate scan` finds ports, `tidegate profile list` profiles.
[device.{device}]
profile = "{profile}"
port    = "{port}"

# Who may do what; what nobody granted is denied. Everybody who can open the data folder may read.
[grant.{user}]
principal = "{principal}"
routes    = "**"                        # or device/family/name, with * for one segment
verbs     = ["read", "write", "admin"]

# Everything below is optional.
# [gateway]
# name = "boiler-room"
# data = "/var/lib/tidegate"
#
# [ledger]
# window    = "5s"                      # of telemetry that a power cut may take
# footprint = "small"                   # everything under 8 MiB
"""


@click.command(name="init")
@click.argument("file", metavar="[SITE.toml]", default="site.toml")
@click.option("--device", metavar="NAME=PROFILE@PORT", default="gps=nmea-gnss@/dev/ttyACM0", help="Its first device.")
def command(file: str, device: str) -> None:
    """Write a site file with one device and every right for you; change it with an editor.

    For example `tidegate init`, `tidegate init pump.toml --device pump=motor@can0`, then `tidegate run site.toml`.
    """
    from gateway.runtime.peer import own_principal

    name, named, rest = device.partition("=")
    profile, at, port = rest.partition("@")
    if not (named and at and name and profile and port):
        raise UsageError(f"{device!r} is no NAME=PROFILE@PORT, for example 'gps=nmea-gnss@/dev/ttyACM0'")
    path = Path(file)
    principal = own_principal()
    user = "".join(each if each.isalnum() else "-" for each in principal.partition(":")[2].lower()).strip("-") or "me"
    text = SITE.format(
        device=name, profile=_quoted(profile), port=_quoted(port), user=user, principal=_quoted(principal)
    )  # fmt: skip
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UsageError(f"{file} is there already; name another, or remove it first") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error
    try:
        load_site(file)
    except BaseException:
        path.unlink()
        raise
    click.echo(f"{file} is written; next: tidegate run {file}")


def _quoted(text: str) -> str:
    """Return text as it stands between the quotes of a TOML string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
