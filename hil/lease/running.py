"""Running a command under a lease, so that it ends with it: `tidegate hil reserve take ... -- COMMAND`.

Three processes, all in the terminal's own group, so that Ctrl-C, Ctrl-Z and an interactive COMMAND work as ever:

    holder     shows life for the lease, passes signals on, ends as the command ended
    guardian   its child: collects whatever the command starts and leaves (PR_SET_CHILD_SUBREAPER)
    command    its child: dies with the guardian (PR_SET_PDEATHSIG)

Both hold the lease's file. Whichever of holder and guardian is killed, even by SIGKILL, the other kills every process
that the command has started, and only then lets go: nobody gets a target that somebody still writes to. What Linux
cannot do without a group of control (cgroup): when both are killed in the same instant the command dies, but what it
moved out of its reach may live on; the fence around guarded streams still keeps that from writing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from hil.lease.children import kill_all, reap
from hil.lease.errors import LeaseError, LeaseLostError
from hil.lease.folder import boottime_ns
from hil.lease.held import Lease

TERM_GRACE_NS: Final = 300_000_000  # after a loss: a kicked command is gone within a second
STOP_GRACE_NS: Final = 5_000_000_000  # after SIGTERM to the holder
NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128  # as shells have it

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_TICK_S: Final = 0.05
_SI_KERNEL: Final = 0x80  # the terminal's driver sent it, to the whole group
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_PARENT_DIED: Final = signal.SIGUSR2
_AWAITED: Final = frozenset({*_PASSED_ON, signal.SIGCHLD})


def run(lease: Lease, command: Sequence[str]) -> tuple[int, LeaseLostError | None]:
    """Return the command's exit status (128 + n for signal n), and how the lease was lost, if it was.

    To be called from the only thread of a process. The lease is put back before this returns.
    """
    environment = os.environ | lease.environment()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started us may have ignored it: no status would be kept
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_AWAITED, _PARENT_DIED})
    try:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        sys.stdout.flush()
        sys.stderr.flush()
        holder = os.getpid()
        guardian = os.fork()
        if guardian == 0:
            _exit_by(lambda: _guard(lease, command, environment, holder, mask))
        return _hold(lease, guardian)
    finally:
        lease.put()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _hold(lease: Lease, guardian: int) -> tuple[int, LeaseLostError | None]:
    lost: LeaseLostError | None = None
    give_up_ns: int | None = None
    while True:
        status = reap().get(guardian)
        if status is not None:
            kill_all()  # nothing, unless the guardian was killed
            return _exit_code(status), lost or _loss(lease)
        came = signal.sigtimedwait(_AWAITED, _TICK_S)
        if came is not None and came.si_signo in _PASSED_ON and came.si_code != _SI_KERNEL:
            os.kill(guardian, came.si_signo)
        if lost is None:
            lost = _loss(lease)
            give_up_ns = boottime_ns() + 2 * TERM_GRACE_NS if lost else None
        elif give_up_ns is not None and boottime_ns() >= give_up_ns:
            kill_all()  # a guardian that is stopped
            give_up_ns = None


def _loss(lease: Lease) -> LeaseLostError | None:
    """Show life; return how the lease was lost, None while it is ours or the pool cannot say."""
    try:
        lease.beat()
    except LeaseLostError as error:
        return error
    except LeaseError:  # without its folder the lease runs out, and that the guardian sees
        return None
    return None


def _guard(lease: Lease, command: Sequence[str], environment: Mapping[str, str], holder: int, mask: set[int]) -> int:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, _PARENT_DIED)
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        _exit_by(lambda: _become(command, environment, guardian, mask))
    kill_at_ns: int | None = None
    while True:
        status = reap().get(child)
        if status is not None or os.getppid() != holder:
            kill_all()
            return _exit_code(status) if status is not None else SIGNALLED + signal.SIGKILL
        now_ns = boottime_ns()
        if kill_at_ns is None and _is_over(lease):
            _signal(child, signal.SIGTERM)
            kill_at_ns = now_ns + TERM_GRACE_NS
        elif kill_at_ns is not None and now_ns >= kill_at_ns:
            _signal(child, signal.SIGKILL)
        came = signal.sigtimedwait({*_AWAITED, _PARENT_DIED}, _TICK_S)
        if came is not None and came.si_signo in _PASSED_ON and came.si_code != _SI_KERNEL:
            _signal(child, came.si_signo)
            if came.si_signo in _ENDING and kill_at_ns is None:
                kill_at_ns = now_ns + STOP_GRACE_NS


def _is_over(lease: Lease) -> bool:
    try:
        return lease.why_lost() is not None
    except LeaseError:
        return False


def _become(command: Sequence[str], environment: Mapping[str, str], guardian: int, mask: set[int]) -> int:
    """Turn this process into the command."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:
        return SIGNALLED + signal.SIGKILL
    for name in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # Python's own settings are not the command's
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606 - what the user typed, without a shell
    except OSError as error:
        os.write(2, f"tidegate: {command[0]}: {error.strerror}\n".encode(errors="replace"))
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


def _exit_by(deed: Callable[[], int]) -> NoReturn:
    """End this forked process as the deed says: nothing of its parent's runs in it."""
    code = SIGNALLED + signal.SIGABRT
    try:
        code = deed()
    finally:
        os._exit(code)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code


def _signal(pid: int, number: int) -> None:
    """Signal a child that was not reaped yet, so the number cannot be another's; one that changed its user is left."""
    try:
        os.kill(pid, number)
    except PermissionError:
        os.write(2, f"tidegate: process {pid} is another user's by now and does not take signal {number}\n".encode())


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_LIBC: Final = ctypes.CDLL(None, use_errno=True)
