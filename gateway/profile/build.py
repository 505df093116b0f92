"""Layer 3: a profile ready to work: framers, matcher and one plan per message, each compiled when first met."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import structs

from gateway.frame import CAN_EXTENDED, CAN_ID_MASK, Address
from gateway.framing.base import Framer
from gateway.framing.build import build_framer
from gateway.framing.isotp import partner_of
from gateway.framing.spec import CAN_TRANSPORTS, IsoTp
from gateway.profile.model import Profile
from gateway.profile.unseal import Unsealer
from gateway.schema.compile import compile_message
from gateway.schema.match import body_seen, build_matcher, is_extended
from gateway.schema.plan import MessagePlan
from gateway.schema.spec import MessageSpec, WhenSpec
from gateway.schema.transfer import Transfers
from gateway.schema.transformed import Memory


class _Plans(dict[str, MessagePlan]):
    def __init__(self, profile: Profile, transforms: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        self._profile = profile
        self._transforms = transforms

    def __missing__(self, name: str) -> MessagePlan:
        plan = compile_message(name, self._profile.message[name], self._transforms)
        self[name] = plan
        return plan


class CompiledProfile:
    """One profile instance, shared by all devices with the same parameters.

    `messages[name]` compiles on first use; iterate over `profile.message` for the names.
    """

    def __init__(self, profile: Profile, transforms: Mapping[str, Callable[..., Any]] | None = None) -> None:
        """Take a checked profile (`load_profile`); compiles the matcher, and nothing else yet."""
        self.profile = profile
        self.messages: dict[str, MessagePlan] = _Plans(profile, transforms or {})
        self.match: Callable[[bytes, Address], str | None] = build_matcher(on_transport(profile))
        """From body and address to the message's name; None: no message of this profile."""
        self.sees_company_id = any(spec.when.manufacturer == "any" for spec in profile.message.values())
        """Whether some message wants `body_seen` before its decode."""
        self._can_ids = {
            spec.when.can_id | (CAN_EXTENDED if is_extended(spec.when) else 0)
            for spec in profile.message.values()
            if spec.when.can_id is not None and spec.direction != "out"
        }

    def warm(self) -> None:
        """Compile every message that can come now, not when it is first met."""
        for name, spec in self.profile.message.items():
            if spec.direction != "out":
                self.messages[name]

    def knows_id(self, can_id: int) -> bool:
        """Return whether some message, or the transport, is bound to this id (linux/can.h flags)."""
        framing = self.profile.framing
        return can_id in self._can_ids or (isinstance(framing, IsoTp) and partner_of(framing, can_id) is not None)

    def framer(self) -> Framer:
        """Return a new framer for one open port; identity where the bus delivers whole frames."""
        spec = self.profile.framing
        return build_framer(None if isinstance(spec, CAN_TRANSPORTS) else spec)

    def unsealer(self) -> Unsealer | None:
        """Return what opens encrypted advertisements, with counters of its own; None where `link.cipher` is none."""
        return None if self.profile.link.cipher == "none" else Unsealer(self.profile.link)

    def transfers(self) -> Transfers:
        """Return what builds SPI transfers and tells them apart."""
        link = self.profile.link
        return Transfers(
            self.profile.message,
            read_mask=link.read_mask,
            write_mask=link.write_mask,
            address_bytes=link.address_bytes,
        )

    def memory(self) -> Memory:
        """Return a new memory for one device: its `decoder(name)` decodes with what other messages said last."""
        return Memory(self.messages, self.profile.message)

    def body_seen(self, name: str, body: bytes, address: Address) -> bytes:
        """Return the body as message `name` sees it; differs only under `manufacturer = "any"`."""
        return body_seen(self.profile.message[name], body, address)

    def family_of(self, name: str) -> str:
        """Return the route family of a message: its own, the profile's, else the message's name."""
        return self.profile.message[name].family or self.profile.profile.family or name


def on_transport(profile: Profile) -> Mapping[str, MessageSpec]:
    """Return the messages as they are matched: under ISO-TP, one that names no id is a message of the id `rx`."""
    framing = profile.framing
    if not isinstance(framing, IsoTp):
        return profile.message
    mask = None if framing.mask == CAN_ID_MASK else framing.mask
    return {
        name: spec
        if spec.when.can_id is not None or (spec.ask is not None and spec.when == WhenSpec())
        else structs.replace(spec, when=structs.replace(spec.when, can_id=framing.rx, can_mask=mask))
        for name, spec in profile.message.items()
    }
