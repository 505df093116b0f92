"""Shared targets: who may use which board, and nobody else meanwhile.

- `pool.py` takes and puts, `held.py` is a lease, `guard.py` a stream that works as long as that
- `table.py` decides, pure; `folder.py` keeps it; `matching.py`: templates; `running.py`: a command under a lease
"""

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
