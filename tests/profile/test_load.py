"""Profiles found, loaded and cached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import ProfileError, UsageError
from gateway.profile.load import (
    check_profile,
    example_profile,
    find_profile,
    installed_profiles,
    load_profile,
    shipped_profiles,
)

THERM = """\
[profile]
id = "example/therm@1.0.0"
[params]
node = { type = "u8", default = 1 }
[link]
bus = "can"
[message.reading]
when = { can_id = "0x100 + {node}" }
fields = [{ name = "temperature", type = "s16be", scale = 0.01, units = "Cel" }]
"""
WITH_DBC = """\
[profile]
id = "example/engine@1.0.0"
[link]
bus = "can"
[dbc]
file = "engine.dbc"
"""
DBC = """\
VERSION ""

NS_ :

BS_:

BU_: ECU

BO_ 256 ENGINE: 8 ECU
 SG_ Speed : 0|16@1+ (0.25,0) [0|16000] "rpm" Vector__XXX
"""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("TIDEGATE_DATA", str(folder))
    return folder


@pytest.fixture
def therm(tmp_path: Path) -> Path:
    file = tmp_path / "therm.toml"
    file.write_text(THERM)
    return file


def plans(data: Path) -> list[Path]:
    return sorted((data / "plans").glob("*")) if data.exists() else []


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_loads_and_checks_without_a_word(name: str) -> None:
    path = shipped_profiles()[name]
    assert check_profile(path) == []
    assert load_profile(path) == example_profile(path)


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_names_its_schema_for_editors(name: str) -> None:
    path = shipped_profiles()[name]
    assert path.read_text().startswith("#:schema ../../profile.schema.json\n")
    assert (path.parent / "../../profile.schema.json").resolve().is_file()


def test_shipped_names_are_those_of_their_folders_and_ids() -> None:
    for name, path in shipped_profiles().items():
        assert path.parent.name == name
        assert example_profile(path).profile.id.partition("@")[0].endswith(f"/{name}")


def test_parameters_of_a_device_are_put_in(therm: Path) -> None:
    assert load_profile(therm).message["reading"].when.can_id == 0x101
    assert load_profile(therm, {"node": 5}).message["reading"].when.can_id == 0x105
    assert load_profile(therm, {"node": "0x10"}).message["reading"].when.can_id == 0x110


def test_a_wrong_profile_is_refused_with_all_its_problems(therm: Path) -> None:
    therm.write_text(THERM.replace("Cel", "degC").replace("can_id", "canid"))
    with pytest.raises(ProfileError) as caught:
        load_profile(therm)
    assert [problem.line for problem in caught.value.problems] == [8, 9]


def test_warnings_refuse_nothing(therm: Path) -> None:
    therm.write_text(THERM + "[message.never]\nwhen = { can_id = 0x101, length = 8 }\n")
    assert [problem.severity for problem in check_profile(therm)] == ["warning"]
    assert "never" in load_profile(therm).message


def test_a_second_load_comes_from_the_cache(therm: Path, data: Path) -> None:
    first = load_profile(therm)
    (cached,) = plans(data)
    stamp = cached.stat().st_mtime_ns
    assert load_profile(therm) == first
    assert plans(data) == [cached]
    assert cached.stat().st_mtime_ns == stamp


def test_a_changed_profile_is_read_anew(therm: Path) -> None:
    load_profile(therm)
    therm.write_text(THERM.replace("0x100", "0x200"))
    assert load_profile(therm).message["reading"].when.can_id == 0x201


@pytest.mark.parametrize("damage", [b"", b"\x00", b"nonsense" * 100])
def test_a_damaged_cache_file_is_ignored(therm: Path, data: Path, damage: bytes) -> None:
    first = load_profile(therm)
    (cached,) = plans(data)
    cached.write_bytes(damage)
    assert load_profile(therm) == first


def test_every_byte_of_a_cache_file_is_vouched_for(therm: Path, data: Path) -> None:
    first = load_profile(therm)
    (cached,) = plans(data)
    content = cached.read_bytes()
    for place in range(0, len(content), 7):
        cached.write_bytes(content[:place] + bytes([content[place] ^ 0x01]) + content[place + 1 :])
        assert load_profile(therm) == first


def test_a_folder_that_cannot_be_written_is_no_fault(therm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_DATA", "/proc/none")
    assert load_profile(therm).message["reading"].when.can_id == 0x101


def test_a_profile_with_a_key_is_written_nowhere(therm: Path, data: Path) -> None:
    therm.write_text(
        THERM.replace(
            'node = { type = "u8", default = 1 }', 'node = { type = "u8", default = 1 }\nk = { type = "key" }'
        )
    )
    load_profile(therm, {"k": "00ff"})
    assert plans(data) == []


def test_a_dbc_beside_a_profile_is_part_of_it(tmp_path: Path, data: Path) -> None:
    (tmp_path / "engine.toml").write_text(WITH_DBC)
    (tmp_path / "engine.dbc").write_text(DBC)
    first = load_profile(tmp_path / "engine.toml")
    assert first.message["ENGINE"].fields[0].units == "/min"
    assert load_profile(tmp_path / "engine.toml") == first
    (tmp_path / "engine.dbc").write_text(DBC.replace("(0.25,0)", "(0.5,0)"))
    assert load_profile(tmp_path / "engine.toml").message["ENGINE"].fields[0].scale == 0.5
    (tmp_path / "engine.dbc").unlink()
    with pytest.raises(ProfileError, match=r"engine.toml:6: dbc.file"):
        load_profile(tmp_path / "engine.toml")


def test_a_dbc_is_a_profile(tmp_path: Path) -> None:
    (tmp_path / "engine.dbc").write_text(DBC)
    assert list(load_profile(tmp_path / "engine.dbc").message) == ["ENGINE"]
    assert check_profile(tmp_path / "engine.dbc") == []


def test_a_wrong_dbc_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "engine.dbc").write_text(DBC.replace("8 ECU", "one ECU"))
    (tmp_path / "engine.toml").write_text(WITH_DBC)
    for name in ("engine.dbc", "engine.toml"):
        problems = check_profile(tmp_path / name)
        assert [(problem.file, problem.line) for problem in problems] == [(str(tmp_path / "engine.dbc"), 9)]


def test_a_cached_dbc_needs_no_cantools(tmp_path: Path) -> None:
    file = tmp_path / "engine.dbc"
    file.write_text(DBC)
    load_profile(file)
    program = (
        "import sys\nfrom gateway.profile.load import load_profile\n"
        f"assert list(load_profile({str(file)!r}).message) == ['ENGINE']\n"
        "heavy = ('cantools', 'construct', 'tomllib', 'gateway.profile.validate')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_profile_is_found_by_name_id_and_path(tmp_path: Path, therm: Path) -> None:
    shipped = shipped_profiles()["ruuvitag-df5"]
    for text in (
        "ruuvitag-df5",
        "ruuvi/ruuvitag-df5",
        "ruuvi/ruuvitag-df5@1",
        "ruuvitag-df5@1",
        str(shipped),
        str(shipped.parent),
    ):
        assert find_profile(text) == shipped, text
    version = example_profile(shipped).profile.id.partition("@")[2]
    assert find_profile(f"ruuvi/ruuvitag-df5@{version}") == shipped
    assert find_profile(str(therm)) == therm
    assert find_profile("therm.toml", folder=tmp_path) == therm


@pytest.mark.parametrize("text", ["ruuvitag-df5@7", "nobody/ruuvitag-df5", "none.toml", "x" * 300, "\x00"])
def test_a_profile_that_is_not_there_is_bad_usage(text: str) -> None:
    with pytest.raises(UsageError):
        find_profile(text)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UsageError, match="did you mean 'pms5003'"):
        find_profile("pms5030")


def test_a_file_that_cannot_be_read_is_one_problem_without_a_line(tmp_path: Path) -> None:
    assert [(problem.line, problem.key) for problem in check_profile(tmp_path / "none.toml")] == [(0, "")]
    assert [problem.line for problem in check_profile(tmp_path)] == [0]


def test_a_file_without_end_is_refused() -> None:
    assert len(check_profile("/dev/zero")) == 1


def installed(folder: Path, *ids: str) -> Path:
    for text in ids:
        publisher, _, rest = text.partition("/")
        (folder / publisher).mkdir(parents=True, exist_ok=True)
        (folder / publisher / f"{rest}.toml").write_text("")
    return folder


def test_of_installed_versions_the_newest_released_one_is_meant_and_a_shipped_name_stays_what_it_was(
    tmp_path: Path,
) -> None:
    pumps = ("acme/pump@1.9.0", "acme/pump@1.10.0", "acme/pump@2.0.0-rc.1")
    place = installed(tmp_path, *pumps, "ruuvi/ruuvitag-df5@1.1.0")
    for text, meant in {
        "pump": "pump@1.10.0", "acme/pump@1": "pump@1.10.0", "acme/pump@1.9": "pump@1.9.0",
        "acme/pump@2.0.0-rc.1": "pump@2.0.0-rc.1",
    }.items():  # fmt: skip
        assert find_profile(text, None, place) == place / "acme" / f"{meant}.toml", text
    assert find_profile("ruuvitag-df5", None, place) == shipped_profiles()["ruuvitag-df5"]
    assert find_profile("ruuvi/ruuvitag-df5@1.0.0", None, place) == shipped_profiles()["ruuvitag-df5"]
    assert find_profile("ruuvi/ruuvitag-df5@1", None, place).parent.parent == place


def test_a_name_of_two_publishers_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"acme/pump or best/pump"):
        find_profile("pump", None, installed(tmp_path, "acme/pump@1.0.0", "best/pump@1.0.0"))


def test_what_is_no_profile_s_file_is_passed_over(tmp_path: Path) -> None:
    place = installed(tmp_path, "acme/.pump@1.0.0", "acme/pump", "acme/pump@1.0.0")
    assert [str(known) for known in installed_profiles(place)] == ["acme/pump@1.0.0"]
