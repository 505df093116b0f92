"""Layer 6: what a port need not give because no message on it would take it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE, Element, short_uuid
from gateway.framing.isotp import ids_of
from gateway.framing.spec import J1939, IsoTp, Nmea2000
from gateway.port import CanFilter
from gateway.profile.model import Profile
from gateway.schema.match import facts_of, is_extended
from gateway.schema.spec import MessageSpec, WhenSpec

_KIND: Final = CAN_EXTENDED | CAN_REMOTE | CAN_ERROR  # what no filter leaves open
_PGN_CONTROL: Final = 0xEC00  # J1939-21: TP.CM and TP.DT carry what is longer than a frame
_PGN_DATA: Final = 0xEB00

Wanted = CanFilter | Element


def wanted_by(profiles: Iterable[Profile]) -> list[Wanted]:
    """Return what the messages of these profiles take of a CAN or BLE port; [] where they may take everything."""
    found: dict[Wanted, None] = {}
    for profile in profiles:
        mine = _of_can(profile) if profile.link.bus == "can" else _of_ble(profile)
        if not mine:
            return []
        found |= dict.fromkeys(mine)
    return list(found)


def _incoming(profile: Profile) -> list[MessageSpec]:
    return [spec for spec in profile.message.values() if spec.direction != "out"]


def _of_can(profile: Profile) -> list[Wanted]:
    framing = profile.framing
    if isinstance(framing, IsoTp):
        pair = [CanFilter(can_id, _KIND | mask) for can_id, mask in ids_of(framing)]
        others = [_can_filter(spec.when) for spec in _incoming(profile) if spec.when.can_id is not None]
        return [*pair, *(each for each in others if each is not None)]
    filters = [_can_filter(facts_of(spec)) for spec in _incoming(profile)]
    if any(each is None for each in filters):
        return []
    found: list[Wanted] = [each for each in filters if each is not None]
    if found and isinstance(framing, J1939 | Nmea2000):
        found += [_group_filter(_PGN_CONTROL), _group_filter(_PGN_DATA)]
    return found


def _can_filter(when: WhenSpec) -> CanFilter | None:
    if when.can_id is not None:
        mask = CAN_ID_MASK if when.can_mask is None else when.can_mask & CAN_ID_MASK
        return CanFilter(when.can_id | (CAN_EXTENDED if is_extended(when) else 0), _KIND | mask)
    return None if when.pgn is None else _group_filter(when.pgn)


def _group_filter(pgn: int) -> CanFilter:
    """Return the filter of one parameter group from any source; below PF 240 the low byte is a destination."""
    return CanFilter(CAN_EXTENDED | pgn << 8, _KIND | (0x3FFFF00 if pgn >> 8 & 0xFF >= 240 else 0x3FF0000))


def _of_ble(profile: Profile) -> list[Wanted]:
    if profile.link.mode == "gatt":
        subscribed = [spec.when.characteristic for spec in _incoming(profile) if spec.ask is None]
        return [Element("", characteristic=short_uuid(uuid)) for uuid in subscribed if uuid is not None]
    found: list[Wanted] = []
    for spec in _incoming(profile):
        when = spec.when
        if isinstance(when.manufacturer, int):
            found.append(Element("", manufacturer=when.manufacturer))
        elif when.service is not None:
            found.append(Element("", service=short_uuid(when.service)))
        else:
            return []
    return found
