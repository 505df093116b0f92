"""Rules made for a site are rules, mean one device, and show later whether they were edited."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.udev.check import check_rules
from gateway.udev.grammar import read_rules
from gateway.udev.identity import UsbIdentity, parse_usb
from gateway.udev.make import CanInterface, SerialLink, seal_of, sealed, site_rules

ADAPTER = UsbIdentity(0x0403, 0x6001, "A50285BI")
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)


def test_a_serial_link_compares_the_whole_identity_and_keeps_modem_manager_off():
    text = site_rules("site.toml", [SerialLink("meters", ADAPTER)], [])
    (rule,) = read_rules("x.rules", text.encode()).rules
    values = {token.name: token.value for token in rule.tokens}
    assert values["ATTRS{idVendor}"] == "0403"
    assert values["ATTRS{serial}"] == "A50285BI"
    assert values["SYMLINK"] == "tidegate/meters"
    assert values["ENV{ID_MM_DEVICE_IGNORE}"] == "1"


def test_a_can_interface_is_brought_up_with_its_rates():
    text = site_rules("site.toml", [], [CanInterface("drive", "can0", 500_000, 2_000_000)])
    assert "type can bitrate 500000 dbitrate 2000000 fd on restart-ms 100" in text
    assert 'KERNEL=="can0"' in text


def test_a_can_adapter_may_be_meant_by_its_usb_identity():
    text = site_rules("site.toml", [], [CanInterface("drive", UsbIdentity(0x1D50, 0x606F), 250_000)])
    assert 'ATTRS{idVendor}=="1d50", ATTRS{idProduct}=="606f", TAG' in text


@given(serial=PRINTABLE, site=st.text(max_size=20))
def test_whatever_the_serial_number_the_rules_have_no_mistake(serial: str, site: str):
    text = site_rules(
        site,
        [SerialLink("a", UsbIdentity(1, 2, serial))],
        [CanInterface("b", UsbIdentity(1, 2, serial), 1)],
    )
    assert check_rules("61-x.rules", text.encode(), {"dialout"}).problems == []


def test_an_installed_file_is_known_as_ours_until_it_is_edited():
    data = sealed('KERNEL=="x"\n')
    assert seal_of(data) is True
    assert seal_of(data + b"# mine\n") is False
    assert seal_of(b"# somebody else's\n") is None


def test_a_port_text_and_its_identity_are_one():
    assert parse_usb("usb:0403:6001:A50285BI") == ADAPTER
    assert str(ADAPTER) == "usb:0403:6001:A50285BI"
    assert parse_usb("/dev/ttyUSB0") is None


def test_an_identity_without_serial_number_means_any_adapter_of_its_kind():
    assert UsbIdentity(0x0403, 0x6001).is_served_by(ADAPTER)
    assert not UsbIdentity(0x0403, 0x6001, "other").is_served_by(ADAPTER)
    assert not UsbIdentity(0x0403, 0x6010).is_served_by(ADAPTER)
