"""Faults applied to the bytes that the simulated glasses send."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

ALL = "all"  # streams


@dataclass
class Faults:
    """Switches that may be turned while the device runs."""

    packet_loss: float = 0.0  # share of the RTP packets that never leave
    duplicates: float = 0.0  # share that leaves twice
    reordering: float = 0.0  # share that leaves after its successor
    garbage: float = 0.0  # share preceded by a packet that does not belong to the stream
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
    """Loses, duplicates, reorders and garbles the packets of one session on their way out."""

    faults: Faults
    random: random.Random
    lost: int = 0
    _held: bytes | None = None

    def put(self, packet: bytes) -> list[bytes]:
        """Return the packets that leave in place of one."""
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
    """Return bytes that arrive at the same port and are not a packet of this stream."""
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
