"""What the guest does while its power is cut: `tidegate ledger append` and a gateway write to a disk of each kind.

Boot after boot goes on with the ledgers that the cuts before have left, and first says what is wrong with them.
"""

from __future__ import annotations

import threading
import time

from gateway.ledger import Ledger
from gateway.ledger.base import Options
from tests.kernel.flash.commands import LIMIT_S, LOOK_S, Append, Run
from tests.kernel.flash.hands import Hands, acked, last_head, told
from tests.kernel.flash.medium import FILE_SYSTEMS, disk, make, mount
from tests.kernel.flash.promises import broken

SMALL = Options(ring_bytes=512 << 10, segment_bytes=64 << 10)  # rolls every few commits, seals every hundred


def feed_for_ever(hands, name, append, number):
    """Write records from `number` on, and pass on what is acknowledged."""
    while True:
        numbers = range(number, number + 1 + number * 7 % 5)  # some commits of one, some of several
        hands.say("acked", name, append.acked(numbers))
        number = numbers.stop


def watch_for_ever(hands, name, gateway, is_durable):
    """Pass on which end of a running gateway's ledger is durable."""
    before = 0
    while True:
        time.sleep(LOOK_S)
        if not gateway.ledger().get("durable_seq"):
            continue
        with Ledger.open(gateway.folder / "ledger", read_only=True) as ledger:
            head = ledger.head()  # of what is written, be it safe or not
        while gateway.ledger().get("durable_seq", 0) < head.seq:
            time.sleep(LOOK_S)
        if head.seq > before:
            before = head.seq
            hands.say("durable", name, {"seq": head.seq, "head": head.head})
            is_durable.set()


def prepared(hands, said, kind):
    """Mount a disk, say what is wrong with its ledgers, and return where it is."""
    if not said:
        make(kind, disk(kind))
    place = mount(kind, disk(kind), kind)
    if not said:
        Ledger.create(place / "append", SMALL)
        return place
    name = f"{kind}/append"
    hands.say("checked", name, broken(place / "append", acked(name, said)))
    name = f"{kind}/gateway"
    if (head := last_head(name, said)) is not None:
        hands.say("checked", name, broken(place / "gateway/ledger", [], head, declares=True))
    return place


def main():
    hands, said = Hands(), told()
    places = [prepared(hands, said, kind) for kind in FILE_SYSTEMS]  # all of them, before any acknowledges
    started = [(place.name, Append(place / "append"), Run(place / "gateway")) for place in places]
    working = [threading.Event() for _ in started]
    for (kind, _, gateway), is_durable in zip(started, working, strict=True):
        threading.Thread(target=watch_for_ever, args=(hands, f"{kind}/gateway", gateway, is_durable)).start()
    for is_durable in working:  # only then what brings the cut nearer
        assert is_durable.wait(LIMIT_S)
    for kind, append, _ in started:
        name = f"{kind}/append"
        first = max((number for _, number in acked(name, said)), default=0) + 100  # past what was not acknowledged
        threading.Thread(target=feed_for_ever, args=(hands, name, append, first)).start()


if __name__ == "__main__":
    main()
