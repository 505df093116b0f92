from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.account import Account
from gateway.framing.base import FramerStatistics
from gateway.framing.checks import check_of
from gateway.framing.cobs import CobsFramer
from gateway.framing.seal import Seal
from gateway.testing import check_framer
from tests.framing.framing_cases import CASES


def good() -> CobsFramer:
    return CobsFramer(60, Seal(check_of("crc-16-ibm-3740")))


class Raises(CobsFramer):
    def feed(self, data):
        if b"\xff" in data:
            raise ValueError(data)
        return super().feed(data)


class ForgetsWhatIsCut(CobsFramer):
    """The commonest mistake: every chunk is taken for whole."""

    def feed(self, data):
        found = super().feed(data)
        return found + super().gap()


class ChangesBodies(CobsFramer):
    def encode(self, body):
        return super().encode(body.upper())


class LosesBytes(CobsFramer):
    def statistics(self):
        counts = super().statistics()
        return FramerStatistics(
            counts.frames, counts.frame_bytes, counts.garbage, counts.garbage_bytes, 0, counts.pending_bytes
        )


class KeepsTooMuch(CobsFramer):
    """Says less than it holds back."""

    def feed(self, data):
        self.max_frame_bytes = self._max_piece_bytes + 1
        found = super().feed(data)
        self.max_frame_bytes = 3
        return found


class GivesHugeGarbage(CobsFramer):
    def gap(self):
        found = super().gap()
        self.garbage_count += 1
        self._garbage_bytes += 5000
        self._fed += 5000
        return [*found, Garbage(bytes(5000), "noise")]


class ThrowsAwayTheCandidate(Account):
    """[size] [bytes] [sum]: a bad check costs the whole candidate, and a good frame in it."""

    def feed(self, data):
        self._fed += len(data)
        self._pending += data
        found = []
        while self._pending and len(self._pending) >= (size := self._pending[0] + 2):
            frame, self._pending = self._pending[:size], self._pending[size:]
            if sum(frame[:-1]) & 0xFF == frame[-1]:
                self._frames += 1
                found.append(frame[1:-1])
            else:
                self._refuse(found, frame, "check")
        return found

    def gap(self):
        found = []
        self._refuse(found, self._pending, "cut")
        self._pending = b""
        return found

    def encode(self, body):
        if len(body) > 255:
            raise EncodeError("too long")
        frame = bytes((len(body),)) + body
        return frame + bytes((sum(frame) & 0xFF,))


# what is filled in on building must agree with the body where it covers those bytes too
BODIES_OF_ONE_SHAPE = {
    "length": [bytes.fromhex("0107 0000"), bytes.fromhex("0613 0400 0100f021")],
    "fixed": [bytes.fromhex("d4043a0aa160 1d ab")],
}


def is_legal(case, body: bytes) -> bool:
    framer = case.make()
    try:
        return framer.feed(framer.encode(body)) == [body]
    except EncodeError:
        return False


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_our_own_framers_hold_all_laws(case):
    bodies = BODIES_OF_ONE_SHAPE.get(case.spec.__struct_config__.tag, [])
    assert check_framer(case.make, [body for body in bodies if is_legal(case, body)]) == []


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Raises, "law 1"),
        (ForgetsWhatIsCut, "law 2"),
        (ChangesBodies, "law 3"),
        (LosesBytes, "law 4"),
        (GivesHugeGarbage, "law 4"),
        (KeepsTooMuch, "law 5"),
    ],
)
def test_a_broken_law_is_named(broken, law: str):
    violations = check_framer(lambda: broken(60, Seal(check_of("crc-16-ibm-3740"))))
    assert any(violation.startswith(law) for violation in violations), violations


def test_a_framer_that_throws_away_whole_candidates_breaks_the_sixth_law():
    assert any(
        violation.startswith("law 6")
        for seed in range(3)
        for violation in check_framer(lambda: ThrowsAwayTheCandidate(257), [b"abcdef", b"ab\x01\x02"], seed)
    )


def test_equal_seeds_give_equal_findings():
    make = lambda: KeepsTooMuch(60, None)  # noqa: E731 - a name for both calls
    assert check_framer(make, seed=7) == check_framer(make, seed=7) != []


def test_a_body_that_the_author_calls_legal_must_be_encoded():
    assert check_framer(good, [bytes(100)])[0].startswith("law 3: encode")


def test_a_framer_that_cannot_be_made_is_a_finding():
    def make():
        raise RuntimeError("no")

    assert check_framer(make) == ["law 1: making it raised RuntimeError('no')"]
