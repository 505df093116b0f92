from __future__ import annotations

import os
import threading

import pytest

from gateway.cli.gently import NICE, gently


def test_gentle_work_has_the_lowest_priority() -> None:
    assert gently(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == NICE


def test_gentle_work_leaves_the_priority_of_who_asked_for_it() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    gently(lambda: None)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_what_gentle_work_raises_reaches_who_asked_for_it() -> None:
    with pytest.raises(ZeroDivisionError):
        gently(lambda: 1 / 0)
