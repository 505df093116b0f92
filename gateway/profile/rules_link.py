"""Layer 3: rules of everything in a profile but messages and setpoints (PROFILES 1, 2, 3, 7)."""

from __future__ import annotations

import re
from typing import Final

from gateway.framing.spec import CAN_TRANSPORTS
from gateway.notation import duration_ns
from gateway.profile.findings import Findings
from gateway.profile.identity import PART, SEMVER
from gateway.profile.model import LINK_KEYS, MATCH_KEYS, LinkSpec, MatchSpec, ParamSpec, Profile
from gateway.profile.params import check_value, integer_range, is_known_type
from gateway.schema.cipher import KEY_BYTES
from gateway.schema.spec import RecordSpec
from gateway.spelling import did_you_mean

NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
UUID: Final = re.compile(r"[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
FORMAT_MAJOR: Final = 1
MAX_NAME: Final = 64
MAX_CAPACITY: Final = 1_000_000  # frames
_ID: Final = re.compile(r"([^/@\s]+)/([^/@\s]+)@(\S+)")
_VID_PID: Final = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}")
_DURATION_RANGE: Final = re.compile(r"(\S+?)\.\.(\S+)")


def check_head(profile: Profile, found: Findings) -> None:
    """Check `[profile]`: identity, format, family."""
    head = profile.profile
    match = _ID.fullmatch(head.id)
    if not match:
        found.error(("profile", "id"), f"{head.id!r} is no id; write 'publisher/name@1.0.0'")
    else:
        for part in match.group(1, 2):
            if not PART.fullmatch(part):
                found.error(
                    ("profile", "id"), f"{part!r} in {head.id!r}: use lower-case letters, digits, '-', '_', '.'"
                )
        if not SEMVER.fullmatch(match[3]):
            message = f"{match[3]!r} is no semantic version; write three numbers: 'publisher/name@1.0.0'"
            found.error(("profile", "id"), message)
    if not re.fullmatch(rf"{FORMAT_MAJOR}(\.\d{{1,4}})*", head.requires):
        message = f"needs profile format {head.requires!r}; this gateway reads format '{FORMAT_MAJOR}'"
        found.error(("profile", "requires"), message)
    check_segment(head.family, ("profile", "family"), found)


def check_segment(text: str | None, path: tuple[str | int, ...], found: Findings) -> None:
    """Check that a family can stand in a route."""
    if text is not None and not SEGMENT.fullmatch(text):
        found.error(path, f"{text!r} cannot stand in a route; use lower-case letters, digits, '_' and '-'")


def check_name(name: str, path: tuple[str | int, ...], found: Findings) -> None:
    """Check a name of section 1: lower-case letters, digits, `_`, no digit first."""
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        near = re.sub(r"[^a-z0-9_]", "_", name.lower())[:MAX_NAME]
        hint = f"; write {near!r}" if NAME.fullmatch(near) else ""
        found.error(path, f"{name[:MAX_NAME]!r} is no name; use lower-case letters, digits and '_'{hint}")


def check_params(specs: dict[str, ParamSpec], found: Findings) -> None:
    """Check `[params]` itself: names, types, and that defaults are legal values."""
    for name, spec in specs.items():
        path = ("params", name)
        check_name(name, path, found)
        if not is_known_type(spec.type):
            options = ["text", "key", "u8", "u16", "u32", "s8", "s16", "u16be", "u16le"]
            found.error((*path, "type"), f"unknown type {spec.type!r}{did_you_mean(spec.type, options)}")
            continue
        _check_param_bounds(spec, path, found)


def _check_param_bounds(spec: ParamSpec, path: tuple[str, str], found: Findings) -> None:
    bounds = integer_range(spec.type)
    for key in ("minimum", "maximum"):
        limit = getattr(spec, key)
        if limit is not None and bounds is None:
            found.error((*path, key), f"a parameter of type {spec.type!r} has no {key}")
        elif limit is not None and bounds is not None and not bounds[0] <= limit <= bounds[1]:
            found.error((*path, key), f"{limit} is outside {spec.type}: {bounds[0]}..{bounds[1]}")
    if spec.minimum is not None and spec.maximum is not None and spec.minimum > spec.maximum:
        found.error((*path, "minimum"), f"minimum {spec.minimum} is above maximum {spec.maximum}")
    elif spec.default is not None:
        try:
            check_value(spec, spec.default)
        except ValueError as error:
            found.error((*path, "default"), str(error))


