"""Moments that keep their time, and how it is told when they do not."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import timing
from hil.timing import MissedLimitError

MS = 1_000_000
times = st.lists(st.integers(-1000, 1000), max_size=60).map(sorted)


def missed(check, *args, **limits) -> MissedLimitError:
    with pytest.raises(AssertionError) as caught:
        check(*args, **limits)
    assert isinstance(caught.value, MissedLimitError)
    return caught.value


def test_jitter_is_the_distance_of_each_interval_from_the_period():
    result = timing.period([0, 10, 19, 31, 41], 10)

    assert (result.count, result.p50_ns, result.p90_ns, result.max_ns) == (4, 0, 2, 2)
    assert result.worst == [(2, 2), (1, 1), (0, 0), (3, 0)]


def test_figures_are_attributes_and_items():
    result = timing.silence([0, 5, 7])

    assert dict(result) == {"count": 2, "p50_ns": 2, "p90_ns": 5, "p99_ns": 5, "max_ns": 5, "worst": [(0, 5), (1, 2)]}
    with pytest.raises(KeyError):
        result["keys"]


@given(jitters=st.lists(st.integers(-9, 9), min_size=1, max_size=300))
def test_a_percentile_is_the_sample_of_the_nearest_rank(jitters):
    result = timing.period([0, *accumulate(100 + jitter for jitter in jitters)], 100)
    ranked = sorted(map(abs, jitters))

    for percent in (50, 90, 99):
        assert result[f"p{percent}_ns"] == ranked[math.ceil(percent * len(ranked) / 100) - 1]
    assert result.max_ns == ranked[-1]
    assert [value for _, value in result.worst] == ranked[::-1][:5]
    assert all(abs(jitters[index]) == value for index, value in result.worst)


@given(
    jitters=st.lists(st.integers(-9, 9), min_size=1, max_size=120), name=st.sampled_from(["p50", "p90", "p99", "max"])
)
def test_a_limit_met_exactly_is_kept_and_one_nanosecond_less_is_missed(jitters, name):
    stamps = [0, *accumulate(100 + jitter for jitter in jitters)]
    limit = timing.period(stamps, 100)[f"{name}_ns"]

    assert timing.period(stamps, "100ns", **{name: limit}).count == len(jitters)
    if limit:
        assert missed(timing.period, stamps, 100, **{name: limit - 1}).result == timing.period(stamps, 100)


def test_a_limit_missed_by_less_than_four_digits_show_is_told_in_nanoseconds():
    with pytest.raises(AssertionError, match="max is 1000001 ns, over its limit of 1000000 ns"):
        timing.silence([0, 1_000_001], longest="1ms")


def test_limits_may_be_text():
    assert timing.period([0, 10 * MS, 21 * MS], "10ms", max="1ms").max_ns == MS
    missed(timing.period, [0, 10 * MS, 21 * MS], "10ms", max="999us")


def test_a_missed_limit_carries_its_figures():
    error = missed(timing.silence, [0, 3, 10], longest=6)

    assert (error.count, error.p50_ns, error.p90_ns, error.p99_ns, error.max_ns) == (2, 3, 7, 7, 7)
    assert error.worst == error.result.worst == [(1, 7), (0, 3)]


def test_a_missed_limit_shows_the_distribution_and_the_worst_samples():
    stamps = list(accumulate([0, *[10 * MS] * 60, 10 * MS + 800_000, 11 * MS + 600_000]))

    assert str(missed(timing.period, stamps, "10ms", p99="1ms", max="1.5ms")).splitlines() == [
        "jitter around 10 ms: p99 is 1.6 ms, over its limit of 1 ms",
        "jitter around 10 ms: max is 1.6 ms, over its limit of 1.5 ms",
        "  62 samples: p50 0 ns, p90 0 ns, p99 1.6 ms, max 1.6 ms",
        "  from      0 ns ######################################## 60",
        "  from    200 us                                          0",
        "  from    400 us                                          0",
        "  from    600 us #                                        1",
        "  from    800 us                                          0",
        "  from      1 ms                                          0",
        "  from    1.2 ms                                          0",
        "  from    1.4 ms #                                        1",
        "  worst: [61] 1.6 ms, [60] 800 us, [0] 0 ns, [1] 0 ns, [2] 0 ns",
    ]


@pytest.mark.parametrize("stamps", [[], [5]])
def test_too_few_samples_are_a_failure_even_without_a_limit(stamps):
    for error in (
        missed(timing.period, stamps, 10, p99=1000),
        missed(timing.silence, stamps),
        missed(timing.rate, stamps, minimum=0),
        missed(timing.latency, [], stamps),
        missed(timing.latency, stamps, []),
        missed(timing.within, [], stamps, limit=10),
    ):
        assert "too few samples" in str(error)
        assert (error.count, error.max_ns, error.worst) == (0, 0, [])


def test_a_request_waits_for_the_first_reply_at_or_after_it():
    result = timing.latency([0, 100, 200], [0, 107, 108, 230])

    assert (result.count, result.worst) == (3, [(2, 30), (1, 7), (0, 0)])


def test_a_reply_belongs_to_the_latest_request():
    error = missed(timing.within, [0, 100, 200], [105, 210], limit="1s")

    assert (error.count, error.worst) == (2, [(2, 10), (1, 5)])
    assert "1 of 3 requests had no reply before the next: 0" in str(error)


def test_a_request_without_a_reply_misses_every_limit():
    assert "2 of 3 requests had no reply before the next: 1, 2" in str(missed(timing.latency, [0, 9, 20], [1], p50=10))
    assert timing.latency([0, 9, 20], [1]).count == 1


def test_a_reply_within_the_limit_is_in_time_and_one_later_is_not():
    assert timing.within([0, 100], [50, 150], limit=50).max_ns == 50
    assert missed(timing.within, [0, 100], [50, 151], limit=50).worst[0] == (1, 51)


@given(requests=times, replies=times)
def test_each_request_is_paired_as_a_plain_search_pairs_it(requests, replies):
    waits = {}
    for index, request in enumerate(requests):
        end = requests[index + 1] if index + 1 < len(requests) else math.inf
        inside = [reply for reply in replies if request <= reply < end]
        if inside:
            waits[index] = min(inside) - request
    if waits:
        result = timing.latency(requests, replies)
        assert (result.count, result.max_ns) == (len(waits), max(waits.values()))
        assert all(waits[index] == wait for index, wait in result.worst)
    else:
        missed(timing.latency, requests, replies)


def test_the_longest_silence_may_last_its_limit():
    assert timing.silence([0, MS, 4 * MS], longest="3ms").worst[0] == (1, 3 * MS)
    missed(timing.silence, [0, MS, 4 * MS + 1], longest="3ms")


def test_ten_intervals_in_a_second_are_ten_a_second_exactly():
    stamps = range(0, 1_000 * MS + 1, 100 * MS)

    assert timing.rate(stamps, minimum=10, maximum=10).per_s == 10
    assert "rate is 10/s, below its minimum of 10.1/s" in str(missed(timing.rate, stamps, minimum=10.1))
    assert "rate is 10/s, above its maximum of 9.9/s" in str(missed(timing.rate, stamps, maximum=9.9))


def test_too_few_events_for_a_rate_have_none():
    for stamps in ([], [7]):
        assert "inf" not in str(missed(timing.rate, stamps, maximum=5))


def test_a_rate_of_a_tenth_is_a_tenth():
    assert timing.rate([0, 10_000 * MS], minimum=0.1, maximum=0.1).per_s == 0.1


def test_events_at_one_moment_come_infinitely_often():
    assert timing.rate([7, 7], minimum=1e300).per_s == math.inf
    missed(timing.rate, [7, 7], maximum=1e300)


@given(stamps=times)
def test_silences_are_the_intervals(stamps):
    if len(stamps) > 1:
        assert timing.silence(stamps).max_ns == max(b - a for a, b in pairwise(stamps))


@given(names=st.lists(st.sampled_from("abc")), wanted=st.lists(st.sampled_from("abc"), max_size=5))
def test_names_come_in_order_with_others_between(names, wanted):
    remaining = iter(names)
    if all(name in remaining for name in wanted):
        result = timing.order(names, wanted)
        assert [names[index] for index in result.indices] == wanted
        assert result.indices == sorted(set(result.indices))
    else:
        assert missed(timing.order, names, wanted).count < len(wanted)


def test_names_out_of_order_say_what_came_instead():
    error = missed(timing.order, ["boot", "link", "ready"], ["link", "boot"])

    assert str(error) == "order: no 'boot' behind 'link' at index 1, but one at index 0; there came 'ready'"


@pytest.mark.parametrize("stamps", [[0, 2, 1], [0, 1.5], [True, 2], ["1ms", "2ms"]])
def test_what_is_no_list_of_rising_nanoseconds_is_refused(stamps):
    for check in (
        lambda: timing.period(stamps, 1),
        lambda: timing.silence(stamps),
        lambda: timing.rate(stamps),
        lambda: timing.latency(stamps, [0]),
        lambda: timing.latency([0], stamps),
    ):
        with pytest.raises(ValueError, match=r"(t|requests|replies)\[[0-2]\]"):
            check()


@pytest.mark.parametrize("limit", [-1, 0.5, "fast", True])
def test_a_limit_that_is_no_duration_is_refused(limit):
    with pytest.raises(ValueError, match="duration"):
        timing.period([0, 10], 10, p99=limit)
    with pytest.raises(ValueError, match="duration"):
        timing.period([0, 10], limit)


@pytest.mark.parametrize("limit", [-1, math.nan, math.inf, "10", True])
def test_a_rate_that_is_none_is_refused(limit):
    with pytest.raises(ValueError, match="no rate"):
        timing.rate([0, 10], maximum=limit)


@pytest.mark.parametrize(
    ("time_ns", "expected"),
    [(0, "0 ns"), (999, "999 ns"), (1234, "1.234 us"), (12_000_000, "12 ms"), (86_400 * 1000 * MS, "86400 s")],
)
def test_times_are_read_in_the_largest_unit_that_fits(time_ns, expected):
    assert timing.time_text(time_ns) == expected
