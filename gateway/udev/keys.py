"""Layer 2: the keys of udev rules: which operators and which braces each takes, and which substitutions there are.

Source: udev(7) of systemd 252 and 257, and what `udevadm test` and `udevadm verify` accept.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Braces = Literal["none", "needed", "optional"]

_COMPARE: Final = ("==", "!=")
_ONCE: Final = ("=", ":=")
_LIST: Final = ("=", "+=", "-=", ":=")


class Key(NamedTuple):
    """What may be done with one key."""

    operators: tuple[str, ...]
    braces: Braces = "none"
    choices: tuple[str, ...] = ()  # of what stands in the braces; () for anything
    is_assigned: bool = False  # an assignment to it changes the device, its node or its links


KEYS: Final[dict[str, Key]] = {
    "ACTION": Key(_COMPARE),
    "DEVPATH": Key(_COMPARE),
    "KERNEL": Key(_COMPARE),
    "SUBSYSTEM": Key(_COMPARE),
    "DRIVER": Key(_COMPARE),
    "KERNELS": Key(_COMPARE),
    "SUBSYSTEMS": Key(_COMPARE),
    "DRIVERS": Key(_COMPARE),
    "TAGS": Key(_COMPARE),
    "RESULT": Key(_COMPARE),
    "ATTRS": Key(_COMPARE, "needed"),
    "CONST": Key(_COMPARE, "needed", ("arch", "virt", "cvm")),
    "TEST": Key(_COMPARE, "optional"),
    "PROGRAM": Key((*_COMPARE, "=", "+=", ":=")),  # a comparison however it is written
    "IMPORT": Key((*_COMPARE, "=", "+=", ":="), "needed", ("program", "builtin", "file", "db", "cmdline", "parent")),
    "NAME": Key((*_COMPARE, *_ONCE), is_assigned=True),
    "SYMLINK": Key((*_COMPARE, *_LIST), is_assigned=True),
    "TAG": Key((*_COMPARE, "=", "+=", "-="), is_assigned=True),
    "ENV": Key((*_COMPARE, "=", "+="), "needed", is_assigned=True),
    "ATTR": Key((*_COMPARE, "="), "needed", is_assigned=True),
    "SYSCTL": Key((*_COMPARE, "="), "needed", is_assigned=True),
    "OWNER": Key(_ONCE, is_assigned=True),
    "GROUP": Key(_ONCE, is_assigned=True),
    "MODE": Key(_ONCE, is_assigned=True),
    "SECLABEL": Key(("=", "+="), "needed", is_assigned=True),
    "RUN": Key(("=", "+=", ":="), "optional", ("program", "builtin"), is_assigned=True),
    "OPTIONS": Key(("=", "+=", ":="), is_assigned=True),
    "GOTO": Key(("=",)),
    "LABEL": Key(("=",)),
}
GONE: Final = {  # keys of old systems, and what stands in their place
    "BUS": "SUBSYSTEMS",
    "ID": "KERNELS",
    "SYSFS": "ATTRS{...}",
    "PLACE": "KERNELS",
    "PHYSDEVBUS": "SUBSYSTEMS",
    "WAIT_FOR": "nothing: udev waits by itself",
    "WAIT_FOR_SYSFS": "nothing: udev waits by itself",
}
KERNEL_FACTS: Final = frozenset(  # ENV{...} that come from the kernel and cannot be assigned
    [
        "ACTION",
        "DEVLINKS",
        "DEVNAME",
        "DEVPATH",
        "DEVTYPE",
        "DRIVER",
        "IFINDEX",
        "MAJOR",
        "MINOR",
        "SEQNUM",
        "SUBSYSTEM",
        "TAGS",
    ]
)
BUILTINS: Final = frozenset(
    [
        "blkid",
        "btrfs",
        "dissect_image",
        "factory_reset",
        "hwdb",
        "input_id",
        "keyboard",
        "kmod",
        "net_driver",
        "net_id",
        "net_setup_link",
        "path_id",
        "uaccess",
        "usb_id",
    ]
)
OPTIONS: Final = frozenset({"db_persist", "watch", "nowatch", "dump", "dump-json"})
OPTIONS_WITH: Final[dict[str, tuple[str, ...] | None]] = {  # None: a number; (): any text
    "link_priority": None,
    "log_level": (),
    "static_node": (),
    "string_escape": ("none", "replace"),
}
SUBSTITUTIONS: Final = {
    "kernel": "k",
    "number": "n",
    "devpath": "p",
    "id": "b",
    "driver": "d",
    "attr": "s",
    "sysfs": "s",
    "env": "E",
    "major": "M",
    "minor": "m",
    "result": "c",
    "parent": "P",
    "name": "D",
    "links": "L",
    "root": "r",
    "sys": "S",
    "devnode": "N",
    "tempnode": "N",
}
LETTERS: Final = frozenset(SUBSTITUTIONS.values())
NEED_BRACES: Final = frozenset({"attr", "sysfs", "env", "s", "E"})
TAKES_SUBSTITUTIONS: Final = frozenset(
    {"NAME", "SYMLINK", "ENV", "TAG", "ATTR", "SYSCTL", "PROGRAM", "IMPORT", "TEST", "OWNER", "GROUP", "MODE", "RUN"}
)
COMPARED_ONCE: Final = frozenset(  # keys that have one value: two that differ never hold together
    [
        "ACTION",
        "DEVPATH",
        "KERNEL",
        "SUBSYSTEM",
        "DRIVER",
        "KERNELS",
        "SUBSYSTEMS",
        "DRIVERS",
        "ATTR",
        "ATTRS",
        "ENV",
        "CONST",
        "NAME",
        "SYSCTL",
    ]
)
