"""Video files: packets decoded one by one, and a refusal of pictures that a player turns or mirrors."""

from __future__ import annotations

import shlex
import struct
from pathlib import Path
from typing import Any

import av
from av.sidedata.sidedata import Type

from gaze_vlm_ros.errors import GazeVlmError


class TurnedVideo(GazeVlmError):
    """A player would turn or mirror the pictures, and it is not known which of the two gaze is on."""


def decoded(packet: Any) -> list[Any]:
    """Frames that a packet completes; none where it is damaged."""
    try:
        return list(packet.decode())
    except av.FFmpegError:
        return []


def require_upright(path: Path) -> None:
    """Raise TurnedVideo where the first frame that decodes is to be turned or mirrored for display."""
    with av.open(str(path)) as container:
        frames = (frame for packet in container.demux(video=0) for frame in decoded(packet))
        first = next(frames, None)
        matrices = [bytes(data) for data in first.side_data if data.type == Type.DISPLAYMATRIX] if first else []
    if first is None or not matrices:
        return
    across, down, right, below = struct.unpack_from("=ii4xii", matrices[0])  # where a step to the right, and down, goes
    if down or right or across <= 0 or below <= 0:
        name = shlex.quote(path.name)
        how = "mirrored" if across * below < down * right else f"turned by {first.rotation} degrees"
        raise TurnedVideo(
            f"{path} is {how} for display, and whether gaze is on the picture as it is stored or as it is displayed is "
            f"not known; on the stored one: `ffmpeg -display_rotation 0 -i {name} -c copy NEW` removes the turn; "
            f"on the displayed one: `ffmpeg -i {name} NEW` turns the pictures themselves"
        )
