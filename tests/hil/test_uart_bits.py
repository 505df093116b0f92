"""The bits of a serial line, against a simulation that asks the line's level at exact moments and knows no trick."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hil.uart_bits import Format, transfer

HALF = Fraction(1, 2)
NOTHING = frozenset()


class Line:
    """Levels as a function of time in seconds; high before the first and after the last piece."""

    def __init__(self, pieces: list[tuple[Fraction, int]]) -> None:
        self.changes: list[tuple[Fraction, int]] = []  # (from when, level), only where the level changes
        now, level = Fraction(0), 1
        for length, new in [*pieces, (Fraction(1), 1)]:
            if new != level:
                self.changes.append((now, new))
                level = new
            now += length

    def level(self, when: Fraction) -> int:
        seen = 1
        for since, level in self.changes:
            if since > when:
                break
            seen = level
        return seen

    def falling_after(self, when: Fraction | None) -> Fraction | None:
        return next((at for at, level in self.changes if level == 0 and (when is None or at > when)), None)


def sent(values, baud: int, bits: int, parity: str, stop: Fraction) -> Line:
    bit_s = Fraction(1, baud)
    pieces = []
    for value in values:
        ones = [(value >> k) % 2 for k in range(bits)]
        pieces.append((bit_s, 0))
        pieces += [(bit_s, one) for one in ones]
        if parity == "e":
            pieces.append((bit_s, sum(ones) % 2))
        if parity == "o":
            pieces.append((bit_s, 1 - sum(ones) % 2))
        pieces.append((stop * bit_s, 1))
    return Line(pieces)


def received(line: Line, baud: int, bits: int, parity: str) -> list[tuple[int, frozenset[str]]]:
    bit_s = Fraction(1, baud)
    characters = []
    edge = line.falling_after(None)
    while edge is not None:
        if line.level(edge + HALF * bit_s):
            edge = line.falling_after(edge + HALF * bit_s)
            continue
        with_parity = parity != "n"
        ones = [line.level(edge + (k + 3 * HALF) * bit_s) for k in range(bits + with_parity)]
        stop_at = edge + (bits + with_parity + 3 * HALF) * bit_s
        stop = line.level(stop_at)
        flags = set()
        if parity == "e" and sum(ones) % 2 == 1:
            flags.add("parity")
        if parity == "o" and sum(ones) % 2 == 0:
            flags.add("parity")
        if stop == 0:
            flags.add("framing")
        if stop == 0 and sum(ones) == 0:
            flags.add("break")
        value = 0
        for k in range(bits):
            value += ones[k] * 2**k
        characters.append((value, frozenset(flags)))
        edge = line.falling_after(stop_at)
    return characters


USUAL = [1, 2, 3, 50, 300, 9600, 14400, 19200, 38400, 57600, 115200, 3_000_000]
bauds = st.one_of(st.sampled_from(USUAL), st.integers(90, 110), st.integers(1, 4_000_000))
forms = st.tuples(bauds, st.integers(5, 9), st.sampled_from("noe"), st.sampled_from(["1", "1.5", "2"]))


def text_of(form) -> str:
    baud, bits, parity, stop = form
    return f"{baud}-{bits}{parity}{stop}"


@given(data=st.lists(st.integers(0, 511), max_size=24), sender=forms, receiver=forms)
@example(data=[0, 0, 255, 0], sender=(9600, 8, "n", "1"), receiver=(115200, 8, "o", "1"))
@example(data=[0x55] * 9, sender=(115200, 8, "n", "1.5"), receiver=(9600, 9, "e", "1"))
@example(data=[0, 1, 2, 3], sender=(3, 5, "e", "1.5"), receiver=(2, 5, "e", "1"))
@example(data=[0], sender=(4_000_000, 9, "e", "2"), receiver=(1, 9, "o", "2"))
def test_a_receiver_reads_what_its_law_says(data, sender, receiver):
    line = sent(data, *sender[:3], Fraction(sender[3]))

    assert received(line, *receiver[:3]) == transfer(data, text_of(sender), text_of(receiver))


@given(data=st.lists(st.integers(0, 511), max_size=24), form=forms, percent=st.integers(90, 110))
def test_a_receiver_that_is_a_little_off_reads_what_its_law_says(data, form, percent):
    form = (9600, *form[1:])
    line = sent(data, *form[:3], Fraction(form[3]))
    receiver = Format.parse(text_of(form)).at(percent / 100)

    assert received(line, 96 * percent, *form[1:3]) == transfer(data, text_of(form), receiver)


@given(data=st.binary(max_size=40), form=forms, stop=st.sampled_from(["1", "1.5", "2"]))
def test_a_difference_in_stop_bits_alone_changes_nothing(data, form, stop):
    mask = 2 ** form[1] - 1
    line = sent(data, *form[:3], Fraction(stop))

    assert [(value & mask, NOTHING) for value in data] == transfer(data, text_of((*form[:3], stop)), text_of(form))
    assert received(line, *form[:3]) == transfer(data, text_of((*form[:3], stop)), text_of(form))


def test_a_sender_at_half_the_rate_stretches_every_bit_to_two():
    # at the receiver's rate 0011001100110011 0011: the bit where it wants a stop bit is low
    assert [(0b01100110, {"framing"}), (0b11100110, NOTHING)] == transfer(b"\x55", "9600-8n1", "19200-8n1")


def test_zero_at_a_tenth_of_the_rate_is_one_break_and_not_many():
    assert [(0, {"framing", "break"})] == transfer(b"\0", "960-8n1", "9600-8n1")


def test_a_break_has_the_parity_flag_where_its_parity_bit_should_be_high():
    assert [(0, {"framing", "break"})] == transfer(b"\0", "960-8n1", "9600-8e1")
    assert [(0, {"framing", "break", "parity"})] == transfer(b"\0", "960-8n1", "9600-8o1")


def test_a_low_stop_bit_after_a_high_bit_is_framing_and_no_break():
    # eight bits read as seven: the eighth, low, stands where the stop bit should be
    assert [(0x55, {"framing"})] == transfer(b"\x55", "9600-8n1", "9600-7n1")


def test_a_high_parity_bit_makes_a_low_stop_bit_framing_and_no_break():
    # of nine bits the eighth stands where parity is read, and the ninth, low, where the stop bit is
    assert [(0, {"framing"})] == transfer([0x80], "9600-9n1", "9600-7o1")


def test_after_a_low_stop_bit_the_line_must_be_high_before_a_new_start():
    # 00 as five bits: the stop bit is low, and so are the two bits behind it; only FF's start bit is an edge again
    assert [(0, {"framing", "break"}), (0x1F, NOTHING)] == transfer(b"\x00\xff", "9600-8n1", "9600-5n1")


def test_wrong_parity_alone_leaves_the_value():
    assert [(0x41, {"parity"}), (0x43, {"parity"})] == transfer(b"AC", "9600-8e1", "9600-8o1")


def test_parity_that_is_not_sent_is_the_stop_bit():
    assert [(0x41, {"parity"}), (0x43, NOTHING)] == transfer(b"AC", "9600-8n2", "9600-8e1")


def test_a_sample_exactly_on_an_edge_sees_the_new_level():
    # at a quarter of the rate half a bit is two of the sender's, and a bit and a half are six: where it rises
    assert transfer([0b00000], "400-5n1", "100-5n1") == [(0b11111, NOTHING)]
    assert transfer([0b11110], "400-5n1", "100-5n1") == []


def test_a_low_shorter_than_half_a_bit_is_a_glitch():
    assert transfer(b"\xff" * 5, "115200-8n1", "9600-8n1") == []


def test_a_character_that_begins_at_the_end_of_the_data_reads_the_idle_line():
    assert transfer(b"\0", "115200-8n1", "14400-8n1") == [(0xFF, NOTHING)]


def test_a_receiver_slower_by_millions_reads_nothing_and_takes_no_memory():
    assert transfer(b"\0" * 100, "1000000000-8n1", "1-9e2") == []


def test_bits_above_the_senders_do_not_reach_the_line():
    assert transfer(b"\xff", "9600-7e1", "9600-7e1") == [(0x7F, NOTHING)]
    assert [(0x7F, {"parity"})] == transfer([0x1FF], "9600-7e1", "9600-7o1")


def test_nine_bits_carry_up_to_511():
    assert transfer([0x1A5], "9600-9n1", "9600-9n2") == [(0x1A5, NOTHING)]


@pytest.mark.parametrize("value", [-1, 512, 1.0, True, "a", None])
def test_what_is_no_character_is_refused(value):
    with pytest.raises(ValueError, match="is no character"):
        transfer([value], "9600-8n1", "9600-8n1")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "line format"),
        ("9600", "line format"),
        ("9600 8n1", "line format"),
        ("9600-8", "line format"),
        ("0-8n1", "baud rate"),
        ("-8n1", "baud rate"),
        ("-9600-8n1", "baud rate"),
        ("9600.5-8n1", "baud rate"),
        ("٣-8n1", "baud rate"),
        ("1" * 5000 + "-8n1", "baud rate"),
        (None, "None is no line format"),
        (b"9600-8n1", "is no line format"),
        ("9600-4n1", "data bits"),
        ("9600-xn1", "data bits"),
        ("9600-8m1", "parity"),
        ("9600-8s1", "parity"),
        ("9600-8x1", "parity"),
        ("9600-8n0", "stop bits"),
        ("9600-8n3", "stop bits"),
        ("9600-8n1 ", "stop bits"),
        ("9600-8n1.50", "stop bits"),
        ("9600-10n1", "data bits"),
    ],
)
def test_a_bad_format_names_its_wrong_part(text, part):
    with pytest.raises(ValueError, match=part):
        transfer(b"", "9600-8n1", text)
    with pytest.raises(ValueError, match=part):
        transfer(b"", text, "9600-8n1")


@given(form=forms)
def test_a_format_reads_back_as_it_is_written(form):
    assert text_of(form) == str(Format.parse(text_of(form)))


def test_a_format_is_read_in_capitals_too():
    assert Format.parse("9600-8n1") == Format.parse("9600-8N1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9600-8n1", Fraction(10 * 10**9, 9600)),
        ("1000-7e1.5", Fraction(10_500_000)),
        ("1000000-9o2", Fraction(13_000)),
    ],
)
def test_a_character_takes_its_bits_on_the_line(text, expected):
    assert expected == Format.parse(text).character_ns


def test_a_factor_scales_the_rate_exactly():
    form = Format.parse("9600-8n1")

    assert Fraction(9888) == form.at(1.03).baud
    assert Fraction(4800) == form.at(0.5).baud


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_factor_that_makes_no_rate_is_refused(factor):
    with pytest.raises(ValueError, match="makes no baud rate"):
        Format.parse("9600-8n1").at(factor)


def test_only_stop_bits_may_differ_where_everything_arrives():
    form = Format.parse("9600-8n1")

    assert form.reads(Format.parse("9600-8n2"))
    assert not any(form.reads(Format.parse(text)) for text in ("9601-8n1", "9600-7n1", "9600-8e1"))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"parity": "o"}, "9600-8o1"),
        ({"parity": "even"}, "9600-8e1"),
        ({"stop": 2}, "9600-8n2"),
        ({"stop": 1.5}, "9600-8n1.5"),
        ({"stop": "2", "parity": "odd"}, "9600-8o2"),
        ({}, "9600-8n1"),
    ],
)
def test_a_sender_may_have_another_parity_or_other_stop_bits(other, expected):
    assert str(Format.parse("9600-8n1").sending(**other)) == expected


@pytest.mark.parametrize(
    ("other", "part"), [({"parity": ""}, "parity"), ({"parity": "mark"}, "parity"), ({"stop": 3}, "stop bits")]
)
def test_a_sender_with_what_no_format_has_is_refused(other, part):
    with pytest.raises(ValueError, match=part):
        Format.parse("9600-8n1").sending(**other)


def test_ten_thousand_characters_of_a_fast_line_take_a_moment():
    data = bytes(range(256)) * 40
    began = time.process_time()
    transfer(data, "115200-8n1", "114000-8e1")
    assert time.process_time() - began < 0.5  # measured: 0.02
