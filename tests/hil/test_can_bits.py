"""Frames bit by bit against a model that writes the bits down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hil.can_bits import FD_LENGTHS, arbitration_of, bits_of, crc15, stuffed
from hil.can_frames import Frame


def digits(value, count):
    return f"{value:0{count}b}" if count else ""


def written(bits):
    """Return bits with stuff bits, and which of them are those."""
    out, run, last = "", 0, ""
    for bit in bits:
        run = run + 1 if bit == last else 1
        last, out = bit, out + bit
        if run == 5:
            last = "1" if bit == "0" else "0"
            out, run = out + last, 1
    return out


def head_of(frame):
    """Return a frame's bits up to its control field, as the standard draws them: SOF, id, RTR or RRS, IDE."""
    if not frame.extended:
        return "0" + digits(frame.id, 11) + str(int(frame.remote)) + "0"
    return "0" + digits(frame.id >> 18, 11) + "11" + digits(frame.id & 0x3FFFF, 18) + str(int(frame.remote))


def classic_length(frame):
    reserved = "00" if frame.extended else "0"
    bits = head_of(frame) + reserved + digits(frame.code, 4) + "".join(digits(byte, 8) for byte in frame.data)
    bits += digits(crc15(int(bits, 2), len(bits)), 15)
    return len(written(bits)) + 10


@st.composite
def frames(draw, fd=False):
    extended = draw(st.booleans())
    number = draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF))
    size = draw(st.sampled_from(FD_LENGTHS)) if fd else draw(st.integers(0, 8))
    data = draw(st.binary(min_size=size, max_size=size) | st.just(bytes(size)) | st.just(b"\xff" * size))
    return Frame(number, data, extended, fd=fd, brs=fd, dlc=size)


def test_the_crc_is_that_of_the_catalogue():
    check = b"123456789"
    assert crc15(int.from_bytes(check, "big"), 8 * len(check)) == 0x059E  # CRC-15/CAN


@given(frames())
def test_a_classic_frame_is_as_long_as_its_bits_written_down(frame):
    assert bits_of(frame) == (classic_length(frame), 0)


@given(frames(fd=True))
def test_an_fd_frame_is_as_long_as_its_bits_written_down(frame):
    slow = head_of(frame) + "10" + "1"
    fast = "0" + digits(frame.code, 4) + "".join(digits(byte, 8) for byte in frame.data)
    stuff = len(written(slow + fast)) - len(slow + fast)
    in_slow = len(written(slow)) - len(slow)
    is_behind = len(written(slow + fast)) > len(written((slow + fast)[:-1])) + 1
    check = 27 if len(frame.data) <= 16 else 32
    assert bits_of(frame) == (len(slow) + in_slow + 9, len(fast) + stuff - in_slow - is_behind + check + 1)
    one_rate = bits_of(frame._replace(brs=False))
    assert one_rate.fast == 0


@given(st.text("01", min_size=1, max_size=200))
def test_stuff_bits_are_counted_as_they_are_written(bits):
    assert stuffed(int(bits, 2), len(bits)) == len(written("1" + bits)) - len(bits) - 1


@given(frames())
def test_a_frame_is_within_the_bounds_of_the_literature(frame):
    size = len(frame.data)
    least, stuffable = (64, 54) if frame.extended else (44, 34)
    least += 8 * size
    assert least <= bits_of(frame).nominal <= least + (stuffable + 8 * size - 1) // 4


def test_arbitration_lets_the_lowest_id_go_first_data_before_remote_standard_before_extended():
    last_to_first = [
        Frame(0x124),
        Frame(0x123 << 18 | 1, extended=True),
        Frame(0x123 << 18, extended=True, remote=True),
        Frame(0x123 << 18, extended=True),
        Frame(0x123, remote=True),
        Frame(0x123),
        Frame(0x122),
    ]
    assert sorted(last_to_first, key=arbitration_of) == last_to_first[::-1]
