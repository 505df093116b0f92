"""BLE advertisements as JSON lines become the elements that messages match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Element
from gateway.schema.advert import company_id, elements_of, service_uuid

ADDRESS = "CB:B8:33:4C:88:4F"


def test_every_entry_is_one_element_with_the_lines_address_rssi_and_name():
    line = {
        "address": ADDRESS,
        "rssi": -61,
        "name": "Ruuvi 884F",
        "manufacturer_data": {"1177": "05 12fc", "0x004c": "0215"},
        "service_data": {"0000FCD2-0000-1000-8000-00805F9B34FB": "40"},
        "service_uuids": ["fcd2"],
    }

    found = elements_of(line)

    assert found == [
        (b"\x05\x12\xfc", Element(ADDRESS, -61, "Ruuvi 884F", manufacturer=0x0499)),
        (b"\x02\x15", Element(ADDRESS, -61, "Ruuvi 884F", manufacturer=0x004C)),
        (b"\x40", Element(ADDRESS, -61, "Ruuvi 884F", service="fcd2")),
    ]


def test_an_address_is_written_in_upper_case():
    [(_body, element)] = elements_of({"address": ADDRESS.lower(), "manufacturer_data": {"1": ""}})

    assert element.address == ADDRESS


@pytest.mark.parametrize("missing", [{}, {"manufacturer_data": {}}, {"manufacturer_data": None, "service_data": None}])
def test_an_advertisement_without_data_has_no_elements(missing):
    assert elements_of({"address": ADDRESS, **missing}) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({}, "address"),
        ({"address": 5}, "address"),
        ({"address": ADDRESS, "rssi": "loud"}, "rssi"),
        ({"address": ADDRESS, "rssi": True}, "rssi"),
        ({"address": ADDRESS, "name": 7}, "name"),
        ({"address": ADDRESS, "manufacturer_data": [1]}, "manufacturer_data"),
        ({"address": ADDRESS, "manufacturer_data": {"65536": "00"}}, "65536"),
        ({"address": ADDRESS, "manufacturer_data": {"ruuvi": "00"}}, "ruuvi"),
        ({"address": ADDRESS, "manufacturer_data": {"1": "0"}}, "hex"),
        ({"address": ADDRESS, "manufacturer_data": {"1": 5}}, "hex"),
        ({"address": ADDRESS, "service_data": {"fcd": "00"}}, "fcd"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(line, told):
    with pytest.raises(ValueError, match=told):
        elements_of(line)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("FCD2", "fcd2"),
        ("0xfe95", "fe95"),
        ("0000180d-0000-1000-8000-00805f9b34fb", "180d"),
        ("1234abcd-0000-1000-8000-00805f9b34fb", "1234abcd"),
        ("6E400001-B5A3-F393-E0A9-E50E24DCCA9E", "6e400001-b5a3-f393-e0a9-e50e24dcca9e"),
    ],
)
def test_a_uuid_has_one_spelling(text, short):
    assert service_uuid(text) == short


@given(st.integers(0, 0xFFFF))
def test_a_company_id_reads_the_same_in_decimal_and_hex(number):
    assert company_id(str(number)) == company_id(f"0x{number:04X}") == number
