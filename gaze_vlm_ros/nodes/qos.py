"""Quality of service: what a recording subscribes with, and profiles as rosbag2 writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from gaze_vlm_ros.bags.roles import CAMERA_TYPES

# Messages that DDS keeps for a recording while Python is busy. Images are large; 200 Hz gaze fills 2000 in 10 s.
IMAGE_DEPTH = 100
SAMPLE_DEPTH = 2000


def recording_qos(type_name: str, offered: Sequence[QoSProfile]) -> QoSProfile:
    """Return the strongest profile that every publisher offers; a stronger one would not match the weaker publishers.

    offered: the publishers' profiles; where there are none, reliable and volatile.
    """
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = bool(offered) and all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=IMAGE_DEPTH if type_name in CAMERA_TYPES else SAMPLE_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def rosout_qos() -> QoSProfile:
    """Return the profile of /rosout, as rmw has it; rclpy of Jazzy has no name for it."""
    return QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(seconds=10))


def rosbag2_qos(qos: QoSProfile) -> dict[str, Any]:
    """Return the profile as rosbag2 writes it into a bag's `offered_qos_profiles`."""

    def duration(value: Any) -> dict[str, int]:
        seconds, nanoseconds = divmod(value.nanoseconds, 1_000_000_000)
        return {"sec": seconds, "nsec": nanoseconds}

    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": duration(qos.deadline),
        "lifespan": duration(qos.lifespan),
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": duration(qos.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }
