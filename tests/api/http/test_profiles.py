"""Profiles over HTTP, with a real gateway and simulated devices."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api.http import documents_profiles as doc
from gateway.profile.load import find_profile
from tests.api.kit import HttpBench, Told, served
from tests.integration.test_ports import until

NODE = find_profile("cobs-node").read_text()
OLD = "tidegate/cobs-node@1.0.0"
USE = "/v1/devices/node/profile"
TOML = {"Content_Type": "application/toml"}


def version(number: str, *changes: tuple[str, str]) -> tuple[str, bytes]:
    """Return the path and the text of another version of the node's profile."""
    text = NODE.replace(OLD, f"tidegate/cobs-node@{number}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return f"/v1/profiles/tidegate/cobs-node@{number}", text.encode()


PATH, TEXT = version("1.1.0", ("[lifecycle]\n", '[lifecycle]\nconnect_timeout = "9s"\n'))
_, OTHER = version("1.1.0", ("[lifecycle]\n", '[lifecycle]\nconnect_timeout = "8s"\n'))
DEAF, DEAF_TEXT = version("1.2.0", ('kind  = "cobs"', 'kind  = "slip"'))


async def device(bench: HttpBench) -> dict[str, Any]:
    told: dict[str, Any] = (await bench.get("/v1/devices/node")).json
    return told


def test_a_profile_is_installed_once_and_told_with_its_text(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        told.append(await bench.get(PATH))
        told.extend([await bench.http("PUT", PATH, body, token=token, **TOML) for body in (TEXT, TEXT, OTHER)])
        told.append(await bench.get(PATH))
        told.append(await bench.get("/v1/profiles?limit=1000"))
        told.append(
            await bench.http("PUT", f"/v1/profiles/{OLD}", NODE.encode(), token=token, Content_Type="text/plain")
        )
        told.append(await bench.http("PUT", f"/v1/profiles/{OLD}", NODE.encode() + b"\n", token=token, **TOML))
        assert (await device(bench))["profile"] == OLD

    bench = served(tmp_path, play)
    missing, new, same, other, one, every, shipped, changed = told
    assert missing.code == (404, "unknown_profile")
    assert (new.status, new.json["outcome"], new.headers["location"]) == (201, "installed", PATH)
    assert (same.status, same.json["outcome"]) == (200, "same")
    assert other.code == (409, "immutable")
    assert one.json["text"].encode() == TEXT
    rows = {row["id"]: row for row in every.json["profiles"]}
    assert rows["tidegate/cobs-node@1.1.0"] == {key: one.json[key] for key in one.json if key != "text"}
    assert (rows[OLD]["source"], rows[OLD]["used_by"]) == ("shipped", ["node"])
    assert msgspec.to_builtins(msgspec.convert(every.json, doc.Profiles)) == every.json
    assert (shipped.status, changed.code) == (200, (409, "immutable"))
    notes = [record.body for record in bench.records("note") if record.body["what"] == "profile_installed"]
    assert [(each["profile"], each["digest"]) for each in notes] == [("tidegate/cobs-node@1.1.0", one.json["digest"])]
    assert (tmp_path / "data/profiles/tidegate/cobs-node@1.1.0.toml").read_bytes() == TEXT


def test_profiles_come_in_pages(tmp_path: Path) -> None:
    names: list[str] = []

    async def play(bench: HttpBench) -> None:
        after = ""
        while after is not None:
            told = (await bench.get(f"/v1/profiles?limit=9{after and f'&after={after}'}")).json
            names.extend(row["id"] for row in told["profiles"])
            after = told["next"]

    served(tmp_path, play)
    assert names == sorted(set(names))
    assert OLD in names


REFUSED: list[tuple[str, str, Any, dict[str, str], tuple[int, str]]] = [
    ("no token", PATH, TEXT, TOML, (401, "unauthorized")),
    ("no admin", PATH, TEXT, TOML, (403, "denied")),
    ("too long", PATH, b"#" * 1_048_577, TOML, (413, "too_large")),
    ("as JSON", PATH, TEXT, {}, (415, "media_type")),
    ("not TOML", PATH, b"[profile\n", TOML, (422, "profile")),
    ("empty", PATH, b"", TOML, (422, "profile")),
    ("not UTF-8", PATH, b"# \xff", TOML, (422, "profile")),
    ("unknown key", PATH, TEXT.replace(b"connect_timeout", b"connect_timeot"), TOML, (422, "profile")),
    ("another's id", "/v1/profiles/me/pump@1.1.0", TEXT, TOML, (422, "profile")),
    ("code", PATH, TEXT + b'[message.more]\nconstruct = "os:environ"\n', TOML, (422, "profile")),
    ("file", PATH, TEXT + b'[dbc]\nfile = "motor.dbc"\n', TOML, (422, "profile")),
    ("no version", "/v1/profiles/tidegate/cobs-node@one", TEXT, TOML, (400, "malformed")),
    ("upper case", "/v1/profiles/Tidegate/cobs-node@1.1.0", TEXT, TOML, (400, "malformed")),
    ("upwards", "/v1/profiles/..%2f..%2fetc/cobs-node@1.1.0", TEXT, TOML, (404, "unknown_path")),
    ("dots", "/v1/profiles/../cobs-node@1.1.0", TEXT, TOML, (400, "malformed")),
    ("hidden", "/v1/profiles/.git/cobs-node@1.1.0", TEXT, TOML, (400, "malformed")),
    ("question", f"{PATH}?force=true", TEXT, TOML, (400, "malformed")),
    ("no flag", f"{PATH}?dry_run=maybe", TEXT, TOML, (400, "malformed")),
]


def test_what_is_no_profile_of_that_name_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    told: dict[str, Told] = {}

    async def play(bench: HttpBench) -> None:
        tokens = {"no token": None, "no admin": await bench.token("**", ("read", "write"))}
        admin = await bench.token()
        for name, path, body, headers, _ in REFUSED:
            told[name] = await bench.http("PUT", path, body, token=tokens.get(name, admin), **headers)

    served(tmp_path, play)
    assert {name: each.code for name, each in told.items()} == {name: code for name, *_, code in REFUSED}
    assert not list((tmp_path / "data").glob("profiles/*/*"))
    (problem,) = [each for each in told["unknown key"].json["problems"] if each["severity"] == "error"]
    lines = TEXT.decode().splitlines()
    assert lines[problem["line"] - 1].startswith("connect_timeout")
    assert problem["key"] == "lifecycle.connect_timeot"


def test_a_dry_run_says_what_is_new_and_whom_it_may_concern_and_installs_nothing(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    path, text = version(
        "1.1.0", ('name = "temperature"', 'name = "warmth"'), ("maximum    = 100", "maximum    = 90"),
    )  # fmt: skip

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        bodies = (text, b"[profile\n", text.replace(b"cobs-node@", b"another@"))
        told.extend(
            [(await bench.http("PUT", f"{path}?dry_run=true", body, token=token, **TOML)).json for body in bodies]
        )
        assert (await bench.get(path)).status == 404
        assert (await bench.http("PUT", f"{path}?dry_run=true", text, **TOML)).code == (401, "unauthorized")

    served(tmp_path, play)
    good, torn, named = told
    assert set(good) == {"problems", "diff", "devices"}
    assert (good["problems"], good["devices"]) == ([], ["node"])
    changes = {(each["what"], each["name"], each["change"]) for each in good["diff"]}
    assert {("route", "node/warmth", "added"), ("route", "node/temperature", "removed")} <= changes
    assert [each["text"] for each in good["diff"] if each["what"] == "setpoint"] == [
        "setpoint valve changed: maximum 100 -> 90"
    ]
    assert {each["since"] for each in good["diff"]} == {OLD}
    assert msgspec.to_builtins(msgspec.convert(good, doc.ProfileDryRun)) == good
    assert [each["line"] for each in torn["problems"]] == [1]
    assert "calls itself" in named["problems"][0]["message"]


def test_a_device_uses_another_profile_until_the_site_s_is_chosen_again(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        await bench.set("node/node/valve", 42)
        before = (await bench.get("/v1/devices/node/shadow")).json
        await bench.http("PUT", PATH, TEXT, token=token, **TOML)
        answer = await bench.http(
            "POST", USE, {"profile": "tidegate/cobs-node@1.1.0", "return_after": "20s"}, token=token
        )
        await until(lambda: not bench.gateway.reloader._is_busy, 20)
        told.extend([answer, await device(bench), (await bench.get(USE)).json])
        after = (await bench.get("/v1/devices/node/shadow")).json
        assert (before["state"]["desired"], before["version"]) == (after["state"]["desired"], after["version"])
        status = (await bench.get("/v1/status")).json
        assert [each["chosen"]["profile"] for each in status["devices"] if each["chosen"]] == [
            "tidegate/cobs-node@1.1.0"
        ]
        again = await bench.http("POST", USE, {"profile": "cobs-node"}, token=token)
        await until(lambda: not bench.gateway.reloader._is_busy, 20)
        told.extend([again, await device(bench)])

    bench = served(tmp_path, play)
    answer, chosen, in_short, again, back = told
    assert (answer.status, answer.json["outcome"]) in {(200, "applied"), (202, None)}
    assert chosen["profile"] == "tidegate/cobs-node@1.1.0"
    assert (chosen["chosen"]["instead_of"], chosen["chosen"]["profile"]) == ("cobs-node", "tidegate/cobs-node@1.1.0")
    assert (in_short["site"], in_short["change"]["outcome"]) == ("cobs-node", "applied")
    assert again.status in {200, 202}
    assert (back["profile"], back["chosen"]) == (OLD, None)
    notes = [record.body for record in bench.records("note") if record.body["what"] == "profile"]
    assert [(each["device"], each["profile"], each["outcome"]) for each in notes] == [
        ("node", "tidegate/cobs-node@1.1.0", "applied"),
        ("node", "cobs-node", "applied"),
    ]


def test_the_previous_profile_returns_where_the_device_does_not_come_back(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        assert (await bench.http("PUT", DEAF, DEAF_TEXT, token=token, **TOML)).status == 201
        answer = await bench.http(
            "POST", USE, {"profile": "tidegate/cobs-node@1.2.0", "return_after": "5s"}, token=token
        )
        assert (answer.status, answer.headers["location"]) == (202, USE)
        told.append((await bench.get(USE)).json)
        assert (await bench.http("POST", USE, {"profile": "cobs-node"}, token=token)).code == (503, "busy")
        await until(lambda: not bench.gateway.reloader._is_busy, 20)
        await bench.up("node")
        told.extend([(await bench.get(USE)).json, await device(bench)])

    bench = served(tmp_path, play)
    open_, ended, row = told
    assert (open_["change"]["outcome"], ended["change"]["outcome"], ended["change"]["reason"]) == (
        None,
        "returned",
        "not_back",
    )
    assert (ended["profile"], ended["chosen"], row["profile"]) == (OLD, None, OLD)
    assert not (bench.folder / "data/chosen-profiles.json").exists()


def test_a_choice_outlives_a_restart(tmp_path: Path) -> None:
    seen: list[str] = []

    async def play(bench: HttpBench) -> None:
        if not seen:
            token = await bench.token()
            await bench.http("PUT", PATH, TEXT, token=token, **TOML)
            await bench.http("POST", USE, {"profile": "tidegate/cobs-node@1.1.0"}, token=token)
            await until(lambda: not bench.gateway.reloader._is_busy, 20)
        seen.append((await device(bench))["profile"])

    served(tmp_path, play, runs=2)
    assert seen == ["tidegate/cobs-node@1.1.0"] * 2


def test_who_may_do_nothing_with_a_device_lets_it_use_nothing(tmp_path: Path) -> None:
    codes: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        admin, other = await bench.token(), await bench.token("pump/**")
        asked: list[tuple[str, Any, str | None]] = [
            (USE, {"profile": OLD}, None),
            (USE, {"profile": OLD}, other),
            (USE, {"profile": "nobody/nothing@1.0.0"}, admin),
            (USE, {"profile": "/etc/passwd"}, admin),
            (USE, {"profile": str(find_profile("motor"))}, admin),
            (USE, {"profile": "victron-ble"}, admin),
            (USE, {"profile": OLD, "return_after": "soon"}, admin),
            (USE, {"profile": OLD, "more": 1}, admin),
            (USE, {}, admin),
            ("/v1/devices/nobody/profile", {"profile": OLD}, admin),
            ("/v1/devices/NODE/profile", {"profile": OLD}, admin),
        ]
        for path, body, token in asked:
            codes.append((await bench.http("POST", path, body, token=token)).code)

    served(tmp_path, play)
    assert codes == [
        (401, "unauthorized"), (403, "denied"), (404, "unknown_profile"), (404, "unknown_profile"),
        (404, "unknown_profile"), (422, "profile"), (400, "malformed"), (400, "malformed"), (400, "malformed"),
        (404, "unknown_device"), (404, "unknown_device"),
    ]  # fmt: skip


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["install", "dry run"])
def test_the_command_line_says_the_same(tmp_path: Path, dry: list[str]) -> None:
    told: list[Any] = []

    async def run(bench: HttpBench, *args: str) -> Any:
        command = [sys.executable, "-m", "gateway", "profile", *args, "--json", "--data", str(bench.gateway.data_dir)]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, env=dict(os.environ)
        )
        return done.returncode, json.loads(done.stdout)

    async def play(bench: HttpBench) -> None:
        file = tmp_path / "node.toml"
        file.write_bytes(TEXT + b"#" * 200_000)
        told.append(await run(bench, "install", str(file), *dry))
        if not dry:
            told.append(await run(bench, "use", "node", "tidegate/cobs-node@1.1.0"))
            told.append(await run(bench, "installed"))
            file.write_bytes(OTHER)
            told.append(await run(bench, "install", str(file)))

    served(tmp_path, play)
    code, first = told[0]
    assert (code, first["outcome"], first["devices"]) == (0, "dry_run" if dry else "installed", ["node"])
    if not dry:
        assert (told[1][0], told[1][1]["outcome"]) == (0, "applied")
        used = {each["id"]: each["used_by"] for each in told[2][1]["profiles"]}
        assert used["tidegate/cobs-node@1.1.0"] == ["node"]
        assert (told[3][0], told[3][1]["outcome"]) == (1, "immutable")
