"""Layer 0: every error that Tidegate raises, one tree.

    GatewayError
    ├── UsageError (ValueError)             what the caller asked for makes no sense
    │   ├── RouteError                      text that is no route
    │   ├── UnknownError                    no such route, device or command
    │   ├── UnderWayError                   one thing at a time, and another is being done
    │   └── UnitError                       text that is no UCUM unit
    ├── NotKeptError                        the medium does not take what is to be kept
    ├── DeniedError (PermissionError)       the caller has no authority for it
    ├── ProfileError (ValueError)           a profile was refused; carries its Problems
    ├── ConfigError (ValueError)            a site file was refused; carries its Problems
    ├── EncodeError (ValueError)            a value cannot be written as the schema says
    ├── DriverError                         a driver plugin is missing or broken
    ├── PortError
    │   ├── PortNotFoundError (FileNotFoundError)   nothing there to open
    │   ├── PortPermissionError (PermissionError)   there, but not ours to open
    │   ├── PortBusyError                   somebody else holds it
    │   ├── PortOptionError (ValueError)    it cannot do what the profile asks
    │   ├── PortLostError (ConnectionError) it went away while open
    │   ├── PortClosedError                 we closed it
    │   ├── PortRefusedError                the other end answered that it will not
    │   └── PortTimeoutError (TimeoutError) it did not take the bytes in time
    ├── MailboxError
    │   ├── MailboxFullError                policy `reject`, and no room
    │   └── MailboxClosedError              nobody will take from it again
    ├── LedgerError
    │   ├── RecordError (ValueError)        a record that cannot be: kind, class, route, body, cause
    │   ├── CursorError (ValueError)        a cursor moved beyond what is durable, or back
    │   ├── LedgerMissingError (FileNotFoundError)  no ledger in that folder
    │   ├── LedgerBusyError                 another process writes it
    │   ├── LedgerBehindError               archiving lags: telemetry is shed
    │   ├── LedgerReadOnlyError             it may not be written: opened so, or after failures of the medium
    │   ├── LedgerFormatError               foreign, written by a newer version, or too broken to open for writing
    │   └── LedgerStorageError (OSError)    the medium failed; what was not acknowledged may be lost
    └── GatewayUnreachableError (ConnectionError)   no gateway answers on its socket

Bad bytes from a wire are not errors: they are `gateway.frame.Garbage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Problem(NamedTuple):
    """One thing wrong with a file, said so that it can be mended."""

    file: str
    line: int  # from 1; 0 when the file could not be read at all
    key: str  # dotted, ends in the wrong key: "message.df5.fields[2].scale"
    message: str
    severity: str = "error"  # or "warning", which refuses nothing

    def __str__(self) -> str:
        """Return `FILE:LINE: KEY: message`, as compilers write it."""
        place = f"{self.file}:{self.line}:"
        warning = "warning: " if self.severity == "warning" else ""
        return f"{place} {self.key}: {warning}{self.message}" if self.key else f"{place} {warning}{self.message}"


class GatewayError(Exception):
    """Root of everything raised on purpose."""


class UsageError(GatewayError, ValueError):
    """What the caller asked for makes no sense."""


class RouteError(UsageError):
    """Text that is no route."""


class UnknownError(UsageError):
    """There is no such thing; `what` is its kind: route, device, command, record."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


class UnderWayError(UsageError):
    """One thing at a time: another is being done; ask again when it is over."""


class UnitError(UsageError):
    """Text that is no UCUM unit."""


class _ProblemsError(GatewayError, ValueError):
    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class NotKeptError(GatewayError):
    """The medium does not take what is to be kept; nothing was changed."""


class DeniedError(GatewayError, PermissionError):
    """The caller has no authority for what was asked; the message never holds a token."""


class ProfileError(_ProblemsError):
    """A profile was refused; `problems` says why, all at once."""


class ConfigError(_ProblemsError):
    """A site file was refused; `problems` says why, all at once."""


class EncodeError(GatewayError, ValueError):
    """A value cannot be written as the schema says."""


class DriverError(GatewayError):
    """A driver plugin is missing or broken."""


class PortError(GatewayError):
    """Something about one port; `port` names it, `cause` says what."""

    template = "{port}: {cause}"

    def __init__(self, port: str, cause: str) -> None:
        super().__init__(self.template.format(port=port, cause=cause))
        self.port = port
        self.cause = cause


class PortNotFoundError(PortError, FileNotFoundError):
    """Nothing there to open."""

    template = "{port} is not there ({cause}); plug it in, or correct `port`"


class PortPermissionError(PortError, PermissionError):
    """There, but not ours to open."""

    template = "{port} may not be opened ({cause}); add the user to its group: sudo usermod -aG {group} $USER"

    def __init__(self, port: str, cause: str, group: str = "dialout") -> None:
        self.template = self.template.replace("{group}", group)
        super().__init__(port, cause)
        self.group = group


class PortBusyError(PortError):
    """Somebody else holds it."""

    template = "{port} is held by another program ({cause}); stop that one first"


class PortOptionError(PortError, ValueError):
    """The port cannot do what the profile asks."""

    template = "{port} cannot be set up: {cause}"


class PortLostError(PortError, ConnectionError):
    """The port went away while it was open."""

    template = "{port} disappeared ({cause}); waiting for it to come back"


class PortClosedError(PortError):
    """The port was closed by us."""

    template = "{port} is closed ({cause})"


class PortRefusedError(PortError):
    """The other end answered that it will not do what it was asked."""

    template = "{port} refused: {cause}"


class PortTimeoutError(PortError, TimeoutError):
    """The port did not take the bytes in time."""

    template = "{port} took nothing in time ({cause})"


class MailboxError(GatewayError):
    """Something about one mailbox."""


class MailboxFullError(MailboxError):
    """Policy `reject`, and no room."""


class MailboxClosedError(MailboxError):
    """Nobody will take from this mailbox again."""


class GatewayUnreachableError(GatewayError, ConnectionError):
    """No gateway answers on its socket."""


class LedgerError(GatewayError):
    """Something about one ledger."""


class RecordError(LedgerError, ValueError):
    """A record that cannot be: its kind, class, route, body or cause."""


class CursorError(LedgerError, ValueError):
    """A cursor moved beyond what is durable, or back."""


class LedgerMissingError(LedgerError, FileNotFoundError):
    """No ledger in that folder."""


class LedgerBusyError(LedgerError):
    """Another process writes it; the message names the holder."""


class LedgerBehindError(LedgerError):
    """Archiving lags and the ring is full: telemetry is shed."""


class LedgerReadOnlyError(LedgerError):
    """It may not be written: opened so, or after failures of the medium."""


class LedgerFormatError(LedgerError):
    """Foreign, written by a newer version, or too broken to open for writing."""


class LedgerStorageError(LedgerError, OSError):
    """The medium failed; what was not acknowledged may be lost. Made of errno and message, as OSError is."""

    def __str__(self) -> str:
        """Return the message, which tells the system's reason itself."""
        return str(self.strerror or super().__str__())
