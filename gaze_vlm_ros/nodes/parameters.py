"""Declares a node's parameters, each with a description and, where it is a number, with its range."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from gaze_vlm_ros.errors import GazeVlmError


class BadParameter(GazeVlmError):
    """A parameter is missing, or has a value that it cannot have."""


class Declarations:
    """Of one node. fixed: they are read once, and ROS refuses to change them later."""

    def __init__(self, node: Node, fixed: bool) -> None:
        self._node, self._fixed = node, fixed

    def text(self, name: str, default: str, description: str) -> None:
        self._declare(name, default, description)

    def texts(self, name: str, description: str) -> None:
        """A list of them; none by default, for which ROS has [""]."""
        self._declare(name, [""], description)

    def flag(self, name: str, default: bool, description: str) -> None:
        self._declare(name, default, description)

    def number(self, name: str, default: float, low: float, high: float, description: str) -> None:
        bounds = FloatingPointRange(from_value=low, to_value=high)
        self._declare(name, default, description, floating_point_range=[bounds])

    def count(self, name: str, default: int, low: int, high: int, description: str) -> None:
        bounds = IntegerRange(from_value=low, to_value=high, step=1)
        self._declare(name, default, description, integer_range=[bounds])

    def _declare(self, name: str, default: Any, description: str, **bounds: Any) -> None:
        descriptor = ParameterDescriptor(description=description, read_only=self._fixed, **bounds)
        self._node.declare_parameter(name, default, descriptor)


def declared_like(node: Node, name: str, default: Any) -> Any:
    """The value of a parameter, of the type of its default: `-p clock_period_s:=5` is no type error.

    Raises BadParameter.
    """
    value = node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
    if isinstance(default, list) and isinstance(value, str):
        value = [value]
    try:
        if isinstance(default, bool) and not isinstance(value, bool):
            raise TypeError  # the word "no" is true to bool()
        return [str(item) for item in value] if isinstance(default, list) else type(default)(value)
    except (TypeError, ValueError):
        raise BadParameter(f"{name} is {value!r}, expected something like {default!r}") from None
