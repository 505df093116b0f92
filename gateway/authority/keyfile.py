"""Layer 5: the key that signs tokens, in the data folder: made at first use, for its owner alone, whole or not.

Only who holds the folder's lock (`gateway.runtime.doorway`) makes or rotates it, so there is one writer. Rotating is
how tokens are revoked: what the old key signed counts for nothing from then on.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from gateway.authority.token import SigningKey
from gateway.errors import UsageError
from gateway.folder import sync_names

KEY_NAME: Final = "token.key"

_NEW_NAME: Final = "token.key.new"  # what a crash may leave; the next key replaces it
_MAX_BYTES: Final = 4096


def load_key(folder: Path) -> SigningKey | None:
    """Return the folder's key, None where there is none yet. Raises: UsageError with the next step."""
    path = folder / KEY_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        fault = _fault_of(os.fstat(descriptor).st_mode)
        pem = b"" if fault else os.read(descriptor, _MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    if fault:
        raise UsageError(f"{path} {fault}")
    try:
        return SigningKey.from_pem(pem)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def load_or_make_key(folder: Path) -> SigningKey:
    """Return the folder's key, a new one where there is none. Raises: UsageError."""
    return load_key(folder) or rotate_key(folder)


def rotate_key(folder: Path) -> SigningKey:
    """Put a new key in the old one's place and return it, durable.

    Raises: UsageError; the folder then holds the old key or the new one, whole.
    """
    key = SigningKey.generate()
    new = folder / _NEW_NAME
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        _write(new, key.to_pem())
        new.replace(folder / KEY_NAME)
        sync_names(folder)
    except OSError as error:
        raise UsageError(f"{folder / KEY_NAME} cannot be written: {error.strerror or error}") from error
    return key


def _fault_of(mode: int) -> str | None:
    """Return what speaks against a key file of this mode."""
    if not stat.S_ISREG(mode):
        return "is no file; remove it, and a new key is made"
    if mode & 0o077:
        return (
            f"is open to others (mode {stat.S_IMODE(mode):04o}); chmod 600 it, or, if somebody may have read it, "
            "remove it: that revokes all tokens"
        )
    return None


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)  # a umask may have taken even that
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
