"""What faults do to SPI transfers: laws, and the clock modes held against every edge of the clock."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.faults import spi
from hil.faults.spi import Wires

MODES = st.integers(0, 3)
DATA = st.binary(min_size=1, max_size=12)


def inverted(tx):
    return bytes(byte ^ 0xFF for byte in tx)


def bits_of(data):
    return [byte >> place & 1 for byte in data for place in range(7, -1, -1)]


def by_edges(tx, answer, host_mode, device_mode):
    """Return what each side samples, edge by edge: a sample sees what was there before its edge."""
    clock, mosi, driven, sampled = host_mode >> 1, 0, answer[0], 0
    samples_leading, told, read, unsent = not host_mode & 1, [], [], list(tx)
    if samples_leading:
        mosi = unsent.pop(0)
    for edge in range(2 * len(tx)):
        clock ^= 1
        before = mosi, driven
        if (edge % 2 == 0) == samples_leading:
            read.append(before[1])
        elif unsent:
            mosi = unsent.pop(0)
        if clock == (device_mode in {0, 3}):
            told.append(before[0])
            sampled += 1
        elif sampled < len(answer):
            driven = answer[sampled]
    return told, read


@given(tx=DATA, host_mode=MODES, device_mode=MODES)
def test_a_wrong_mode_does_what_the_edges_of_the_clock_say(tx, host_mode, device_mode):
    told = []

    def device(heard):
        told.append(heard)
        return inverted(heard)

    read = spi.clocked(tx, host_mode, device_mode, device)
    expected = by_edges(bits_of(tx), bits_of(inverted(told[0])), host_mode, device_mode)
    assert expected == (bits_of(told[0]), bits_of(read))


@given(tx=DATA, mode=MODES)
def test_modes_that_sample_at_the_same_edges_understand_each_other(tx, mode):
    assert spi.understand(mode, 3 - mode)
    assert spi.clocked(tx, mode, 3 - mode, inverted) == inverted(tx)


def test_a_host_that_samples_as_the_device_changes_reads_the_first_bit_twice():
    assert spi.clocked(b"\x00", 2, 0, lambda _: b"\xa5") == b"\xd2"


def test_a_host_that_changes_as_the_device_samples_is_heard_one_bit_late():
    heard = []
    spi.clocked(b"\x80\x01", 1, 0, lambda tx: heard.append(tx) or tx)
    assert heard == [b"\x40\x00"]


@given(data=DATA, bits=st.integers(0, 130))
def test_slipped_bits_come_late_behind_an_idle_line(data, bits):
    late = min(bits, 8 * len(data))
    assert bits_of(spi.slipped(data, bits)) == [1] * late + bits_of(data)[: 8 * len(data) - late]


@given(tx=DATA, seed=st.integers(0, 1000), glitches=st.integers(1, 4))
def test_a_glitch_makes_two_commands_of_one(tx, seed, glitches):
    chance = random.Random(seed)
    struck = [SimpleNamespace(kind="cs_glitch", params={}, chance=chance) for _ in range(glitches)]
    heard = []
    read = spi.transfer(tx, spi.wires(len(tx), struck, 0, 0), lambda part: heard.append(part) or inverted(part))
    if len(tx) == 1:
        assert (heard, read) == ([], b"\xff")
    else:
        assert 2 <= len(heard) <= glitches + 1
        assert all(heard)
        assert (b"".join(heard), read) == (tx, inverted(tx))


@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_a_stuck_line_reads_alike_everywhere(value):
    assert spi.transfer(b"abc", Wires(slip=3, stuck=value), inverted) == bytes([value]) * 3
