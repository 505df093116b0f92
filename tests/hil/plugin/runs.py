"""What the tests of the plugin have in common."""

from __future__ import annotations

ALWAYS = ("-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:cacheprovider")
FLAKY = """
    def test_flaky(uart, faults):
        faults.add("drop", probability=0.1)
        for _ in range(10):
            uart.peer.send(b"ping")
            assert uart.read(4, timeout="20ms") == b"ping"
"""
RIG = """
    [rig]
    name = "bench"
    [target.left]
    states = ["off", "powered", "answering"]
    [target.left.resource.uart0]
    protocol = "uart"
    sim = true
    [target.right]
    states = ["off", "powered"]
    [target.right.resource.uart7]
    protocol = "uart"
    sim = true
    [target.right.resource.power]
    protocol = "power"
    sim = true
"""


def traces(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.trace"))
