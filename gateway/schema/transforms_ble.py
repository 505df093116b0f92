"""Layer 2: the built-in transforms of Bluetooth devices whose encoding is no straight line; see `transforms`."""

from __future__ import annotations

from typing import Any, Final

from gateway.schema.transforms import Fields, Transform

# Eddystone-URL, README, tables "URL Scheme Prefix" and "Eddystone-URL HTTP URL encoding"
_SCHEMES: Final = ("http://www.", "https://www.", "http://", "https://")
_DOMAINS: Final = (".com", ".org", ".edu", ".net", ".info", ".biz", ".gov")

# level in mm = echo * (a + b t + c t^2), t in Cel + 40. Source: mopeka-iot-ble, src/mopeka_iot_ble/parser.py
_MOPEKA_MEDIA: Final = (
    (0.573045, -0.002822, -0.00000535),  # propane
    (0.153096, 0.000327, -0.000000294),  # air, the sensor above the liquid
    (0.600592, 0.003124, -0.00001368),  # water, fresh or waste
    (0.7373417462, -0.001978229885, 0.00000202162),  # gasoline, diesel, oil, liquefied natural gas
)


def _eddystone_url(fields: Fields) -> dict[str, str | None]:
    """Return `url`, written out. Takes `_scheme`, a number, and `_rest`, bytes. Source: Eddystone-URL, README."""
    scheme, rest = fields.get("_scheme"), fields.get("_rest")
    if not isinstance(scheme, int) or not isinstance(rest, str) or not 0 <= scheme < len(_SCHEMES):
        return {"url": None}
    parts = [_SCHEMES[scheme]]
    for code in bytes.fromhex(rest):
        if code < 2 * len(_DOMAINS):
            parts.append(_DOMAINS[code % len(_DOMAINS)] + ("/" if code < len(_DOMAINS) else ""))
        elif 0x20 < code < 0x7F:
            parts.append(chr(code))
        else:  # reserved
            return {"url": None}
    return {"url": "".join(parts)}


def _govee_packed(fields: Fields) -> dict[str, float | None]:
    """Return `temperature` in Cel and `humidity` in %: thousands and rest of 24 bits, whose highest is the sign.

    Takes `_packed`; `_failed` 1: the sensor gave nothing. Source: govee-ble, tests/test_parser.py.
    """
    packed = fields.get("_packed")
    if not isinstance(packed, int) or fields.get("_failed") != 0:
        return {"temperature": None, "humidity": None}
    tenths, humidity = divmod(packed & 0x7FFFFF, 1000)
    return {"temperature": (-tenths if packed & 0x800000 else tenths) / 10, "humidity": humidity / 10}


def _ruuvi_df3(fields: Fields) -> dict[str, float | None]:
    """Return `temperature` in Cel from `_temperature`: sign, 7 bits of whole degrees, 8 bits of hundredths.

    Source: docs.ruuvi.com, "Data format 3 (RAWv1)", "Temperature". Hundredths over 99 mean nothing.
    """
    raw = fields.get("_temperature")
    if not isinstance(raw, int) or raw & 0xFF > 99:
        return {"temperature": None}
    hundredths = (raw >> 8 & 0x7F) * 100 + (raw & 0xFF)
    return {"temperature": (-hundredths if raw & 0x8000 else hundredths) / 100}


def _mopeka_level(fields: Fields) -> dict[str, float | None]:
    """Return `level` in mm of a tank whose sensor heard an echo.

    Takes `_echo`, the raw `temperature` and `quality`; constant `medium` [0]: 0 propane, 1 air, 2 water, 3 fuel or oil.
    """
    echo, temperature, quality = _whole(fields, "_echo"), _whole(fields, "temperature"), _whole(fields, "quality")
    medium = fields.get("medium", 0)
    if echo is None or temperature is None or not quality or medium not in range(len(_MOPEKA_MEDIA)):
        return {"level": None}
    a, b, c = _MOPEKA_MEDIA[int(medium)]
    return {"level": echo * (a + b * temperature + c * temperature * temperature)}


def _whole(fields: Fields, name: str) -> int | None:
    value: Any = fields.get(name)
    return value if isinstance(value, int) else None


eddystone_url: Final = Transform(_eddystone_url, ("url",))
govee_packed: Final = Transform(_govee_packed, ("temperature", "humidity"))
ruuvi_df3: Final = Transform(_ruuvi_df3, ("temperature",))
mopeka_level: Final = Transform(_mopeka_level, ("level",))

BLE: Final[dict[str, Transform]] = {
    "eddystone-url": eddystone_url,
    "govee-packed": govee_packed,
    "ruuvi-df3": ruuvi_df3,
    "mopeka-level": mopeka_level,
}