def check_link(profile: Profile, found: Findings) -> None:
    """Check `[link]`: only keys of its bus, and their values."""
    if not found.knows_bus:
        return
    link = profile.link
    allowed = {"bus", "match"} | LINK_KEYS[link.bus]
    for key in sorted(set(found.written(("link",)) or {}) - allowed):
        owners = [bus for bus, keys in LINK_KEYS.items() if key in keys]
        if owners:
            message = f"{key!r} is for {' and '.join(owners)}, not for bus {link.bus!r}"
            found.error(("link", key), message)
    _check_electrical(link, found)
    if link.bus == "ble":
        _check_ble(link, found)
    elif link.bus == "spi":
        _check_spi(link, found)
    if link.match is not None:
        _check_match(link.bus, link.match, found)


def _check_electrical(link: LinkSpec, found: Findings) -> None:
    for key in ("baud", "bitrate", "data_bitrate", "speed_hz"):
        value = getattr(link, key)
        if value is not None and not 0 < value <= 1_000_000_000:
            found.error(("link", key), f"{value} is no rate")
    if link.stop_bits not in {1, 1.5, 2}:
        found.error(("link", "stop_bits"), f"{link.stop_bits} is not allowed; one of 1, 1.5, 2")
    if link.data_bitrate is not None and not link.fd and link.bus == "can":
        found.error(("link", "data_bitrate"), "data_bitrate needs fd = true")


def _check_ble(link: LinkSpec, found: Findings) -> None:
    if link.mode is None:
        found.error(("link", "mode"), "missing; a ble link needs mode = 'advertisement' or 'gatt'")
    elif link.mode not in {"advertisement", "gatt"}:
        found.error(("link", "mode"), f"{link.mode!r} is not allowed; one of advertisement, gatt")
    if link.cipher != "none" and link.key is None:
        found.error(("link", "key"), f"missing; cipher {link.cipher!r} needs a key, for example key = '{{key}}'")
    if link.key and not re.fullmatch(r"([0-9A-Fa-f]{2} ?)+", link.key):
        found.error(("link", "key"), "a key is hex digits, two per byte")
    elif link.key and link.cipher != "none" and len(bytes.fromhex(link.key)) != KEY_BYTES:
        size = len(bytes.fromhex(link.key))
        found.error(("link", "key"), f"the key has {size} bytes; cipher {link.cipher!r} needs {KEY_BYTES}")


def _check_spi(link: LinkSpec, found: Findings) -> None:
    if link.mode is not None and link.mode not in {0, 1, 2, 3}:
        found.error(("link", "mode"), f"{link.mode!r} is no SPI mode; one of 0, 1, 2, 3")
    limits = {"bits": (1, 64), "read_mask": (0, 0xFF), "write_mask": (0, 0xFF), "address_bytes": (1, 4)}
    for key, (low, high) in limits.items():
        if not low <= getattr(link, key) <= high:
            found.error(("link", key), f"{getattr(link, key)} is outside {low}..{high}")


