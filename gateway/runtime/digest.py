"""Layer 6: what tells one profile or site from another, as records name it. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
from msgspec import structs

from gateway.profile.model import Profile


def digest_of(document: Any) -> str:
    """Return the hex digest of a profile or site; a key that was put into a profile is left out of it."""
    if isinstance(document, Profile):
        document = structs.replace(document, link=structs.replace(document.link, key=None))
    return sha256(msgspec.json.encode(msgspec.to_builtins(document), order="deterministic")).hexdigest()
