"""The COBS node of `profiles/uart/cobs-node`, simulated: its frames are encoded by the profile that decodes them.

A room with a radiator: a valve moves towards its setpoint, flow follows the valve, temperature follows the flow. Pure:
time and bytes come in, bytes go out. What the node must do is in PROTOCOL.md beside the profile; what it does instead
when it is told to, in `behaviour.py`.
"""

from __future__ import annotations

import math
import random
from typing import Any, Final

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.schema.plan import Refused, values_of
from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.obedience import Actuator, Answers, Echo

MEASUREMENT_PERIOD_S: Final = 0.1  # PROTOCOL 6
STATUS_PERIOD_S: Final = 5.0
BOOT_S: Final = 0.05  # from a restart to the first byte; PROTOCOL 6 allows 100 ms
ROUNDING_S: Final = 1e-7  # of times in doubles
TRAVEL_PERCENT_PER_S: Final = 100.0  # of the valve, when no ramp asks for less: a command is done before it expires
SET_VALVE: Final = 0x10
ASK_IDENTITY: Final = 0x12
ROOM_CEL: Final = 18.0
FULL_FLOW_L_PER_MIN: Final = 14.0
CONDITIONS: Final = {"manual": "manual", "blocked": "valve_blocked"}  # mode of measurement: result of ack
POWER_ON_PERCENT: Final = 35.0  # where the valve goes when nobody has ordered anything


