"""Layer 2: the plan of a message of binary format: decodes by generated code, encodes by construct.

Source is generated at the first decode; construct is imported at the first encode.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
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
        self._encode: Callable[[dict[str, Any]], bytes] | None = None
        self.why = (
            "every place is known: one unpack, one guard"
            if is_static(self.layout, strict=spec.strict)
            else "places depend on the body: field by field"
        )

    @cached_property
    def decode(self) -> Callable[[bytes], Row]:
        """The decode function itself, made at first use: from body to values in order of `names`, then taint bits."""
        strict, declared, file = self.spec.strict, self.spec.length or 0, f"<message {self.name}>"
        careful = careful_decoder(self.layout, strict=strict, declared=declared, raw=False, filename=file)
        return fast_decoder(self.layout, strict=strict, declared=declared, filename=file, careful=careful) or careful

    @cached_property
    def decode_raw(self) -> Callable[[bytes], dict[str, Any]]:
        """The same for wire numbers before scale, labels and sentinels, internal fields too."""
        file = f"<message {self.name}, raw>"
        return careful_decoder(
            self.layout, strict=self.spec.strict, declared=self.spec.length or 0, raw=True, filename=file
        )

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return the body; consts, lengths and layout-only fields are filled in. Raises: EncodeError."""
        if self._encode is None:
            from gateway.schema.encode import encoder

            self._encode = encoder(self.spec, self.layout)
        return self._encode(values)
