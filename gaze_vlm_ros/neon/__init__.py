"""The glasses: their clock, RTP and H.264 streams, live client and native recordings. No ROS here."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.neon.address import (
        Address,
        BadAddress,
        NoDeviceFound,
        discover,
    )
    from gaze_vlm_ros.neon.client import NeonClient, StreamState
    from gaze_vlm_ros.neon.clock_follower import ClockUnknown
    from gaze_vlm_ros.neon.delivered_log import DeliveredLog
    from gaze_vlm_ros.neon.description import Description
    from gaze_vlm_ros.neon.device_clock import (
        DeviceClock,
        OffsetEstimate,
        StampGuard,
        TimeEcho,
        estimate_offset,
    )
    from gaze_vlm_ros.neon.gaze_delay import GazeDelay
    from gaze_vlm_ros.neon.loop_thread import LoopThread
    from gaze_vlm_ros.neon.packet_sink import StreamLost
    from gaze_vlm_ros.neon.recording import (
        GazeSamples,
        ImuSamples,
        NativeRecording,
        NotANeonRecording,
        VideoPart,
        read_recording,
    )
    from gaze_vlm_ros.neon.rtsp_client import untested_versions
    from gaze_vlm_ros.neon.samples import EyeEvent
    from gaze_vlm_ros.neon.status_watch import DeviceUnreachable
    from gaze_vlm_ros.neon.stream import NeonStream
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.neon.address": ["Address", "BadAddress", "NoDeviceFound", "discover"],
            "gaze_vlm_ros.neon.client": ["NeonClient", "StreamState"],
            "gaze_vlm_ros.neon.clock_follower": ["ClockUnknown"],
            "gaze_vlm_ros.neon.delivered_log": ["DeliveredLog"],
            "gaze_vlm_ros.neon.description": ["Description"],
            "gaze_vlm_ros.neon.device_clock": [
                "DeviceClock",
                "OffsetEstimate",
                "StampGuard",
                "TimeEcho",
                "estimate_offset",
            ],
            "gaze_vlm_ros.neon.gaze_delay": ["GazeDelay"],
            "gaze_vlm_ros.neon.loop_thread": ["LoopThread"],
            "gaze_vlm_ros.neon.recording": [
                "GazeSamples",
                "ImuSamples",
                "NativeRecording",
                "NotANeonRecording",
                "VideoPart",
                "read_recording",
            ],
            "gaze_vlm_ros.neon.packet_sink": ["StreamLost"],
            "gaze_vlm_ros.neon.rtsp_client": ["untested_versions"],
            "gaze_vlm_ros.neon.samples": ["EyeEvent"],
            "gaze_vlm_ros.neon.status_watch": ["DeviceUnreachable"],
            "gaze_vlm_ros.neon.stream": ["NeonStream"],
        },
    )

__all__ = [
    "Address",
    "BadAddress",
    "ClockUnknown",
    "DeliveredLog",
    "Description",
    "DeviceClock",
    "DeviceUnreachable",
    "EyeEvent",
    "GazeDelay",
    "GazeSamples",
    "ImuSamples",
    "LoopThread",
    "NativeRecording",
    "NeonClient",
    "NeonStream",
    "NoDeviceFound",
    "NotANeonRecording",
    "OffsetEstimate",
    "StampGuard",
    "StreamLost",
    "StreamState",
    "TimeEcho",
    "VideoPart",
    "discover",
    "estimate_offset",
    "read_recording",
    "untested_versions",
]
