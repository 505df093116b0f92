"""The motor controller of `profiles/can/motor`, simulated: frames by the profile's own plans, behaviour by its DBC.

It obeys MOTOR_COMMAND for 200 ms each and then coasts to a stop; where nobody has ever commanded it, it runs a
programme of its own, as from a local panel. What it does instead when it is told to, is in `behaviour.py`. Pure: time
and frames come in, frames go out.
"""

from __future__ import annotations

import math
import random
from typing import Any, Final, NamedTuple

from gateway.framing.checks import check_of
from gateway.profile.build import CompiledProfile
from gateway.schema.plan import Refused, values_of
from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.obedience import Actuator, Answers, Echo, clamped

STATUS_PERIOD_S: Final = 0.02  # motor.dbc, comment on MOTOR_STATUS
ROUNDING_S: Final = 1e-7  # of times in doubles
COMMAND_TIMEOUT_S: Final = 0.2  # motor.dbc, comment on MOTOR_COMMAND
BOOT_S: Final = 0.1  # from a restart to the first frame
ACCELERATION_PER_S: Final = 6000.0  # 1/min per second: full speed in half a second, before a command expires
MAX_SPEED: Final = 3000
COMMAND_ID, STATUS_ID, ACK_ID = 0x200, 0x201, 0x202
PROGRAMME: Final = ((0.0, 0.0), (2.0, 1500.0), (12.0, 2400.0), (20.0, 600.0), (26.0, -800.0), (34.0, 0.0), (40.0, 0.0))
CONDITIONS: Final = ("overheat", "stall")  # FaultCode; a motor in either stops


class CanFrame(NamedTuple):
    """One classic frame."""

    can_id: int
    data: bytes


class MotorController:
    """One controller from power-on. The same seed and the same inputs give the same frames."""

    def __init__(self, profile: CompiledProfile, *, seed: int = 3) -> None:
        self._profile = profile
        self._random = random.Random(seed)  # noqa: S311 - measurement noise
        self._checksum = check_of("crc-8-sae-j1850")
        self.behaviour = GOOD
        self.speed_per_min = 0.0
        self._temperature_cel = 31.0
        self._has_programme = True
        self._echo: Echo[float] = Echo()
        self._acks: Answers[CanFrame] = Answers()
        self._boot_s = -math.inf  # it says and hears nothing before
        self._begin()

    def _begin(self) -> None:
        self._start_s: float | None = None
        self._last_s = self._status_s = 0.0
        self._counter = 0
        self._commanded_s: float | None = None
        self._answered: int | None = None
        self._speed = Actuator(0.0)

    def behave(self, behaviour: Behaviour) -> None:
        """Treat commands so from now on. Raises: ValueError for a condition that it has not."""
        self.behaviour = behaviour.known_to(CONDITIONS)

    def restart(self, now_s: float) -> None:
        """Begin anew after `BOOT_S`: it coasts to a stop, and stands until it is commanded."""
        self._begin()
        self._acks.forget()
        self._has_programme = False
        self._boot_s = now_s + BOOT_S

    def due(self, now_s: float) -> list[CanFrame]:
        """Return the frames that are due at `now_s`."""
        if self._start_s is None:
            self._start_s = self._last_s = self._status_s = now_s
        self._move(now_s)
        if now_s < self._boot_s:
            return []
        frames = self._acks.due(now_s)
        if now_s + ROUNDING_S >= self._status_s:
            behind = math.floor((now_s - self._status_s) / STATUS_PERIOD_S + 1e-6)
            self._status_s += STATUS_PERIOD_S * (behind + 1)
            frames.append(self._status(now_s))
        return frames

    def receive(self, frame: CanFrame, now_s: float) -> list[CanFrame]:
        """Take a frame from the bus; return the answer to a command with a new counter, where it is prompt."""
        if frame.can_id != COMMAND_ID or now_s < self._boot_s or self.behaviour.ignores:
            return []
        plan = self._profile.messages["command"]
        try:
            command = values_of(plan, plan.decode(frame.data))
        except Refused:
            return []
        if self.behaviour.restarts:
            self.restart(now_s)
            return []
        counter = command.get("Counter")
        result = self._judge(command, frame.data)
        if result == "accepted":
            self._obey(command["TargetSpeed"] if command["Enable"] == "on" else 0.0, now_s)
        if counter is None or counter == self._answered:
            return []
        self._answered = counter
        ack = self._frame(ACK_ID, "ack", {"Command": "set_speed", "Result": result, "Counter": counter})
        return self._acks.give(ack, self.behaviour, now_s)

    def _obey(self, speed: float, now_s: float) -> None:
        is_driven = self._commanded_s is not None and now_s - self._commanded_s <= COMMAND_TIMEOUT_S
        self._commanded_s = now_s
        if not is_driven:
            self._speed.order(self.speed_per_min, GOOD, now_s)  # from here, and on until it obeys
        self._has_programme = False
        is_repeated = is_driven and clamped(speed, self.behaviour) == self._speed.ordered
        if not self.behaviour.lies and not is_repeated:
            self._speed.order(speed, self.behaviour, now_s)

    def _judge(self, command: dict[str, Any], data: bytes) -> str:
        if len(data) < 8 or self._checksum.compute(data[:7]) != command["Checksum"]:
            return "bad_checksum"
        if abs(command["TargetSpeed"]) > MAX_SPEED:
            return "out_of_range"
        is_able = self.behaviour.lies or not (self.behaviour.condition or self.behaviour.refuses)
        return "accepted" if is_able else "fault_present"

    def _move(self, now_s: float) -> None:
        passed_s, self._last_s = now_s - self._last_s, now_s
        target = self._speed.target(self.behaviour, now_s)
        if self.behaviour.condition:
            target = 0.0
        elif self._has_programme:
            target = _programme((now_s - (self._start_s or 0.0)) % PROGRAMME[-1][0])
        elif self._commanded_s is None or now_s - self._commanded_s > COMMAND_TIMEOUT_S:
            target = 0.0
        target = min(max(target, -MAX_SPEED), MAX_SPEED)
        step = ACCELERATION_PER_S * passed_s
        self.speed_per_min += max(-step, min(step, target - self.speed_per_min))
        warm = 31 + 26 * abs(self.speed_per_min) / MAX_SPEED
        self._temperature_cel += (warm - self._temperature_cel) * min(passed_s / 30, 1)

    def _status(self, now_s: float) -> CanFrame:
        self._counter = (self._counter + 1) & 0xF
        noise = self._random.gauss
        values = {
            "speed": self._echo.told(
                round(self.speed_per_min + (noise(0, 2) if self.speed_per_min else 0)), self.behaviour, now_s
            ),
            "current": 0.4 + 9 * self.speed_per_min / MAX_SPEED + noise(0, 0.1),
            "fault": self.behaviour.condition or "none",
            "temperature": round(self._temperature_cel),
            "voltage": 24.25 - 0.5 * abs(self.speed_per_min) / MAX_SPEED,
            "Counter": self._counter,
            "enabled": "on" if self.speed_per_min else "off",
        }
        return self._frame(STATUS_ID, "status", values)

    def _frame(self, can_id: int, message: str, values: dict[str, Any]) -> CanFrame:
        """Encode; the checksum covers the seven bytes before it (motor.dbc)."""
        plan = self._profile.messages[message]
        open_ = plan.encode({**values, "Checksum": 0})
        return CanFrame(can_id, open_[:7] + bytes([self._checksum.compute(open_[:7])]))


def _programme(second: float) -> float:
    """Return the speed the local panel asks for."""
    return next(speed for start, speed in reversed(PROGRAMME) if second >= start)
