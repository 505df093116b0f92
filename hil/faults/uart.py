"""What the faults of a UART do to one unit: what the device sends at once, on its way to the host.

Pure, but for the chance that each fault brings along. What each kind does:

- `bit_flip`: one bit of one byte is the other way round; a receiver that checks parity sees that
- `drop`, `duplicate`: one byte is missing, or comes twice
- `insert`: `data` comes in somewhere, before, within or behind
- `truncate`: only the first `keep` bytes come
- `delay`, `jitter`: it comes `by` later, or a time out of that span later; what follows does not overtake it
- `reorder`: two neighbouring bytes change places; where all are equal, it and the next unit do
- `split`: a read ends after `at_byte` bytes of it; the rest is the next read
- `merge`: it waits for the next unit, and they are one read
- `noise`: one to four bytes that nobody sent, the first of them with a framing error
- `baud`, `parity`, `stop`: the device sends at `factor` times its baud rate, or with that parity or number of stop
  bits, while the host reads as ever. Those that strike one unit are one format, and it is sent in that format before
  all the others change what arrived, in the order in which they were added.

`break` and `flow_stall` are no changes of a unit: see `hil.rigs.simulated.uart`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from fractions import Fraction
from typing import Any, Final, NamedTuple, Protocol

from hil.uart_bits import FRAMING, PARITY, Format, transfer

MOST_NOISE: Final = 4  # bytes of one burst


class Striking(Protocol):
    """What is needed of a fault that strikes."""

    kind: str
    params: dict[str, Any]
    chance: random.Random


class Wait(Enum):
    """What a unit that has arrived does about the next one."""

    NO = "it does not wait"
    JOIN = "they become one read"
    SWAP = "the next one goes first"


class Arrival(NamedTuple):
    """How one unit comes to the host."""

    data: bytes
    errors: tuple[str, ...] = ()  # flags of its bytes, each as often as it occurred
    cuts: frozenset[int] = frozenset()  # a read ends after so many bytes
    late_ns: int = 0
    wait: Wait = Wait.NO

    def reads(self) -> list[bytes]:
        """Return what each read gives."""
        ends = [*sorted(cut for cut in self.cuts if cut < len(self.data)), len(self.data)]
        return [self.data[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def sent_as(form: Format, struck: Sequence[Striking]) -> Format:
    """Return the format in which the device sends under the faults that strike a unit."""
    for fault in struck:
        if fault.kind == "baud":
            form = form.at(fault.params["factor"])
        elif fault.kind == "parity":
            form = replace(form, parity=fault.params["send"])
        elif fault.kind == "stop":
            form = replace(form, stop=Fraction(str(fault.params["send"])))
    return form


def received(data: bytes, sender: Format, receiver: Format) -> Arrival:
    """Return what a receiver makes of what was sent in another format."""
    if receiver.reads(sender):
        return Arrival(data)
    read = transfer(data, sender, receiver)
    return Arrival(bytes(value & 0xFF for value, _ in read), tuple(sorted(flag for _, flags in read for flag in flags)))


def strike(arrival: Arrival, struck: Sequence[Striking], receiver: Format) -> Arrival:
    """Return what faults make of an arrival, one after the other."""
    for fault in struck:
        change = _CHANGES.get(fault.kind)
        if change is not None:
            arrival = change(arrival, fault, receiver)
    return arrival


def _bit_flip(arrival: Arrival, fault: Striking, receiver: Format) -> Arrival:
    if not arrival.data:
        return arrival
    place, bit = divmod(fault.chance.randrange(len(arrival.data) * receiver.bits), receiver.bits)
    flipped = bytearray(arrival.data)
    flipped[place] ^= 1 << bit
    seen = () if receiver.parity == "n" else (PARITY,)
    return arrival._replace(data=bytes(flipped), errors=(*arrival.errors, *seen))


def _drop(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    data = arrival.data
    place = fault.chance.randrange(len(data) or 1)
    return arrival._replace(data=data[:place] + data[place + 1 :])


def _duplicate(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    data = arrival.data
    place = fault.chance.randrange(len(data) or 1)
    return arrival._replace(data=data[: place + 1] + data[place:])


def _insert(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    return _with(arrival, fault, fault.params["data"])


def _noise(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    burst = fault.chance.randbytes(fault.chance.randint(1, MOST_NOISE))
    bad = 1 + sum(fault.chance.random() < 0.5 for _ in burst[1:])
    return _with(arrival, fault, burst)._replace(errors=(*arrival.errors, *[FRAMING] * bad))


def _with(arrival: Arrival, fault: Striking, more: bytes) -> Arrival:
    place = fault.chance.randint(0, len(arrival.data))
    return arrival._replace(data=arrival.data[:place] + more + arrival.data[place:])


def _truncate(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    return arrival._replace(data=arrival.data[: fault.params["keep"]])


def _delay(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    return arrival._replace(late_ns=arrival.late_ns + fault.params["by"])


def _jitter(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    return arrival._replace(late_ns=arrival.late_ns + fault.chance.randint(*fault.params["by"]))


def _reorder(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    data = bytearray(arrival.data)
    unequal = [place for place in range(len(data) - 1) if data[place] != data[place + 1]]
    if not unequal:
        return arrival._replace(wait=Wait.SWAP)
    place = fault.chance.choice(unequal)
    data[place], data[place + 1] = data[place + 1], data[place]
    return arrival._replace(data=bytes(data))


def _split(arrival: Arrival, fault: Striking, _receiver: Format) -> Arrival:
    return arrival._replace(cuts=arrival.cuts | {fault.params["at_byte"]})


def _merge(arrival: Arrival, _fault: Striking, _receiver: Format) -> Arrival:
    return arrival._replace(wait=Wait.JOIN)


_CHANGES: Final[Mapping[str, Callable[[Arrival, Striking, Format], Arrival]]] = {
    "bit_flip": _bit_flip,
    "drop": _drop,
    "duplicate": _duplicate,
    "insert": _insert,
    "truncate": _truncate,
    "delay": _delay,
    "jitter": _jitter,
    "reorder": _reorder,
    "split": _split,
    "merge": _merge,
    "noise": _noise,
}
