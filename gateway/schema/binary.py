"""Layer 2: the plan of a message of binary format: decodes by generated code, encodes by construct.

Source is generated at the first decode; construct is imported at the first encode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gateway.schema.careful import careful_decoder
from gateway.schema.fast import fast_decoder, is_static
from gateway.schema.layout import Leaf, Scope, layout_of
from gateway.schema.plan import Row
from gateway.schema.spec import FieldSpec, MessageSpec


class BinaryPlan:
    """One layout of binary fields."""

    path: Literal["generated", "construct", "text"] = "generated"

    def __init__(self, name: str, spec: MessageSpec) -> None:
        """Resolve the layout. Raises: ValueError for a spec that was not checked."""
        self.name = name
        self.spec = spec
        self.layout: Scope = layout_of(spec)
        public: dict[str, list[Leaf]] = self.layout.public()
        self.names: tuple[str, ...] = tuple(public)
        self.units: tuple[str, ...] = tuple(leaves[0].spec.units for leaves in public.values())
        self.fields: tuple[FieldSpec | Any, ...] = tuple(leaves[0].spec for leaves in public.values())
        self._decode: Callable[[bytes], Row] | None = None
        self._decode_raw: Callable[[bytes], dict[str, Any]] | None = None
        self._encode: Callable[[dict[str, Any]], bytes] | None = None
        self.why = (
            "every place is known: one unpack, one guard"
            if is_static(self.layout, strict=spec.strict)
            else "places depend on the body: field by field"
        )

    def decoder(self) -> Callable[[bytes], Row]:
        """Return the bare decode function: saves a call where bodies come in numbers."""
        if self._decode is None:
            strict, declared, file = self.spec.strict, self.spec.length or 0, f"<message {self.name}>"
            careful = careful_decoder(self.layout, strict=strict, declared=declared, raw=False, filename=file)
            fast = fast_decoder(self.layout, strict=strict, declared=declared, filename=file, careful=careful)
            self._decode = fast or careful
        return self._decode

    def decode(self, body: bytes) -> Row:
        """Return values in order of `names`, then taint bits. Raises: Refused."""
        return (self._decode or self.decoder())(body)

    def decode_raw(self, body: bytes) -> dict[str, Any]:
        """Return wire numbers before scale, labels and sentinels, internal fields too. Raises: Refused."""
        if self._decode_raw is None:
            self._decode_raw = careful_decoder(
                self.layout,
                strict=self.spec.strict,
                declared=self.spec.length or 0,
                raw=True,
                filename=f"<message {self.name}, raw>",
            )
        return self._decode_raw(body)

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return the body; consts, lengths and layout-only fields are filled in. Raises: EncodeError."""
        if self._encode is None:
            from gateway.schema.encode import encoder

            self._encode = encoder(self.spec, self.layout)
        return self._encode(values)
