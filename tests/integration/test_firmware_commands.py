"""Commands to real firmware, through a real gateway: whatever breaks in mid-command, one true outcome and no more."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.kernel.firmware import missing_tools
from hil.sim.behaviour import GOOD, Behaviour
from tests.integration.firmware_bench import ROUTE, Bench, finished, result, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing_tools()),
        reason=f"missing: {', '.join(missing_tools())}; sudo apt install qemu-system-arm gcc-arm-none-eabi make",
    ),
]

PATIENT = 'timeout = "2s"'  # of the shipped profile all but this: a crowded machine may take its time
ONCE = 'timeout = "2s"\nattempts = 1\nidempotent = false'
NOISE = random.Random(5).randbytes(300)  # seeded: the same noise each time


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The firmware at a gateway with the shipped profile."""
    with Bench(tmp_path) as made:
        yield made


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Bench]:
    """The same, with time for what goes wrong."""
    with Bench(tmp_path, PATIENT) as made:
        yield made


@pytest.fixture(params=[PATIENT, ONCE], ids=["idempotent", "once"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """The same, and again as a setpoint that must not be written twice."""
    with Bench(tmp_path, request.param) as made:
        made.may_repeat = request.param is PATIENT
        yield made


def near(percent: float) -> Any:
    """Return what is confirmed as `percent`: a report on the last step of the way there may be the one that does."""
    return pytest.approx(percent, abs=0.5)  # the tolerance of the profile


def ended(bench: Bench) -> list[str]:
    """Return the outcomes on record, when no command is open; each command has one."""
    until(lambda: all(each["outcome"] for each in bench.gateway.commands), "every command ends")
    found = bench.outcomes()
    assert [len(outcomes) for outcomes in found.values()] == [1] * len(found)
    return [outcome for (outcome,) in found.values()]


# ---- what it says and does


def test_what_the_firmware_says_can_be_got_and_watched(bench: Bench) -> None:
    told = json.loads(bench.gateway.cli("get", "node/identity/firmware", "--json").stdout)
    assert (told["value"], told["stale"]) == ("1.4.0-m3", False)
    told = json.loads(bench.gateway.cli("get", "node/node/valve_position", "--json").stdout)
    assert (told["value"], told["units"], told["stale"], told["taints"]) == (20.0, "%", False, [])
    watching = bench.gateway.begun("watch", "node/node", "--json")
    assert watching.stdout is not None
    lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
    watching.send_signal(signal.SIGINT)
    assert finished(watching).returncode == 0
    uptimes = [line["values"]["uptime"] for line in lines]
    assert uptimes == sorted(set(uptimes))
    assert all(18 < line["values"]["temperature"] < 26 for line in lines)


def test_a_valve_that_is_set_is_reported_with_all_there_is_to_tell(patient: Bench) -> None:
    told = result(patient.gateway.set(62.5, "--key", "k"))
    (record,) = patient.records("command_result")
    assert {key: told[key] for key in told if key != "detail"} == {
        "id": record.body["id"], "route": ROUTE, "outcome": "reported", "reason": None, "desired": 62.5,
        "reported": near(62.5), "effective": near(62.5), "clamped": False, "coherence": "STABLE", "attempts": 1,
        "receipt": record.seq, "key": "k", "exit": 0,
    }  # fmt: skip
    until(lambda: patient.gateway.shadow["state"]["reported"] == {"valve": 62.5}, "the valve is there")
    until(lambda: patient.gateway.ask("get", route="node/health/orders")["value"] == 1, "the order is counted")


def test_what_the_valve_cannot_be_set_to_does_not_reach_the_board(bench: Bench) -> None:
    lines = [{"route": ROUTE, "value": value} for value in (100.5, -0.5, "half", True)]
    done = bench.gateway.cli("set", "--stdin", "--json", told="".join(json.dumps(line) + "\n" for line in lines))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["id"], each["reason"]) for each in told] == [(None, "range")] * 2 + [(None, "type")] * 2
    assert done.returncode == 2
    assert bench.wire.orders() == 0


def test_a_valve_that_meets_its_end_stop_is_reported_as_clamped(patient: Bench) -> None:
    patient.wire.behave(Behaviour(clamp=(0, 45)))
    told = result(patient.gateway.set(80))
    assert (told["exit"], told["outcome"], told["clamped"], told["effective"]) == (0, "reported", True, 45)
    assert told["coherence"] == patient.gateway.coherence == "CLAMPED"