def _check_match(bus: str, match: MatchSpec, found: Findings) -> None:
    path = ("link", "match")
    written = found.written(path) or {}
    for key in sorted(set(written) - MATCH_KEYS[bus]):
        owners = [owner for owner, keys in MATCH_KEYS.items() if key in keys]
        if owners:
            found.error((*path, key), f"{key!r} is for {' and '.join(owners)}, not for bus {bus!r}")
    if not written and bus != "spi":
        found.error(path, f"says nothing; give one of {', '.join(sorted(MATCH_KEYS[bus]))}")
    if match.vid_pid is not None and not _VID_PID.fullmatch(match.vid_pid):
        found.error((*path, "vid_pid"), f"{match.vid_pid!r} is no USB id; write for example '10c4:ea60'")
    if match.can_ids is not None and not match.can_ids:
        found.error((*path, "can_ids"), "an empty list matches nothing")
    for index, can_id in enumerate(match.can_ids or []):
        if not 0 <= can_id <= 0x1FFFFFFF:
            found.error((*path, "can_ids", index), f"{can_id:#x} does not fit the 29 bits of a CAN id")
    if match.manufacturer is not None and not 0 <= match.manufacturer <= 0xFFFF:
        found.error((*path, "manufacturer"), f"{match.manufacturer:#x} does not fit the 16 bits of a company id")
    if match.service is not None and not UUID.fullmatch(match.service):
        found.error((*path, "service"), f"{match.service!r} is no UUID; write for example '180d'")


def check_framing_place(profile: Profile, found: Findings) -> None:
    """Check that `[framing]` is there for uart, a transport for can, and absent elsewhere."""
    framing, bus = profile.framing, profile.link.bus
    if not found.knows_bus:
        return
    is_transport = isinstance(framing, CAN_TRANSPORTS)
    if bus == "uart":
        if framing is None and found.written(("framing",)) is None:
            found.error(("framing",), "missing; a uart link needs [framing] with a kind")
        elif is_transport:
            found.error(("framing", "kind"), "this transport is for can, not for bus 'uart'")
    elif framing is not None and bus == "can" and not is_transport:
        found.error(("framing", "kind"), "CAN delivers whole frames; only isotp, j1939 and nmea2000 are allowed")
    elif bus in {"ble", "spi"} and found.written(("framing",)) is not None:
        found.error(("framing",), f"{bus} delivers whole frames; remove [framing]")


def check_rest(profile: Profile, found: Findings) -> None:
    """Check `[dbc]`, `[queue]` and `[record]`."""
    if profile.dbc is not None and found.knows_bus and profile.link.bus != "can":
        found.error(("dbc",), f"a DBC describes CAN frames; the bus is {profile.link.bus!r}")
    if not 1 <= profile.queue.capacity <= MAX_CAPACITY:
        found.error(("queue", "capacity"), f"{profile.queue.capacity} is outside 1..{MAX_CAPACITY} frames")
    if duration_ns(profile.queue.deadline) <= 0:
        found.error(("queue", "deadline"), "a deadline is longer than nothing")
    check_record(profile.record, ("record",), found)


def check_record(record: RecordSpec, path: tuple[str | int, ...], found: Findings) -> None:
    """Check one `record` table."""
    at_most, at_least = record.at_most or "1s", record.at_least or "5m"
    if duration_ns(at_most) > duration_ns(at_least):
        key = "at_most" if record.at_most else "at_least"
        found.error((*path, key), f"at_most {at_most} is longer than at_least {at_least}")
    if record.keep is not None and duration_ns(record.keep) <= 0:
        found.error((*path, "keep"), "must be longer than nothing")
    if isinstance(record.size, int) and record.size <= 0:
        found.error((*path, "size"), f"{record.size} is no size")
    if isinstance(record.size, str) and not re.fullmatch(r"[0-9]{1,12} ?([kKMGT]i?)?B?", record.size):
        found.error((*path, "size"), f"{record.size!r} is no size; write bytes, or for example '200MB'")


def check_duration_range(text: str, path: tuple[str | int, ...], found: Findings) -> tuple[int, int] | None:
    """Check "100ms..5s"; return both ends in nanoseconds where it is one."""
    match = _DURATION_RANGE.fullmatch(text)
    try:
        ends = (duration_ns(match[1]), duration_ns(match[2])) if match and len(text) < 40 else None
    except ValueError:
        ends = None
    if ends is None:
        found.error(path, f"{text[:40]!r} is no pair of durations; write for example '100ms..5s'")
    elif not 0 < ends[0] <= ends[1]:
        found.error(path, f"{text!r}: the first must be above zero and not above the second")
        return None
    return ends
