"""The curves against the printed tables of NIST Monograph 175, and each inverse against its own curve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.thermocouples import TYPES, cel_of, mv_of

PRINTED_MV = [  # Monograph 175, tables of the reference functions, to a microvolt
    *(("K", -270, -6.458), ("K", -200, -5.891), ("K", -100, -3.554), ("K", 25, 1.000), ("K", 100, 4.096)),
    *(("K", 500, 20.644), ("K", 1000, 41.276), ("K", 1372, 54.886)),
    *(("J", -210, -8.095), ("J", 100, 5.269), ("J", 500, 27.393), ("J", 760, 42.919), ("J", 1200, 69.553)),
    *(("T", -270, -6.258), ("T", -200, -5.603), ("T", 100, 4.279), ("T", 200, 9.288), ("T", 400, 20.872)),
]
USABLE_CEL = {"J": (-210.0, 1200.0), "K": (-200.0, 1372.0), "T": (-200.0, 400.0)}  # ranges of the inverses


@pytest.mark.parametrize(("kind", "cel", "mv"), PRINTED_MV)
def test_a_curve_is_the_printed_table_to_a_microvolt(kind, cel, mv):
    assert round(mv_of(kind, cel), 3) == mv


@given(kind=st.sampled_from(TYPES), share=st.floats(0, 1))
def test_an_inverse_returns_the_temperature_to_six_hundredths(kind, share):
    low, high = USABLE_CEL[kind]
    cel = low + share * (high - low)
    assert cel_of(kind, mv_of(kind, cel)) == pytest.approx(cel, abs=0.06)


@pytest.mark.parametrize("kind", TYPES)
def test_beyond_a_curve_there_is_no_answer(kind):
    assert mv_of(kind, -273) is None
    assert mv_of(kind, 1400) is None
    assert cel_of(kind, -9) is None
    assert cel_of(kind, 80) is None
    assert cel_of(kind, float("nan")) is None