@pytest.mark.parametrize("condition", ["manual", "blocked"])
def test_a_valve_that_is_known_to_be_held_is_not_written_until_it_is_let_go(bench: Bench, condition: str) -> None:
    bench.wire.behave(Behaviour(condition=condition))
    until(lambda: bench.gateway.ask("get", route="node/node/mode")["value"] == condition, "the node tells its mode")
    told = result(bench.gateway.set(30))
    assert (told["exit"], told["id"], told["reason"]) == (2, None, "interlock")
    bench.wire.behave(GOOD)
    until(bench.gateway.is_up, "the valve is free")
    assert result(bench.gateway.set(30))["outcome"] == "reported"


@pytest.mark.parametrize(("condition", "why"), [("manual", "manual"), ("blocked", "valve_blocked")])
def test_a_valve_that_is_held_before_the_gateway_can_know_rejects_its_order(
    patient: Bench, condition: str, why: str
) -> None:
    def hold(frame: bytes) -> bytes:
        patient.wire.behave(Behaviour(condition=condition))
        patient.wire.withhold_until("measurement", mode=condition)
        return frame

    patient.wire.on_order = hold
    told = result(patient.gateway.set(30))
    assert (told["exit"], told["outcome"], told["reason"], told["attempts"]) == (1, "rejected", "device", 1)
    assert patient.wire.last("ack")["result"] == why
    assert patient.wire.orders() == 0


# ---- resets


def test_an_order_that_a_reset_cuts_in_two_is_repeated_or_unknown(either: Bench) -> None:
    def reset(frame: bytes) -> bytes:
        either.wire.to_board(frame[:4])
        either.board.reset()
        return frame[4:]

    either.wire.on_order = reset
    told = result(either.gateway.set(30))
    if either.may_repeat:
        assert (told["exit"], told["outcome"], told["attempts"], either.wire.orders()) == (0, "reported", 2, 1)
    else:
        assert (told["exit"], told["outcome"], told["reason"]) == (1, "unknown", "no_ack")
        assert (told["attempts"], either.wire.orders()) == (1, 0)
    assert ended(either) == [told["outcome"]]


@pytest.mark.parametrize("is_ack_lost", [True, False], ids=["ack lost", "ack told"])
def test_an_order_that_was_obeyed_when_a_reset_came_is_reported_and_done_once(either: Bench, is_ack_lost: bool) -> None:
    def reset(frame: bytes) -> bytes:
        either.board.reset()
        return b"" if is_ack_lost else frame

    either.wire.on_ack = reset
    told = result(either.gateway.set(30))
    assert (told["exit"], told["outcome"], told["effective"], told["attempts"]) == (0, "reported", near(30), 1)
    assert either.wire.orders() == 1
    assert ended(either) == ["reported"]


@pytest.mark.parametrize("percent", [25, 35, 60, 85])
def test_a_reset_while_the_valve_is_on_its_way_is_no_limit_of_the_device(patient: Bench, percent: float) -> None:
    setting = patient.gateway.set(90)
    until(lambda: (patient.wire.last("measurement") or {}).get("valve_position", 0) >= percent, "the valve moves")
    patient.board.reset()
    told = result(setting)
    assert (told["exit"], told["outcome"], told["clamped"], told["effective"]) == (0, "reported", False, near(90))
    assert ended(patient) == ["reported"]


# ---- the cable, the power, a hang


def pulled(bench: Bench) -> Callable[[bytes], bytes]:
    """Return what pulls the cable before a frame gets through."""

    def pull(_frame: bytes) -> bytes:
        bench.wire.vanish()
        return b""

    return pull


@pytest.mark.parametrize("changes", [PATIENT, ONCE], ids=["idempotent", "once"])
@pytest.mark.parametrize("is_obeyed", [False, True], ids=["before the order", "before the ack"])
def test_a_command_outlives_the_cable_where_it_may_and_tells_the_truth_where_not(
    tmp_path: Path, changes: str, is_obeyed: bool
) -> None:
    with Bench(tmp_path, changes.replace("2s", "3s")) as bench:  # for the cable to be back before it is over
        setattr(bench.wire, "on_ack" if is_obeyed else "on_order", pulled(bench))
        setting = bench.gateway.set(30)
        until(lambda: not bench.cable.is_plugged, "the cable is pulled")
        until(lambda: bench.gateway.lifecycle != "CONNECTED", "the gateway sees it")
        away = bench.gateway.shadow
        bench.wire.come_back(elsewhere=True)
        told = result(setting)
        until(bench.gateway.is_up, "the node is back by itself")
        assert (away["stale"], away["coherence"]) == (True, {"valve": "STALE"})
        if is_obeyed or changes is PATIENT:
            assert (told["exit"], told["outcome"], told["effective"]) == (0, "reported", near(30))
            assert bench.gateway.coherence == "STABLE"
        else:
            assert (told["exit"], told["outcome"], told["reason"]) == (1, "unknown", "no_ack")
            assert bench.gateway.coherence == "DIVERGED"
        assert told["attempts"] == (1 if is_obeyed or changes is ONCE else 2)
        assert bench.wire.orders() == told["attempts"] - (not is_obeyed)
        assert ended(bench) == [told["outcome"]]


