"""The shipped rules as udev itself reads them: `udevadm test` on devices of umockdev, in a mount namespace.

`udevadm test` makes links and files for real: the namespace has a /dev and a /run of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parent.parent.parent / "udev" / "60-tidegate.rules"
TOOLS = ("udevadm", "umockdev-run", "unshare")
TTY = "/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.{interface}/ttyUSB0/tty/ttyUSB0"
DEVICE = """\
P: {tty}
N: ttyUSB0
E: DEVNAME=/dev/ttyUSB0
E: SUBSYSTEM=tty
E: MAJOR=188
E: MINOR=0
A: dev=188:0\\n
L: device=../../../ttyUSB0

P: {serial}
E: SUBSYSTEM=usb-serial
E: DRIVER={driver}
A: port_number={port}\\n
L: driver=../../../../../../../bus/usb-serial/drivers/{driver}

P: {interface_path}
E: SUBSYSTEM=usb
E: DEVTYPE=usb_interface
E: DRIVER={driver}
A: bInterfaceNumber={interface:02}\\n
A: bInterfaceClass=ff\\n
A: bInterfaceSubClass=ff\\n
A: bInterfaceProtocol=ff\\n

P: /devices/pci0000:00/0000:00:14.0/usb1/1-1
N: bus/usb/001/002
E: SUBSYSTEM=usb
E: DEVTYPE=usb_device
E: DEVNAME=/dev/bus/usb/001/002
E: MAJOR=189
E: MINOR=1
A: idVendor=0403\\n
A: idProduct=6001\\n
{number}A: manufacturer=FTDI\\n
A: product=FT232R USB UART\\n

P: /devices/pci0000:00/0000:00:14.0
E: SUBSYSTEM=pci
"""
SPIDEV = """\
P: /devices/platform/soc/spi0.0/spidev/spidev0.0
N: spidev0.0
E: DEVNAME=/dev/spidev0.0
E: SUBSYSTEM=spidev
E: MAJOR=153
E: MINOR=0
"""
CAN = """\
P: /devices/platform/soc/spi0.1/net/can0
E: SUBSYSTEM=net
E: INTERFACE=can0
E: IFINDEX=7
A: type=280\\n
A: address=\\n
"""
READY = "the namespace is ready"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS),
        reason="needs root and udevadm, umockdev, unshare: sudo apt install udev umockdev util-linux",
    ),
]


def tty(serial: str | None = "HIL0001", *, interface: int = 0, port: int = 0, driver: str = "ftdi_sio") -> str:
    whole = TTY.format(interface=interface)
    number = f"A: serial={serial}\\n\n" if serial else ""
    return DEVICE.format(
        tty=whole,
        serial=whole.removesuffix("/tty/ttyUSB0"),
        interface_path=whole.removesuffix("/ttyUSB0/tty/ttyUSB0"),
        interface=interface,
        number=number,
        port=port,
        driver=driver,
    )


def udev_on(folder: Path, device: str, rules: str | None = None) -> tuple[str, dict[str, str]]:
    """Return what udev said of our rules, and the properties that the device got."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    (folder / "rules").mkdir()
    (folder / "rules" / SHIPPED.name).write_text(rules if rules is not None else SHIPPED.read_text())
    (folder / "device.umockdev").write_text(device)
    path = device.split("\n", 1)[0].removeprefix("P: ")
    script = f"""set -e
        mkdir {folder}/dev && mount --rbind /dev {folder}/dev && mount -t tmpfs t /dev && mount -t tmpfs t /run
        for node in null zero random urandom; do touch /dev/$node; mount --bind {folder}/dev/$node /dev/$node; done
        mkdir /dev/pts && mount -t devpts d /dev/pts -o newinstance,ptmxmode=0666 && ln -s pts/ptmx /dev/ptmx
        mkdir -p /dev/char /run/udev/rules.d && mount --bind {folder}/rules /run/udev/rules.d
        echo {READY}
        exec umockdev-run -d {folder}/device.umockdev -- udevadm test --action=add {path}"""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    if READY not in lines:
        pytest.skip(f"no mount namespace here: {lines[-1:]}")
    assert any("Reading rules file" in line for line in lines), lines
    told = "\n".join(line for line in lines if SHIPPED.name in line)
    return told, dict(line.partition("=")[::2] for line in lines if line[:1].isupper() and "=" in line)


def links(properties: dict[str, str]) -> set[str]:
    return {link for link in properties.get("DEVLINKS", "").split() if "/tidegate/" in link}


def test_udev_finds_no_mistake_in_the_shipped_rules(tmp_path: Path):
    told, _ = udev_on(tmp_path, tty())
    assert not [line for line in told.splitlines() if any(word in line for word in ("nvalid", "nknown", "ignoring"))]


def test_a_wrong_rule_would_be_noticed_here(tmp_path: Path):
    told, _ = udev_on(tmp_path, tty(), 'SUBSYSTEM=="tty", NOSUCHKEY="1"\n')
    assert "nvalid" in told


def test_an_adapter_gets_its_links_by_serial_number_its_group_and_no_modem_manager(tmp_path: Path):
    told, properties = udev_on(tmp_path, tty())
    assert links(properties) == {"/dev/tidegate/uart-HIL0001", "/dev/tidegate/uart-HIL0001-if00"}
    assert properties["ID_MM_DEVICE_IGNORE"] == "1"
    assert "MODE 0660" in told
    assert "systemd" in properties["TAGS"]


@pytest.mark.parametrize("serial", [None, "0001"])
def test_an_adapter_without_a_number_of_its_own_is_named_by_its_socket(tmp_path: Path, serial: str | None):
    _, properties = udev_on(tmp_path, tty(serial))
    assert links(properties) == {"/dev/tidegate/uart-path-pci-0000:00:14.0-usb-0:1:1.0"}


def test_further_ports_of_one_adapter_have_names_of_their_own(tmp_path: Path):
    assert links(udev_on(tmp_path, tty(interface=2, driver="cp210x"))[1]) >= {"/dev/tidegate/uart-HIL0001-if02"}
    assert links(udev_on(tmp_path, tty(port=3))[1]) == {"/dev/tidegate/uart-HIL0001-if00-port3"}


def test_a_cellular_modem_is_left_to_modem_manager(tmp_path: Path):
    _, properties = udev_on(tmp_path, tty(driver="option1"))
    assert links(properties) == set()
    assert "ID_MM_DEVICE_IGNORE" not in properties


def test_a_spi_device_gets_group_mode_and_link(tmp_path: Path):
    told, properties = udev_on(tmp_path, SPIDEV)
    assert links(properties) == {"/dev/tidegate/spidev0.0"}
    assert "MODE 0660" in told


def test_a_can_interface_is_tagged_for_services_and_not_touched_without_a_rate(tmp_path: Path):
    told, properties = udev_on(tmp_path, CAN)
    assert "systemd" in properties["TAGS"]
    assert "RUN" not in told


def test_a_can_interface_of_a_site_is_brought_up_with_its_rate(tmp_path: Path):
    from gateway.udev.make import CanInterface, site_rules

    told, _ = udev_on(tmp_path, CAN, site_rules("site.toml", [], [CanInterface("drive", "can0", 500_000)]))
    assert "RUN '/sbin/ip link set $name up txqueuelen 1000 type can bitrate 500000 restart-ms 100'" in told
