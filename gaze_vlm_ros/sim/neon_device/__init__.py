"""A local stand-in for the Neon Companion app: streams a native recording to the real client of the glasses.

It answers what `pupil-labs-realtime-api` queries a phone for: REST and websocket status, the calibration file, time
echo, RTSP with RTP and RTCP over UDP or interleaved TCP. It misbehaves on request, as `faults.py` lists. It has no
recording control, no templates, no eye video or audio, and no tunnel of RTSP through websockets.
"""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.sim.neon_device.check import (
        NoReplayLog,
        ReplayCheck,
        StreamCheck,
        check_replay,
    )
    from gaze_vlm_ros.sim.neon_device.clock import PhoneClock, SkewedClock
    from gaze_vlm_ros.sim.neon_device.device import DeviceSettings, NeonDevice
    from gaze_vlm_ros.sim.neon_device.faults import Fault, UnknownFault
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.sim.neon_device.check": ["NoReplayLog", "ReplayCheck", "StreamCheck", "check_replay"],
            "gaze_vlm_ros.sim.neon_device.clock": ["PhoneClock", "SkewedClock"],
            "gaze_vlm_ros.sim.neon_device.device": ["DeviceSettings", "NeonDevice"],
            "gaze_vlm_ros.sim.neon_device.faults": ["Fault", "UnknownFault"],
        },
    )

__all__ = [
    "DeviceSettings",
    "Fault",
    "NeonDevice",
    "NoReplayLog",
    "PhoneClock",
    "ReplayCheck",
    "SkewedClock",
    "StreamCheck",
    "UnknownFault",
    "check_replay",
]
