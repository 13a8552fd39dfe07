"""QoS profiles, as rosbag2 writes them."""

from __future__ import annotations

from typing import Any

from rclpy.qos import QoSProfile

from gaze_vlm_ros.bags.stamps import split_ns


def rosbag2_qos(qos: QoSProfile) -> dict[str, Any]:
    def duration(value: Any) -> dict[str, int]:
        whole, rest_ns = split_ns(value.nanoseconds)
        return {"sec": whole, "nsec": rest_ns}

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
