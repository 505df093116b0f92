"""Layer 6: what differs between two configurations, and what has to be done about it. Pure.

A device stays as it is where its profile and its adjustments are the same and it stands on the same wire. A wire whose
port serves both configurations stays open: who comes and goes there does not disturb the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec

from gateway.config import SiteConfig
from gateway.runtime.blueprint import DevicePlan, WirePlan
from gateway.runtime.chosen import Chosen

What = Literal["added", "removed", "changed"]
Fate = Literal["stays", "refitted", "reopened", "gone", "new"]

NEEDS_RESTART: Final = ("ledger", "gateway", "mqtt", "http", "metrics")  # read once, when the gateway starts


class Change(NamedTuple):
    """One table of the site that is not what it was."""

    table: str  # for example device.pump
    what: What
    keys: tuple[str, ...] = ()  # that changed, where that can be told
    needs_restart: bool = False  # of the gateway: until then it stays as it was

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `reload --json`."""
        return self._asdict() | {"keys": list(self.keys)}


class Configuration(NamedTuple):
    """A site with the profiles that it names, as they were read."""

    site: SiteConfig  # with what was chosen in place of what its file says
    wires: list[WirePlan]
    chosen: Chosen = MappingProxyType({})

    def by_place(self) -> dict[str, WirePlan]:
        """Return the wires by what tells them apart."""
        return {wire.place: wire for wire in self.wires}

    def places(self) -> dict[str, tuple[str, DevicePlan]]:
        """Return where each device stands, and what it is, by name."""
        return {device.name: (wire.place, device) for wire in self.wires for device in wire.devices}


def kept(before: Configuration, after: Configuration) -> set[str]:
    """Return the devices that stay as they are."""
    were, are = before.places(), after.places()
    return {
        name
        for name, (place, plan) in were.items()
        if name in are and are[name][0] == place and plan.makes_what(are[name][1])
    }


def fates(before: Configuration, after: Configuration) -> dict[str, Fate]:
    """Return what becomes of each wire, by place."""
    were, are, staying = before.by_place(), after.by_place(), kept(before, after)
    stands = {name: place for name, (place, _) in after.places().items()}
    moved = {name for name, (place, _) in before.places().items() if stands.get(name, place) in were.keys() - {place}}
    found: dict[str, Fate] = {place: "gone" for place in were if place not in are}
    for place, plan in are.items():
        if place not in were:
            found[place] = "new"
        elif not plan.is_same_port(were[place]) or moved & {device.name for device in were[place].devices}:
            found[place] = "reopened"  # who moves to a wire that is there has left before it comes
        else:
            found[place] = "stays" if _is_same(were[place], plan, staying) else "refitted"
    return found


def restarting(before: Configuration, after: Configuration) -> list[str]:
    """Return the devices of both that are begun anew, because of themselves or of their wire."""
    staying, what = kept(before, after), fates(before, after)
    return [
        name
        for name, (place, _) in after.places().items()
        if name in before.places() and (name not in staying or what[place] == "reopened")
    ]


def changes(before: Configuration, after: Configuration) -> list[Change]:
    """Return what is not as it was, table by table, in the order of a site file."""
    found = _devices(before, after)
    found += _tables("port", before.site.ports, after.site.ports)
    found += _discoveries(before, after)
    found += _tables("grant", before.site.grants, after.site.grants)
    for table in ("gateway", "ledger", "mqtt", "http", "metrics"):
        found += _table(table, getattr(before.site, table), getattr(after.site, table))
    return found


def _is_same(one: WirePlan, other: WirePlan, staying: Collection[str]) -> bool:
    names = [{device.name for device in each.devices} for each in (one, other)]
    looking = [{each.name: each for each in plan.discoveries} for plan in (one, other)]
    return (
        names[0] == names[1] <= set(staying)
        and looking[0].keys() == looking[1].keys()
        and all(plan.makes_what(looking[1][name]) for name, plan in looking[0].items())
    )


def _devices(before: Configuration, after: Configuration) -> list[Change]:
    were, are = before.places(), after.places()
    found = [Change(f"device.{name}", "removed") for name in were if name not in are]
    for name, (_, plan) in are.items():
        if name not in were:
            found.append(Change(f"device.{name}", "added"))
            continue
        keys = _keys(before.site.devices[name], after.site.devices[name])
        if plan.profile.profile != were[name][1].profile.profile and not keys & {"profile", "params"}:
            keys.add("profile")  # the file says something else now
        if keys:
            found.append(Change(f"device.{name}", "changed", tuple(sorted(keys))))
    return found


def _discoveries(before: Configuration, after: Configuration) -> list[Change]:
    were, are = ({each.name: each for wire in every.wires for each in wire.discoveries} for every in (before, after))
    found = _tables("discover", before.site.discover, after.site.discover)
    told = {change.table for change in found}
    return found + [
        Change(f"discover.{name}", "changed", ("profile",))
        for name, plan in are.items()
        if name in were and f"discover.{name}" not in told and plan.profile.profile != were[name].profile.profile
    ]


def _tables(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    found = [Change(f"{kind}.{name}", "removed") for name in before if name not in after]
    for name, table in after.items():
        if name not in before:
            found.append(Change(f"{kind}.{name}", "added"))
        elif keys := _keys(before[name], table):
            found.append(Change(f"{kind}.{name}", "changed", tuple(sorted(keys))))
    return found


def _table(name: str, before: msgspec.Struct | None, after: msgspec.Struct | None) -> list[Change]:
    needs_restart = name in NEEDS_RESTART
    if before is None or after is None:
        what: What = "added" if before is None else "removed"
        return [] if before is after else [Change(name, what, needs_restart=needs_restart)]
    keys = _keys(before, after)
    return [Change(name, "changed", tuple(sorted(keys)), needs_restart)] if keys else []


def _keys(before: msgspec.Struct, after: msgspec.Struct) -> set[str]:
    return {key for key in before.__struct_fields__ if getattr(before, key) != getattr(after, key)}


def words(found: Sequence[Change]) -> str:
    """Return the changes in one line."""
    return ", ".join(_words(found)) or "nothing"


def _words(found: Iterable[Change]) -> list[str]:
    return [f"{each.table} {each.what}" + (f" ({', '.join(each.keys)})" if each.keys else "") for each in found]
