"""Layer 7: the message that Sparkplug B payloads are made of, as Google's protobuf reads and writes it.

Field numbers and types are those of "Sparkplug 3.0.0", 6.4.1; what this gateway neither sends nor takes (data sets,
templates, metadata) is left out, and is skipped where it comes. The descriptors are made here, in a pool of their own:
no generated module has to fit the version of the library, and none of another package can be in the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

__all__ = ("DecodeError", "Metric", "Payload")

_PACKAGE: Final = "tidegate.sparkplug"
_TYPES: Final = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_VALUES: Final = ("int_value uint32", "long_value uint64", "float_value float", "double_value double",
                  "boolean_value bool", "string_value string")  # fmt: skip

# message -> number -> "name type", "*" in front of a repeated one; "=" in front of one of the alternatives of `value`
_MESSAGES: Final[dict[str, dict[int, str]]] = {
    "PropertyValue": {1: "type uint32", 2: "is_null bool", **{at: f"={each}" for at, each in enumerate(_VALUES, 3)}},
    "PropertySet": {1: "*keys string", 2: "*values PropertyValue"},
    "Metric": {
        1: "name string", 2: "alias uint64", 3: "timestamp uint64", 4: "datatype uint32", 5: "is_historical bool",
        6: "is_transient bool", 7: "is_null bool", 9: "properties PropertySet",
        **{at: f"={each}" for at, each in enumerate((*_VALUES, "bytes_value bytes"), 10)},
    },
    "Payload": {1: "timestamp uint64", 2: "*metrics Metric", 3: "seq uint64", 4: "uuid string", 5: "body bytes"},
}  # fmt: skip


def _describe(message: DescriptorProto, fields: Mapping[int, str]) -> None:
    for number, text in fields.items():
        name, kind = text.lstrip("*=").split()
        field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if kind in _TYPES:
            field.type = _TYPES[kind]
        else:
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        if text[0] == "*":
            field.label = FieldDescriptorProto.LABEL_REPEATED
        if text[0] == "=":
            if not message.oneof_decl:
                message.oneof_decl.add(name="value")
            field.oneof_index = 0


def _pool() -> DescriptorPool:
    file = FileDescriptorProto(name="sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    pool = DescriptorPool()
    pool.Add(file)
    return pool


_POOL: Final = _pool()
Payload: Any = GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Payload"))
Metric: Any = GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Metric"))
