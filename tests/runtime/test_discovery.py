"""Devices nobody named: one for every address heard, with room for so many."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import read_site
from gateway.errors import ConfigError
from gateway.frame import Element
from gateway.lifecycle import Event, Target
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.parting import Known
from gateway.runtime.scheduler import Scheduler
from gateway.testing import AnsweringPort, FakeClock
from tests.runtime.kit import BEACON, COBS, compiled
from tests.runtime.test_connect import Bench as ConnectBench
from tests.runtime.test_connect import OneDriver, sleep
from tests.runtime.wired import wired as fitted

PROFILE = compiled(BEACON)


def discovery(limit: int = 50, **options: object) -> Discovery:
    clock = FakeClock()
    return Discovery("tag", PROFILE, limit, lambda name, _address: Device(name, PROFILE, clock), **options)  # type: ignore[arg-type]


def heard(found: Discovery, *addresses: str, at_s: float = 0) -> list[str]:
    elements = [Element(address, manufacturer=0x0499) for address in addresses]
    return [device.name for device, _ in found.owners(elements, ["a"] * len(elements), int(at_s * 1e9))]


def test_every_address_becomes_a_device_named_by_its_last_four() -> None:
    assert heard(discovery(), "CB:B8:33:4C:88:4F", "CB:B8:33:4C:88:50") == ["tag-884f", "tag-8850"]


def test_equal_last_fours_are_told_apart_by_more_of_the_address() -> None:
    assert heard(discovery(), "00:00:00:01:88:4F", "00:00:00:02:88:4F") == ["tag-884f", "tag-2884f"]


def test_a_name_of_the_site_file_is_not_taken_again() -> None:
    assert heard(discovery(taken=["tag-884f"]), "00:00:00:01:88:4F") == ["tag-1884f"]


def test_an_address_that_the_site_names_is_nobody_s_discovery() -> None:
    assert heard(discovery(named=["00:00:00:01:88:4f"]), "00:00:00:01:88:4F") == []


def test_a_frame_that_is_no_message_discovers_nobody() -> None:
    found = discovery()
    assert found.owners([Element("00:00:00:01:88:4F")], [None], 0) == []
    assert found.devices == []


def test_the_device_that_was_silent_longest_makes_room() -> None:
    found = discovery(limit=2)
    heard(found, "00:00:00:00:00:01", "00:00:00:00:00:02")
    heard(found, "00:00:00:00:00:01")
    heard(found, "00:00:00:00:00:03")
    assert [device.name for device in found.devices] == ["tag-0001", "tag-0003"]
    assert found.evicted == 1


def test_where_more_speak_than_there_is_room_for_the_same_few_stay() -> None:
    found = discovery(limit=2)
    tags = ["00:00:00:00:00:01", "00:00:00:00:00:02", "00:00:00:00:00:03"]
    for second in range(30):
        heard(found, *tags, at_s=second)
    assert found.evicted <= 2
    assert found.refused >= 27
    assert len(found.devices) == 2


def test_an_evicted_device_may_drive_out_another_after_a_minute() -> None:
    found = discovery(limit=1)
    heard(found, "00:00:00:00:00:01")
    heard(found, "00:00:00:00:00:02", at_s=1)
    assert heard(found, "00:00:00:00:00:01", at_s=2) == []
    assert heard(found, "00:00:00:00:00:01", at_s=62) == ["tag-0001"]


# ---- who makes room


def test_a_flood_of_addresses_heard_once_drives_out_none_that_still_speak() -> None:
    found = discovery(limit=4)
    real = [f"00:00:00:00:01:{number:02X}" for number in range(3)]
    heard(found, *real)
    for second in range(60):
        heard(found, *real, at_s=second)
        for number in range(200):
            heard(found, f"11:00:00:{second:02X}:00:{number:02X}", at_s=second)
    assert {"tag-0100", "tag-0101", "tag-0102"} <= {device.name for device in found.devices}


def test_who_is_stale_makes_room_before_one_that_was_heard_once_just_now() -> None:
    found = discovery(limit=2)
    heard(found, "00:00:00:00:00:01")
    heard(found, "00:00:00:00:00:01")
    heard(found, "00:00:00:00:00:02", at_s=40)  # the profile's devices are stale after 30 s
    heard(found, "00:00:00:00:00:03", at_s=41)
    assert [device.name for device in found.devices] == ["tag-0002", "tag-0003"]


def test_a_flood_makes_and_lets_go_no_more_devices_in_a_minute_than_there_is_room_for() -> None:
    found = discovery(limit=20)
    for number in range(1000):
        heard(found, f"00:00:00:00:{number >> 8:02X}:{number & 255:02X}", at_s=number / 1000)
    assert found.evicted == 20
    assert found.refused == 960


def test_in_the_next_minute_others_may_come() -> None:
    found = discovery(limit=20)
    for number in range(1000):
        heard(found, f"00:00:00:00:{number >> 8:02X}:{number & 255:02X}")
    assert heard(found, "00:00:00:00:FF:FF", at_s=60) == ["tag-ffff"]


def test_no_device_makes_room_for_another_of_the_same_read() -> None:
    found = discovery(limit=1)
    assert heard(found, "00:00:00:00:00:01", "00:00:00:00:00:02") == ["tag-0001"]
    assert found.refused == 1


def test_a_device_with_something_under_way_makes_no_room() -> None:
    found = discovery(limit=2)
    found.is_held = lambda device: device.name == "tag-0001"
    heard(found, "00:00:00:00:00:01")
    heard(found, "00:00:00:00:00:02")
    heard(found, "00:00:00:00:00:03")
    assert [device.name for device in found.devices] == ["tag-0001", "tag-0003"]


def test_a_device_that_somebody_quiesced_stays_what_it_is() -> None:
    found = discovery(limit=1)
    heard(found, "00:00:00:00:00:01")
    found.devices[0].aim(Target.QUIESCED)
    assert heard(found, "00:00:00:00:00:02") == []


# ---- who is silent


def idle(found: Discovery, at_s: float, at_most: int = 100) -> bool:
    return found.let_idle_go(int(at_s * 1e9), at_most)


def connected(limit: int = 50) -> Discovery:
    found = discovery(limit)
    found.on_appeared = lambda device: device.happened(Event.OPENED)
    return found


def test_a_device_leaves_when_it_was_silent_for_ten_times_what_makes_it_stale() -> None:
    found = connected()
    heard(found, "00:00:00:00:00:01")
    heard(found, "00:00:00:00:00:02", at_s=100)
    idle(found, 300)
    assert len(found.devices) == 2
    idle(found, 301)
    assert [device.name for device in found.devices] == ["tag-0002"]
    assert (found.idle, len(found.stubs)) == (1, 1)


def test_no_device_leaves_within_a_minute_however_soon_it_is_stale() -> None:
    profile = compiled(BEACON.replace("[message.a]", '[lifecycle]\nstale_after = "1s"\n[message.a]'))
    found = Discovery("tag", profile, 50, lambda name, _address: Device(name, profile, FakeClock()))
    found.on_appeared = lambda device: device.happened(Event.OPENED)
    heard(found, "00:00:00:00:00:01")
    idle(found, 59)
    assert len(found.devices) == 1
    idle(found, 61)
    assert found.devices == []


def test_the_message_that_may_be_silent_longest_decides() -> None:
    text = BEACON.replace(
        "when   = { manufacturer = 0x0499 }", 'when   = { manufacturer = 0x0499 }\nstale_after = "1h"'
    )
    found = Discovery("tag", compiled(text), 50, lambda name, _address: Device(name, compiled(text), FakeClock()))
    found.on_appeared = lambda device: device.happened(Event.OPENED)
    heard(found, "00:00:00:00:00:01")
    idle(found, 35_000)
    assert len(found.devices) == 1


def test_a_silence_of_the_port_is_nobody_s_own() -> None:
    found = connected()
    heard(found, "00:00:00:00:00:01")
    found.devices[0].happened(Event.LOST)
    idle(found, 10_000)
    assert len(found.devices) == 1


def test_only_so_many_leave_at_once_and_the_rest_is_told() -> None:
    found = connected()
    heard(found, *[f"00:00:00:00:00:{number:02X}" for number in range(5)])
    assert idle(found, 1000, at_most=3)
    assert not idle(found, 1000, at_most=3)
    assert found.devices == []


def test_one_that_left_silent_comes_back_at_once_with_its_name_and_numbers() -> None:
    found = connected()
    heard(found, "00:00:00:01:88:4F")
    found.devices[0].messages["a"].sequence = 41
    idle(found, 1000)
    assert heard(found, "00:00:00:02:88:4F", at_s=1000) == ["tag-2884f"]
    assert heard(found, "00:00:00:01:88:4F", at_s=1001) == ["tag-884f"]
    assert found.devices[1].messages["a"].sequence == 41
    assert found.returned == 1


# ---- what the ledger remembers


def known(address: str, name: str, **sequences: int) -> Known:
    return Known("tag", address, name, 7, 1000, sequences)


def test_a_device_of_an_earlier_run_is_remembered_by_its_name_and_numbers() -> None:
    found = discovery()
    assert found.learn(known("00:00:00:02:88:4F", "tag-884f", a=3, advertisement=4)) is None
    assert heard(found, "00:00:00:01:88:4F", "00:00:00:02:88:4F") == ["tag-1884f", "tag-884f"]
    counts = [message.sequence for message in found.devices[1].all_messages()]
    assert counts == [3, 0, 4]


def test_a_device_that_is_here_already_is_itself() -> None:
    found = discovery()
    heard(found, "00:00:00:01:88:4F")
    assert found.learn(known("00:00:00:01:88:4F", "tag-884f")) is found.devices[0]


def test_one_whose_name_another_has_meanwhile_is_forgotten_and_counted() -> None:
    found = discovery()
    heard(found, "00:00:00:01:88:4F")
    assert found.learn(known("00:00:00:02:88:4F", "tag-884f")) is None
    assert (len(found.stubs), found.stubs.forgotten) == (0, 1)


@settings(deadline=None)  # a device is more than an example's usual work
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 100))), st.integers(1, 8))
def test_there_are_never_more_devices_than_the_limit_and_every_frame_has_an_owner_or_is_counted(
    heard_after: list[tuple[int, int]], limit: int
) -> None:
    found = discovery(limit)
    now_s = owned = 0
    for number, after_s in heard_after:
        now_s += after_s
        owned += len(heard(found, f"00:00:00:00:00:{number:02X}", at_s=now_s))
        assert len(found.devices) <= limit
        assert len({device.name for device in found.devices}) == len(found.devices)
    assert owned + found.refused == len(heard_after)
    assert len({number for number, _ in heard_after}) <= limit or len(found.devices) == limit


class Bench(ConnectBench):
    """`[discover.tag]` on one adapter."""

    def __init__(self, folder: Path, text: str) -> None:
        (folder / "p.toml").write_text(BEACON)
        self.clock = FakeClock()
        self.port = AnsweringPort("hci0", lambda _request, _address: [], self.clock)
        self.keepers = fitted(read_site("site.toml", text.encode()), folder, self.clock, OneDriver(self.port))

    def hear(self, *tags: int) -> None:
        for tag in tags:
            self.port.say(bytes([tag]), Element(f"00:00:00:00:00:{tag:02X}", -60, manufacturer=0x0499))

    def row(self) -> dict[str, object]:
        return {
            device.name: row[0] for device in self.keepers[0].devices if (row := device.messages["a"].row) is not None
        }


SITE = '[discover.tag]\nprofile = "p.toml"\nport = "hci0"\nlimit = 2\n'


def test_what_is_heard_becomes_devices_with_values_of_their_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SITE)

    async def hear() -> None:
        bench.hear(1, 2, 1)

    bench.play(sleep(0.1), hear, sleep(1))
    assert bench.row() == {"tag-0001": 1, "tag-0002": 2}
    assert {str(device.lifecycle.state) for device in bench.keepers[0].devices} == {"CONNECTED"}
    assert bench.keepers[0].devices[0].frames() == (2, 2, 0, 0, 0)


def test_an_evicted_device_is_gone_and_comes_back_when_there_is_room_for_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SITE)

    async def hear() -> None:
        bench.hear(1, 2, 3)

    async def hear_again() -> None:
        bench.hear(1)

    bench.play(sleep(0.1), hear, sleep(61), hear_again, sleep(1))
    assert bench.row() == {"tag-0003": 3, "tag-0001": 1}
    told = {"name": "tag", "devices": 2, "limit": 2, "evicted": 2, "idle": 0, "returned": 1, "refused": 0}
    left = {"remembered": 1, "forgotten": 0, "lost": 0}
    assert bench.keepers[0].discoveries[0].as_json() == told | left


def test_a_discovered_device_shares_the_fate_of_its_port(tmp_path: Path) -> None:
    from gateway.errors import PortLostError

    bench = Bench(tmp_path, SITE)
    seen: list[str] = []

    async def hear() -> None:
        bench.hear(1)

    async def unplug() -> None:
        bench.port.say(PortLostError("hci0", "unplugged"))

    async def look() -> None:
        seen.append(str(bench.keepers[0].devices[0].lifecycle.state))

    bench.play(sleep(0.1), hear, sleep(0.2), unplug, sleep(0.1), look, sleep(3), look)
    assert seen == ["DISCONNECTED", "CONNECTED"]


def test_when_its_port_is_back_every_device_hears_itself_only(tmp_path: Path) -> None:
    from gateway.errors import PortLostError

    bench = Bench(tmp_path, SITE)

    async def hear() -> None:
        bench.hear(1, 2)

    async def unplug() -> None:
        bench.port.say(PortLostError("hci0", "unplugged"))

    async def hear_one() -> None:
        bench.hear(1)

    bench.play(sleep(0.1), hear, sleep(0.2), unplug, sleep(3), hear_one, sleep(1))
    assert [device.frames().frames_in for device in bench.keepers[0].devices] == [2, 1]
    assert bench.row() == {"tag-0001": 1, "tag-0002": 2}


def test_only_advertisements_can_be_discovered(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(COBS.format(extra="", state=""))
    site = read_site("site.toml", b'[discover.node]\nprofile = "node.toml"\nport = "/dev/ttyUSB0"\n')
    with pytest.raises(ConfigError) as caught:
        fitted(site, tmp_path, FakeClock(), OneDriver(AnsweringPort("x", lambda _request, _address: [])))
    assert [each.key for each in caught.value.problems] == ["discover.node.profile"]


def test_the_scheduler_forgets_the_mailboxes_of_an_evicted_device(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SITE)
    scheduler = Scheduler(bench.clock)
    bench.keepers[0].attach(scheduler)
    found = bench.keepers[0].discoveries[0]
    heard(found, "00:00:00:00:00:01", "00:00:00:00:00:02")
    first = found.devices[0]
    heard(found, "00:00:00:00:00:03")
    assert all(mailbox.on_arrival is None for mailbox in first.mailboxes.values())
