"""Build the status of one part of a node for /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node


def diagnostic_status(
    node: Node, part: str, level: bytes, text: str, values: Mapping[str, object], hardware_id: str
) -> DiagnosticStatus:
    """Build a status named after the node and `part`.

    level: DiagnosticStatus.OK, WARN or ERROR. values: figures by name; the name includes the unit.
    """
    return DiagnosticStatus(
        name=f"{node.get_fully_qualified_name()}: {part}",
        level=level,
        message=text,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
