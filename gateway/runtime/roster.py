"""Layer 6: the ports and devices of one gateway, and how one configuration takes the place of another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from gateway.lifecycle import Event
from gateway.runtime.blueprint import DiscoveryPlan, WirePlan
from gateway.runtime.device import Device
from gateway.runtime.difference import Configuration, fates, kept
from gateway.runtime.discovery import Discovery
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.stubs import Stubs
from gateway.runtime.supervisor import Keeper, Supervisor
from gateway.runtime.wiring import Fitter, Wire, names_in, wire

CHANGED: Final = "the configuration was changed"


class Roster:
    """Who is there, on which wire."""

    def __init__(self, configuration: Configuration, fitter: Fitter, scheduler: Scheduler) -> None:
        """Wire everything and open nothing. Raises: DriverError and PortError, where no port at all can be made."""
        found = wire(configuration.wires, fitter)
        self.keepers = [keeper for _, keeper in found]
        self.supervisor = Supervisor(scheduler, self.keepers)
        self.on_entered: Callable[[Device], None] = _nobody  # told of each device that comes, discovered ones too
        self.on_left: Callable[[Device], None] = _nobody  # and of each that goes
        self.returning: Collection[str] = ()  # devices that leave just now, and enter again as others
        self._fitter = fitter
        self._configuration = configuration
        self._wires = {each.plan.place: (each, keeper) for each, keeper in found}
        self._left_by: dict[str, Discovery] = {}  # discoveries that end just now, and what they remember
        for keeper in self.keepers:
            self._listen(keeper)

    @property
    def devices(self) -> list[Device]:
        """Return every device, discovered ones too."""
        return [device for keeper in self.keepers for device in keeper.devices]

    async def change(self, after: Configuration) -> None:
        """Let another configuration take the place of this one. What is the same in both notices nothing."""
        before, self._configuration = self._configuration, after
        what, names = fates(before, after), kept(before, after)
        staying = {device.name: device for device in self.devices if device.name in names}
        taken = names_in(after.wires)
        self._left_by = {}
        for discovery in (each for there, _ in self._wires.values() for each in there.discoveries):
            discovery.keep_clear_of(taken)
        self.returning = set(before.places()).intersection(after.places()) - names
        for place, (_, keeper) in list(self._wires.items()):
            fate = what.get(place, "gone")
            if fate in {"gone", "reopened"} or (fate == "refitted" and not keeper.is_open):
                await self._close(place, staying)
        for place, plan in after.by_place().items():
            if place in self._wires and what[place] == "refitted":
                await self._refit(plan, taken, staying)
        for place, plan in after.by_place().items():
            if place not in self._wires:
                self._open(plan, taken, staying)
        self.returning = ()
        for device in (each for _, each in after.places().values()):
            if device.name in staying:
                staying[device.name].label, staying[device.name].area = device.label, device.area

    # ---- wires

    async def _close(self, place: str, staying: Collection[str]) -> None:
        """Close a port; its devices leave, those that stay for a moment only."""
        old, keeper = self._wires.pop(place)
        await self.supervisor.remove(keeper)
        self._end(old.discoveries)
        for device in list(keeper.devices):
            self._leave(keeper, device, is_staying=device.name in staying)

    def _open(self, plan: WirePlan, taken: Collection[str], staying: Mapping[str, Device]) -> None:
        new = self._fitter.wire(plan, taken, staying, stubs=self._remembered(plan))
        keeper = self._fitter.keeper(new)
        self._listen(keeper)
        self._wires[plan.place] = new, keeper
        self.supervisor.add(keeper)
        for device in new.devices:
            if device.name not in staying:
                self.on_entered(device)

    async def _refit(self, plan: WirePlan, taken: Collection[str], staying: Mapping[str, Device]) -> None:
        """Let others come and go on a port that stays open."""
        old, keeper = self._wires[plan.place]
        looking = {each.name: found for each, found in zip(old.plan.discoveries, old.discoveries, strict=True)}
        same = {
            each.name: looking[each.name]
            for each in plan.discoveries
            if each.name in looking and each.makes_what(_plan_of(old, each.name))
        }
        ending = [each for each in old.discoveries if each not in same.values()]
        self._left_by |= {each.name: each for each in ending}
        new = self._fitter.wire(plan, taken, staying, same, self._remembered(plan))
        wanted = None if old.wanted == new.wanted else new.wanted
        change = partial(self._pass_over, keeper, old, new)
        await keeper.refit(change, partial(self._fitter.pipeline, new), wanted=wanted)
        self._wires[plan.place] = new, keeper

    def _pass_over(self, keeper: Keeper, old: Wire, new: Wire) -> None:
        """Let those of the old wire leave and those of the new one enter, where nothing is read."""
        self._end([each for each in old.discoveries if each not in new.discoveries])
        for device in (each for each in old.devices if each not in new.devices):
            self._leave(keeper, device)
        keeper.look_for(new.discoveries)
        for device in (each for each in new.devices if each not in old.devices):
            keeper.enter(device)
            self.on_entered(device)

    def _leave(self, keeper: Keeper, device: Device, *, is_staying: bool = False) -> None:
        if device.is_wanted:
            device.tell(Event.CLOSED, keeper.name, CHANGED)
        keeper.leave(device)
        if not is_staying:
            self.on_left(device)

    def _end(self, discoveries: Sequence[Discovery]) -> None:
        """Let all go that these found; who is heard again comes again, with what it knew."""
        for discovery in discoveries:
            discovery.let_all_go(CHANGED)
            self._left_by[discovery.name] = discovery

    def _remembered(self, plan: WirePlan) -> dict[str, Stubs]:
        """Return what the discoveries of a wire remember from before; numbers count by the messages of one profile."""
        return {
            each.name: before.stubs
            for each in plan.discoveries
            if (before := self._left_by.get(each.name)) is not None and before.profile.profile == each.profile.profile
        }

    def _listen(self, keeper: Keeper) -> None:
        keeper.on_appeared = lambda device: self.on_entered(device)  # noqa: PLW0108 - who is told may be set later
        keeper.on_left = lambda device: self.on_left(device)  # noqa: PLW0108


def _plan_of(wire: Wire, discovery: str) -> DiscoveryPlan:
    return next(each for each in wire.plan.discoveries if each.name == discovery)


def _nobody(_device: Device) -> None:
    """Nobody wants to know."""
