"""Layer 9: `doctor`: clock, power, card and file systems: what an unattended machine fails of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.cli.doctor.host import Finding, Host

# vcgencmd get_throttled: the bits 0-3 hold now, 16-19 since the start (raspberrypi.com, documentation of vcgencmd)
_THROTTLED: Final = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "near the temperature limit"}
_SINCE_START: Final = 16
THROTTLED_FILE: Final = "sys/devices/platform/soc/soc:firmware/get_throttled"
# eMMC 5.1 (JESD84-B51), 7.4.35 and 7.4.36: tenths of the life used, 0x0b exceeded; reserve blocks 1 normal, 2 80 %,
# 3 90 % used
_LIFE_EXCEEDED: Final = 0x0B
_LIFE_LOW: Final = 9


def clock(host: Host) -> Iterator[Finding]:
    """Give whether the clock is set by the network, and whether it survives a power cut."""
    told = host.run("timedatectl", "show", "--property=NTPSynchronized", "--property=NTP") or ""
    is_synchronised = "NTPSynchronized=yes" in told or host.exists("run/systemd/timesync/synchronized")
    has_clock = bool(host.names("sys/class/rtc"))
    if is_synchronised:
        yield Finding("clock", "ok", "the clock is set by the network")
    elif not told:
        yield Finding("clock", "skip", "nobody here says whether the clock is set")
    elif "NTP=no" in told:
        yield Finding("clock", "fail", "nothing sets the clock", "sudo timedatectl set-ntp true")
    else:
        yield Finding("clock", "warn", "the clock was not set by the network yet", "timedatectl timesync-status")
    if not has_clock and host.model:
        fix = "fit one and write dtoverlay=i2c-rtc,ds3231 into config.txt, or accept times that jump at the start"
        yield Finding(
            "clock", "warn", "no battery clock: after a power cut the time is wrong until the network is back", fix
        )


def power(host: Host) -> Iterator[Finding]:
    """Give whether a Raspberry Pi gets enough power and stays cool."""
    text = host.text(THROTTLED_FILE) or (host.run("vcgencmd", "get_throttled") if host.is_raspberry else None)
    bits = throttled_bits(text or "")
    if bits is None:
        yield Finding("power", "skip", "this board does not tell of its power")
        return
    now = [word for bit, word in _THROTTLED.items() if bits >> bit & 1]
    before = [word for bit, word in _THROTTLED.items() if bits >> (bit + _SINCE_START) & 1]
    fix = "use the supply made for this board and a short cable; give it air"
    if now:
        yield Finding("power", "fail", f"right now: {', '.join(now)}", fix)
    elif before:
        yield Finding("power", "warn", f"since the start: {', '.join(before)}", fix)
    else:
        yield Finding("power", "ok", "power and temperature were good since the start")


def throttled_bits(text: str) -> int | None:
    """Return the bits in `throttled=0x50005` or `50005`."""
    match = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", text.strip())
    return int(match[1], 16) if match else None


def card(host: Host) -> Iterator[Finding]:
    """Give how worn the card or eMMC is, where it tells."""
    cards = [name for name in host.names("sys/block") if re.fullmatch(r"mmcblk\d+", name)]
    if not cards:
        yield Finding("card", "skip", "no SD card and no eMMC here")
    for name in cards:
        yield _card(host, name)


def _card(host: Host, name: str) -> Finding:
    folder = f"sys/block/{name}/device"
    kind = host.text(f"{folder}/type") or "card"
    title = f"{name} ({kind} {host.text(f'{folder}/name') or 'without a name'})"
    worn = max((_hex(word) for word in (host.text(f"{folder}/life_time") or "").split()), default=0)
    reserve = _hex(host.text(f"{folder}/pre_eol_info") or "0")
    if worn >= _LIFE_EXCEEDED or reserve >= 3:
        return Finding("card", "fail", f"{title} is worn out", "copy it to a new one now")
    if worn >= _LIFE_LOW or reserve == 2:
        return Finding("card", "warn", f"{title} has used {max(worn, 8) * 10} % of its life", "plan a new one")
    if worn:
        return Finding("card", "ok", f"{title} has used at most {worn * 10} % of its life")
    return Finding("card", "ok", f"{title} does not tell how worn it is")


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def root_file_system(host: Host) -> Iterator[Finding]:
    """Give whether what is written to the system's own file system stays there."""
    mount = next((each for each in reversed(host.mounts()) if each.place == "/"), None)
    if mount is None:
        yield Finding("root", "skip", "what is mounted at / is not told")
    elif "ro" in mount.options and "errors=remount-ro" in mount.options:
        fix = "dmesg | grep -i ext4, then check it from another system: sudo fsck -f"
        yield Finding("root", "fail", "/ is read-only; it may have been put there because of errors", fix)
    elif "ro" in mount.options:
        yield Finding("root", "ok", "/ is read-only; the data folder has to be elsewhere")
    elif mount.kind in {"overlay", "tmpfs", "aufs"} and host.is_raspberry:
        fix = "put the data folder on a partition of its own: [gateway] data, or --data"
        yield Finding("root", "warn", f"/ is {mount.kind}: what is written there is gone at the next start", fix)
    else:
        yield Finding("root", "ok", f"/ is {mount.kind}, writable")


CHECKS = (clock, power, card, root_file_system)
