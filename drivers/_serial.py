"""Serial ports: which device node a port text means, and what pyserial's errors mean. No reading or writing here."""

from __future__ import annotations

import errno
import logging
import os
import re
import termios
from pathlib import Path
from typing import Any, Final

from drivers._usb_identity import check_identity, serial_node_of
from gateway.errors import (
    PortBusyError,
    PortError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
)
from gateway.profile.model import LinkSpec
from gateway.registry import require
from gateway.udev.identity import parse_usb

BY_ID: Final = Path("/dev/serial/by-id")
_BARE: Final = re.compile(r"/dev/tty(USB|ACM)[0-9]+")
_PARITY: Final = {"none": "N", "even": "E", "odd": "O"}

log = logging.getLogger(__name__)


def is_url(target: str) -> bool:
    """Whether `target` is a pyserial URL (`socket://`, `rfc2217://`, `loop://` ...)."""
    return "://" in target


def check_target(target: str) -> None:
    """Raise PortOptionError for text that can never name a serial port."""
    if not target:
        raise PortOptionError("port", "an empty text names no port; write for example /dev/serial/by-id/...")
    if target.startswith("usb:") and parse_usb(target) is None:
        raise PortOptionError(target, "write usb:VID:PID or usb:VID:PID:SERIAL with four hex digits each")
    if "\0" in target:
        raise PortOptionError(repr(target), "a path has no NUL")


def node_of(target: str) -> str:
    """Return the device node that `target` means right now: links resolved, USB ids looked up.

    Raises: PortNotFoundError, PortOptionError when two adapters fit.
    """
    return serial_node_of(target) if target.startswith("usb:") else str(Path(target).resolve())


def stable_name(node: str, folder: Path = BY_ID) -> str | None:
    """Return the by-id name that points to `node`, if there is one."""
    try:
        links = sorted(folder.iterdir())
    except OSError:
        return None
    return next((str(link) for link in links if os.path.realpath(link) == os.path.realpath(node)), None)


def warning_for(target: str, folder: Path = BY_ID) -> str | None:
    """Return what to tell about a name that the next plug changes: a bare ttyUSBn or ttyACMn."""
    if not _BARE.fullmatch(target):
        return None
    better = stable_name(target, folder)
    hint = f"use {better}" if better else "use its name under /dev/serial/by-id or by-path, or usb:VID:PID:SERIAL"
    return f"{target} may name another device after the next plug; {hint}"


def settings(link: LinkSpec) -> dict[str, Any]:
    """Return pyserial's arguments for `link`; nothing in them blocks."""
    return {
        "baudrate": link.baud,
        "bytesize": link.data_bits,
        "parity": _PARITY[link.parity],
        "stopbits": link.stop_bits,
        "rtscts": link.flow == "rtscts",
        "xonxoff": link.flow == "xonxoff",
    }


def open_tty(target: str, link: LinkSpec) -> tuple[Any, str]:
    """Open and configure the node behind `target`; return pyserial's object and the node.

    A pseudo-terminal has no parity and no word length: what its kernel refuses there is a warning.
    """
    serial = require("serial", "uart")
    node = node_of(target)
    check_identity(target, node, link.match)
    wanted = settings(link)
    try:
        opened = _open(serial, node, link, wanted)
    except (termios.error, OSError, ValueError, OverflowError) as error:
        if not (_is_pty(node) and _refused_setting(error)):
            raise port_error(target, error) from error
        log.warning("a pseudo-terminal has no such line settings: port=%s parity=%s", target, link.parity)
        try:
            opened = _open(serial, node, link, {**wanted, "bytesize": 8, "parity": "N", "rtscts": False})
        except (termios.error, OSError, ValueError, OverflowError) as second:
            raise port_error(target, second) from second
    try:
        if link.rs485:
            _enable_rs485(target, opened)
        _finish_settings(opened)
    except (termios.error, OSError) as error:
        opened.close()
        raise port_error(target, error) from error
    return opened, node


def set_line(opened: Any, link: LinkSpec) -> None:
    """Set baud rate, data bits, parity and stop bits of an open port anew. Raises: OSError, ValueError."""
    wanted = settings(link)
    try:
        opened.apply_settings({key: wanted[key] for key in ("baudrate", "bytesize", "parity", "stopbits")})
        _finish_settings(opened)
    except (termios.error, OverflowError) as error:
        raise ValueError(str(error)) from error


def _open(serial: Any, node: str, link: LinkSpec, wanted: dict[str, Any]) -> Any:
    return serial.Serial(node, timeout=0, write_timeout=0, exclusive=link.exclusive or None, **wanted)


def _finish_settings(opened: Any) -> None:
    """Set what pyserial leaves otherwise; last, for each of its own settings sets them back."""
    attributes = termios.tcgetattr(opened.fd)
    attributes[0] &= ~termios.BRKINT  # a break must not flush what was received
    attributes[6][termios.VMIN] = 1  # so that "nothing there" is EAGAIN and 0 bytes mean "hung up"
    attributes[6][termios.VTIME] = 0
    termios.tcsetattr(opened.fd, termios.TCSANOW, attributes)


def _enable_rs485(target: str, opened: Any) -> None:
    try:
        opened.rs485_mode = require("serial.rs485", "uart").RS485Settings()
    except (OSError, ValueError) as error:
        log.warning("no RS-485 direction control here, trusting the adapter: port=%s cause=%s", target, error)


def _is_pty(node: str) -> bool:
    return node.startswith("/dev/pts/")


def _refused_setting(error: Exception) -> bool:
    return isinstance(error, termios.error) and error.args[:1] == (errno.EINVAL,)


def port_error(target: str, error: BaseException) -> PortError:
    """Return what a failed open means, typed; pyserial hides the cause in `errno`, arguments or context."""
    code = _errno_of(error)
    cause = os.strerror(code) if code else str(error)
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO, errno.ENOTDIR):
        return PortNotFoundError(target, cause)
    if code in (errno.EACCES, errno.EPERM):
        return PortPermissionError(target, cause)
    if code in (errno.EBUSY, errno.EAGAIN):
        return PortBusyError(target, cause)
    if is_url(target) and not isinstance(error, ValueError):
        return PortNotFoundError(target, cause)  # refused, unreachable, timed out, no such host
    if code == errno.ENOTTY:
        return PortOptionError(target, "it is no serial port")
    return PortOptionError(target, cause)


def _errno_of(error: BaseException | None) -> int | None:
    while error is not None:
        code = getattr(error, "errno", None)
        if isinstance(code, int):
            return code
        if isinstance(error, termios.error) and error.args and isinstance(error.args[0], int):
            return error.args[0]
        error = error.__cause__ or error.__context__
    return None
