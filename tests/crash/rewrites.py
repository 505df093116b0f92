"""The ledger's core with one check less, one order swapped: the enumerator must notice each.

`python -m tests.crash.rewrites NAME` runs in a process of its own, since the rewritten module must be the only one
that anybody has seen. It prints the first violation and exits 1; 0: nothing was noticed.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Final, NamedTuple

from tests.crash.instead import changed, instead

HOME: Final = Path(__file__).parent.parent.parent / "gateway" / "ledger"
STATES: Final = 250
SEEDS: Final = (1, 2, 3)


class Rewrite(NamedTuple):
    """One change of one file."""

    file: str
    old: str  # stands there exactly once
    new: str
    rounds: tuple[tuple[str, str], ...]  # fault class and history, the likeliest first
    test: str = ""  # one of the suite's, where no history shows it


CUTS: Final = (("torn", "wraps"), ("torn", "cuts"), ("reordered", "wraps"), ("recovery", "wraps"), ("torn", "reopens"))
LIES: Final = (("dead-page", "wraps"), ("lying", "wraps"), ("dead-page", "large"), ("lying", "cuts"))
SEALS: Final = (("dead-page", "compacts"), ("lying", "compacts"), ("torn", "compacts"))
FAILS: Final = (("eio", "wraps"), ("eio", "classes"), ("torn", "rescues"), ("eio", "large"), ("recovery", "rescues"))
GIVES_UP: Final = (("torn", "expires"), ("reordered", "expires"), ("reordered", "overflows"), ("torn", "overflows"))

REWRITES: Final[dict[str, Rewrite]] = {
    "a header's checksum is not looked at": Rewrite(
        "frame.py", "if crc32c(raw[:-4]) != fields[-1] or", "if", (("torn", "large"), *LIES, *CUTS)
    ),
    "a body's checksum is not looked at": Rewrite(
        "frame.py", "len(body) == header.body_bytes and crc32c(body) == header.body_crc",
        "len(body) == header.body_bytes", (("torn", "large"), ("torn", "wraps"), *LIES),
    ),
    "a record's checksum is not looked at": Rewrite(
        "record.py", "is_intact = crc32c(data[at : at + crc_at] + data[start:stop]) == told", "is_intact = True",
        (("dead-page", "large"), *LIES),
    ),
    "a frame of any epoch counts": Rewrite(
        "segment.py", "[each for each in placed if each.header.epoch == epoch]", "list(placed)", (*CUTS, *LIES)
    ),
    "a segment ends at its first hole": Rewrite(
        "segment.py", "            holes.append(Hole(at, each.offset))\n",
        "            mine = mine[: mine.index(each)]\n            break\n", (*LIES, *CUTS),
    ),
    "numbers may come twice": Rewrite(
        "segment.py",  "        if each.header.base_seq < expected_seq:\n"
        "            continue\n", "", (*FAILS, *LIES, *CUTS)
    ),
    "what was written again later counts twice": Rewrite(
        "segment.py",  "        if limit_seq is not None and each.header.base_seq >= limit_seq:\n"
        "            break\n", "",
        (*FAILS, *LIES),
    ),
    "missing numbers are not told": Rewrite(
        "recovery.py", "        if header.base_seq > self.next_seq and not jumps:\n",
        "        if False:\n", LIES,
    ),
    "META is no evidence of the end": Rewrite(
        "recovery.py", "        if evidence_seq >= self.next_seq:\n", "        if False:\n",
        (("dead-page", "reopens"), *LIES, *SEALS),
    ),
    "a jump opens no new incarnation": Rewrite(
        "recovery.py", "            self.incarnation += 1\n", "", (("dead-page", "reopens"), *LIES, *SEALS)
    ),
    "numbers go on at evidence instead of behind it": Rewrite(
        "recovery.py",  "self.next_seq = evidence_seq + 1\n"
        "            self",  "self.next_seq = evidence_seq\n"
        "            self",
        (("dead-page", "reopens"), *LIES, *SEALS),
    ),
    "damage is not declared": Rewrite(
        "opening.py", '        log.put(log.check([("damage", None, each.body, "state")]))\n', "", LIES
    ),
    "damage is declared at every opening": Rewrite(
        "opening.py", "if told.hold(each.from_seq, each.to_seq):",
        "if False:", LIES,
    ),
    "an epoch is what a segment's first header says": Rewrite(
        "opening.py", "    if not found.read(by_hint):\n", "    found.read(by_hint)\n    if False:\n", (*LIES, *CUTS)
    ),
    "what archives hold is live": Rewrite(
        "opening.py", "            if walked.epoch <= self._archived_epoch:\n", "            if not walked.epoch:\n",
        (*CUTS, *SEALS, *LIES),
    ),
    "a clean end is believed wherever META says so": Rewrite(
        "opening.py", "is_clean = meta.is_clean and not self._is_torn and recovery.next_seq == meta.last_seq + 1",
        "is_clean = meta.is_clean", (),
        "test_log.py::test_an_end_behind_the_one_that_meta_tells_of_is_not_taken_for_clean",
    ),
    "every end is taken for clean": Rewrite(
        "opening.py", "is_clean = meta.is_clean and not self._is_torn and recovery.next_seq == meta.last_seq + 1",
        "is_clean = True", (("torn", "cuts"), ("torn", "wraps"), *CUTS),
    ),
    "what a cut left in a fresh segment stays": Rewrite(
        "opening.py",  "    for name in () if found.is_clean else found.littered:\n"
        "        prewrite(storage, name, told.segment_bytes)\n",
        "", (), "test_verify.py::test_what_a_cut_left_in_a_fresh_segment_is_no_damage_once_opened",
    ),
    "a live segment is recycled": Rewrite(
        "ring.py", "taken = {each.name for each in self.live} | self.poisoned",
        "taken = {each.name for each in self.live[-1:]} | self.poisoned", (("torn", "wraps"), *CUTS),
    ),
    "no segment is kept spare": Rewrite("ring.py", "SPARES: Final = 2", "SPARES: Final = 1", (*FAILS, *CUTS)),
    "a recycled segment keeps its epoch": Rewrite(
        "ring.py", "        self.top_epoch += 1\n", "        self.top_epoch = max(1, self.top_epoch)\n", CUTS
    ),
    "a segment has its name before it is whole": Rewrite(
        "ring.py", '    unfinished = f"{name}.tmp"\n', "    unfinished = name\n", (("torn", "classes"), *CUTS)
    ),
    "segments are let go before an archive holds them": Rewrite(
        "log.py", "            self.sealed(self._seal(segments))\n",
        "            self.ring.release(segments[-1].epoch)\n            self.sealed(self._seal(segments))\n",
        (("enospc", "wraps"), ("eio", "wraps"), ("enospc", "retains"), ("enospc", "rescues")),
    ),
    "a failed commit is acknowledged": Rewrite(
        "log.py", "            frame = self._rescue(draft, chain, error)\n", "            del error\n", FAILS
    ),
    "a second failure is no end": Rewrite(
        "log.py", "            self.counters.failures += 1\n            raise self._give_up(again) from again\n",
        '            frame = b""\n            del again\n', FAILS,
    ),
    "the end is said to be clean before it is written": Rewrite(
        "log.py",  "                    self.commit()\n"
        "                    self.meta.write(is_clean=not self._after_unclean, "
        "last_seq=self.durable_seq, chain=self._chain)\n",

        "                    self.meta.write(is_clean=not self._after_unclean, "
        "last_seq=self.next_seq - 1, chain=self._chain)\n"
        "                    self.commit()\n",
        (("torn", "reopens"), *CUTS),
    ),
    "META is believed without its checksum": Rewrite(
        "meta.py", 'if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):', "if False:",
        (("dead-page", "reopens"), ("torn", "classes"), ("torn", "reopens")),
    ),
    "the older META counts": Rewrite(
        "meta.py", "max(valid, key=lambda each: each[0])", "min(valid, key=lambda each: each[0])",
        (("torn", "reopens"), ("reordered", "classes"), *CUTS),
    ),
    "META is written over its newest copy": Rewrite(
        "metafile.py", "target = NAMES[1] if self._name == NAMES[0] else NAMES[0]",
        "target = NAMES[0] if self._name == NAMES[0] else NAMES[1]", (("torn", "reopens"), ("torn", "classes"), *CUTS),
    ),
    "an archive's footer is believed without its checksum": Rewrite(
        "archive.py", "    if crc32c(data) != crc:\n        return None\n    try:\n        info = msgspec",
        "    try:\n        info = msgspec", (), "test_flips.py::test_no_flipped_bit_of_an_archive_is_silent",
    ),
    "an archive's block is believed without its checksum": Rewrite(
        "archive.py", "or crc32c(data) != head.crc or", "or", (*SEALS, *LIES)
    ),
    "an archive has its name before it is whole": Rewrite(
        "seal.py", "        self.sync(info)\n        name_archive(self._storage, self.unfinished, info.name)\n",
        "        self._flush()\n        name_archive(self._storage, self.unfinished, info.name)\n"
        "        self.unfinished = info.name\n        self.sync(info)\n",
        (("torn", "compacts"), ("reordered", "compacts"), *CUTS),
    ),
    "retention does not declare": Rewrite(
        "upkeep.py", 'partial(self._declare, log_, "gap")', "lambda _body: None", GIVES_UP
    ),
    "retention declares afterwards": Rewrite(
        "upkeep.py",  '            partial(self._declare, log_, "gap"),\n'
        '            need_bytes=need_bytes,\n'
        '        )\n',
        "            (late := []).append,\n            need_bytes=need_bytes,\n        )\n        for each in late:\n"
        '            self._declare(log_, "gap", each)\n',
        GIVES_UP,
    ),
    "history is given up before its state is kept": Rewrite(
        "upkeep.py", "        self._snapshot(log_)\n        self._retain(log_)\n",
        "        self._retain(log_)\n        self._snapshot(log_)\n", GIVES_UP,
    ),
    "a failed sealing is taken for done": Rewrite(
        "log.py",  "        except OSError as error:\n"
        "            self.sealing_error = str(error)\n"
        "            self.wants_upkeep = True\n"
        "        if not ring.free():",
        "        except OSError as error:\n"
        "            self.sealing_error = str(error)\n"
        "            self.ring.live = self.ring.live[-1:]\n"
        "        if not ring.free():",
        (("enospc", "wraps"), ("enospc", "retains"), ("enospc", "rescues"), ("eio", "wraps")),
    ),
}  # fmt: skip


def rewritten(rewrite: Rewrite) -> str:
    """Return the source of the changed file."""
    return changed(HOME / rewrite.file, rewrite.old, rewrite.new)


def main(name: str) -> int:
    """Enumerate with a rewritten ledger; return 1 where that is noticed."""
    rewrite = REWRITES[name]
    instead(HOME / rewrite.file, rewritten(rewrite))
    logging.disable(logging.CRITICAL)
    from tests.crash.campaign import Job, run_job

    for seed in SEEDS:
        for fault, scenario in rewrite.rounds:
            try:
                found = run_job(Job("ledger", fault, scenario, seed, STATES))
            except Exception as error:  # noqa: BLE001 - a history that breaks is noticed too
                print(f"{fault} {scenario}: {type(error).__name__}: {error}")
                return 1
            if found.violations:
                print("\n".join(found.lines[:2]))
                return 1
    return _tested(rewrite.test) if rewrite.test else 0


def _tested(test: str) -> int:
    """Run one test of the suite; return 1 where it fails."""
    import pytest

    path = HOME.parent.parent / "tests" / "ledger" / test
    return int(pytest.main([str(path), "-q", "-n0", "-p", "no:cacheprovider"]) is pytest.ExitCode.TESTS_FAILED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
