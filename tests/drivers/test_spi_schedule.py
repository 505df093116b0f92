from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers._spi_schedule import JITTER_POINTS, SLOWEST_NS, Load, Schedule, Tally
from gateway.port import Sample

MS = 1_000_000
S = 1_000 * MS

periods = st.lists(st.integers(1, 50), min_size=1, max_size=5)
costs = st.lists(st.integers(0, 120), min_size=1, max_size=200)


def scheduled(*every_ns, start_ns=0):
    schedule, tally = Schedule(), Tally()
    schedule.replace("port", [Sample(bytes([number]), every) for number, every in enumerate(every_ns)], start_ns, tally)
    return schedule, tally


def play(schedule, turn_costs, start_ns=0, *, succeeded=lambda _point: True):
    """Serve whatever is due, each transfer taking its time; return (point, begun at)."""
    now_ns, served = start_ns, []
    for cost in turn_costs:
        now_ns = max(now_ns, schedule.next_ns())
        point = schedule.take(now_ns)
        served.append((point, now_ns))
        now_ns += cost
        schedule.settle(point, succeeded=succeeded(point))
    return served


def by_request(served):
    found = {}
    for point, begun_ns in served:
        found.setdefault(point.request, []).append((point.due_ns, begun_ns))
    return found


@given(periods, costs, st.integers(0, 10**15))
def test_every_point_lies_on_its_grid_and_is_served_once_in_order(every, cost, start):
    schedule, _ = scheduled(*every, start_ns=start)
    for request, points in by_request(play(schedule, cost, start)).items():
        dues = [due for due, _ in points]
        assert all((due - start) % every[request[0]] == 0 for due in dues)
        assert dues == sorted(set(dues))


@given(periods, costs)
def test_a_transfer_begins_at_its_point_or_less_than_a_period_later(every, cost):
    schedule, _ = scheduled(*every)
    for request, points in by_request(play(schedule, cost)).items():
        assert all(0 <= begun - due < every[request[0]] for due, begun in points)


