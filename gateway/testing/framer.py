"""The six laws of framers (`gateway/framing/base.py`), run against any framer: ours or a plugin's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from gateway.errors import EncodeError
from gateway.frame import MAX_GARBAGE_BYTES, Garbage
from gateway.framing.base import Framer

_Found = list[bytes | Garbage]
_Result = TypeVar("_Result")

_STREAMS: Final = 60  # made-up streams for laws 1, 2, 4 and 5
_MOST_NOISE_BYTES: Final = 40


class _BrokenError(Exception):
    """A law does not hold; the text says which and where."""


class _Watched:
    """A framer whose every answer is held to laws 1, 4 and 5."""

    def __init__(self, make: Callable[[], Framer]) -> None:
        self.framer = _call(1, "making it", make)
        self.found: _Found = []
        self._fed = self._frames = self._garbage = self._garbage_bytes = 0

    def feed(self, data: bytes) -> _Found:
        self._fed += len(data)
        return self._take(_call(1, f"feed({data[:24].hex(' ')})", lambda: self.framer.feed(data)))

    def gap(self) -> _Found:
        found = self._take(_call(1, "gap()", self.framer.gap))
        if pending := self.framer.statistics().pending_bytes:
            raise _BrokenError(f"law 4: {pending} bytes are pending after gap()")
        return found

    def _take(self, found: _Found) -> _Found:
        for item in found:
            if not isinstance(item, Garbage):
                self._frames += 1
                continue
            self._garbage += 1
            self._garbage_bytes += len(item.raw)
            if not 0 < len(item.raw) <= MAX_GARBAGE_BYTES:
                raise _BrokenError(f"law 4: a garbage record of {len(item.raw)} bytes; 1..{MAX_GARBAGE_BYTES} is legal")
        self.found += found
        counts = _call(1, "statistics()", self.framer.statistics)
        given = (self._frames, self._garbage, self._garbage_bytes)
        if (counts.frames, counts.garbage, counts.garbage_bytes) != given:
            raise _BrokenError(f"law 4: {given} frames, garbage records and garbage bytes were given, not {counts}")
        if counts.garbage != self.framer.garbage_count:
            raise _BrokenError(f"law 4: garbage_count is {self.framer.garbage_count}, not {counts.garbage}")
        total = counts.frame_bytes + counts.garbage_bytes + counts.empty_bytes + counts.pending_bytes
        if total != self._fed or min(counts.frame_bytes, counts.empty_bytes, counts.pending_bytes) < 0:
            raise _BrokenError(f"law 4: {self._fed} bytes were fed, {total} accounted for: {counts}")
        if counts.pending_bytes > self.framer.max_frame_bytes:
            raise _BrokenError(f"law 5: {counts.pending_bytes} bytes are pending of {self.framer.max_frame_bytes}")
        return found


def _call(law: int, what: str, action: Callable[[], _Result]) -> _Result:
    try:
        return action()
    except Exception as error:
        raise _BrokenError(f"law {law}: {what} raised {error!r}") from error


def check_framer(make: Callable[[], Framer], bodies: Iterable[bytes] = (), seed: int = 0) -> list[str]:
    """Run the six laws on framers from `make`, made anew for every stream; return what is broken, [] if all hold.

    `bodies` are legal bodies (a few dozen at most); without any, random texts and bytes that `encode` takes are used.
    Equal seeds give equal runs. A framer that only a gap brings back in step is held to law 6 after gaps.
    """
    chance = random.Random(seed)  # noqa: S311 - made-up streams, not secrets
    try:
        given = list(bodies)
        legal = _legal_bodies(make, given or _made_up(chance), given=bool(given))
    except _BrokenError as broken:
        return [str(broken)]
    broken_laws: dict[str, str] = {}
    for law in (_round_trip, _any_cut, _clean_stream, _after_noise):
        for _ in range(_STREAMS if law is _any_cut else 1):
            try:
                law(make, legal, chance)
            except _BrokenError as broken:
                broken_laws.setdefault(str(broken)[:5], str(broken))
                break
    return sorted(broken_laws.values())


def _made_up(chance: random.Random) -> list[bytes]:
    texts = ["".join(chance.choices("ABCabc019 ,.:()-", k=size)).encode() for size in (0, 1, 2, 5, 12, 30, 60)]
    tables = [b"V\t12800\r\nI\t-150", b"K5\r\n\r\n1-0:1.8.1(001581.123*kWh)\r\n", b"\x01\x03\x04\x00\x8d\x00\x8e"]
    return texts + tables + [chance.randbytes(size) for size in range(1, 25)]


def _legal_bodies(make: Callable[[], Framer], bodies: Sequence[bytes], *, given: bool) -> list[tuple[bytes, bytes]]:
    framer = _call(1, "making it", make)
    legal: list[tuple[bytes, bytes]] = []
    for body in bodies:
        try:
            legal.append((body, framer.encode(body)))
        except EncodeError as error:
            if given:
                raise _BrokenError(f"law 3: encode({body[:24].hex(' ')}) refused a legal body: {error}") from error
        except Exception as error:
            raise _BrokenError(f"law 3: encode({body[:24].hex(' ')}) raised {error!r}") from error
    if not legal:
        raise _BrokenError("law 3: encode took none of the made-up bodies; give some legal ones")
    return legal


_Legal = list[tuple[bytes, bytes]]  # bodies, and how they look on the wire


def _round_trip(make: Callable[[], Framer], legal: _Legal, _: random.Random) -> None:
    """Hold to law 3; a framer that waits for silence may give its frame at the gap."""
    for body, wire in legal:
        framer = _Watched(make)
        found = framer.feed(wire) or framer.gap()
        if found != [body]:
            raise _BrokenError(f"law 3: feed(encode({body[:24].hex(' ')})) gave {found!r}")


def _clean_stream(make: Callable[[], Framer], legal: _Legal, _: random.Random) -> None:
    """Hold to law 4 where nothing is wrong: what frames take on the wire is what encode gave."""
    framer = _Watched(make)
    silent = not framer.feed(legal[0][1])
    framer.gap()
    for _body, wire in legal[1:]:
        framer.feed(wire)
        if silent:
            framer.gap()
    framer.gap()
    counts = framer.framer.statistics()
    if framer.found != [body for body, _wire in legal] or counts.garbage:
        raise _BrokenError(f"law 3: {len(legal)} good frames in a row gave {counts}")


def _any_cut(make: Callable[[], Framer], legal: _Legal, chance: random.Random) -> None:
    """Hold to laws 1, 2, 4 and 5 on a made-up stream with gaps."""
    stream = _stream(legal, chance)
    gaps = {chance.randrange(len(stream) + 1) for _ in range(chance.randrange(3))}
    whole = _frames_of(make, stream, set(), gaps)
    few = {chance.randrange(len(stream) + 1) for _ in range(4)}
    for cuts in (few, set(range(len(stream)))):
        if (cut := _frames_of(make, stream, cuts, gaps)) != whole:
            raise _BrokenError(
                f"law 2: {stream.hex(' ')} with gaps at {sorted(gaps)} gives {whole!r} whole, {cut!r} cut"
            )


def _stream(legal: _Legal, chance: random.Random) -> bytes:
    """Return good, damaged and cut frames with noise between."""
    parts: list[bytes] = []
    for _ in range(chance.randint(1, 6)):
        wire = chance.choice(legal)[1]
        place = chance.randrange(len(wire)) if wire else 0
        kind = chance.randrange(8)
        if kind < 4:
            parts.append(wire)
        elif kind == 4:
            parts.append(wire[:place])
        elif kind == 5 and wire:
            parts.append(wire[:place] + bytes([wire[place] ^ 1 << chance.randrange(8)]) + wire[place + 1 :])
        else:
            parts.append(_noise(wire, chance))
    return b"".join(parts)


def _noise(wire: bytes, chance: random.Random) -> bytes:
    """Return bytes out of `wire`, which may begin frames, and any others."""
    size = chance.randrange(_MOST_NOISE_BYTES)
    return bytes(chance.choice(wire) if wire and chance.random() < 0.5 else chance.randrange(256) for _ in range(size))


def _frames_of(make: Callable[[], Framer], stream: bytes, cuts: set[int], gaps: set[int]) -> list[tuple[str, bytes]]:
    """Return frames, and the garbage between them joined: how it is split into records is free."""
    framer = _Watched(make)
    last = 0
    for place in sorted(cuts | gaps | {len(stream)}):
        framer.feed(stream[last:place])
        last = place
        if place in gaps:
            framer.gap()
    framer.gap()
    joined: list[tuple[str, bytes]] = []
    for item in framer.found:
        if not isinstance(item, Garbage):
            joined.append(("frame", item))
        elif joined and joined[-1][0] == "garbage":
            joined[-1] = ("garbage", joined[-1][1] + item.raw)
        else:
            joined.append(("garbage", item.raw))
    return joined


def _after_noise(make: Callable[[], Framer], legal: _Legal, chance: random.Random) -> None:
    """Hold to law 6: behind noise at the latest after a gap, behind a false start by the frame's own start."""
    for body, wire in legal:
        noise = _noise(wire, chance)
        in_step = [_found_without_gap(make, body, wire, before) for before in (noise, noise + b"\x55")]
        if all(in_step) and wire:  # two lengths of noise: a framer that only counts is in step by chance
            _behind_false_start(make, body, wire, wire[: chance.randrange(len(wire))])


def _found_without_gap(make: Callable[[], Framer], body: bytes, wire: bytes, noise: bytes) -> bool:
    """Hold to law 6 after a gap; return whether the frame came within `max_frame_bytes` without one."""
    framer = _Watched(make)
    framer.feed(noise)
    repeats = 2 + framer.framer.max_frame_bytes // max(1, len(wire))
    in_step = body in framer.feed(wire * repeats)
    framer.gap()
    framer.feed(wire)
    if body not in framer.found[-2:] + framer.gap():
        raise _BrokenError(f"law 6: after noise {noise.hex(' ')} and a gap, {wire.hex(' ')} is not found")
    return in_step


def _behind_false_start(make: Callable[[], Framer], body: bytes, wire: bytes, start: bytes) -> None:
    framer = _Watched(make)
    framer.feed(start + wire + wire)
    framer.gap()
    if body not in framer.found:
        raise _BrokenError(f"law 6: behind the false start {start.hex(' ')}, {wire.hex(' ')} is not found")
