"""Shared targets: who may use which board, and nobody else meanwhile."""

from hil.lease.errors import (
    LeaseBusyError,
    LeaseError,
    LeaseLostError,
    NoSuchTargetError,
    PoolAccessError,
    PoolDamagedError,
    PoolMissingError,
)
from hil.lease.held import Lease
from hil.lease.pool import Pool, current

__all__ = [
    "Lease",
    "LeaseBusyError",
    "LeaseError",
    "LeaseLostError",
    "NoSuchTargetError",
    "Pool",
    "PoolAccessError",
    "PoolDamagedError",
    "PoolMissingError",
    "current",
]