@given(periods, costs)
def test_points_served_and_missed_are_all_the_points_there_were(every, cost):
    schedule, tally = scheduled(*every)
    served = by_request(play(schedule, cost))
    passed = sum(points[-1][0] // every[request[0]] + 1 for request, points in served.items())
    assert tally.served + tally.missed == passed
    assert tally.served == len(cost)


@given(st.integers(2, 5), st.integers(1, 50), st.integers(5, 200))
def test_in_overload_equal_requests_are_served_equally_often(count, every, turns):
    schedule, _ = scheduled(*[every] * count)
    served = by_request(play(schedule, [every * 3] * turns))
    counts = [len(served.get(bytes([number]), ())) for number in range(count)]
    assert max(counts) - min(counts) <= 1


@given(periods, costs)
def test_between_two_turns_of_one_request_every_other_that_was_due_has_its_own(every, cost):
    schedule, _ = scheduled(*every)
    served = play(schedule, cost)
    for place, (point, begun) in enumerate(served):
        again = next((n for n in range(place + 1, len(served)) if served[n][0].request == point.request), None)
        if again is None:
            continue
        between = {each.request for each, _ in served[place + 1 : again]}
        # whatever had a point after the one just served and not after the next had to come between
        for other, period in enumerate(every):
            last = max((each.due_ns for each, _ in served[: place + 1] if each.request == bytes([other])), default=-1)
            due = 0 if last < 0 else last + period
            if bytes([other]) != point.request and due < served[again][0].due_ns and due <= begun:
                assert bytes([other]) in between


def test_nothing_is_due_before_its_time():
    schedule, _ = scheduled(10 * MS, start_ns=5)
    schedule.settle(schedule.take(5), succeeded=True)
    assert schedule.take(10 * MS + 4) is None
    assert schedule.next_ns() == 10 * MS + 5


def test_a_schedule_without_samples_waits_for_ever():
    schedule, _ = scheduled()
    assert (schedule.next_ns(), schedule.take(S)) == (None, None)


def test_missed_points_are_counted_and_not_made_up():
    schedule, tally = scheduled(10 * MS)
    schedule.settle(schedule.take(0), succeeded=True)
    late = schedule.take(55 * MS)
    schedule.settle(late, succeeded=True)
    assert (late.due_ns, tally.missed, schedule.next_ns()) == (50 * MS, 4, 60 * MS)


def test_a_failing_request_is_asked_ever_more_rarely_up_to_a_minute():
    schedule, tally = scheduled(S)
    dues = [point.due_ns // S for point, _ in play(schedule, [0] * 10, succeeded=lambda _: False)]
    assert [later - earlier for earlier, later in pairwise(dues)] == [
        2,
        4,
        8,
        16,
        32,
        60,
        60,
        60,
        60,
    ]
    assert tally.missed == 0
    assert tally.held_back > 200


def test_the_first_success_brings_the_pace_back():
    schedule, _ = scheduled(S)
    dues = [point.due_ns // S for point, _ in play(schedule, [0] * 6, succeeded=lambda point: point.due_ns >= 6 * S)]
    assert dues == [0, 2, 6, 7, 8, 9]


def test_a_request_rarer_than_a_minute_keeps_its_pace_while_it_fails():
    schedule, _ = scheduled(2 * SLOWEST_NS)
    dues = [point.due_ns for point, _ in play(schedule, [0] * 3, succeeded=lambda _: False)]
    assert dues == [0, 2 * SLOWEST_NS, 4 * SLOWEST_NS]


def test_only_the_failing_request_is_slowed_down():
    schedule, _ = scheduled(S, S)
    served = by_request(play(schedule, [0] * 20, succeeded=lambda point: point.request == b"\0"))
    assert len(served[b"\0"]) > 3 * len(served[b"\1"])


def test_replacing_the_samples_of_one_port_leaves_the_other_alone():
    schedule, tally = scheduled(10 * MS)
    schedule.replace("other", [Sample(b"other", 7 * MS)], 3 * MS, tally)
    schedule.replace("port", [], 4 * MS, tally)
    taken = schedule.take(20 * MS)
    assert (taken.request, taken.owner) == (b"other", "other")


def test_a_point_of_samples_that_were_replaced_meanwhile_is_settled_in_vain():
    schedule, tally = scheduled(10 * MS)
    point = schedule.take(0)
    schedule.replace("port", [Sample(b"new", 5 * MS)], 1, tally)
    schedule.settle(point, succeeded=False)
    assert schedule.next_ns() == 1


def test_jitter_is_how_late_transfers_began():
    tally = Tally()
    for late_us in range(100):
        tally.add(late_us * 1000)
    assert tally.jitter_us() == {"p50": 50.0, "p99": 99.0, "max": 99.0}


def test_without_samples_there_is_no_jitter():
    assert Tally().jitter_us() is None


def test_percentiles_are_of_the_last_points_and_the_worst_of_all():
    tally = Tally()
    tally.add(9 * MS)
    for _ in range(JITTER_POINTS):
        tally.add(1000)
    assert tally.jitter_us() == {"p50": 1.0, "p99": 1.0, "max": 9000.0}


def test_load_is_the_share_of_the_last_ten_seconds():
    load = Load(0)
    for second in range(30):
        load.add(second * S, second * S + S // 4)
    assert abs(load.share(30 * S) - 0.25) < 0.01


def test_a_bus_at_rest_forgets_its_load():
    load = Load(0)
    load.add(0, 9 * S)
    assert load.share(10 * S) > 0.8
    assert load.share(31 * S) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.integers(0, 5 * S)), max_size=30), st.integers(0, 40 * S))
def test_load_is_always_a_share(spans, wait):
    load, now = Load(0), 0
    for idle, busy in spans:
        load.add(now + idle, now + idle + busy)
        now += idle + busy
    assert 0.0 <= load.share(now + wait) <= 1.0
