"""`python -m hil.kernel`: make everything ready, boot the guests one after the other, add up what they found."""

from __future__ import annotations

import argparse
import compileall
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from hil.kernel import firmware, image, module, packages
from hil.kernel.guest import Guest
from hil.kernel.host import ROOT, Progress, RigError
from hil.kernel.machine import run_guest
from hil.kernel.totals import Result, reasons, summary
from hil.kernel.usb import hands

TESTS: Final = Path("tests", "kernel")
USB_TESTS: Final = TESTS / "usb"
BUSES_LIMIT_S: Final = 390.0  # both together, and what comes before: under ten minutes
USB_LIMIT_S: Final = 170.0


def guests(root: Path) -> list[Guest]:
    """Return both guests; the first gets everything under tests/kernel that is not the second's."""
    found = {path.parent.relative_to(root) for path in (root / TESTS).rglob("test_*.py")}
    buses = tuple(sorted(str(folder) for folder in found if not folder.is_relative_to(USB_TESTS)))
    return [
        Guest("buses", buses, BUSES_LIMIT_S),
        Guest("usb", (str(USB_TESTS),), USB_LIMIT_S, modules=("xhci_pci", "ftdi_sio"), has_usb=True),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run the rig; return its exit code: 0 only when enough tests passed and nothing else happened."""
    parser = argparse.ArgumentParser(prog="python -m hil.kernel", description="Test the drivers on a real kernel.")
    parser.add_argument("--guest", choices=("buses", "usb"), help="boot only this one (too few tests to succeed)")
    parser.add_argument("options", nargs="*", help="options for pytest in the guests, after --")
    chosen = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    progress = Progress()
    results: list[Result] = []
    try:
        kernel, files = _prepare(progress)
        for guest in guests(ROOT):
            if chosen.guest in (None, guest.name):
                progress.say(f"booting guest {guest.name}: {' '.join(guest.tests)}")
                usb = hands if guest.has_usb else None
                results.append(run_guest(guest, kernel, files=files, options=chosen.options, hands=usb))
    except RigError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted")
        return 130
    return _conclude(results, progress)


def _prepare(progress: Progress) -> tuple[image.Image, dict[str, Path]]:
    """Return the kernel and what goes into every guest's share. Raises: RigError."""
    packages.ensure(progress)
    kernel = image.prepare(progress)
    files = {"hilspi.ko": module.build(kernel, progress)}
    firmware.build()
    for package in ("gateway", "drivers", "hil"):  # a guest compiles ten times as slowly, and cannot keep it
        compileall.compile_dir(ROOT / package, quiet=2)
    return kernel, files


def _conclude(results: Sequence[Result], progress: Progress) -> int:
    """Say what is wrong, then how it went; return the exit code."""
    wrong = reasons(results)
    for reason in wrong:
        progress.say(f"failed: {reason}")
    sys.stdout.write(summary(results, progress.elapsed_s, shutil.get_terminal_size((100, 24)).columns) + "\n")
    sys.stdout.flush()
    return 1 if wrong else 0


def _leave(number: int, _frame: object) -> NoReturn:
    """Leave by the way on which every guest is ended."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