def test_a_command_whose_device_stays_away_expires_and_nothing_is_sent_when_it_is_back(patient: Bench) -> None:
    patient.wire.on_order = pulled(patient)
    told = result(patient.gateway.set(30, "--expires", "2s"))
    assert (told["exit"], told["outcome"], told["reason"]) == (1, "expired", "unreachable")
    patient.wire.come_back()
    until(patient.gateway.is_up, "the node is back by itself")
    assert patient.gateway.coherence == "DIVERGED"
    assert patient.wire.orders() == 0


def silence(bench: Bench) -> tuple[str, str]:
    """Return how a command ends that nobody answers: with its interlock unheard of, it is not repeated."""
    return ("expired", "no_ack") if bench.may_repeat else ("unknown", "no_ack")


def test_a_board_that_loses_its_power_in_mid_command_is_not_set_by_surprise_when_it_has_it_again(either: Bench) -> None:
    def cut(_frame: bytes) -> bytes:
        either.board.kill()
        return b""

    either.wire.on_order = cut
    told = result(either.gateway.set(70))
    assert (told["exit"], told["outcome"], told["reason"]) == (1, *silence(either))
    either.power_off()
    until(lambda: either.gateway.shadow["stale"], "silence makes it stale")
    either.power_on()
    until(either.gateway.is_up, "the node is back by itself")
    assert either.gateway.coherence == "DIVERGED"
    assert (either.wire.orders(), either.wire.next("measurement")["valve_position"]) == (0, 20)
    assert ended(either) == [told["outcome"]]


def test_a_board_that_hangs_and_obeys_too_late_changes_its_shadow_and_no_outcome(either: Bench) -> None:
    def hang(frame: bytes) -> bytes:
        either.board.halt()
        return frame

    either.wire.on_order = hang
    told = result(either.gateway.set(70))
    assert (told["exit"], told["outcome"], told["reason"]) == (1, *silence(either))
    either.board.go_on()
    until(lambda: either.gateway.coherence == "STABLE", "the valve is where it was sent")
    assert ended(either) == [told["outcome"]]
    assert either.wire.orders() == told["attempts"]


# ---- the gateway


@pytest.mark.parametrize("moment", ["before the order", "before the ack", "after the ack"])
def test_a_command_that_a_killed_gateway_left_open_gets_one_outcome_from_the_next(either: Bench, moment: str) -> None:
    def kill(frame: bytes) -> bytes:
        either.gateway.kill()
        return b"" if moment == "before the order" else frame

    setattr(either.wire, "on_ack" if moment == "after the ack" else "on_order", kill)
    assert finished(either.gateway.set(30, "--key", "k", "--expires", "60s")).returncode == 3
    either.start()
    (outcome,) = ended(either)
    again = result(either.gateway.set(30, "--key", "k"))
    (record,) = either.records("command_result")
    assert (again["id"], again["outcome"], again["receipt"]) == (record.body["id"], outcome, record.seq)
    orders = either.wire.orders()
    if either.may_repeat:
        assert (outcome, again["reason"]) == ("reported", None)  # the machine runs on, and knows how much time is left
        assert orders in {1, 2}
    else:
        assert (outcome, again["reason"]) == ("unknown", "restarted")
        assert orders == (0 if moment == "before the order" else 1)


# ---- noise


@pytest.mark.parametrize("half", [b"", bytes.fromhex("07 10 07")], ids=["noise", "noise and half a frame"])
def test_noise_both_ways_loses_no_command(patient: Bench, half: bytes) -> None:
    def disturb(frame: bytes) -> bytes:
        patient.wire.to_board(NOISE + half)
        patient.cable.send(NOISE)
        return frame

    patient.wire.on_order = disturb
    patient.wire.on_ack = lambda frame: half.replace(b"\0", b"\1") + frame
    told = result(patient.gateway.set(30))
    assert (told["exit"], told["outcome"], told["effective"]) == (0, "reported", near(30))
    assert told["attempts"] in {1, 2, 3}
    assert patient.wire.next("status")["frames_refused"] > 0
    assert ended(patient) == ["reported"]
