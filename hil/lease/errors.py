"""What can go wrong with a shared target; leaves of the tree that `gateway/errors.py` draws.

GatewayError
└── LeaseError
    ├── LeaseLostError (PermissionError)     the target is somebody else's by now, or nobody's
    ├── LeaseBusyError (TimeoutError)        nothing that fits came free in time
    ├── NoSuchTargetError (LookupError)      nothing in the pool fits, free or not
    ├── PoolMissingError (FileNotFoundError) no pool in that folder
    ├── PoolDamagedError                     a file of the pool is not what this version wrote
    └── PoolAccessError (PermissionError)    the folder does not let itself be read or written
"""

from __future__ import annotations

from gateway.errors import GatewayError


class LeaseError(GatewayError):
    """Something about shared targets."""


class LeaseLostError(LeaseError, PermissionError):
    """Who asks holds the target no longer; nothing was written."""

    def __init__(self, target: str, token: int, why: str) -> None:
        super().__init__(f"lease {token} of {target} is lost: {why}; take the target again")
        self.target = target
        self.token = token
        self.why = why


class LeaseBusyError(LeaseError, TimeoutError):
    """Nothing that fits came free in time."""


class NoSuchTargetError(LeaseError, LookupError):
    """Nothing in the pool fits, free or not."""


class PoolMissingError(LeaseError, FileNotFoundError):
    """No pool in that folder."""


class PoolDamagedError(LeaseError):
    """A file of the pool is not what this version wrote; the message names it."""


class PoolAccessError(LeaseError, PermissionError):
    """The folder does not let itself be read or written."""
