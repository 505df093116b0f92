"""A running gateway takes up changed files: only what differs is begun anew, and what does not work is undone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import load_site
from gateway.errors import UsageError
from gateway.profile.load import find_profile
from hil.sim.rig import Rig
from tests.integration.test_commands import ME, SPEED, VALVE
from tests.integration.test_ports import until

GRANT = f'[grant.me]\nprincipal = "{ME.principal}"\nroutes = "**"\nverbs = ["read", "write", "admin"]\n'


class Files:
    """A site file with profiles of its own beside it, and the gateway that runs it."""

    def __init__(self, folder: Path, rig: Rig) -> None:
        self.folder = folder
        self.rig = rig
        self.site = folder / "site.toml"
        for name in ("cobs-node", "motor"):
            (folder / f"{name}.toml").write_text(find_profile(name).read_text())
        shutil.copy(find_profile("motor").parent / "motor.dbc", folder)
        beside = {"cobs-node": "cobs-node.toml", "motor": "motor.toml"}
        self.tables = {
            name: f'profile = "{beside.get(each.profile, each.profile)}"\nport = "{each.port}"\n'
            for name, each in rig.site().devices.items()
        }
        self.more = GRANT
        self.write()
        self.gateway = Gateway(load_site(self.site), folder / "data", file=self.site)

    def write(self) -> None:
        devices = "".join(f"[device.{name}]\n{text}" for name, text in self.tables.items())
        self.site.write_text(f"[ledger]\nfootprint = 'small'\n{self.more}{devices}")

    def change_profile(self, name: str, old: str, new: str) -> None:
        path = self.folder / f"{name}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    async def ask(self, name: str, **args: Any) -> dict[str, Any]:
        return await self.gateway.asks.answer(name, args, ME)

    async def reload(self, **args: Any) -> dict[str, Any]:
        self.write()
        return await self.ask("reload", **args)

    def device(self, name: str) -> Any:
        return next(each for each in self.gateway._devices() if each.name == name)

    async def up(self, *names: str) -> None:
        await until(lambda: all(self._speaks(name) for name in names), 30)

    def _speaks(self, name: str) -> bool:
        device = self.device(name)
        messages = [device.messages["measurement"]] if name == "node" else device.all_messages()
        is_heard = any(each.row is not None and not each.is_restored for each in messages)
        return device.lifecycle.state == "CONNECTED" and is_heard


def played(folder: Path, play: Callable[[Files], Awaitable[None]]) -> None:
    async def living(files: Files) -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            devices = group.create_task(files.rig.run())
            running = group.create_task(files.gateway.run(stop))
            try:
                async with asyncio.timeout(60):
                    await play(files)
            finally:
                stop.set()
                await running
                devices.cancel()

    with Rig(folder / "devices") as rig:
        asyncio.run(living(Files(folder, rig)))


def log_of(files: Files, *names: str) -> list[tuple[str, str]]:
    """Keep what these devices' lifecycles do from now on."""
    found: list[tuple[str, str]] = []
    for name in names:
        device = files.device(name)
        device.listeners.append(lambda _before, event, name=name: found.append((name, str(event))))
    return found


