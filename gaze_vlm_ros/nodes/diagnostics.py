"""One part of a node, as /diagnostics tells of it."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node


def diagnostic_status(
    node: Node, part: str, level: bytes, text: str, values: Mapping[str, object], hardware_id: str
) -> DiagnosticStatus:
    """level: one of DiagnosticStatus's. values: figures by their name, which holds the unit."""
    return DiagnosticStatus(
        name=f"{node.get_fully_qualified_name()}: {part}",
        level=level,
        message=text,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
