"""What the power, going now, may leave: of each file any sectors that were not synced, of each folder any names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from random import Random
from typing import Final, NamedTuple

from gateway.testing.storage import SECTOR_BYTES, Image, MemoryStorage

FILLS: Final = ("old", "zero", "ones", "random")  # what a sector holds that was being written and was not
ALL_SUBSETS_SECTORS: Final = 8
ALL_SUBSETS_NAMES: Final = 6
RANDOM_SUBSETS: Final = 12
MOST_PRODUCTS: Final = 192

Sectors = Mapping[int, Sequence[bytes]]


class Torn(NamedTuple):
    """What is left of one file."""

    kept: frozenset[int]  # sectors that were written
    fill: str = "old"  # what the others hold
    salt: int = 0
    is_earlier: bool = False  # of a sector written twice, the first of both


class Choice(NamedTuple):
    """One way for a cut to go."""

    files: dict[int, Torn]  # by number; what is not here stays as synced
    names: dict[str, int]  # by folder; bits of the pending changes that are kept


def subsets(count: int, all_up_to: int, rng: Random) -> list[int]:
    """Return subsets of `count` things as bits: all, or edges, singles and some random ones."""
    if count <= all_up_to:
        return list(range(1 << count))
    everything = (1 << count) - 1
    prefixes = [(1 << length) - 1 for length in range(count + 1)]
    singles = [1 << place for place in range(count)]
    some = prefixes + [everything ^ each for each in prefixes] + singles + [everything ^ each for each in singles]
    some += [rng.getrandbits(count) for _ in range(RANDOM_SUBSETS)]
    return list(dict.fromkeys(some))


def torn_content(durable: bytes, unsynced: Sectors, torn: Torn) -> bytes:
    """Return what a file holds."""
    data = bytearray(durable)
    last_kept = max(torn.kept, default=-1)
    for sector in sorted(unsynced):
        at = sector * SECTOR_BYTES
        candidates = unsynced[sector]
        latest = candidates[-1]
        if sector in torn.kept:
            piece = candidates[0] if torn.is_earlier else latest
        elif torn.fill == "old":
            if at >= len(durable) and sector > last_kept:
                continue  # the file never grew so far
            piece = durable[at : at + SECTOR_BYTES].ljust(min(len(latest), SECTOR_BYTES), b"\0")
        elif torn.fill == "random":
            piece = Random(f"{torn.salt}:{sector}").randbytes(len(latest))
        else:
            piece = (b"\0" if torn.fill == "zero" else b"\xff") * len(latest)
        if len(data) < at:
            data.extend(bytes(at - len(data)))
        data[at : at + len(piece)] = piece
    return bytes(data)


def image_of(storage: MemoryStorage, choice: Choice) -> Image:
    """Return what lies on the medium after a cut."""
    contents = {
        number: torn_content(storage.nodes[number].durable, storage.nodes[number].unsynced(), torn)
        for number, torn in choice.files.items()
    }
    folders = dict(storage.folders())
    return storage.cut(contents, {name: folders[name].after_cut(kept) for name, kept in choice.names.items()})


class Pending(NamedTuple):
    """Everything that is not certain at one moment."""

    files: dict[int, Sectors]
    names: dict[str, int]  # how many changes, by folder


def pending_of(storage: MemoryStorage) -> Pending:
    """Return what is not certain now."""
    files = {number: found for number, node in storage.nodes.items() if (found := node.unsynced())}
    names = {name: len(folder.pending) for name, folder in storage.folders() if folder.pending}
    return Pending(files, names)


def torn_choices(pending: Pending, rng: Random) -> Iterator[Choice]:
    """Yield every way in which one file is torn while the others and the names are all there, or none of them."""
    all_names = {name: (1 << count) - 1 for name, count in pending.names.items()}
    yield Choice({}, {})
    for number, unsynced in pending.files.items():
        others = {other: Torn(frozenset(found)) for other, found in pending.files.items() if other != number}
        for torn in _ways(unsynced, rng):
            yield Choice({number: torn}, all_names)
            if others:
                yield Choice({**others, number: torn}, all_names)
            if all_names and torn.fill == "old":
                yield Choice({number: torn}, {})
    if pending.names:
        yield Choice({}, all_names)


def _ways(unsynced: Sectors, rng: Random) -> Iterator[Torn]:
    sectors = sorted(unsynced)
    was_written_twice = any(len(candidates) > 1 for candidates in unsynced.values())
    for bits in subsets(len(sectors), ALL_SUBSETS_SECTORS, rng):
        kept = frozenset(sector for place, sector in enumerate(sectors) if bits >> place & 1)
        if was_written_twice and kept:
            yield Torn(kept, is_earlier=True)
        for fill in FILLS if len(kept) < len(sectors) else FILLS[:1]:
            yield Torn(kept, fill, salt=rng.getrandbits(32) if fill == "random" else 0)


def reordered_choices(pending: Pending, rng: Random) -> Iterator[Choice]:
    """Yield ways in which files and names reach the medium in any order: each name change, each file, or not."""
    if len(pending.names) + len(pending.files) == 0 or (not pending.names and len(pending.files) == 1):
        return
    masks = [subsets(count, ALL_SUBSETS_NAMES, rng) for count in pending.names.values()]
    ways = [_few_ways(unsynced, rng) for unsynced in pending.files.values()]
    space = 1
    for each in (*masks, *ways):
        space *= len(each)
    if space <= MOST_PRODUCTS:
        picks = list(product(*masks, *ways))
    else:
        picks = [tuple(rng.choice(each) for each in (*masks, *ways)) for _ in range(MOST_PRODUCTS)]
    for pick in picks:
        names = dict(zip(pending.names, pick[: len(masks)], strict=True))
        files = dict(zip(pending.files, pick[len(masks) :], strict=True))
        yield Choice(files, names)


def _few_ways(unsynced: Sectors, rng: Random) -> list[Torn]:
    sectors = sorted(unsynced)
    some = frozenset(sector for sector in sectors if rng.getrandbits(1))
    return [Torn(frozenset()), Torn(frozenset(sectors)), Torn(some), Torn(frozenset(sectors[:1]), "zero")]
