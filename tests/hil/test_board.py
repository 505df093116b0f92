"""What a hand on the valve of the real firmware can do, in the words that the simulated node obeys."""

from __future__ import annotations

import pytest

from hil.kernel.firmware import JAM, LET_GO, TURN_BY_HAND
from hil.sim.behaviour import Behaviour
from hil.sim.board import BoardOnCable


class Board(BoardOnCable):
    """A berth without a board: what its hand would do is kept."""

    def __init__(self):
        self.touches = []
        self._board = self

    def touch(self, hand):
        self.touches.append(hand)


@pytest.mark.parametrize(
    ("words", "touch"),
    [
        ([], LET_GO),
        (["condition=manual"], TURN_BY_HAND),
        (["condition=blocked"], JAM),
        (["clamp=[0,45]"], 90),
        (["clamp=[0,250]"], 200),
    ],
)
def test_a_hand_does_what_the_order_says(words, touch):
    board = Board()
    board.behave(Behaviour.said(words))
    assert board.touches == [touch]


@pytest.mark.parametrize(
    "words", [["lies"], ["condition=stall"], ["clamp=[10,45]"], ["clamp=[-9,-1]"], ["clamp=[0,45]", "condition=manual"]]
)
def test_what_no_hand_can_do_is_refused(words):
    board = Board()
    with pytest.raises(ValueError, match="cannot be told"):
        board.behave(Behaviour.said(words))
    assert board.touches == []
