"""How a guest of the kernel rig is made: packages, kernel, first file system, command line."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from hil.kernel.__main__ import guests
from hil.kernel.firmware import Microcontroller
from hil.kernel.guest import Guest, command, setup
from hil.kernel.host import ROOT, RigError
from hil.kernel.image import DONE, TAKEN, Image, archive, header_packages, image_place, is_whole, release_of
from hil.kernel.module import plain_folder
from hil.kernel.packages import advice, has_lists, install_command, missing
from hil.kernel.qmp import Qmp
from hil.kernel.usb import Hands

BUSES = Guest("buses", ("tests/kernel/can",), 100.0)
USB = Guest("usb", ("tests/kernel/usb",), 100.0, has_usb=True)
FLASH = Guest("flash", ("tests/kernel/flash",), 100.0, disks=("a", "b"), writer="tests.kernel.flash.writing")
IMAGE = Image("6.1.0-56-amd64", Path("/a b/.rig/6.1.0-56-amd64"))
SOCKETS = {"output": 10, "monitor": 11, "hands": 12, "line-HIL0002": 13, "wire": 14}


def test_only_packages_that_are_not_there_are_installed():
    statuses = "installed gcc\nconfig-files make\nnot-installed kmod\ninstalled gcc-12\n"
    assert missing(["gcc", "make", "kmod", "bluez"], statuses) == ["make", "kmod", "bluez"]


def test_the_advice_is_one_command_that_installs_them():
    assert advice(["bluez", "kmod"]).endswith("sudo apt-get install --yes --no-install-recommends bluez kmod")
    assert install_command(["bluez"])[-1] == "bluez"


def test_a_fresh_container_has_no_package_lists(tmp_path):
    (tmp_path / "partial").mkdir()
    assert not has_lists(tmp_path)
    assert not has_lists(tmp_path / "nothing")
    (tmp_path / "deb.debian.org_dists_bookworm_main_binary-amd64_Packages.lz4").touch()
    assert has_lists(tmp_path)


def test_the_kernel_is_the_one_that_debian_names_now():
    assert release_of("linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n") == "6.1.0-56-amd64"
    assert release_of("") is None


def test_a_module_is_built_against_headers_and_kbuild_but_fetches_no_compiler():
    depends = (
        "linux-headers-6.1.0-56-amd64\n  Depends: linux-headers-6.1.0-56-common\n"
        "  Depends: linux-kbuild-6.1\n  Depends: linux-compiler-gcc-12-x86\n"
    )
    assert header_packages(depends, "6.1.0-56-amd64") == [
        "linux-headers-6.1.0-56-amd64",
        "linux-headers-6.1.0-56-common",
        "linux-kbuild-6.1",
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("./boot/vmlinuz-6.1.0-56-amd64", "vmlinuz"),
        ("./bin/busybox", "busybox"),
        ("./usr/bin/busybox", "busybox"),
        ("./lib/modules/6.1/modules.builtin", "lib/modules/6.1/modules.builtin"),
        ("./usr/lib/modules/6.12/kernel/net/can/can.ko.xz", "lib/modules/6.12/kernel/net/can/can.ko.xz"),
        ("./lib/modules/6.1/kernel/fs/f2fs/f2fs.ko", "lib/modules/6.1/kernel/fs/f2fs/f2fs.ko"),
        ("./lib/modules/6.1/kernel/drivers/md/dm-flakey.ko", "lib/modules/6.1/kernel/drivers/md/dm-flakey.ko"),
        ("./lib/modules/6.1/kernel/drivers/gpu/drm/drm.ko", None),
        ("./usr/share/doc/linux-image/copyright", None),
        ("./boot/System.map-6.1.0-56-amd64", None),
    ],
)
def test_of_debian_s_files_the_image_takes_what_guests_use_wherever_it_lies(name, place):
    assert image_place(name) == place


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio: sudo apt install cpio")
def test_the_first_file_system_is_an_archive_that_others_can_read(tmp_path):
    files = {"init": b"#!/bin/busybox sh\n", "bin/busybox": b"\x7fELF", "modules/order": b"a.ko\n"}
    subprocess.run(["cpio", "-id", "--quiet"], input=archive(files), cwd=tmp_path, check=True)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert (tmp_path / "init").stat().st_mode & 0o111


def test_a_guest_reads_the_host_s_files_and_cannot_write_them():
    words = command(BUSES, IMAGE, Path("/tmp/share"), SOCKETS)
    assert "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap" in words
    assert "local,id=share,path=/tmp/share,security_model=none,readonly=off" in words
    assert words[words.index("-kernel") + 1] == "/a b/.rig/6.1.0-56-amd64/vmlinuz"


def test_a_guest_has_no_network():
    assert not {"-net", "-netdev", "-nic"} & set(command(USB, IMAGE, Path("/tmp/share"), SOCKETS))
    assert "-nodefaults" in command(USB, IMAGE, Path("/tmp/share"), SOCKETS)


def test_a_comma_in_a_path_does_not_become_an_option():
    words = command(BUSES, IMAGE, Path("/a,b"), SOCKETS)
    assert "file,id=console,path=/a,,b/console" in words


def test_only_a_guest_with_usb_has_a_controller_and_hands():
    assert not any("xhci" in word or "hands" in word for word in command(BUSES, IMAGE, Path("/s"), {"output": 3}))
    words = command(USB, IMAGE, Path("/s"), SOCKETS)
    assert "qemu-xhci,id=usb" in words
    assert "virtserialport,chardev=hands,name=tidegate.hands" in words


def test_a_guest_with_disks_has_hands_and_finds_each_by_its_serial_number():
    words = command(FLASH, IMAGE, Path("/s"), {"output": 3, "hands": 4}, {"a": Path("/run/a"), "b": Path("/run/b,c")})
    assert "driver=nbd,node-name=b,server.type=unix,server.path=/run/b,,c" in words
    assert [word for word in words if "virtio-blk" in word] == [
        "virtio-blk-pci,drive=a,serial=a",
        "virtio-blk-pci,drive=b,serial=b",
    ]
    assert "virtserialport,chardev=hands,name=tidegate.hands" in words
    assert not any("xhci" in word for word in words)


def test_a_guest_whose_power_is_cut_writes_instead_of_testing():
    assert "PROGRAM=''\n" in setup(FLASH, [], 80)
    assert "PROGRAM=tests.kernel.flash.writing\n" in setup(FLASH.writing, [], 80)


def test_a_kernel_that_was_fetched_for_fewer_guests_is_fetched_again(tmp_path):
    image = Image("6.1", tmp_path)
    assert not is_whole(image)
    (tmp_path / DONE).touch()
    assert not is_whole(image)
    (tmp_path / DONE).write_text(TAKEN)
    assert is_whole(image)


def test_a_guest_s_shell_gets_every_word_whole(tmp_path):
    (tmp_path / "setup").write_text(setup(BUSES, ["-k", "it's a test"], 120))
    shown = subprocess.run(
        [
            "sh",
            "-c",
            '. "$0"; eval "set -- $OPTIONS $TESTS"; printf "%s|" "$REPOSITORY" "$COLUMNS" "$@"',
            tmp_path / "setup",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{ROOT}|120|-k|it's a test|tests/kernel/can|"


def test_every_kernel_test_has_a_guest(tmp_path):
    for name in ("can/test_a.py", "spi/test_b.py", "usb/test_c.py", "flash/test_d.py"):
        (tmp_path / "tests/kernel" / name).parent.mkdir(parents=True)
        (tmp_path / "tests/kernel" / name).touch()
    buses, usb, flash = guests(tmp_path)
    assert buses.tests == ("tests/kernel/can", "tests/kernel/spi")
    assert usb.tests == ("tests/kernel/usb",)
    assert flash.tests == ("tests/kernel/flash",)
    assert buses.limit_s + usb.limit_s < 900  # one that hangs does not take a whole run's hour


@pytest.mark.parametrize("temporary", ["/tmp/a b", "/tmp/a:b", "/tmp/$x", "/tmp/a#b"])
def test_a_module_is_built_where_make_can_read_the_name(temporary):
    assert plain_folder(temporary) == "/var/tmp"
    assert plain_folder("/tmp/plain-1") == "/tmp/plain-1"


class Monitor:
    """QEMU's end of a monitor that answers from a script."""

    def __init__(self, *answers):
        self.heard = []
        self.ours, self._theirs = socket.socketpair()
        self._answers = [{"return": {}}, *answers]
        self._thread = threading.Thread(target=self._speak)
        self._thread.start()

    def _speak(self):
        with self._theirs, self._theirs.makefile("rwb") as lines:
            lines.write(b'{"QMP": {}}\n')
            lines.flush()
            for answer in self._answers:
                self.heard.append(json.loads(lines.readline()))
                for message in answer if isinstance(answer, list) else [answer]:
                    lines.write(json.dumps(message).encode() + b"\n")
                lines.flush()

    def end(self):
        self._thread.join()
        return self.heard[1:]


