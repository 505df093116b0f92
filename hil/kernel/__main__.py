"""`python -m hil.kernel`: make everything ready, boot the guests one after the other, add up what they found."""

from __future__ import annotations

import argparse
import compileall
import random
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from hil.kernel import firmware, image, module, packages
from hil.kernel.guest import Guest
from hil.kernel.host import ROOT, Progress, RigError, run
from hil.kernel.machine import run_guest
from hil.kernel.power import run_with_cuts
from hil.kernel.totals import Result, reasons, summary
from hil.kernel.usb import hands

TESTS: Final = Path("tests", "kernel")
SUITES: Final = Path("tests", "hil", "rigs", "suite")  # what a guest runs of the tests of every rig
USB_TESTS: Final = TESTS / "usb"
BUSES_LIMIT_S: Final = 600.0  # for one that hangs: it took 375 s on two quiet cores, half as much again on crowded ones
USB_LIMIT_S: Final = 240.0  # 105 s
FLASH_TESTS: Final = TESTS / "flash"
FLASH_LIMIT_S: Final = 300.0  # each of its boots; the tests took 77 s on two shared cores, over 180 s on crowded ones
FLASH_DISKS: Final = ("ext4", "f2fs", "spare")
FLASH_MODULES: Final = ("virtio_blk", "ext4", "f2fs", "dm_flakey")
CUTS: Final = 3


def guests(root: Path) -> list[Guest]:
    """Return all guests; the first gets everything under tests/kernel that is not another's."""
    found = {path.parent.relative_to(root) for path in (root / TESTS).rglob("test_*.py")}
    others = (USB_TESTS, FLASH_TESTS)
    buses = tuple(sorted(str(folder) for folder in found if not any(map(folder.is_relative_to, others))))
    return [
        Guest("buses", buses, BUSES_LIMIT_S),
        Guest("usb", (str(USB_TESTS),), USB_LIMIT_S, modules=("xhci_pci", "ftdi_sio"), has_usb=True),
        Guest(
            "flash", (str(FLASH_TESTS),), FLASH_LIMIT_S, modules=FLASH_MODULES, disks=FLASH_DISKS,
            writer="tests.kernel.flash.writing", cuts=CUTS,
        ),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Run the rig; return its exit code: 0 only when enough tests passed and nothing else happened."""
    parser = argparse.ArgumentParser(prog="python -m hil.kernel", description="Test the drivers on a real kernel.")
    parser.add_argument(
        "--guest", choices=("buses", "usb", "flash"), help="boot only this one (too few tests to succeed)"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the power cuts")  # noqa: S311
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
                results.append(_run(guest, kernel, files, chosen, progress))
    except RigError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted")
        return 130
    return _conclude(results, progress)


def _run(
    guest: Guest, kernel: image.Image, files: Mapping[str, Path], chosen: argparse.Namespace, progress: Progress
) -> Result:
    if guest.disks:
        return run_with_cuts(
            guest, kernel, files=files, options=chosen.options, progress=progress, seed=chosen.seed
        )  # fmt: skip
    return run_guest(guest, kernel, files=files, options=chosen.options, hands=hands if guest.has_usb else None)


def _prepare(progress: Progress) -> tuple[image.Image, dict[str, Path]]:
    """Return the kernel and what goes into every guest's share. Raises: RigError."""
    packages.ensure(progress)
    kernel = image.prepare(progress)
    files = {"hilspi.ko": module.build(kernel, progress)}
    firmware.build()
    for package in ("gateway", "drivers", "hil"):  # a guest compiles ten times as slowly, and cannot keep it
        compileall.compile_dir(ROOT / package, quiet=2)
    _rewrite_tests()
    return kernel, files


def _rewrite_tests() -> None:
    """Have pytest keep its own form of the tests beside them, as for the packages. Raises: RigError."""
    tests = [ROOT / TESTS, *sorted((ROOT / SUITES).glob("*.py"))]
    words = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-n", "0", "-p", "no:cacheprovider"]
    run([*words, *tests], folder=ROOT, environment={"PYTHONDONTWRITEBYTECODE": ""})


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
