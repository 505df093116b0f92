"""Layer 2: what a message and its fields are, as written in a profile (PROFILES sections 4 and 5).

Documents only: nothing here decodes. Units of every number stand beside it; wire names are the profile's own.
Strings that stand for numbers (`"1/1024"`, `"0x180 + {node}"`) are numbers by the time these are made, except `scale`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from gateway.notation import ByteOrder, Duration, HexText

INTERNAL: Final = msgspec.Meta(extra={"internal": True}, extra_json_schema={"internal": True})  # no key of a file
SENTENCE_LETTERS: Final = 3  # NMEA 0183: of a sentence formatter; longer ones are whole proprietary addresses
Condition = str | dict[str, Any]  # "flag", "!flag", {mux = 3}, {mux = [1, "4..7"], page = 0}
MessageFormat = Literal["binary", "csv", "kv", "obis", "tlv"]


class _Meaning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """From a wire number to a value: value = raw * scale + offset, in doubles, nothing rounded."""

    name: str | None = None  # None: layout only; a leading "_" is internal
    scale: float | str = 1.0  # number or "1/1024"
    offset: float | int = 0
    units: str = "1"  # UCUM
    invalid: Any = None  # raw value or list of them: becomes null
    minimum: float | int | None = None  # engineering; outside: kept, taint trust.range
    maximum: float | int | None = None
    labels: dict[str, str] | None = None  # raw -> text; unknown raw stays a number, taint trust.label
    flags: dict[str, str] | None = None  # bit number -> name; value = list of names
    deadband: float = 0.0
    condition: Condition | None = msgspec.field(default=None, name="if")
    device_class: str | None = msgspec.field(default=None, name="class")
    state: Literal["measurement", "total", "total_increasing"] | None = None


class BitSpec(_Meaning, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Some bits of an integer field, numbered as datasheets do: 0 = least significant."""

    at: str | int  # "15:5" or "3"
    signed: bool = False
    const: int | None = None


class FieldSpec(_Meaning, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One field on the wire, in wire order."""

    type: str | None = None  # "s16be", "bytes", "struct", "degmin" ...; None only with `dbc`, `signal`, `path`
    const: int | float | bool | str | None = None  # must be so, else the frame is refused; hex text for bytes
    length: int | str | None = None  # bytes: number, field name, "rest", "null"
    array: int | str | None = None  # count: number, field name, "rest"
    at: int | None = None  # absolute byte of the body (csv struct: first column)
    register: int | None = None  # absolute Modbus register
    words: ByteOrder | None = None  # order of registers in a wide type
    column: int | str | None = None  # csv position from 0, or "talker"
    columns: list[int] | None = None
    key: str | list[str] | None = None  # kv
    code: str | list[str] | None = None  # OBIS
    tag: int | None = None  # TLV
    signal: str | None = None  # annotates a DBC signal
    path: str | None = None  # annotates a construct member
    bits: list[BitSpec] | None = None
    dbc: str | None = None  # "24|16@1-": start, length, order (1 = Intel), sign; with type f32/f64 an IEEE float
    fields: list[FieldSpec] | None = None  # members of a struct
    public: Annotated[bool, INTERNAL] = False  # set by DBC import: a value although its DBC name begins with "_"


class WhenSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Facts that make a frame this message; all must hold. On building the same facts are written."""

    bytes: dict[str, int] | None = None  # position -> value
    length: int | str | None = None  # 24 or "20.." or "..8" or "4..8", of the body
    can_id: int | None = None
    can_mask: int | None = None
    extended: bool | None = None
    pgn: int | None = None
    source: int | None = None  # J1939 source address
    fast: bool | None = None  # NMEA 2000 fast packet
    characteristic: str | None = None
    manufacturer: int | Literal["any"] | None = None
    service: str | None = None
    name: str | None = None  # glob on the advertised name
    sentence: str | None = None  # NMEA 0183 sentence formatter, any talker; or a proprietary address, "PGRME"
    has: str | None = None  # kv, obis: this key occurs


class AskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How to request a message. Executed by the polling issue; validated from the start."""

    input: int | None = None
    holding: int | None = None
    coils: int | None = None
    discrete: int | None = None
    count: int | None = None
    register: int | None = None
    length: int | None = None
    characteristic: str | None = None
    send: HexText | None = None
    framed: bool = True  # False: `send` goes out as it is; some devices frame requests otherwise than answers
    can_id: int | None = None


class TransformSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A registered pure function over raw fields."""

    use: str
    with_: list[str] = msgspec.field(default_factory=list, name="with")
    gives: list[FieldSpec] = msgspec.field(default_factory=list)
    constants: dict[str, float | int | str] = msgspec.field(default_factory=dict)  # text: "1/1024", "{param}"


class RecordSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the ledger keeps of a message."""

    record_class: Literal["telemetry", "state", "none"] | None = msgspec.field(default=None, name="class")
    at_most: Duration | None = None
    at_least: Duration | None = None
    keep: Duration | None = None
    size: int | str | None = None


class MessageSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One layout: `[message.NAME]`."""

    when: WhenSpec = WhenSpec()
    direction: Literal["in", "out", "both"] = "in"
    family: str | None = None
    lane: Literal["control", "telemetry", "bulk", "debug"] | None = None
    record: RecordSpec | None = None
    format: MessageFormat = "binary"
    separator: str = ","
    tag_type: str = "u8"
    length_type: str | None = None
    repeats: int = 8  # tlv: how often one name may come in one message; places are kept for that many
    order: ByteOrder | None = None
    fields: list[FieldSpec] = msgspec.field(default_factory=list)
    strict: bool = False
    dbc: str | None = None
    construct: str | None = None
    ask: AskSpec | None = None
    every: str | None = None  # duration, "connect", "never"
    timeout: Duration = "500ms"
    attempts: int = 2
    stale_after: Duration | None = None
    device_time: str | None = None
    transform: TransformSpec | None = None
    length: Annotated[int | None, INTERNAL] = None  # set by DBC import: bytes of the frame
