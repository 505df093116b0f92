"""Histories: what is done to a log before the power goes. Each is driven by a seed; its length is a few dozen calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import structs

from gateway.ledger.base import NS, Options
from tests.crash.world import World

CLASSES: Final = ("telemetry", "state", "command", "audit")


class Scenario(NamedTuple):
    """One kind of history."""

    play: Callable[[World], None]
    options: Options


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
    """Small commits until every segment was used again."""
    _begin(world)
    _mixed(world, 90)
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
        _mixed(world, world.rng.randint(2, 50))
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
        _mixed(world, 18, size=60)
        world.clock.advance(60)
        world.do(lambda log: log.compact())
    world.append("command")


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
SHORT_KEEP_S: Final = 20
RING: Final = Options(unit_bytes=512, segment_bytes=4096, ring_bytes=4 * 4096, keep_ns=3600 * NS)
SCENARIOS.update(
    {
        "classes": Scenario(classes, RING),
        "wraps": Scenario(wraps, RING),
        "large": Scenario(large, RING),
        "reopens": Scenario(reopens, RING),
        "cuts": Scenario(cuts, RING),
        "cursors": Scenario(cursors, RING),
        "retains": Scenario(wraps, structs.replace(RING, keep_ns=SHORT_KEEP_S * NS)),
        "compacts": Scenario(compacts, structs.replace(RING, keep_ns=SHORT_KEEP_S * NS)),
    }
)


def scenarios_of(subject: str) -> list[str]:
    """Return the histories that a log can be put through."""
    return [name for name in SCENARIOS if name.startswith("toy") == subject.startswith("toy")]


def play(name: str, world: World) -> World:
    """Play a history to its end."""
    SCENARIOS[name].play(world)
    return world
