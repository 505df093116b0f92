"""Layer 6: who a local caller is: the user of its process, as the kernel tells. No text from it names anybody."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from functools import lru_cache
from struct import Struct
from typing import Final

_CREDENTIALS: Final = Struct("3i")  # pid, uid, gid


@lru_cache(64)
def principal_of(uid: int) -> str:
    """Return the principal of a user of this machine; one without a name is `user:#UID`.

    Asked once for each: names may come from a directory over the network, and every request waits for the loop.
    """
    try:
        return f"user:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user:#{uid}"


def own_principal() -> str:
    """Return the principal of this process."""
    return principal_of(os.geteuid())


def peer_of(writer: asyncio.StreamWriter) -> str | None:
    """Return the principal at the other end of a Unix socket (unix(7), SO_PEERCRED); None where there is no socket."""
    door: socket.socket | None = writer.get_extra_info("socket")
    if door is None:
        return None
    _, uid, _ = _CREDENTIALS.unpack(door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return principal_of(uid)
