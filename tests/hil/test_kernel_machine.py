"""How the rig listens to a guest, and knows that it has ended."""

from __future__ import annotations

import socket
import threading

import pytest

from hil.kernel.guest import Guest
from hil.kernel.machine import attend

LIMIT_S = 60.0
GUEST = Guest("flash", (), LIMIT_S, disks=("a",))


@pytest.fixture
def ends():
    """Both ends of a guest's channels: ours, QEMU's."""
    pairs = {name: socket.socketpair() for name in GUEST.channels}
    yield [{name: pair[side] for name, pair in pairs.items()} for side in (0, 1)]
    for pair in pairs.values():
        for end in pair:
            end.close()


def end(channels):
    for channel in channels.values():
        channel.close()


def test_a_guest_has_ended_when_qemu_lets_go_of_its_output(ends):
    ours, theirs = ends
    end(theirs)
    assert attend(GUEST, ours, None) == ""


def test_a_guest_that_was_killed_with_an_answer_unread_has_ended(ends):
    ours, theirs = ends
    theirs["hands"].sendall(b"acked 1\n")
    ours["hands"].sendall(b"unread\n")

    def obey(_line):
        end(theirs)
        return "ok"

    assert attend(GUEST, ours, obey) == ""


def test_what_a_guest_says_is_obeyed_line_by_line_however_it_arrives(ends):
    ours, theirs = ends
    heard = []

    def speak():
        answers = theirs["hands"].makefile("rb")
        for piece in (b"first\nsec", b"ond\n"):
            theirs["hands"].sendall(piece)
            heard.append(answers.readline())
        answers.close()
        end(theirs)

    speaker = threading.Thread(target=speak)
    speaker.start()
    fault = attend(GUEST, ours, lambda line: f"did {line}")
    speaker.join()
    assert (fault, heard) == ("", [b"did first\n", b"did second\n"])


def test_a_guest_that_does_not_end_in_time_is_told_of(ends):
    ours, _ = ends
    assert attend(GUEST._replace(limit_s=0.05), ours, None) == "it had not ended after 0.05 s"