class CobsNode:
    """One node from power-on. The same seed and the same inputs give the same bytes."""

    def __init__(self, profile: CompiledProfile, *, seed: int = 1, serial_number: str = "7d00c0b51e55") -> None:
        self._profile = profile
        self._framer = profile.framer()
        self._random = random.Random(seed)  # noqa: S311 - measurement noise
        self._serial_number = serial_number
        self.behaviour = GOOD
        self.valve_percent = 20.0
        self._valve = Actuator(POWER_ON_PERCENT)
        self._echo: Echo[float] = Echo()
        self._acks: Answers[bytes] = Answers()
        self._travel = TRAVEL_PERCENT_PER_S
        self._temperature_cel = 20.4
        self._restarts, self._restart_cause = 1, "power_on"
        self._counter = self._refused = self._orders = 0
        self._has_said_orders = True  # they follow each status and each order
        self._start_s: float | None = None  # None: not yet, or not again
        self._boot_s = -math.inf  # it says and hears nothing before
        self._last_s = self._measurement_s = self._status_s = 0.0
        self._is_moving = False

    @property
    def target_percent(self) -> float:
        """Where the valve was ordered to, within what the node accepts."""
        return self._valve.ordered

    def behave(self, behaviour: Behaviour) -> None:
        """Treat commands so from now on. Raises: ValueError for a condition that it has not."""
        self.behaviour = behaviour.known_to(CONDITIONS)

    def restart(self, now_s: float, cause: str = "watchdog") -> None:
        """Begin anew after `BOOT_S`. The last order outlives all but the loss of power (PROTOCOL 5.1).

        `cause` is one of the profile's restart causes.
        """
        self._restarts, self._restart_cause = (self._restarts + 1) & 0xFFFF, cause
        self._counter = self._refused = 0
        self._orders = 0 if cause == "power_on" else self._orders
        self._has_said_orders = True
        self._framer = self._profile.framer()
        self._acks.forget()
        self._valve = Actuator(POWER_ON_PERCENT if cause == "power_on" else self._valve.ordered)
        self._travel = TRAVEL_PERCENT_PER_S
        self._start_s, self._boot_s = None, now_s + BOOT_S

    def due(self, now_s: float) -> list[bytes]:
        """Return the frames that are due at `now_s`, identity and status first after power-on."""
        if now_s < self._boot_s:
            return []
        frames: list[bytes] = []
        if self._start_s is None:
            self._start_s = self._last_s = now_s
            self._measurement_s = now_s
            self._status_s = now_s + 0.05
            frames.append(self._identity())
        self._move(now_s)
        frames += self._acks.due(now_s)
        if now_s + ROUNDING_S >= self._status_s:
            self._status_s = _next(self._status_s, STATUS_PERIOD_S, now_s)
            frames.append(self._status(now_s))
            self._has_said_orders = False
        if not self._has_said_orders:
            self._has_said_orders = True
            frames.append(self._frame("orders", {"orders": self._orders}))
        if now_s + ROUNDING_S >= self._measurement_s:
            self._measurement_s = _next(self._measurement_s, MEASUREMENT_PERIOD_S, now_s)
            frames.append(self._measurement(now_s))
        return frames

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Take what was written to the node; return the answers that are prompt."""
        answers: list[bytes] = []
        for body in self._framer.feed(data) if now_s >= self._boot_s else ():
            if isinstance(body, Garbage) or len(body) < 2:
                self._refused += 1
            elif self.behaviour.ignores:
                continue
            elif body[:1] == bytes([ASK_IDENTITY]):
                answers.append(self._identity())
            elif self.behaviour.restarts:
                self.restart(now_s)
                return answers
            else:
                answers += self._acks.give(self._obeyed(body, now_s), self.behaviour, now_s)
        return answers

    def _obeyed(self, body: bytes, now_s: float) -> bytes:
        """Carry out a command; return its ack."""
        if body[0] != SET_VALVE:
            return self._ack(body[1], body[0], "unknown", self.target_percent)
        plan = self._profile.messages["set_valve"]
        try:
            wanted = values_of(plan, plan.decode(body))
        except Refused:
            wanted = {}
        position, ramp = wanted.get("position"), wanted.get("ramp")
        if position is None or ramp is None or not 0 <= position <= 100 or ramp > 240:
            return self._ack(body[1], SET_VALVE, "out_of_range", self.target_percent)
        if self.behaviour.lies:
            return self._ack(body[1], SET_VALVE, "accepted", position)
        if self.behaviour.condition or self.behaviour.refuses:
            reason = CONDITIONS.get(self.behaviour.condition, "valve_blocked")
            return self._ack(body[1], SET_VALVE, reason, self.target_percent)
        self._valve.order(position, self.behaviour, now_s)
        self._orders = (self._orders + 1) & 0xFFFF
        self._has_said_orders = False
        self._travel = min(TRAVEL_PERCENT_PER_S, 100 / ramp) if ramp else TRAVEL_PERCENT_PER_S
        return self._ack(body[1], SET_VALVE, "accepted", self.target_percent)

    def _ack(self, counter: int, command: int, result: str, position: float) -> bytes:
        return self._frame(
            "ack",
            {
                "counter": counter,
                "command": "set_valve" if command == SET_VALVE else command,
                "result": result,
                "position": _half_steps(position),
            },
        )

    def _move(self, now_s: float) -> None:
        passed_s = now_s - self._last_s
        self._last_s = now_s
        step = self._travel * passed_s
        target = min(max(self._valve.target(self.behaviour, now_s), 0.0), 100.0)
        if not self.behaviour.condition:
            self.valve_percent += max(-step, min(step, target - self.valve_percent))
        self._is_moving = not self.behaviour.condition and abs(self.valve_percent - target) > 0.01
        warmed = ROOM_CEL + 8.0 * self.valve_percent / 100 + 0.8 * math.sin(now_s / 23)
        self._temperature_cel += (warmed - self._temperature_cel) * min(passed_s / 12, 1)

    def _measurement(self, now_s: float) -> bytes:
        noise = self._random.gauss
        alarms = ["over_temperature"] if self._temperature_cel > 30 else []
        if self.behaviour.condition == "blocked":
            alarms.append("valve_blocked")
        flow = FULL_FLOW_L_PER_MIN * (self.valve_percent / 100) ** 1.4
        return self._frame(
            "measurement",
            {
                "uptime": round(self._uptime_s(now_s) * 1000) & 0xFFFFFFFF,
                "temperature": self._temperature_cel + noise(0, 0.02),
                "humidity": 46 + 6 * math.sin(now_s / 61) + noise(0, 0.1),
                "pressure": round(101_325 + 180 * math.sin(now_s / 97) + noise(0, 4)),
                "flow": max(0.0, flow + noise(0, 0.03)),
                "supply_voltage": 24.0 - 0.15 * self._is_moving + noise(0, 0.01),
                "valve_position": self._echo.told(_half_steps(self.valve_percent), self.behaviour, now_s),
                "mode": self.behaviour.condition or ("moving" if self._is_moving else "holding"),
                "heater": self.valve_percent > 5,
                "alarms": alarms,
            },
        )

    def _status(self, now_s: float) -> bytes:
        return self._frame(
            "status",
            {
                "uptime": int(self._uptime_s(now_s)),
                "restarts": self._restarts,
                "restart_cause": self._restart_cause,
                "processor_load": _half_steps(17 + 4 * math.sin(now_s / 7)),
                "free_memory": 11_264,
                "frames_refused": self._refused,
            },
        )

    def _uptime_s(self, now_s: float) -> float:
        return 0.0 if self._start_s is None else now_s - self._start_s

    def _identity(self) -> bytes:
        values = {"serial_number": self._serial_number, "hardware": 3, "firmware": "1.4.0-sim"}
        return self._frame("identity", values)

    def _frame(self, message: str, values: dict[str, Any]) -> bytes:
        plan = self._profile.messages[message]
        if "counter" in plan.names and "counter" not in values:
            values = {"counter": self._counter, **values}
        body = bytearray(plan.encode(values))
        if message in ("status", "identity", "orders"):
            body[1] = self._counter  # layout only in the profile: nobody needs its value
        if message != "ack":
            self._counter = (self._counter + 1) & 0xFF
        return self._framer.encode(bytes(body))


def _half_steps(percent: float) -> float:
    return round(percent * 2) / 2


def _next(due_s: float, period_s: float, now_s: float) -> float:
    """Return the next time on the grid that is half a period away at least: a late call skips, it does not catch up.

    Two reports that are nearer would show a valve on its way as if it stood still.
    """
    return due_s + period_s * (math.floor((now_s - due_s) / period_s + 0.5 + 1e-6) + 1)
