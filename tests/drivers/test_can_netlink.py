from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers._can_netlink import Interface, _attribute, _attributes


def test_the_kernel_tells_what_it_knows_of_an_interface_that_is_no_can_bus():
    facts = Interface("lo").facts()

    assert (facts.state, facts.restart_ms, facts.bitrate, facts.counters) == (None, None, None, None)
    assert set(facts.losses) == {"rx_errors", "rx_dropped", "tx_dropped", "rx_over_errors"}


def test_an_interface_that_is_not_there_is_an_error():
    with pytest.raises(OSError, match="no interface"):
        Interface("nosuchcan").facts()


def test_a_virtual_interface_is_never_asked_to_restart():
    assert not Interface("lo").can_restart()


def test_a_refused_request_is_the_kernel_s_error():
    with pytest.raises(OSError, match=r"not supported|not permitted"):
        Interface("lo").restart()


@given(st.lists(st.tuples(st.integers(1, 100), st.binary(max_size=20))))
def test_attributes_come_back_as_they_were_written(pairs):
    assert list(_attributes(b"".join(_attribute(kind, value) for kind, value in pairs))) == pairs


@given(st.binary(max_size=60))
def test_any_bytes_end_as_a_list_of_attributes(data):
    assert len(list(_attributes(data))) <= len(data) // 4


def test_an_attribute_of_no_length_ends_the_list():
    assert list(_attributes(struct.pack("=HH", 0, 1) * 3)) == []
