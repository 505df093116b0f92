"""The whole gateway and simulated devices that obey, disobey and lie: every command ends, once, with the truth."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.authority.settings import GrantConfig
from gateway.errors import DeniedError, LedgerReadOnlyError
from gateway.ledger import Ledger, Record
from gateway.profile.load import find_profile
from hil.sim.rig import Rig
from tests.integration.test_ports import until

VALVE = "node/node/valve@desired"
SPEED = "pump/motor/speed@desired"
ME = Caller(principal=f"user:{pwd.getpwuid(os.getuid()).pw_name}", is_local=True)
STRANGER = Caller(principal="user:nobody-at-all", is_local=True)
GRANTS = {"me": GrantConfig(principal=ME.principal or "", routes="**", verbs=["read", "write", "admin"])}


class Bench:
    """A gateway with its devices, and the way in that every caller takes."""

    def __init__(self, folder: Path, rig: Rig, profiles: dict[str, str] | None = None) -> None:
        self.profiles = profiles or {}
        self.folder = folder
        self.rig = rig
        self.begin()

    def begin(self) -> None:
        site = msgspec.structs.replace(self.rig.site(), grants=GRANTS)
        for name, changes in self.profiles.items():
            path = self.folder / f"{name}.toml"
            path.write_text(_changed(name, changes))
            shutil.copy(find_profile("motor").parent / "motor.dbc", self.folder)
            site.devices[name] = msgspec.structs.replace(site.devices[name], profile=str(path))
        self.gateway = Gateway(site, self.folder / "data")

    async def ask(self, name: str, caller: Caller = ME, **args: Any) -> dict[str, Any]:
        return await self.gateway.asks.answer(name, args, caller)

    async def set(self, route: str, value: Any, **args: Any) -> dict[str, Any]:
        return await self.ask("set", route=route, value=value, **args)

    def order(self, line: str) -> None:
        assert self.rig.obey(line) == "ok"

    async def up(self, *devices: str) -> None:
        """Wait until these devices have reported since they were connected."""
        await until(lambda: all(self._reports(name) for name in devices), 30)
        told: list[Any] = []
        while len(told) < 2 or told[-1] != told[-2]:  # it may be moving still
            await asyncio.sleep(0.25)
            told.append([self.gateway._dispatch.twins[name].view()["state"] for name in devices])

    def _reports(self, name: str) -> bool:
        told = self.gateway._dispatch.twins[name].view()
        return not told["stale"] and not {"STALE", "UNKNOWN"} & set(told["coherence"].values())

    def records(self, *kinds: str) -> list[Record]:
        with Ledger.open(self.folder / "data" / "ledger", read_only=True) as ledger:
            return [item for item in ledger.read() if isinstance(item, Record) and item.kind in kinds]


def _changed(name: str, changes: str) -> str:
    """Return the profile of a device with lines added to its setpoint, in place of what they replace.

    A line `connect = ...` goes to its lifecycle.
    """
    kind, setpoint = {"node": ("cobs-node", "valve"), "pump": ("motor", "speed")}[name]
    text = find_profile(kind).read_text()
    if changes.startswith("connect"):
        return text.replace("[lifecycle]\n", f"[lifecycle]\n{changes}\n")
    for line in changes.splitlines():
        key = line.partition("=")[0].strip()
        text = re.sub(rf"(?m)^{key} *=.*\n", "", text)
    return text.replace(f"[setpoint.{setpoint}]\n", f"[setpoint.{setpoint}]\n{changes}\n")


def played(
    folder: Path,
    play: Callable[[Bench], Awaitable[None]],
    *,
    for_others: bool = False,
    runs: int = 1,
    profiles: dict[str, str] | None = None,
) -> Bench:
    """Let devices and gateway live while `play` does something; again with a new gateway, if asked for."""

    async def living(bench: Bench) -> None:
        async with asyncio.TaskGroup() as group:
            devices = group.create_task(bench.rig.run())
            for number in range(runs):
                if number:
                    bench.begin()
                stop = asyncio.Event()
                running = group.create_task(bench.gateway.run(stop))
                try:
                    async with asyncio.timeout(60):
                        await play(bench)
                finally:
                    stop.set()
                    await running
            devices.cancel()

    with Rig(folder / "devices", for_others=for_others) as rig:
        bench = Bench(folder, rig, profiles)
        asyncio.run(living(bench))
    return bench


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("node behave", ("reported", None, False)),
        ("node behave clamp=[0,30]", ("reported", None, True)),
        ("node behave lies", ("exhausted", "value_kept", False)),
        ("node behave ignores", ("exhausted", "no_ack", False)),
        ("node behave refuses", ("rejected", "device", False)),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_set_ends_with_what_the_device_made_of_it(
    tmp_path: Path, order: str, expected: tuple[str, str | None, bool]
) -> None:
    told: dict[str, Any] = {}

    async def play(bench: Bench) -> None:
        await bench.up("node")
        bench.order(order)
        told.update(await bench.set(VALVE, 62.5))

    played(tmp_path, play)
    assert (told["outcome"], told["reason"], told["clamped"]) == expected


def test_a_motor_on_a_bus_and_a_meter_on_modbus_take_what_they_are_told(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: Bench) -> None:
        await bench.up("pump", "room")
        routes = [route for route in bench.gateway._dispatch.routes if route.startswith("room/")]
        told["pump"] = await bench.set(SPEED, 1200)
        told["room"] = await bench.set(routes[0], 21.5)

    played(tmp_path, play, for_others=True)
    assert [told[name]["outcome"] for name in ("pump", "room")] == ["reported", "reported"]


def test_every_command_has_one_intent_and_one_result_and_what_was_refused_has_none(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        await bench.up("node")
        await bench.set(VALVE, 10)
        await bench.set(VALVE, 1e9)
        await bench.set("node/node/nothing", 1)
        await asyncio.gather(*[bench.set(VALVE, value) for value in (11, 12, 13)])

    bench = played(tmp_path, play)
    intents = [record.body["id"] for record in bench.records("command_intent")]
    results = [record.body["id"] for record in bench.records("command_result")]
    assert (len(intents), sorted(results)) == (4, sorted(intents))
    refusals = [record.body["reason"] for record in bench.records("note") if record.body.get("what") == "refused"]
    assert refusals == ["range", "unknown_route"]


def test_of_commands_of_one_setpoint_the_newest_counts_and_the_others_are_superseded(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        told.extend(await asyncio.gather(*[bench.set(VALVE, value / 2) for value in range(40)]))

    played(tmp_path, play)
    assert [each["outcome"] for each in told] == ["superseded"] * 39 + ["reported"]


def test_a_command_for_later_is_sent_then_and_not_before(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        told.append((await bench.set(VALVE, 21, not_before_s=1.0, wait_s=0.7))["outcome"])
        told.append(bench.records("command_sent"))
        await until(lambda: not bench.gateway._dispatch.commander.by_id, 30)
        told.extend(each["outcome"] for each in (await bench.ask("commands"))["commands"])

    played(tmp_path, play)
    assert told == [None, [], "reported"]


@pytest.mark.parametrize("not_before_s", [-1.0, 2.0, float("nan"), float("inf")])
def test_a_command_for_when_it_has_expired_is_none(tmp_path: Path, not_before_s: float) -> None:
    told: list[Any] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        told.append(await bench.set(VALVE, 21, not_before_s=not_before_s))

    bench = played(tmp_path, play)
    assert (told[0]["id"], told[0]["reason"], bench.records("command_intent")) == (None, "range", [])


def test_a_key_names_one_command_also_after_a_restart(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        told.append(await bench.set(VALVE, 33, key="k"))
        told.append(await bench.set(VALVE, 34, key="k"))

    bench = played(tmp_path, play, runs=2)
    assert [(each["id"] == told[0]["id"], each["outcome"], each["reason"]) for each in told] == [
        (True, "reported", None), (False, None, "key_reused"), (True, "reported", None), (False, None, "key_reused"),
    ]  # fmt: skip
    assert len(bench.records("command_intent")) == 1


def test_who_has_no_grant_is_refused_and_that_is_on_record(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: Bench) -> None:
        await bench.up("node")
        told.update(await bench.ask("set", STRANGER, route=VALVE, value=1))
        with pytest.raises(DeniedError):
            await bench.ask("wall", STRANGER, target="node", verb="write", state="off")

    bench = played(tmp_path, play)
    assert (told["id"], told["reason"]) == (None, "denied")
    assert [record.body["principal"] for record in bench.records("denied")] == [STRANGER.principal] * 2


def test_a_wall_stops_writes_at_once_and_after_a_restart(tmp_path: Path) -> None:
    told: list[str | None] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        told.append((await bench.set(VALVE, 5))["reason"])
        await bench.ask("wall", target="node", verb="write", state="off")
        told.append((await bench.set(VALVE, 6))["reason"])

    played(tmp_path, play, runs=2)
    assert told == [None, "denied", "denied", "denied"]


def test_a_setpoint_that_no_stream_is_called_like_is_what_the_device_reports(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        await bench.set(VALVE, 41)
        told.extend([await bench.ask("get", route=f"node/node/valve{end}") for end in ("", "@reported")])

    played(tmp_path, play)
    assert [(each["value"], each["units"], each["stale"]) for each in told] == [(41.0, "%", False)] * 2


def test_what_is_wanted_of_a_device_that_confirms_nothing_says_so(tmp_path: Path) -> None:
    told: list[list[str]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        if not told:
            await bench.set(VALVE, 41)
        told.append((await bench.ask("get", route=VALVE))["taints"])

    played(tmp_path, play, runs=2, profiles={"node": 'confirm = "none"'})
    assert told == [["trust.unconfirmed"]] * 2


def test_a_desired_value_outlives_a_restart_and_moves_nothing_by_itself(tmp_path: Path) -> None:
    shadows: list[dict[str, Any]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        if not shadows:
            await bench.set(VALVE, 44)
            bench.order("node behave clamp=[0,30]")
        shadows.append(await bench.ask("shadow", device="node"))

    bench = played(tmp_path, play, runs=2)
    assert [each["state"]["desired"] for each in shadows] == [{"valve": 44}, {"valve": 44}]
    assert len({each["metadata"]["desired"]["valve"]["sequence"] for each in shadows}) == 1
    assert len(bench.records("command_intent", "command_sent")) == 2


def test_a_device_that_is_pulled_is_stale_at_once_and_a_command_for_it_expires(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: Bench) -> None:
        await bench.up("node")
        bench.rig.node_cable.unplug()
        await until(lambda: not bench.gateway._dispatch.twins["node"].is_up, 30)
        told["shadow"] = await bench.ask("shadow", device="node")
        told["set"] = await bench.set(VALVE, 7, expires_s=0.5)

    played(tmp_path, play)
    assert (told["shadow"]["stale"], told["shadow"]["coherence"]) == (True, {"valve": "STALE"})
    assert (told["set"]["outcome"], told["set"]["reason"]) in {("expired", "unreachable"), (None, "interlock")}


def test_a_device_that_is_quiesced_is_left_alone_until_it_is_connected_again(tmp_path: Path) -> None:
    states: list[str] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        states.append((await bench.ask("device", device="node", verb="quiesce"))["lifecycle"])
        await bench.ask("device", device="node", verb="connect")
        await bench.up("node")
        states.append((await bench.set(VALVE, 8))["outcome"])

    played(tmp_path, play)
    assert (states[0], states[-1]) == ("QUIESCED", "reported")


def test_nobody_listens_to_a_device_once_its_commands_have_ended(tmp_path: Path) -> None:
    heard: list[bool] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        messages = bench.gateway._dispatch.twins["node"].device.messages.values()
        heard.append(any(message.heard for message in messages))
        asking = asyncio.ensure_future(bench.set(VALVE, 61))  # noqa: TID251 - awaited below
        await until(lambda: any(message.heard for message in messages), 30)
        await asking
        heard.append(any(message.heard for message in messages))

    played(tmp_path, play)
    assert heard == [False, False]


def test_an_outcome_is_told_when_the_ledger_has_it_and_not_before(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        durable = bench.gateway._dispatch.commander._durable
        append, failures = durable.append, 2

        async def failing(items: Any) -> Any:
            nonlocal failures
            if items[0][0] == "command_result" and failures:
                failures -= 1
                raise LedgerReadOnlyError("the card is gone")
            return await append(items)

        durable.append = failing  # type: ignore[method-assign]
        told.append(await bench.set(VALVE, 62, wait_s=1.0))
        told.extend((await bench.ask("commands"))["commands"])
        await until(lambda: not bench.gateway._dispatch.commander.by_id, 30)
        told.extend((await bench.ask("commands"))["commands"])

    bench = played(tmp_path, play)
    assert [each["outcome"] for each in told] == [None, None, "reported"]
    assert len(bench.records("command_result")) == 1


# ---- while a value stands


def reported(bench: Bench, device: str) -> Any:
    (value,) = bench.gateway._dispatch.twins[device].view()["state"]["reported"].values()
    return value


def test_a_cyclic_command_is_sent_again_as_long_as_its_value_stands_and_then_the_safe_one(tmp_path: Path) -> None:
    seen: list[float] = []

    async def play(bench: Bench) -> None:
        await bench.up("pump")
        assert (await bench.set(SPEED, 900))["outcome"] == "reported"
        await asyncio.sleep(1.0)  # without commands the controller stops by itself after 0.5 s
        seen.append(reported(bench, "pump"))
        await until(lambda: abs(reported(bench, "pump")) <= 10, 30)

    bench = played(tmp_path, play, profiles={"pump": 'expires = "2s"'})
    assert abs(seen[0] - 900) <= 10
    assert [record.body["value"] for record in bench.records("command_intent")] == [900, 0]


def test_after_its_time_nothing_is_sent_again_and_again(tmp_path: Path) -> None:
    sent: list[int] = []

    async def play(bench: Bench) -> None:
        await bench.up("pump")
        await bench.set(SPEED, 300)
        await until(lambda: abs(reported(bench, "pump")) <= 10, 30)
        await until(lambda: not bench.gateway._dispatch.commander.by_id, 30)
        for pause_s in (0.3, 0.5):
            await asyncio.sleep(pause_s)
            sent.append(bench.gateway._dispatch.twins["pump"].setpoints._counts["command", "Counter"])

    played(tmp_path, play, profiles={"pump": 'expires = "1s"'})
    assert sent[0] == sent[1]


def test_what_was_sent_again_and_again_is_not_after_the_device_was_away(tmp_path: Path) -> None:
    seen: list[float] = []

    async def play(bench: Bench) -> None:
        await bench.up("pump")
        await bench.set(SPEED, 600)
        bench.order("pump vanish")
        await until(lambda: not bench.gateway._dispatch.twins["pump"].is_up, 30)
        bench.order("pump return")
        await bench.up("pump")
        await asyncio.sleep(0.8)
        seen.append(reported(bench, "pump"))

    played(tmp_path, play, for_others=True)
    assert abs(seen[0]) <= 10


def test_what_an_interlock_stops_does_not_start_by_itself_when_it_is_over(tmp_path: Path) -> None:
    seen: list[float] = []

    async def play(bench: Bench) -> None:
        await bench.up("pump")
        await bench.set(SPEED, 600)
        bench.order("pump behave condition=overheat")
        await until(lambda: abs(reported(bench, "pump")) <= 10, 30)
        bench.order("pump behave")
        await asyncio.sleep(1.0)
        seen.append(reported(bench, "pump"))

    played(tmp_path, play)
    assert abs(seen[0]) <= 10


def test_a_value_whose_time_is_over_gives_way_to_the_one_before(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        await bench.up("node")
        before = reported(bench, "node")
        assert (await bench.set(VALVE, 70))["outcome"] == "reported"
        await until(lambda: reported(bench, "node") == before, 30)

    played(tmp_path, play, profiles={"node": 'expires = "1s"\non_fail = "revert"'})


def test_a_value_whose_time_is_over_stays_where_it_is_and_is_desired_no_more(tmp_path: Path) -> None:
    shadows: list[dict[str, Any]] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        await bench.set(VALVE, 71)
        await until(lambda: not bench.gateway._dispatch.twins["node"].view()["state"]["desired"], 30)
        shadows.append(await bench.ask("shadow", device="node"))

    played(tmp_path, play, profiles={"node": 'expires = "1s"'})
    assert (shadows[0]["state"]["reported"], shadows[0]["coherence"]) == ({"valve": 71.0}, {"valve": "STABLE"})


def test_where_nobody_writes_any_more_the_device_is_set_safe(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        await bench.up("node")
        for _ in range(3):
            await bench.set(VALVE, 72)
            await asyncio.sleep(0.5)
            assert reported(bench, "node") == 72
        await until(lambda: reported(bench, "node") == 5, 30)

    played(tmp_path, play, profiles={"node": 'dead_man = "1500ms"\nsafe = 5'})


def test_beyond_its_budget_a_setpoint_is_written_no_more(tmp_path: Path) -> None:
    outcomes: list[str] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        outcomes.extend([(await bench.set(VALVE, value))["outcome"] for value in (20, 21, 22)])

    played(tmp_path, play, profiles={"node": "budget = { per_hour = 2 }"})
    assert outcomes == ["reported", "reported", "budget"]


@pytest.mark.parametrize("restore", [True, False])
def test_a_device_that_comes_back_is_set_again_only_where_its_profile_says_so(tmp_path: Path, *, restore: bool) -> None:
    async def play(bench: Bench) -> None:
        await bench.up("node")
        await bench.set(VALVE, 73)
        bench.rig.node_cable.unplug()
        await until(lambda: not bench.gateway._dispatch.twins["node"].is_up, 30)
        bench.rig.node_cable.plug()
        await bench.up("node")
        await until(lambda: not bench.gateway._dispatch.commander.open, 30)

    bench = played(tmp_path, play, profiles={"node": f"restore = {str(restore).lower()}"})
    principals = [record.body["principal"] for record in bench.records("command_intent")]
    assert principals == [ME.principal, *(["service:gateway"] if restore else [])]


def test_what_waits_for_an_operator_is_sent_when_it_is_approved_and_not_when_it_is_rejected(tmp_path: Path) -> None:
    outcomes: list[str | None] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        for value, verdict in ((20, "approve"), (30, "reject")):
            told = await bench.set(VALVE, value, wait_s=0.2)
            outcomes.append(told["outcome"])
            await bench.ask("decide", id=told["id"], verdict=verdict)
            await until(lambda: not bench.gateway._dispatch.commander.by_id, 30)
        outcomes.extend(told["outcome"] for told in (await bench.ask("commands"))["commands"])

    played(tmp_path, play, profiles={"node": 'confirm = "operator"'})
    assert outcomes == [None, None, "reported", "rejected"]


def test_a_device_is_set_while_it_is_connected_where_its_profile_says_so(tmp_path: Path) -> None:
    seen: list[float] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        seen.append(reported(bench, "node"))

    bench = played(tmp_path, play, profiles={"node": 'connect = [{ set = "valve", value = 20 }]'})
    assert (seen, bench.records("command_intent")) == ([20], [])


# ---- restarts of the gateway


@pytest.mark.parametrize(
    ("profile", "outcomes"),
    [("idempotent = true", {"expired", "exhausted"}), ("idempotent = false\nattempts = 1", {"unknown"})],
    ids=["idempotent", "not idempotent"],
)
def test_a_command_that_was_open_when_the_gateway_ended_gets_its_one_outcome(
    tmp_path: Path, profile: str, outcomes: set[str]
) -> None:
    async def play(bench: Bench) -> None:
        await bench.up("node")
        bench.order("node behave ignores")
        if not bench.records("command_intent"):
            assert (await bench.set(VALVE, 50, expires_s=4, wait_s=0.2))["outcome"] is None
            return
        await until(lambda: not bench.gateway._dispatch.commander.by_id, 30)

    bench = played(tmp_path, play, runs=2, profiles={"node": profile})
    (result,) = bench.records("command_result")
    assert result.body["outcome"] in outcomes


def test_a_token_speaks_in_its_principal_s_name_and_no_further_than_it_says(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: Bench) -> None:
        await bench.up("node")
        asked = {"principal": ME.principal, "routes": VALVE, "verbs": ["write"], "expires_s": 60.0}
        token = (await bench.ask("issue_token", **asked))["token"]
        carrier = Caller(principal=STRANGER.principal, token=token, is_local=True)
        told.append((await bench.ask("set", carrier, route=VALVE, value=9))["outcome"])
        told.append((await bench.ask("set", carrier, route=SPEED, value=9))["reason"])
        forged = Caller(principal=ME.principal, token=token[:-4] + "AAAA", is_local=True)
        told.append((await bench.ask("set", forged, route=VALVE, value=9))["reason"])

    bench = played(tmp_path, play)
    assert told == ["reported", "denied", "denied"]
    assert all("tg1." not in record.raw.decode() for record in bench.records("denied", "grant"))
