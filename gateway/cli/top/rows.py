"""Layer 9: the rows of the view: devices, values, wires; and one device closely. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from gateway.cells import cells_of, fit, right, short_unit
from gateway.cli.devices import share_text
from gateway.cli.top.sample import Row, Shown, byte_rates, frame_rates
from gateway.errors import RouteError
from gateway.plain import age_text, printable, size_text, value_text
from gateway.route import RoutePattern

WIDE: Final = 110  # columns from which there is room for what is seldom asked

_BAD: Final = frozenset({"ABSENT", "FAILED", "DISCONNECTED"})


class Line(NamedTuple):
    """One line, in one tone."""

    text: str
    tone: str = ""
    device: str | None = None  # that it is about


class _Column(NamedTuple):
    title: str
    is_right: bool = False
    least: int = 4  # cells, where there is little room
    most: int = 60  # where there is much


def everything(shown: Shown, wanted: str, columns: int) -> list[Line]:
    """Return devices, values and wires, as far as they are wanted."""
    assert shown.sample is not None
    sample = shown.sample
    devices = [each for each in sample.devices if is_wanted(wanted, each["name"])]
    values = [each for each in sample.values if is_wanted(wanted, *each["route"].split("/"))]
    names = {each["name"] for each in devices}
    ports = [each for each in sample.status["ports"] if not wanted or names.intersection(each["devices"])]
    lines = _devices(shown, devices, columns)
    lines += [Line(""), *_values(shown, values, columns)] if values else []
    lines += [Line(""), *_ports(shown, ports, columns)] if ports else []
    return lines


def detail(shown: Shown, name: str, columns: int) -> list[Line]:
    """Return everything about one device."""
    assert shown.sample is not None
    device = next((each for each in shown.sample.devices if each["name"] == name), None)
    status = next((each for each in shown.sample.status["devices"] if each["name"] == name), None)
    if device is None or status is None:
        return [Line(f"{name} is not there any more", "bad", name)]
    facts = _facts(device, status, frame_rates(shown.sample, shown.before).get(name, 0.0))
    wide = max(cells_of(key) for key, _ in facts)
    lines = [Line(f"{fit(key, wide)}  {value}", _tone(device) if key == "state" else "", name) for key, value in facts]
    shadow = shown.sample.shadow
    if shadow is not None and shadow["device"] == name:
        lines += [Line("", "", name), *_setpoints(shadow, columns)]
    values = [each for each in shown.sample.values if each["route"].startswith(f"{name}/")]
    return [*lines, Line("", "", name), *_values(shown, values, columns)] if values else lines


def is_wanted(wanted: str, owner: str, family: str | None = None, stream: str | None = None) -> bool:
    """Return whether a filter wants a route: a pattern `pump/*/speed`, else a part of its text."""
    if not wanted:
        return True
    route = "/".join(part for part in (owner, family, stream) if part is not None)
    try:
        is_meant = RoutePattern(wanted).matches(owner, family, stream)
    except RouteError:
        is_meant = False
    return is_meant or wanted.lower() in route.lower()


def _devices(shown: Shown, devices: Iterable[Row], columns: int) -> list[Line]:
    assert shown.sample is not None
    rates = frame_rates(shown.sample, shown.before)
    frames = {each["name"]: each["frames"] for each in shown.sample.status["devices"]}
    heads = [_Column("DEVICE", least=8), _Column("STATE", least=9), _Column("UP", is_right=True)]
    heads += [_Column(title, is_right=True) for title in ("FRAMES/S", "PENDING", "DROPPED", "REFUSED")]
    heads += [_Column("PROFILE"), _Column("PORT")] if columns >= WIDE else []
    heads += [_Column("")]
    rows = []
    for each in devices:
        count = frames.get(each["name"], {})
        state = f"{each['lifecycle']}{' stale' if each['stale'] and each['lifecycle'] == 'CONNECTED' else ''}"
        cells = [each["name"], state, share_text(each), f"{rates.get(each['name'], 0.0):.1f}"]
        cells += [f"{count.get(key, 0):,}" for key in ("pending", "dropped", "refused")]
        cells += [each["profile"], each["port"]] if columns >= WIDE else []
        cells.append(each["first_error"] or each["reason"] or "")
        rows.append((cells, _tone(each), each["name"]))
    return _table(heads, rows, columns)


def _values(shown: Shown, values: Iterable[Row], columns: int) -> list[Line]:
    """Return a row for each value. They grow old while nobody says anything, and are stale where nobody can."""
    heads = [_Column("ROUTE", least=12), _Column("VALUE", is_right=True, least=8, most=20), _Column("UNIT")]
    heads += [_Column("AGE", is_right=True, least=5), _Column("QUALITY", least=5)]
    rows = []
    for each in values:
        age_s = None if each["age_s"] is None else each["age_s"] + shown.age_s
        is_stale = each["stale"] or bool(shown.lost)
        quality = "no value" if age_s is None else "stale" if is_stale else ", ".join(each["taints"]) or "good"
        cells = [each["route"], value_text(each["value"]), short_unit(each["units"]), age_text(age_s), quality]
        tone = "dim" if is_stale else "warn" if each["taints"] else ""
        rows.append((cells, tone, each["route"].partition("/")[0]))
    return _table(heads, rows, columns)


def _ports(shown: Shown, ports: Iterable[Row], columns: int) -> list[Line]:
    assert shown.sample is not None
    rates = byte_rates(shown.sample, shown.before)
    heads = [_Column("PORT", least=12), _Column("BUS"), _Column("LOAD", is_right=True, least=8)]
    heads += [_Column(title, is_right=True) for title in ("UNKNOWN", "DROPPED", "GARBAGE")] + [_Column("")]
    rows = []
    for each in ports:
        load = f"{size_text(round(rates.get(each['name'], 0.0)))}/s"
        counts = [f"{each[key]:,}" for key in ("unknown", "dropped", "garbage")]
        more = each["error"] or ", ".join(f"{count:,} {reason}" for reason, count in each["garbage_by_reason"].items())
        owner = each["devices"][0] if each["devices"] else None
        rows.append(([each["name"], each["bus"], load, *counts, more], "warn" if each["error"] else "", owner))
    return _table(heads, rows, columns)


def _setpoints(shadow: Row, columns: int) -> list[Line]:
    state = shadow["state"]
    heads = [_Column("SETPOINT"), *(_Column(title, is_right=True) for title in ("DESIRED", "REPORTED", "EFFECTIVE"))]
    rows = []
    for name, coherence in shadow["coherence"].items():
        cells = [name, *(value_text(state[part].get(name)) for part in ("desired", "reported", "effective")), coherence]
        tone = {"STABLE": "good", "PENDING": "warn"}.get(coherence, "bad" if coherence == "DIVERGED" else "dim")
        rows.append((cells, tone, shadow["device"]))
    return _table([*heads, _Column("COHERENCE")], rows, columns)


def _facts(device: Row, status: Row, rate: float) -> list[tuple[str, str]]:
    health, frames, polls = device["health"], status["frames"], status["polls"]
    chosen = device.get("chosen")
    asked = [f"{polls[key]:,} {key}" for key in ("asked", "answered", "timeouts", "late")] if polls["asked"] else []
    last = health["last_error"]
    facts = [
        ("device", " ".join(filter(None, (device["name"], device["label"], device["area"])))),
        ("state", f"{device['lifecycle']} for {age_text(status['since'])}{', stale' if device['stale'] else ''}"),
        ("why", device["first_error"] or device["reason"] or ""),
        ("next attempt", "" if device["next_retry_s"] is None else f"in {device['next_retry_s']:.1f} s"),
        ("profile", device["profile"]),
        ("chosen", "" if not chosen else f"by {chosen['by']}, in place of {chosen['instead_of']}"),
        ("port", f"{device['port']} ({device['bus']})"),
        ("frames", f"{rate:.1f}/s, " + ", ".join(f"{count:,} {what}" for what, count in frames.items())),
        ("up", f"{share_text(device)} of the time since the start"),
        ("errors", f"{health['errors_per_min']:.1f} and {health['retries_per_min']:.1f} retries a minute"),
        ("last error", f"{age_text(health['last_error_age_s'])} ago: {last}" if last else ""),
        ("polls", ", ".join(asked)),
        ("faults", f"{health['faults']:,} of our own, the first {status['fault']}" if status["fault"] else ""),
        ("messages", ", ".join(f"{name} {count:,}" for name, count in status["messages"].items())),
    ]  # fmt: skip
    return [(key, value) for key, value in facts if value]


def _tone(device: Row) -> str:
    if device["lifecycle"] == "CONNECTED":
        return "warn" if device["stale"] else "good"
    return "bad" if device["lifecycle"] in _BAD else "warn"


def _table(heads: Sequence[_Column], rows: Sequence[tuple[Sequence[Any], str, str | None]], columns: int) -> list[Line]:
    """Return a head and rows in columns that fit, the widest made narrower first; the last takes what is left."""
    texts = [[printable(str(cell)) for cell in cells] for cells, _, _ in rows]
    widths = [
        min(max([cells_of(head.title), *(cells_of(row[place]) for row in texts)]), head.most)
        for place, head in enumerate(heads)
    ]
    floors = [max(head.least, cells_of(head.title)) for head in heads]
    last = len(heads) - 1
    while sum(widths) + 2 * last > columns:
        spare = [width - floor for width, floor in zip(widths, floors, strict=True)]
        widest = max(range(len(heads)), key=lambda place: (spare[place], place))
        if spare[widest] <= 0:
            break
        widths[widest] -= 1
    widths[last] = max(widths[last], columns - sum(widths[:last]) - 2 * last)
    titles = Line(_joined([head.title for head in heads], heads, widths), "bold")
    told = zip(texts, rows, strict=True)
    return [titles, *(Line(_joined(text, heads, widths), tone, owner) for text, (_, tone, owner) in told)]


def _joined(cells: Sequence[str], heads: Sequence[_Column], widths: Sequence[int]) -> str:
    made = (
        right(fit(cell, width).rstrip(), width) if head.is_right else fit(cell, width)
        for cell, head, width in zip(cells, heads, widths, strict=True)
    )
    return "  ".join(made).rstrip()
