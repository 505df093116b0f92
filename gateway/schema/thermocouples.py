"""Layer 2: thermocouple curves of ITS-90: electromotive force in mV against temperature in Cel, reference at 0 Cel.

Source: NIST Monograph 175 (ITS-90 reference functions and inverse polynomials), types J, K and T. The inverses are
within 0.06 Cel of the reference functions. Outside a curve's range there is no answer, never an extrapolation.
"""

from __future__ import annotations

import math
from typing import Final

Piece = tuple[float, float, tuple[float, ...]]  # from, to, coefficients of rising powers

# K above 0 Cel has a hump beside its polynomial: a0 * exp(a1 * (t - a2)^2)
_K_HUMP: Final = (0.118597600000e00, -0.118343200000e-03, 0.126968600000e03)

_TO_MV: Final[dict[str, tuple[Piece, ...]]] = {
    "J": (
        (
            -210.0,
            760.0,
            (
                *(0.0, 0.503811878150e-01, 0.304758369300e-04, -0.856810657200e-07, 0.132281952950e-09),
                *(-0.170529583370e-12, 0.209480906970e-15, -0.125383953360e-18, 0.156317256970e-22),
            ),
        ),
        (
            760.0,
            1200.0,
            (
                *(0.296456256810e03, -0.149761277860e01, 0.317871039240e-02, -0.318476867010e-05),
                *(0.157208190040e-08, -0.306913690560e-12),
            ),
        ),
    ),
    "K": (
        (
            -270.0,
            0.0,
            (
                *(0.0, 0.394501280250e-01, 0.236223735980e-04, -0.328589067840e-06, -0.499048287770e-08),
                *(-0.675090591730e-10, -0.574103274280e-12, -0.310888728940e-14, -0.104516093650e-16),
                *(-0.198892668780e-19, -0.163226974860e-22),
            ),
        ),
        (
            0.0,
            1372.0,
            (
                *(-0.176004136860e-01, 0.389212049750e-01, 0.185587700320e-04, -0.994575928740e-07),
                *(0.318409457190e-09, -0.560728448890e-12, 0.560750590590e-15, -0.320207200030e-18),
                *(0.971511471520e-22, -0.121047212750e-25),
            ),
        ),
    ),
    "T": (
        (
            -270.0,
            0.0,
            (
                *(0.0, 0.387481063640e-01, 0.441944343470e-04, 0.118443231050e-06, 0.200329735540e-07),
                *(0.901380195590e-09, 0.226511565930e-10, 0.360711542050e-12, 0.384939398830e-14),
                *(0.282135219250e-16, 0.142515947790e-18, 0.487686622860e-21, 0.107955392700e-23),
                *(0.139450270620e-26, 0.797951539270e-30),
            ),
        ),
        (
            0.0,
            400.0,
            (
                *(0.0, 0.387481063640e-01, 0.332922278800e-04, 0.206182434040e-06, -0.218822568460e-08),
                *(0.109968809280e-10, -0.308157587720e-13, 0.454791352900e-16, -0.275129016730e-19),
            ),
        ),
    ),
}

_TO_CEL: Final[dict[str, tuple[Piece, ...]]] = {
    "J": (
        (
            -8.095,
            0.0,
            (
                *(0.0, 1.9528268e01, -1.2286185e00, -1.0752178e00, -5.9086933e-01, -1.7256713e-01),
                *(-2.8131513e-02, -2.3963370e-03, -8.3823321e-05),
            ),
        ),
        (
            0.0,
            42.919,
            (
                *(0.0, 1.978425e01, -2.001204e-01, 1.036969e-02, -2.549687e-04, 3.585153e-06),
                *(-5.344285e-08, 5.099890e-10),
            ),
        ),
        (
            42.919,
            69.553,
            (
                *(-3.11358187e03, 3.00543684e02, -9.94773230e00, 1.70276630e-01),
                *(-1.43033468e-03, 4.73886084e-06),
            ),
        ),
    ),
    "K": (
        (
            -5.891,
            0.0,
            (
                *(0.0, 2.5173462e01, -1.1662878e00, -1.0833638e00, -8.9773540e-01, -3.7342377e-01),
                *(-8.6632643e-02, -1.0450598e-02, -5.1920577e-04),
            ),
        ),
        (
            0.0,
            20.644,
            (
                *(0.0, 2.508355e01, 7.860106e-02, -2.503131e-01, 8.315270e-02, -1.228034e-02),
                *(9.804036e-04, -4.413030e-05, 1.057734e-06, -1.052755e-08),
            ),
        ),
        (
            20.644,
            54.886,
            (
                *(-1.318058e02, 4.830222e01, -1.646031e00, 5.464731e-02, -9.650715e-04, 8.802193e-06),
                -3.110810e-08,
            ),
        ),
    ),
    "T": (
        (
            -5.603,
            0.0,
            (
                *(0.0, 2.5949192e01, -2.1316967e-01, 7.9018692e-01, 4.2527777e-01, 1.3304473e-01),
                *(2.0241446e-02, 1.2668171e-03),
            ),
        ),
        (
            0.0,
            20.872,
            (0.0, 2.592800e01, -7.602961e-01, 4.637791e-02, -2.165394e-03, 6.048144e-05, -7.293422e-07),
        ),
    ),
}

TYPES: Final = tuple(_TO_CEL)
_ROUNDED_MV: Final = 0.0005  # the ends of the inverse pieces are rounded to a microvolt


def mv_of(kind: str, temperature_cel: float) -> float | None:
    """Return the electromotive force of a type J, K or T thermocouple; None outside its range."""
    value = _evaluated(_TO_MV[kind], temperature_cel)
    if value is not None and kind == "K" and temperature_cel > 0:
        a0, a1, a2 = _K_HUMP
        value += a0 * math.exp(a1 * (temperature_cel - a2) ** 2)
    return value


def cel_of(kind: str, voltage_mv: float) -> float | None:
    """Return the temperature at which a type J, K or T thermocouple gives `voltage_mv`; None outside its range."""
    return _evaluated(_TO_CEL[kind], voltage_mv, _ROUNDED_MV)


def _evaluated(pieces: tuple[Piece, ...], x: float, slack: float = 0.0) -> float | None:
    for low, high, coefficients in pieces:
        if low - slack <= x <= high + slack:
            value = 0.0
            for coefficient in reversed(coefficients):
                value = value * x + coefficient
            return value
    return None
