"""Layer 9: `tidegate service`: the gateway as a systemd unit, hardened, watched and restarted."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

from gateway.errors import UsageError

UNIT_PATH: Final = Path("/etc/systemd/system/tidegate.service")

UNIT: Final = """\
# Written by `tidegate service install`; change it with `systemctl edit tidegate`.
[Unit]
Description=Tidegate gateway
After=network.target bluetooth.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} run {site} --data /var/lib/tidegate
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=30
Restart=on-failure
RestartSec=2
TimeoutStopSec=10

DynamicUser=yes
User=tidegate
SupplementaryGroups={groups}
StateDirectory=tidegate
StateDirectoryMode=0700
UMask=0077

NoNewPrivileges=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_CAN AF_NETLINK AF_BLUETOOTH
{capabilities}

[Install]
WantedBy=multi-user.target
"""
GROUPS: Final = ("dialout", "spi", "gpio", "bluetooth", "plugdev")
CAPABILITIES: Final = "AmbientCapabilities=CAP_NET_ADMIN\nCapabilityBoundingSet=CAP_NET_ADMIN"


@click.group(name="service")
def group() -> None:
    """Run the gateway as a systemd service.

    For example `tidegate service show site.toml`, then `sudo tidegate service install site.toml`.
    """


def _options(command: click.Command) -> click.Command:
    command.params += [
        click.Argument(["site"], metavar="SITE.toml"),
        click.Option(["--restart-can"], is_flag=True, help="Let it restart CAN controllers (CAP_NET_ADMIN)."),
    ]
    return command


@click.command(name="show")
def show(*, site: str, restart_can: bool) -> None:
    """Print the unit file, and change nothing."""
    click.echo(unit_text(site, restarts_can=restart_can), nl=False)


@click.command(name="install")
def install(*, site: str, restart_can: bool) -> None:
    """Write the unit file, and start it now and at every boot. Needs root.

    It runs as a user of its own that may open serial ports, SPI, GPIO and Bluetooth, and little else. The site file
    stays where it is, and that user must be able to read it; data goes to /var/lib/tidegate.
    """
    text = unit_text(site, restarts_can=restart_can)
    if os.geteuid() != 0:
        raise UsageError(
            "installing a service takes root; run it with sudo, or look at it with `tidegate service show`"
        )
    if shutil.which("systemctl") is None:
        raise UsageError("this machine has no systemctl; `tidegate service show` prints the unit for others to use")
    UNIT_PATH.write_text(text, encoding="utf-8")
    _run("systemctl", "daemon-reload")
    _run("systemctl", "enable", "--now", UNIT_PATH.stem)
    click.echo(f"{UNIT_PATH} is written and started; see it with: systemctl status {UNIT_PATH.stem}")


def unit_text(site: str, *, restarts_can: bool) -> str:
    """Return the unit file for a site. Raises: UsageError, ConfigError where the site is wrong."""
    from gateway.config import load_site

    load_site(site)
    return UNIT.format(
        program=_quoted(Path(sys.prefix) / "bin" / "tidegate"),
        site=_quoted(Path(site).resolve()),
        groups=" ".join(name for name in GROUPS if _is_group(name)),
        capabilities=CAPABILITIES if restarts_can else "CapabilityBoundingSet=",
    )


def _quoted(path: Path) -> str:
    """Return a path as one word of a command line in a unit file (systemd.service(5), systemd.unit(5))."""
    text = str(path)
    for sign, spelled in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(sign, spelled)
    return f'"{text}"'


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise UsageError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")


for each in (show, install):
    group.add_command(_options(each))
