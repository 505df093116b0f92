"""Which resources of a rig file are there right now, and what node each is. Opens no port."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from drivers._ble_target import target_of
from drivers._can_python import split_target
from drivers._spi_device import path_of
from drivers._usb_identity import can_interface_of, serial_node_of
from gateway.errors import PortError, PortNotFoundError
from gateway.registry import require
from gateway.spelling import did_you_mean
from gateway.sysfs import bluetooth_adapters, can_interfaces, serial_nodes
from hil.rigs.bench.power import Hub, words_of
from hil.rigs.doctor import Machine
from hil.rigs.identity import SHOWN_BY
from hil.rigs.model import ResourceSpec, RigFile


class Present(NamedTuple):
    """One resource, or the peer port of one."""

    target: str
    resource: str
    port: str  # as the rig file says
    node: str  # what that is now, "" where it is not there
    works: bool
    message: str
    fix: str = ""


class _Absent(Exception):
    """Why something is not there, and what mends it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def present(rig: RigFile, machine: Machine) -> list[Present]:
    """Return every resource of every target."""
    found = []
    for target, spec in rig.target.items():
        for name, resource in spec.resource.items():
            if resource.protocol == "power" or resource.sim:
                found.append(_power(target, name, resource, machine))
                continue
            ports = [(name, resource.port), (f"{name} peer", resource.peer)]
            found += [_port(target, each, resource, port, machine) for each, port in ports if port is not None]
    return found


def _port(target: str, name: str, spec: ResourceSpec, port: str, machine: Machine) -> Present:
    try:
        node = _node_of(spec, port, machine)
    except _Absent as absent:
        return Present(target, name, port, "", False, str(absent), absent.fix)
    except PortNotFoundError as error:
        return Present(target, name, port, "", False, error.cause, f"plug it in; {SHOWN_BY}")
    except PortError as error:
        return Present(target, name, port, "", False, error.cause, SHOWN_BY)
    if node.startswith("/dev/") and not machine.may_use(node):
        group = "spi" if spec.protocol == "spi" else "dialout"
        return Present(target, name, port, node, False, f"{node} may not be opened", f"sudo usermod -aG {group} $USER")
    return Present(target, name, port, node, True, "is there")


def _node_of(spec: ResourceSpec, port: str, machine: Machine) -> str:
    """Return what a port text means now. Raises: _Absent, PortError."""
    if spec.protocol == "uart":
        if "://" in port:
            return port
        return serial_node_of(port, machine.root) if port.startswith("usb:") else _file(port, machine)
    if spec.protocol == "spi":
        return _file(path_of(port), machine)
    if spec.protocol == "ble":
        adapters = bluetooth_adapters(machine.root)
        wanted = target_of(port).adapter
        if wanted not in adapters:
            raise _Absent(f"no adapter {wanted}{did_you_mean(wanted, adapters)}", "plug one in: rfkill list bluetooth")
        return wanted
    return _can(port, machine)


def _can(port: str, machine: Machine) -> str:
    interface, channel, _ = split_target(port) if ":" in port else ("socketcan", port, {})
    if interface == "usb":
        channel = can_interface_of(port, machine.root)
    elif interface != "socketcan":
        known = sorted(require("can", "can").VALID_INTERFACES)
        if interface not in known:
            raise _Absent(
                f"python-can has no interface {interface!r}{did_you_mean(interface, known)}", "correct `port`"
            )
        return _file(channel, machine) if channel is not None and channel.startswith("/dev/") else port
    interfaces = {each.name: each.is_up for each in can_interfaces(machine.root)}
    name = channel or ""
    if name not in interfaces:
        raise _Absent(f"no interface {name}{did_you_mean(name, interfaces)}", "plug in the adapter; ip -br link")
    if not interfaces[name]:
        raise _Absent(f"{name} is down", f"sudo ip link set {name} up type can bitrate 500000")
    return name


def _file(path: str, machine: Machine) -> str:
    """Return the node behind a path of the machine. Raises: _Absent."""
    place = machine.path(path)
    if not place.exists():
        links = [link for port in serial_nodes(machine.root) for link in (port.node, *port.links)]
        raise _Absent(f"nothing is at {path}{did_you_mean(path, links)}", f"plug it in; {SHOWN_BY}")
    real = place.resolve()
    return f"/{real.relative_to(machine.root.resolve())}"


def _power(target: str, name: str, spec: ResourceSpec, machine: Machine) -> Present:
    if spec.sim:
        return Present(target, name, "sim", "sim", True, "simulated")
    if spec.hub is not None and spec.hub_port is not None:
        port = f"hub {spec.hub} port {spec.hub_port}"
        switch = Hub(name, spec.hub, spec.hub_port, machine.root).attribute
        if switch.exists() or machine.which("uhubctl") is not None:
            return Present(target, name, port, str(switch), True, "can be switched")
        why = f"{switch} is not there, and there is no uhubctl"
        return Present(target, name, port, "", False, why, "lsusb -t shows hubs by place; sudo apt install uhubctl")
    if spec.gpiochip is not None:
        return _gpio(target, name, spec, machine)
    if spec.command_on is not None and spec.command_off is not None:
        programs = [words_of(command)[0] for command in (spec.command_on, spec.command_off)]
        missing = [program for program in programs if machine.which(program) is None]
        told = f"no program {missing[0]!r}" if missing else "can be run"
        fix = "give its whole path, or install it" if missing else ""
        return Present(target, name, programs[0], "" if missing else programs[0], not missing, told, fix)
    return Present(target, name, "hand", "hand", True, "a person is asked on the terminal")


def _gpio(target: str, name: str, spec: ResourceSpec, machine: Machine) -> Present:
    chips = sorted(machine.path("dev").glob("gpiochip*"))
    port = f"{spec.gpiochip} line {spec.line}"
    if not chips:
        return Present(target, name, port, "", False, "no GPIO chip is here", "see: gpiodetect")
    named = machine.path(f"dev/{Path(str(spec.gpiochip)).name}")
    node = f"/dev/{named.name}" if named in chips else str(spec.gpiochip)
    return Present(target, name, port, node, True, "is there" if named in chips else "is looked for by its label")
