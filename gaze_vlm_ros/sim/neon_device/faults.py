"""Faults that the simulated glasses can inject, by the names of the command line. All are off at first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.sim.neon_device.wire import Faults


class UnknownFault(GazeVlmError):
    """A requested fault does not exist, or has an invalid value."""


def _share(value: str) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError("a share is 0 to 1")
    return share


# name: attribute of Faults, and how its value is read
_SWITCHES: dict[str, tuple[str, Callable[[str], object]]] = {
    "loss": ("packet_loss", _share),
    "duplicates": ("duplicates", _share),
    "reordering": ("reordering", _share),
    "garbage": ("garbage", _share),
    "late-report": ("report_delay_s", float),
    "wrap-after": ("wrap_after_s", float),
    "wrong-stamps": ("stamp_error_s", float),
    "unknown-component": ("unknown_component", lambda value: value != "off"),
}
_EVENTS = {
    "clock": "by how many seconds the phone's clock is set",
    "silent": "for how many seconds nothing is sent",
    "refuse": "for how many seconds RTSP requests are refused",
    "unplug": "for how many seconds the glasses are unplugged",
    "abort": "nothing",
}
FAULT_HELP = (
    "NAME[=VALUE][@SECONDS from the start of the replay]; switches: " + ", ".join(_SWITCHES) + "; events: "
) + ", ".join(f"{name} (value: {value})" for name, value in _EVENTS.items())


@dataclass(frozen=True)
class Fault:
    """One entry of a schedule: `name` with its value, `at_s` after the first sample, or at once where None."""

    name: str
    value: str = ""
    at_s: float | None = None

    @staticmethod
    def parse(text: str) -> Fault:
        """Read NAME[=VALUE][@SECONDS]. Raises UnknownFault."""
        head, at, seconds = text.partition("@")
        name, _, value = head.partition("=")
        try:
            fault = Fault(name, value, float(seconds) if at else None)
            if name in _SWITCHES:
                _SWITCHES[name][1](value)
            elif name not in _EVENTS:
                raise ValueError("no such fault")
            elif name != "abort":
                float(value)
        except ValueError as error:
            raise UnknownFault(f"fault '{text}': {error}; expected {FAULT_HELP}") from None
        return fault

    def turn(self, faults: Faults) -> bool:
        """Turn this fault's switch in `faults`; return False, with nothing done, where it is an event instead."""
        if self.name not in _SWITCHES:
            return False
        attribute, read = _SWITCHES[self.name]
        setattr(faults, attribute, read(self.value))
        return True
