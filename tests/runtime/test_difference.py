from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import read_site
from gateway.runtime.blueprint import blueprint
from gateway.runtime.difference import Change, Configuration, changes, fates, kept, restarting, words
from tests.runtime.kit import BEACON, CAN

A = '[device.a]\nprofile = "m1.toml"\nport = "can0"\n'
B = '[device.b]\nprofile = "m2.toml"\nport = "can0"\n'
C = '[device.c]\nprofile = "m1.toml"\nport = "can1"\n'
TAGS = '[discover.tag]\nprofile = "tag.toml"\nport = "hci0"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles")
    for number in (1, 2):
        (folder / f"m{number}.toml").write_text(CAN.format(id=number))
    (folder / "tag.toml").write_text(BEACON)
    return folder


def configured(folder: Path, *tables: str) -> Configuration:
    site = read_site("site.toml", "".join(tables).encode())
    return Configuration(site, blueprint(site, folder, has_store=True))


@pytest.mark.parametrize(
    ("before", "after", "expected", "restarts"),
    [
        ((A, B, C), (C, B, A), [], []),
        ((A,), (A, B), [("device.b", "added", ())], []),
        ((A, B), (A,), [("device.b", "removed", ())], []),
        ((A,), (A, 'label = "Pump"\n'), [("device.a", "changed", ("label",))], []),
        ((A, B), (A, "adjust = { speed = { scale = 2.0 } }\n", B), [("device.a", "changed", ("adjust",))], ["a"]),
        ((A,), (A.replace("m1", "m2"),), [("device.a", "changed", ("profile",))], ["a"]),
        ((A, B), (A.replace("can0", "can1"), B), [("device.a", "changed", ("port",))], ["a"]),
        ((A, C), (A, C, '[port.can1]\npath = "can7"\nbus = "can"\n'), [("port.can1", "added", ())], ["c"]),
        ((A, TAGS), (A, TAGS, "limit = 7\n"), [("discover.tag", "changed", ("limit",))], []),
        ((A,), (A, "[mqtt]\nhost = 'broker'\n"), [("mqtt", "added", ())], []),
        (
            (A,),
            (A, "[grant.x]\nprincipal = 'user:pi'\nroutes = '**'\nverbs = ['write']\n"),
            [("grant.x", "added", ())],
            [],
        ),
    ],
    ids=lambda each: "",
)
def test_what_differs_is_told_by_table_and_key(
    folder: Path,
    before: tuple[str, ...],
    after: tuple[str, ...],
    expected: list[tuple[str, str, tuple[str, ...]]],
    restarts: list[str],
) -> None:
    one, other = configured(folder, *before), configured(folder, *after)
    assert [each[:3] for each in changes(one, other)] == expected
    assert restarting(one, other) == restarts


def test_a_profile_whose_file_says_something_else_is_a_change_of_its_devices(tmp_path: Path) -> None:
    (tmp_path / "m1.toml").write_text(CAN.format(id=1))
    before = configured(tmp_path, A, C)
    (tmp_path / "m1.toml").write_text(CAN.format(id=9))
    after = configured(tmp_path, A, C)
    assert changes(before, after) == [
        Change("device.a", "changed", ("profile",)),
        Change("device.c", "changed", ("profile",)),
    ]
    assert kept(before, after) == set()


def test_what_only_a_start_reads_waits_for_one(folder: Path) -> None:
    found = changes(configured(folder, A), configured(folder, "[ledger]\nwindow = '9s'\n[gateway]\nname = 'x'\n", A))
    assert [(each.table, each.keys, each.needs_restart) for each in found] == [
        ("gateway", ("name",), True),
        ("ledger", ("window",), True),
    ]


def test_a_wire_whose_port_serves_both_stays_open(folder: Path) -> None:
    assert fates(configured(folder, A, C), configured(folder, A, B)) == {
        "can0": "refitted",
        "can1": "gone",
    }


def test_a_wire_that_somebody_leaves_for_another_that_is_there_is_opened_again(folder: Path) -> None:
    after = configured(folder, A, B.replace("can0", "can1"), C)
    assert fates(configured(folder, A, B, C), after) == {"can0": "reopened", "can1": "refitted"}


def test_a_wire_that_somebody_leaves_for_a_new_one_stays_open(folder: Path) -> None:
    after = configured(folder, A, B.replace("can0", "can1"))
    assert fates(configured(folder, A, B), after) == {"can0": "refitted", "can1": "new"}


def test_words_name_what_changed(folder: Path) -> None:
    found = changes(configured(folder, A, C), configured(folder, A, 'label = "x"\narea = "y"\n'))
    assert words(found) == "device.c removed, device.a changed (area, label)"
    assert words([]) == "nothing"


@given(
    st.lists(st.sampled_from((A, B, C)), unique=True, min_size=1),
    st.lists(st.sampled_from((A, B, C)), unique=True, min_size=1),
)
def test_a_change_and_its_return_are_each_others_mirror(folder: Path, one: list[str], other: list[str]) -> None:
    before, after = configured(folder, *one), configured(folder, *other)
    mirror = {"added": "removed", "removed": "added", "changed": "changed"}
    there = {(each.table, each.what) for each in changes(before, after)}
    back = {(each.table, mirror[each.what]) for each in changes(after, before)}
    assert there == back
    assert kept(before, after) == kept(after, before)
    assert changes(before, before) == []
    assert set(fates(before, before).values()) == {"stays"}
