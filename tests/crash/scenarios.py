"""Histories: what is done to a log before the power goes. Each is driven by a seed; its length is a few dozen calls."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from msgspec import structs

from gateway.ledger.base import NS, Options
from gateway.testing import Fault
from tests.crash.world import World, seed_of

CLASSES: Final = ("telemetry", "state", "command", "audit")


class Scenario(NamedTuple):
    """One kind of history."""

    play: Callable[[World], None]
    options: Options
    fault: Callable[[Random], Fault] | None = None  # what goes wrong in it, beside the cut


def _begin(world: World) -> None:
    world.open()
    world.append("command")


def _mixed(world: World, calls: int, *, most: int = 3, size: int = 40) -> None:
    rng = world.rng
    for _ in range(calls):
        world.clock.advance(rng.choice((0.01, 0.4, 2.0)))
        class_ = rng.choices(CLASSES, (6, 4, 3, 1))[0]
        world.append(class_, size=rng.randrange(size), count=rng.choice((1, 1, rng.randint(1, most))))
        if rng.random() < 0.15:
            world.flush()


def classes(world: World) -> None:
    """Each class, singly and in batches, with causes; nothing rolls."""
    _begin(world)
    for class_ in CLASSES:
        world.append(class_)
        world.append(class_, count=3, cause=1)
    world.flush()


def wraps(world: World) -> None:
    """Commits of one to three units until every segment was used again, more than once."""
    _begin(world)
    for _ in range(42):
        world.clock.advance(world.rng.choice((0.01, 0.4, 6.0)))
        world.append(world.rng.choice(CLASSES), size=world.rng.choice((10, 300, 700, 1200)))
    world.flush()


def large(world: World) -> None:
    """Commits of many sectors."""
    _begin(world)
    for _ in range(10):
        world.append(world.rng.choice(CLASSES[1:]), size=world.rng.randrange(30, 120), count=world.rng.randint(1, 6))


def reopens(world: World) -> None:
    """Closed in order and opened again, several times."""
    _begin(world)
    for _ in range(3):
        _mixed(world, world.rng.randint(0, 5))
        world.close()
        world.open()
    _mixed(world, 3)
    world.close()


def cuts(world: World) -> None:
    """Cut, recovered, cut again: the last recovery and what follows it are what is enumerated."""
    _begin(world)
    for _ in range(world.rng.randint(1, 3)):
        _mixed(world, world.rng.randint(2, 14), size=900)
        world.cut()
        world.open()
    _mixed(world, 5)


def cursors(world: World) -> None:
    """Consumers that acknowledge, between appends and over an opening."""
    _begin(world)
    for _ in range(2):
        for _ in range(4):
            _mixed(world, 2)
            world.flush()
            world.move_cursor(world.rng.choice(("mqtt", "http")))
        world.close()
        world.open()
    world.move_cursor("mqtt")


def compacts(world: World) -> None:
    """Sealed and thinned on request, in between and at the end."""
    _begin(world)
    for _ in range(2):
        _mixed(world, 9, size=400)
        world.clock.advance(60)
        world.do(lambda log: log.compact())
    world.append("command")


def expires(world: World) -> None:
    """Telemetry that is over its time is taken out of archives, the rest stays."""
    _begin(world)
    for _ in range(3):
        for _ in range(7):
            world.append(
                world.rng.choice(("telemetry", "telemetry", "state", "command")), size=world.rng.randrange(900)
            )
        world.clock.advance(20.0)
        world.do(lambda log: log.compact())
    world.append()


def overflows(world: World) -> None:
    """Archives take more than they may: the oldest telemetry goes, then the oldest of all."""
    _begin(world)
    for _ in range(34):
        world.clock.advance(1.0)
        world.append(world.rng.choice(("telemetry", "telemetry", "state")), size=world.rng.choice((200, 900, 1300)))
    world.do(lambda log: log.compact())


def clocks(world: World) -> None:
    """The wall clock jumps both ways between and within commits."""
    _begin(world)
    for step in (-3600.0, -1.7e9, 1.0, 3600.0, 1.7e9, -1.0, 5.0, 86_400.0):
        world.clock.step_wall(step * world.rng.random())
        _mixed(world, 2, size=300)


def toy(world: World) -> None:
    """What a toy can do: small commits round its ring."""
    _begin(world)
    _mixed(world, 22, most=2, size=20)
    world.flush()


def toy_cuts(world: World) -> None:
    """Cut and recovered, as far as a toy can."""
    _begin(world)
    for _ in range(2):
        _mixed(world, world.rng.randint(4, 12), most=2, size=20)
        world.cut()
        world.open()
    _mixed(world, 5, most=2, size=20)


TOY: Final = Options()
SCENARIOS: Final[dict[str, Scenario]] = {
    "toy": Scenario(toy, TOY),
    "toy-cuts": Scenario(toy_cuts, TOY),
}
RING: Final = Options(unit_bytes=512, segment_bytes=4096, ring_bytes=4 * 4096, keep_ns=3600 * NS)
SHORT: Final = structs.replace(RING, keep_ns=20 * NS)
SCENARIOS.update(
    {
        "classes": Scenario(classes, RING),
        "wraps": Scenario(wraps, RING),
        "large": Scenario(large, RING),
        "reopens": Scenario(reopens, RING),
        "cuts": Scenario(cuts, RING),
        "cursors": Scenario(cursors, RING),
        "retains": Scenario(wraps, SHORT),
        "compacts": Scenario(compacts, SHORT),
        "expires": Scenario(expires, SHORT),
        "overflows": Scenario(overflows, structs.replace(RING, archive_bytes=6000)),
        "clocks": Scenario(clocks, RING),
        "rescues": Scenario(wraps, RING, lambda rng: Fault(frozenset({"sync"}), rng.randint(8, 30), reads_old=True)),
    }
)


def scenarios_of(subject: str) -> list[str]:
    """Return the histories that a log can be put through."""
    return [name for name in SCENARIOS if name.startswith("toy") == subject.startswith("toy")]


def play(subject: str, name: str, seed: int, fault: Fault | None = None) -> World:
    """Play a history to its end, with a fault where one is given or belongs to it."""
    scenario = SCENARIOS[name]
    if fault is None and scenario.fault is not None:
        fault = scenario.fault(Random(seed_of("fault", name, seed)))
    world = World(subject, seed_of(name, seed), scenario.options, fault)
    scenario.play(world)
    return world
