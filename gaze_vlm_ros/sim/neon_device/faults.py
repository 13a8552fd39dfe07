"""What simulated glasses do wrong, so that a client's answer to it can be tested. Everything is off at first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gaze_vlm_ros.errors import GazeVlmError

if TYPE_CHECKING:
    from gaze_vlm_ros.sim.neon_device.device import NeonDevice

ALL = "all"  # streams


class UnknownFault(GazeVlmError):
    """A fault was asked for that the simulated glasses do not have, or with a value that it cannot have."""


@dataclass
class Faults:
    """Switches that may be turned while the device runs."""

    packet_loss: float = 0.0  # share of the RTP packets that never leave
    duplicates: float = 0.0  # share that leaves twice
    reordering: float = 0.0  # share that leaves after the packet behind it
    garbage: float = 0.0  # share that has a packet in front which is none of its stream
    seed: int = 0  # of the draws above
    report_delay_s: float = 0.0  # from PLAY to the first sender report
    wrap_after_s: float | None = None  # from SETUP until the RTP timestamp passes 2**32
    stamp_error_s: float = 0.0  # by which every `stamp_error_every`-th sample's stamp is wrong
    stamp_error_every: int = 10
    stamps_follow_clock: bool = True  # otherwise samples keep their time scale when the phone's clock is set
    unknown_component: bool = False  # at the head of the status: a message of a newer app
    refusing: bool = False  # new RTSP requests
    silent: set[str] = field(default_factory=set)  # streams that send nothing though connected


@dataclass
class Wire:
    """What becomes of the packets of one session on their way out."""

    faults: Faults
    random: random.Random
    lost: int = 0
    _held: bytes | None = None

    def put(self, packet: bytes) -> list[bytes]:
        """The packets that leave in place of one."""
        if self.random.random() < self.faults.packet_loss:
            self.lost += 1
            return []
        out = [garbage(packet, self.random)] if self.random.random() < self.faults.garbage else []
        held, self._held = self._held, None
        if held is None and self.random.random() < self.faults.reordering:
            self._held = packet
            return out
        out += [packet] * (2 if self.random.random() < self.faults.duplicates else 1)
        return out if held is None else [*out, held]


def garbage(packet: bytes, draw: random.Random) -> bytes:
    """Something that arrives at the same port and is no packet of this stream."""
    kind = draw.randrange(5)
    if kind == 0:
        return packet[: draw.randrange(12)]  # cut within the header
    if kind == 1:
        return bytes((packet[0] ^ draw.choice((0x40, 0x80, 0xC0)),)) + packet[1:]  # another version
    if kind == 2:
        return packet[:8] + draw.randbytes(4) + packet[12:]  # another source
    if kind == 3:
        return packet[:1] + bytes((packet[1] ^ draw.randrange(1, 128),)) + packet[2:]  # another payload type
    return draw.randbytes(draw.randrange(200))


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

    async def happen(self, device: NeonDevice) -> None:
        """Turn the switch, or let the event take its time."""
        faults = device.settings.faults
        if self.name in _SWITCHES:
            attribute, read = _SWITCHES[self.name]
            setattr(faults, attribute, read(self.value))
        elif self.name == "clock":
            device.phone_clock.set_by(float(self.value))
        elif self.name == "abort":
            device.abort_connections()
        elif self.name == "silent":
            faults.silent.add(ALL)
            await asyncio.sleep(float(self.value))
            faults.silent.discard(ALL)
        elif self.name == "refuse":
            faults.refusing = True
            await asyncio.sleep(float(self.value))
            faults.refusing = False
        else:
            await device.plug(False)
            await asyncio.sleep(float(self.value))
            await device.plug(True)
