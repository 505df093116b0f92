"""Layer 0: UCUM unit codes: which text is one, and what other spellings mean.

Grammar and atoms: The Unified Code for Units of Measure, version 2.1, case sensitive. Beyond it the four that the
field needs and UCUM lacks: `dBm`, `var`, `kvar`, `var.h` (IEC 80000-6 writes the reactive power unit "var").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.errors import UnitError

# Atoms that take a prefix. Table 1 and the metric rows of tables 2 to 26.
_METRIC_ATOMS: Final = """
m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv kat l L ar t bar u eV pc st dyn erg P Bi St
Mx G Oe Gb sb Lmb ph Ci R RAD REM Ky Gal mho cal cal_[15] cal_[20] cal_m cal_IT cal_th Np B B[SPL] B[V] B[mV]
B[uV] B[10.nV] B[W] B[kW] tex bit By Bd U eq osm gf m[H2O] m[Hg] [c] [h] [k] [eps_0] [mu_0] [e] [m_e] [m_p] [G] [g]
[ly] [iU] [IU] var
"""
METRIC: Final = frozenset(_METRIC_ATOMS.split())
# Atoms that stand alone.
_PLAIN_ATOMS: Final = """
10* 10^ [pi] % [ppth] [ppm] [ppb] [pptr] gon deg ' '' min h d a_t a_j a_g a wk mo_s mo_j mo_g mo AU atm [degF] [degR]
[degRe] dBm [in_i] [ft_i] [yd_i] [mi_i] [fth_i] [nmi_i] [kn_i] [sin_i] [sft_i] [syd_i] [cin_i] [cft_i] [cyd_i] [bf_i]
[cr_i] [mil_i] [cml_i] [hd_i] [ft_us] [yd_us] [in_us] [rd_us] [ch_us] [lk_us] [rch_us] [rlk_us] [fth_us] [fur_us]
[mi_us] [acr_us] [srd_us] [smi_us] [sct] [twp] [mil_us] [in_br] [ft_br] [rd_br] [ch_br] [lk_br] [fth_br] [pc_br]
[yd_br] [mi_br] [nmi_br] [kn_br] [acr_br] [gal_us] [bbl_us] [qt_us] [pt_us] [gil_us] [foz_us] [fdr_us] [min_us]
[crd_us] [bu_us] [gal_wi] [pk_us] [dqt_us] [dpt_us] [tbs_us] [tsp_us] [cup_us] [foz_m] [cup_m] [tsp_m] [tbs_m]
[gal_br] [pk_br] [bu_br] [qt_br] [pt_br] [gil_br] [foz_br] [fdr_br] [min_br] [gr] [lb_av] [oz_av] [dr_av] [scwt_av]
[lcwt_av] [ston_av] [lton_av] [stone_av] [pwt_tr] [oz_tr] [lb_tr] [sc_ap] [dr_ap] [oz_ap] [lb_ap] [oz_m] [lne] [pnt]
[pca] [pnt_pr] [pca_pr] [pied] [pouce] [ligne] [didot] [cicero] [Cal] [Btu_39] [Btu_59] [Btu_60] [Btu_m] [Btu_IT]
[Btu_th] [Btu] [HP] [den] [lbf_av] [psi] [in_i'H2O] [in_i'Hg] [PRU] [wood'U] [diop] [p'diop] %[slope] [mesh_i] [Ch]
[drp] [hnsf'U] [MET] [S] [HPF] [LPF] [pH] [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [todd'U] [dye'U] [smgy'U]
[bdsk'U] [ka'U] [knk'U] [mclg'U] [tb'U] [CFU] [FFU] [PFU] [BAU] [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U] [FEU] [ELU] [EU]
[m/s2/Hz^0.5] Ao b att [smoot] circ sph [car_m] [car_Au] bit_s g%
"""
PLAIN: Final = frozenset(_PLAIN_ATOMS.split())
PREFIXES: Final = ("Ki", "Mi", "Gi", "Ti", "da", *"YZEPTGMkhdcmunpfazy")  # Ki..Ti are UCUM's own, for information units
_ATOM: Final = re.compile(r"(?:\[[^\[\]{}\s]*\]|[A-Za-z%'_*^][A-Za-z%'_]*(?:\[[^\[\]{}\s]*\])?|10[*^])")
_EXPONENT: Final = re.compile(r"[+-]?[0-9]{1,4}")
_FACTOR: Final = re.compile(r"[0-9]{1,15}(?![0-9*^])")
_ANNOTATION: Final = re.compile(r"\{[!-z|~]*\}")
_MAX_LENGTH: Final = 80
_MAX_DEPTH: Final = 8

_SYNONYMS: Final[dict[str, str]] = {
    # what DBC files, datasheets and people write: UCUM. Looked up as written, then in lower case.
    "": "1", "-": "1", "--": "1", "none": "1", "n/a": "1", "na": "1", "unitless": "1", "no unit": "1", "count": "1",
    "counts": "1", "cnt": "1", "bool": "1", "boolean": "1", "enum": "1", "raw": "1", "ratio": "1", "factor": "1",
    "number": "1", "steps": "1", "state": "1", "flag": "1", "id": "1", "hex": "1", "binary": "1", "ascii": "1",
    "°c": "Cel", "degc": "Cel", "deg c": "Cel", "deg_c": "Cel", "deg. c": "Cel", "degrees c": "Cel", "celsius": "Cel",
    "deg celsius": "Cel", "degree celsius": "Cel", "degrees celsius": "Cel", "grad c": "Cel", "ºc": "Cel", "cel": "Cel",
    "°f": "[degF]", "degf": "[degF]", "deg f": "[degF]", "deg_f": "[degF]", "fahrenheit": "[degF]", "ºf": "[degF]",
    "kelvin": "K", "°k": "K", "degk": "K", "deg k": "K",
    "deg": "deg", "min": "min", "yes/no": "1", "on/off": "1", "upm": "/min", "umin": "/min", "pulse count": "1",
    "°": "deg", "º": "deg", "degree": "deg", "degrees": "deg", "grad": "deg", "radian": "rad", "radians": "rad",
    "°/s": "deg/s", "deg/sec": "deg/s", "degree/s": "deg/s", "degrees/s": "deg/s", "dps": "deg/s",
    "rpm": "/min", "r/min": "/min", "u/min": "/min", "1/min": "/min", "rev/min": "/min", "bpm": "/min", "rev": "{rev}",
    "rps": "/s", "kph": "km/h", "kmh": "km/h", "km/hr": "km/h", "kmph": "km/h", "mph": "[mi_i]/h", "mi/h": "[mi_i]/h",
    "mile": "[mi_i]", "miles": "[mi_i]", "mi": "[mi_i]", "kn": "[kn_i]", "kt": "[kn_i]", "kts": "[kn_i]",
    "knot": "[kn_i]", "knots": "[kn_i]", "nmi": "[nmi_i]", "nm/h": "[kn_i]",
    "inch": "[in_i]", "inches": "[in_i]", "in": "[in_i]", "ft": "[ft_i]", "feet": "[ft_i]", "foot": "[ft_i]",
    "yd": "[yd_i]", "yard": "[yd_i]", "meter": "m", "meters": "m", "metre": "m", "metres": "m", "mtr": "m",
    "um": "um", "micron": "um", "mps": "m/s", "m/sec": "m/s", "mps2": "m/s2", "m/s^2": "m/s2", "m/ss": "m/s2",
    "g-force": "[g]", "gforce": "[g]", "gee": "[g]", "pound": "[lb_av]", "lb": "[lb_av]", "lbs": "[lb_av]",
    "lbf": "[lbf_av]", "ton": "t", "tons": "t", "tonne": "t", "oz": "[oz_av]", "kgs": "kg", "gram": "g", "grams": "g",
    "psi": "[psi]", "psia": "[psi]", "psig": "[psi]", "mmhg": "mm[Hg]", "inhg": "[in_i'Hg]", "mmh2o": "mm[H2O]",
    "pascal": "Pa", "atmosphere": "atm", "hpa": "hPa", "kpa": "kPa", "mpa": "MPa", "millibar": "mbar",
    "hectopascal": "hPa",
    "newton": "N", "newtons": "N", "nm": "N.m", "newton-meter": "N.m", "n-m": "N.m", "n m": "N.m",
    "lb-ft": "[ft_i].[lbf_av]",    "ft-lb": "[ft_i].[lbf_av]", "ftlb": "[ft_i].[lbf_av]",
    "volt": "V", "volts": "V", "amp": "A", "amps": "A", "ampere": "A", "amperes": "A", "watt": "W", "watts": "W",
    "ohm": "Ohm", "ohms": "Ohm", "Ω": "Ohm", "ω": "Ohm", "kω": "kOhm", "kohm": "kOhm", "mω": "MOhm", "farad": "F",
    "va": "V.A", "kva": "kV.A", "mva": "MV.A", "var": "var", "kvar": "kvar", "varh": "var.h", "kvarh": "kvar.h",
    "wh": "W.h", "kwh": "kW.h", "mwh": "MW.h", "ws": "W.s", "ah": "A.h", "mah": "mA.h", "as": "A.s", "vah": "V.A.h",
    "kvah": "kV.A.h", "joule": "J", "joules": "J", "hp": "[HP]", "kw": "kW", "ma": "mA", "kv": "kV", "ka": "kA",
    "dbm": "dBm", "decibel": "dB", "db": "dB", "hertz": "Hz", "hz": "Hz", "khz": "kHz", "mhz": "MHz", "ghz": "GHz",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
    "usec": "us", "minute": "min", "minutes": "min", "mins": "min", "hour": "h", "hours": "h", "hr": "h", "hrs": "h",
    "day": "d", "days": "d", "week": "wk", "weeks": "wk", "month": "mo",
    "months": "mo", "year": "a", "years": "a",
    "yr": "a",
    "percent": "%", "pct": "%", "%rh": "%", "rh": "%", "% rh": "%", "per mil": "[ppth]", "‰": "[ppth]", "ppm": "[ppm]",
    "ppb": "[ppb]", "liter": "L", "liters": "L", "litre": "L", "litres": "L", "ltr": "L", "gal": "[gal_us]",
    "gallon": "[gal_us]", "gallons": "[gal_us]", "gph": "[gal_us]/h",
    "gpm": "[gal_us]/min", "lpm": "L/min",
    "lph": "L/h",
    "cc": "cm3", "l/100km": "L/(100.km)", "km/l": "km/L", "mpg": "[mi_i]/[gal_us]", "cfm": "[cft_i]/min",
    "bit": "bit", "bits": "bit", "byte": "By", "bytes": "By", "kb": "kBy", "kib": "KiBy", "mb": "MBy", "mib": "MiBy",
    "baud": "Bd", "lux": "lx", "lumen": "lm", "candela": "cd", "gauss": "G", "tesla": "T", "ph": "[pH]", "iu": "[IU]",
    "mohm": "mOhm", "bar": "bar", "degreesc": "Cel", "degreesf": "[degF]", "kilopascal": "kPa", "cts": "1", "sek": "s",
    # Volkswagen's databases, which spell every unit out in words cut short
    "unit_none": "1", "unit_percent": "%", "unit_percentpersecon": "%/s", "unit_degreofarc": "deg",
    "unit_degreofarcpersecon": "deg/s", "unit_degrecelsi": "Cel", "unit_meter": "m", "unit_kilometer": "km",
    "unit_millimeter": "mm", "unit_meterpersecon": "m/s", "unit_meterperseconsquar": "m/s2",
    "unit_meterpercubicsecon": "m/s3", "unit_kilometerperhour": "km/h", "unit_forceofgravi": "[g]",
    "unit_minutinver": "/min", "unit_millisecon": "ms", "unit_secon": "s", "unit_minut": "min", "unit_hours": "h",
    "unit_day": "d", "unit_month": "mo", "unit_year": "a", "unit_hertz": "Hz", "unit_volt": "V", "unit_millivolt": "mV",
    "unit_amper": "A", "unit_watt": "W", "unit_kilowatt": "kW", "unit_bar": "bar", "unit_millibar": "mbar",
    "unit_barpersecon": "bar/s", "unit_kilonewto": "kN", "unit_newtometer": "N.m", "unit_centinewtometer": "cN.m",
    "unit_newtometerpersecon": "N.m/s", "unit_kilogram": "kg", "unit_kilogrammetersquar": "kg.m2", "unit_liter": "L",
    "unit_milliliter": "mL", "unit_microliter": "uL", "unit_gramperliter": "g/L",
    "angstrom": "Ao", "acre": "[acr_us]", "ha": "har", "hectare": "har", "arcmin": "'", "arcsec": "''",
}  # fmt: skip
_EXACT: Final[dict[str, str]] = {
    "Nm": "N.m", "NM": "[nmi_i]", "mNm": "mN.m", "kNm": "kN.m", "G": "[g]", "K": "K", "Grad": "deg",
    "mΩ": "mOhm", "m\N{OHM SIGN}": "mOhm", "mWh": "mW.h", "mVA": "mV.A",  # milli, where the lower case means mega
}  # fmt: skip
_AMBIGUOUS_IN_DBC: Final[dict[str, str]] = {
    "C": "Cel", "g": "[g]", "G": "[g]", "Gal": "[gal_us]", "pH": "[pH]", "kt": "[kn_i]",
    "ft": "[ft_i]", "kph": "km/h", "mph": "[mi_i]/h", "Grad": "deg", "U/min": "/min",
}  # fmt: skip
_MISREAD: Final = frozenset({"ft", "kph", "mph"})  # by the letter femtotonne, kilo- and milliphot: never what was meant
_LETTERS: Final = str.maketrans(
    {"µ": "u", "μ": "u", "²": "2", "³": "3", "·": ".", "\N{MULTIPLICATION SIGN}": ".", "⋅": ".", "\N{MINUS SIGN}": "-"}
)


def check_unit(text: str) -> None:
    """Return if `text` is a UCUM code (or one of the four extras). Raises: UnitError with the nearest UCUM spelling."""
    if not _is_unit(text):
        near = _nearest(text)
        raise UnitError(f"{text[:_MAX_LENGTH]!r} is no UCUM unit" + (f"; did you mean {near!r}?" if near else ""))


def ucum_of_dbc(text: str) -> str | None:
    """Return the UCUM code for a unit as DBC files and datasheets write it; None where nothing is known.

    UCUM codes stay as they are, but for the few that vehicles use otherwise: "C" is Celsius, "g" gravity.
    """
    stripped = text.strip()
    return _AMBIGUOUS_IN_DBC.get(stripped) or (stripped if _is_unit(stripped) else _translated(stripped))


@lru_cache(maxsize=512)
def _is_unit(text: str) -> bool:
    if not 0 < len(text) <= _MAX_LENGTH or not text.isascii() or text in _MISREAD:
        return False
    return _Parser(text).accepts()


class _Parser:
    """Recursive descent over UCUM's grammar: terms of components joined by `.` and `/`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.bad = ""  # the part that is no atom

    def accepts(self) -> bool:
        if self._eat("/") and not self._text[1:]:
            return False
        return self._term(0) and self._at == len(self._text)

    def _eat(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match[0] if match else ""

    def _term(self, depth: int) -> bool:
        if not self._component(depth):
            return False
        while self._eat(".") or self._eat("/"):
            if not self._component(depth):
                return False
        return True

    def _component(self, depth: int) -> bool:
        if self._eat("("):
            return depth < _MAX_DEPTH and self._term(depth + 1) and self._eat(")")
        if self._take(_ANNOTATION):
            return True
        if not self._take(_FACTOR):
            atom = self._take(_ATOM)
            if not atom or not is_atom(atom):
                self.bad = atom
                return False
            self._take(_EXPONENT)
        self._take(_ANNOTATION)
        return True


def is_atom(text: str) -> bool:
    """Return whether `text` is one unit atom, with a prefix where it takes one."""
    if text in METRIC or text in PLAIN:
        return True
    return any(text.startswith(prefix) and text[len(prefix) :] in METRIC for prefix in PREFIXES)


def _translated(text: str) -> str | None:
    """Return the UCUM code behind another spelling, whole or part by part."""
    plain = text.translate(_LETTERS).strip()
    for candidate in (text, plain):
        found = _EXACT.get(candidate) or _SYNONYMS.get(candidate.lower())
        if found:
            return found
    joined = re.sub(r"\s*([*/.])\s*", r"\1", plain.replace("^", "").replace("**", ""))
    parts = re.split(r"([*/.])", joined)
    if len(parts) == 1:
        return joined if _is_unit(joined) else None
    return _from_parts(parts)


def _from_parts(parts: list[str]) -> str | None:
    words = []
    for part in parts:
        if part in {"*", "/", "."}:
            words.append("." if part == "*" else part)
        elif part == "" and not words:
            continue
        elif part == "" or len(part) > _MAX_LENGTH:
            return None
        elif part not in _EXACT and _is_unit(part):
            words.append(part)
        else:
            found = _EXACT.get(part) or _SYNONYMS.get(part.lower())
            if not found or "/" in found:
                return None
            words.append(found)
    whole = "".join(words)
    return whole if _is_unit(whole) else None


def _nearest(text: str) -> str | None:
    if len(text) > _MAX_LENGTH:
        return None
    found = _translated(text.strip())
    if found:
        return found
    return _respelt(text) or _respelt(text.translate(_LETTERS))


def _respelt(text: str) -> str | None:
    """Return `text` with its one wrong atom replaced by the nearest right one."""
    from difflib import get_close_matches

    parser = _Parser(text)
    parser.accepts()
    if not parser.bad:
        return None
    atoms = [
        *sorted(METRIC | PLAIN),
        *(prefix + atom for prefix in "kmuMhdcn" for atom in ("m", "V", "A", "W", "g", "Pa")),
    ]
    folded = {atom.lower(): atom for atom in atoms}
    near = [parser.bad.lower()] if parser.bad.lower() in folded else get_close_matches(parser.bad.lower(), folded, n=1)
    if not near:
        return None
    candidate = text.replace(parser.bad, folded[near[0]], 1)
    return candidate if _is_unit(candidate) else None