def test_an_event_that_comes_before_the_answer_is_not_lost():
    monitor = Monitor([{"event": "DEVICE_DELETED"}, {"return": {}}])
    with Qmp(monitor.ours) as qmp:
        qmp.execute("device_del", id="a")
        qmp.wait_for("DEVICE_DELETED")
    assert monitor.end() == [{"execute": "device_del", "arguments": {"id": "a"}}]


def test_what_qemu_objects_to_is_told():
    monitor = Monitor({"error": {"desc": "no bus"}})
    with Qmp(monitor.ours) as qmp, pytest.raises(RigError, match="QEMU refuses device_add: no bus"):
        qmp.execute("device_add")
    monitor.end()


def test_a_qemu_that_ended_is_told():
    monitor = Monitor()
    with Qmp(monitor.ours) as qmp:
        monitor.end()
        with pytest.raises(RigError, match=r"QEMU (has ended|is gone)"):
            qmp.execute("stop")


@pytest.mark.parametrize("line", ["", "plug", "plug HIL0009", "unplug HIL0001 HIL0002", "explode"])
def test_hands_that_are_asked_for_what_they_cannot_say_so(line):
    monitor = Monitor()
    with Qmp(monitor.ours) as qmp:
        hands = Hands(qmp, Microcontroller(Path("none")), Path("/none"))
        assert hands.obey(line).startswith("error: no such command")
    monitor.end()


def test_a_node_is_plugged_with_its_line_and_pulled_out_with_it():
    done = {"return": {}}
    monitor = Monitor(done, done, [done, {"event": "DEVICE_DELETED"}], done)
    with Qmp(monitor.ours) as qmp:
        hands = Hands(qmp, Microcontroller(Path("none")), Path("/run/uart"))
        assert [hands.obey(f"{what} HIL0001") for what in ("plug", "unplug")] == ["ok", "ok"]
    assert [each["execute"] for each in monitor.end()] == ["chardev-add", "device_add", "device_del", "chardev-remove"]