def test_what_is_the_same_changes_nothing(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("node")
        told.update(await files.reload())

    played(tmp_path, play)
    assert (told["outcome"], told["changes"], told["restarts"]) == ("unchanged", [], [])


def test_a_device_whose_profile_changed_is_begun_anew_and_the_others_notice_nothing(tmp_path: Path) -> None:
    told: dict[str, Any] = {}
    moved: list[tuple[str, str]] = []

    async def play(files: Files) -> None:
        await files.up("node", "pump", "gps")
        before = files.device("node")
        found = log_of(files, "pump", "gps", "tag")
        files.change_profile("cobs-node", "[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
        told.update(await files.reload())
        moved.extend(found)
        assert files.device("node") is not before
        assert files._speaks("node")

    played(tmp_path, play)
    assert (told["outcome"], told["restarts"], moved) == ("applied", ["node"], [])
    assert [(each["table"], each["what"], each["keys"]) for each in told["changes"]] == [
        ("device.node", "changed", ["profile"])
    ]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("node", "pump")
        found = log_of(files, "node", "pump")
        files.tables["node"] += "adjust = { temperature = { offset = 1.0 } }\n"
        del files.tables["gps"]
        told.update(await files.reload(dry_run=True))
        assert (found, files.device("gps").name) == ([], "gps")

    played(tmp_path, play)
    assert (told["outcome"], told["restarts"]) == ("dry_run", ["node"])
    assert {(each["table"], each["what"]) for each in told["changes"]} == {
        ("device.gps", "removed"),
        ("device.node", "changed"),
    }


def test_devices_come_and_go(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node", "gps")
        gps = files.tables.pop("gps")
        assert (await files.reload())["outcome"] == "applied"
        assert "gps" not in {each["name"] for each in files.gateway.queries.devices()}
        files.tables["boat"] = gps
        assert (await files.reload())["outcome"] == "applied"
        await files.up("boat")

    played(tmp_path, play)


def test_a_label_is_taken_up_without_beginning_anything_anew(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        found = log_of(files, "node")
        files.tables["node"] += 'label = "Valve"\n'
        told = await files.reload()
        assert (told["outcome"], told["restarts"], found) == ("applied", [], [])
        assert files.device("node").label == "Valve"

    played(tmp_path, play)


@pytest.mark.parametrize(
    ("text", "line_of"),
    [
        ('[device.more]\nprofile = "nothing-like-it"\nport = "/dev/null"\n', "nothing-like-it"),
        ('[device.more]\nprofile = "cobs-node"\nport = 5\n', "port = 5"),
        ("[device.more\n", "[device.more"),
    ],
    ids=["profile", "type", "toml"],
)
def test_a_site_file_that_is_wrong_changes_nothing_and_says_where(tmp_path: Path, text: str, line_of: str) -> None:
    told: dict[str, Any] = {}
    places: list[int] = []

    async def play(files: Files) -> None:
        await files.up("node")
        found = log_of(files, "node", "pump")
        files.more += text
        told.update(await files.reload())
        lines = files.site.read_text().splitlines()
        places.append(next(number for number, line in enumerate(lines, 1) if line_of in line))
        assert found == []

    played(tmp_path, play)
    assert told["outcome"] == "refused"
    problem = told["problems"][0]
    assert problem["file"].endswith("site.toml")
    assert abs(problem["line"] - places[0]) <= 1


def test_a_profile_that_is_wrong_changes_nothing_and_says_where(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("node")
        files.change_profile("cobs-node", "[lifecycle]\n", "[lifecycle]\nkeep_alife = 5\n")
        told.update(await files.reload())
        assert files.device("node").lifecycle.state == "CONNECTED"

    played(tmp_path, play)
    assert told["outcome"] == "refused"
    assert told["problems"][0]["file"].endswith("cobs-node.toml")
    assert "keep_alife" in told["problems"][0]["key"] + told["problems"][0]["message"]


def test_a_device_that_was_healthy_and_does_not_come_back_brings_the_previous_configuration_back(
    tmp_path: Path,
) -> None:
    told: dict[str, Any] = {}
    again: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("node", "pump")
        files.tables["node"] = files.tables["node"].replace('cobs-node"\n', 'no-such-port"\n')
        told.update(await files.reload(back_within_s=1.5))
        await files.up("node")
        again.update(await files.ask("set", route=VALVE, value=35.0))

    played(tmp_path, play)
    assert (told["outcome"], told["reason"], [each["device"] for each in told["missing"]]) == (
        "returned",
        "not_back",
        ["node"],
    )
    assert told["missing"][0]["lifecycle"] == "ABSENT"
    assert again["outcome"] == "reported"


def test_a_device_whose_new_profile_understands_nothing_is_not_back_though_its_port_is_open(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("gps")
        files.tables["gps"] = files.tables["gps"].replace("nmea-gnss", "pms5003")
        told.update(await files.reload(back_within_s=8.0))
        await files.up("gps")

    played(tmp_path, play)
    assert (told["outcome"], told["missing"][0]["lifecycle"]) == ("returned", "CONNECTED")
    assert "nothing that its profile understands" in told["missing"][0]["reason"]


def test_a_device_that_does_not_answer_the_new_questions_is_not_back(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("node")
        files.change_profile("cobs-node", 'kind  = "cobs"', 'kind  = "slip"')
        told.update(await files.reload(back_within_s=8.0))
        await files.up("node")

    played(tmp_path, play)
    assert told["outcome"] == "returned"
    assert (told["missing"][0]["lifecycle"], told["missing"][0]["reason"]) in {
        ("BACKING_OFF", "identity: no answer"),
        ("CONNECTING", "identity: no answer"),  # it is being tried
    }


def test_a_reload_that_a_returned_one_left_is_tried_again_from_the_files(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        good = files.tables["node"]
        files.tables["node"] = good.replace('cobs-node"\n', 'no-such-port"\n')
        assert (await files.reload(back_within_s=0.5))["outcome"] == "returned"
        await files.up("node")
        files.tables["node"] = good + 'area = "Cellar"\n'
        assert (await files.reload())["outcome"] == "applied"
        assert files.device("node").area == "Cellar"

    played(tmp_path, play)


def test_one_reload_is_under_way_at_a_time(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        files.tables["node"] = files.tables["node"].replace('cobs-node"\n', 'no-such-port"\n')
        async with asyncio.TaskGroup() as group:
            first = group.create_task(files.reload(back_within_s=2.0))
            await until(lambda: files.gateway.reloader._is_busy, 30)
            with pytest.raises(UsageError, match="under way"):
                await files.ask("reload")
        assert first.result()["outcome"] == "returned"

    played(tmp_path, play)


def is_sent(files: Files) -> bool:
    """Whether a command has gone to its device, and stands there."""
    return any(command.attempt for command in files.gateway._dispatch.commander.by_id.values())


def test_a_command_under_way_goes_on_at_the_device_that_is_begun_anew(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(files: Files) -> None:
        await files.up("node")
        files.change_profile("cobs-node", '"400ms"', '"2s"')
        await files.reload()
        assert files.rig.obey("node behave ignores") == "ok"
        async with asyncio.TaskGroup() as group:
            setting = group.create_task(files.ask("set", route=VALVE, value=47.0, expires_s=20.0, wait_s=20.0))
            await until(lambda: is_sent(files), 30)
            files.change_profile("cobs-node", "[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
            assert (await files.reload())["outcome"] == "applied"
            assert files.rig.obey("node behave") == "ok"
        told.update(setting.result())

    played(tmp_path, play)
    assert (told["outcome"], told["effective"], told["attempts"]) == ("reported", 47.0, 2)


def test_a_command_whose_device_is_taken_away_ends_once_and_says_so(tmp_path: Path) -> None:
    told: dict[str, Any] = {}
    listed: list[dict[str, Any]] = []

    async def play(files: Files) -> None:
        await files.up("node")
        assert files.rig.obey("node behave ignores") == "ok"
        async with asyncio.TaskGroup() as group:
            setting = group.create_task(files.ask("set", route=VALVE, value=47.0, expires_s=20.0, wait_s=20.0))
            await until(lambda: is_sent(files), 30)
            del files.tables["node"]
            assert (await files.reload())["outcome"] == "applied"
        told.update(setting.result())
        listed.extend((await files.ask("commands"))["commands"])

    played(tmp_path, play)
    assert (told["outcome"], told["reason"]) == ("unknown", "no_setpoint")
    assert [each["outcome"] for each in listed if each["id"] == told["id"]] == ["unknown"]


def test_a_shadow_and_the_latest_values_live_through_it(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node", "pump")
        await files.ask("set", route=VALVE, value=52.0)
        before = await files.ask("shadow", device="node")
        files.change_profile("cobs-node", "[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
        assert (await files.reload())["outcome"] == "applied"
        await asyncio.sleep(0.5)
        after = await files.ask("shadow", device="node")
        assert after["state"]["desired"] == before["state"]["desired"]
        assert after["version"] == before["version"]
        assert after["coherence"]["valve"] == before["coherence"]["valve"]

    played(tmp_path, play)


@pytest.mark.parametrize(("verb", "state"), [("quiesce", "QUIESCED"), ("detach", "DISCONNECTED")])
def test_a_device_that_somebody_let_be_is_let_be_still(tmp_path: Path, verb: str, state: str) -> None:
    async def play(files: Files) -> None:
        await files.up("node", "pump")
        await files.ask("device", device="node", verb=verb)
        files.change_profile("cobs-node", "[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
        assert (await files.reload())["outcome"] == "applied"
        await asyncio.sleep(1)
        assert files.device("node").lifecycle.state == state
        await files.ask("device", device="node", verb="connect")
        await files.up("node")

    played(tmp_path, play)


def test_numbers_of_messages_go_on(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        name, count = next((each.name, each.sequence) for each in files.device("node").all_messages() if each.sequence)
        files.change_profile("cobs-node", "[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
        assert (await files.reload())["outcome"] == "applied"
        assert files.device("node").messages[name].sequence > count

    played(tmp_path, play)


def test_grants_are_taken_up_at_once(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("pump")
        files.more = GRANT.replace('"write", ', "")
        told = await files.reload()
        assert (told["outcome"], told["restarts"]) == ("applied", [])
        assert (await files.ask("set", route=SPEED, value=100))["reason"] == "denied"

    played(tmp_path, play)


def test_what_only_a_start_takes_up_is_said_and_left(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("pump")
        files.more = '[gateway]\nname = "other"\n' + GRANT
        told = await files.reload()
        assert (told["outcome"], told["needs_restart"]) == ("applied", ["gateway.name"])
        assert "restart" in told["detail"]

    played(tmp_path, play)


def test_a_reload_is_on_record_with_who_wanted_it(tmp_path: Path) -> None:
    from gateway.ledger import Ledger, Record

    async def play(files: Files) -> None:
        await files.up("node")
        del files.tables["gps"]
        await files.reload()

    played(tmp_path, play)
    with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:
        notes = [item.body for item in ledger.read() if isinstance(item, Record) and item.kind == "note"]
    assert [(note["what"], note["by"], note["outcome"]) for note in notes] == [("reload", ME.principal, "applied")]


NEXT = "tidegate/cobs-node@1.1.0"


async def chosen(files: Files) -> str:
    """Install another version of the node's profile and let the node use it; return its id."""
    text = find_profile("cobs-node").read_text().replace("cobs-node@1.0.0", "cobs-node@1.1.0")
    text = text.replace("[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
    assert (await files.ask("install_profile", profile=NEXT, text=text))["outcome"] == "installed"
    told = await files.ask("use_profile", device="node", profile=NEXT, wait_s=30.0)
    assert told["outcome"] == "applied"
    return NEXT


def test_a_chosen_profile_stays_over_a_reload_until_the_site_says_something_else_for_the_device(tmp_path: Path) -> None:
    used: list[str] = []

    async def play(files: Files) -> None:
        def use() -> None:
            used.append(files.device("node").profile.profile.profile.id)

        await files.up("node", "pump")
        found = log_of(files, "pump")
        files.tables["pump"] += 'label = "not read yet"\n'
        files.write()
        await chosen(files)
        assert files.device("pump").label is None  # only the choice was taken up
        use()
        assert (await files.reload())["outcome"] == "applied"
        use()
        files.tables["node"] = files.tables["node"].replace("cobs-node.toml", "cobs-node")
        assert (await files.reload())["restarts"] == ["node"]
        use()
        files.tables["node"] = files.tables["node"].replace('"cobs-node"', '"cobs-node.toml"')
        assert (await files.reload())["outcome"] in {"applied", "unchanged"}
        use()
        assert found == []

    played(tmp_path, play)
    first = "tidegate/cobs-node@1.0.0"
    assert used == [NEXT, NEXT, first, first]
    assert (tmp_path / "data/chosen-profiles.json").read_text() == "{}\n"


def test_a_choice_whose_profile_is_gone_at_the_start_leaves_the_site_s(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        await chosen(files)
        (files.gateway.data_dir / f"profiles/{NEXT}.toml").unlink()
        again = Gateway(load_site(files.site), files.folder / "data", file=files.site)
        assert {each.profile.profile.profile.id for each in again._devices() if each.name == "node"} == {
            "tidegate/cobs-node@1.0.0"
        }

    played(tmp_path, play)


def test_a_choice_that_cannot_be_kept_is_undone(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        (files.gateway.data_dir / "chosen-profiles.json").mkdir()
        with pytest.raises(AssertionError):
            await chosen(files)
        told = await files.ask("device_profile", device="node")
        assert (told["change"]["outcome"], told["change"]["reason"]) == ("failed", "not_durable")
        assert (told["profile"], told["chosen"]) == ("tidegate/cobs-node@1.0.0", None)

    played(tmp_path, play)


def test_a_device_that_was_not_there_must_come_with_its_new_profile(tmp_path: Path) -> None:
    async def play(files: Files) -> None:
        await files.up("node")
        files.rig.node_cable.unplug()
        await until(lambda: files.device("node").lifecycle.state != "CONNECTED", 30)
        text = find_profile("cobs-node").read_text().replace("cobs-node@1.0.0", "cobs-node@1.1.0")
        text = text.replace("[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n')
        await files.ask("install_profile", profile=NEXT, text=text)
        told = await files.ask("use_profile", device="node", profile=NEXT, return_after_s=1.0, wait_s=20.0)
        assert (told["outcome"], told["missing"][0]["device"]) == ("returned", "node")
        told = await files.ask("use_profile", device="node", profile=NEXT, return_after_s=0.0, wait_s=20.0)
        assert told["outcome"] == "applied"

    played(tmp_path, play)
