"""Message classes of rclpy by type name."""

from __future__ import annotations

import importlib
from typing import Any

from gaze_vlm_ros.bags.message_types import UnknownMessageType


def message_class_of(type_name: str) -> Any:
    """Return rclpy's class of e.g. "sensor_msgs/msg/Image". Raises UnknownMessageType."""
    package, _, name = type_name.partition("/msg/")
    try:
        if not package.isidentifier() or not name.isidentifier():  # the name comes from whoever publishes the topic
            raise ImportError
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        raise UnknownMessageType(f"message type {type_name} is not installed here; source its workspace") from None
