"""Declare, read and list a node's parameters.

The code that declares a parameter is the only place that holds its default. `listed` gives all declarations of a node
without running it; a test compares them with the YAML in config/ and the tables in docs/.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from gaze_vlm_ros.errors import GazeVlmError

_Values = TypeVar("_Values")


class BadParameter(GazeVlmError):
    """A required parameter is missing, or its value is not allowed."""


class ParameterNode(Protocol):
    """The part of an rclpy Node that declares and reads parameters."""

    def declare_parameter(self, name: str, value: Any, descriptor: ParameterDescriptor) -> Any:
        """Declare a parameter and return it; its `value` is the one set from outside, or the default."""

    def get_parameter(self, name: str) -> Any:
        """Return a declared parameter; its `value` is the current one."""


class Parameter(NamedTuple):
    """One declared parameter."""

    name: str
    default: Any
    description: str
    bounds: tuple[float, float] | None  # smallest and largest value that ROS accepts; None = not a ranged number
    fixed: bool  # ROS refuses to change it while the node runs


class Declarations:
    """Declares parameters on one node, each with a description and, for a number, the range that ROS enforces.

    fixed: the node reads its parameters once, so ROS refuses to change them later.
    """

    def __init__(self, node: ParameterNode, fixed: bool) -> None:
        self._node, self._fixed = node, fixed

    def text(self, name: str, default: str, description: str) -> None:
        """Declare a string."""
        self._declare(name, default, description)

    def texts(self, name: str, description: str, default: tuple[str, ...] = ()) -> None:
        """Declare a list of strings. ROS cannot type an empty list, so an empty default is declared as [""]."""
        self._declare(name, list(default) or [""], description)

    def flag(self, name: str, default: bool, description: str) -> None:
        """Declare a boolean."""
        self._declare(name, default, description)

    def number(self, name: str, default: float, low: float, high: float, description: str) -> None:
        """Declare a float from `low` to `high`, both included."""
        bounds = FloatingPointRange(from_value=low, to_value=high)
        self._declare(name, default, description, floating_point_range=[bounds])

    def count(self, name: str, default: int, low: int, high: int, description: str) -> None:
        """Declare an integer from `low` to `high`, both included."""
        bounds = IntegerRange(from_value=low, to_value=high, step=1)
        self._declare(name, default, description, integer_range=[bounds])

    def _declare(self, name: str, default: Any, description: str, **bounds: Any) -> None:
        descriptor = ParameterDescriptor(description=description, read_only=self._fixed, **bounds)
        self._node.declare_parameter(name, default, descriptor)


def topic_name(node: Any, topic: str) -> str:
    """Return the whole name of a topic, as the node sees it. Raises BadParameter."""
    from rclpy._rclpy_pybind11 import RCLError  # rclpy has no public name for it

    try:
        return str(node.resolve_topic_name(topic))
    except RCLError as error:
        reason = str(error).removeprefix("failed to resolve name: ").split(", at ")[0]
        raise BadParameter(f"{topic!r} is no topic name: {reason}") from None


def read(node: ParameterNode, kind: Callable[..., _Values]) -> _Values:
    """Return a `kind`, a dataclass whose fields are named after parameters, with their current values.

    A list of strings becomes a tuple without its empty strings.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values = {name: node.get_parameter(name).value for name in names}
    return kind(**{
        name: tuple(text for text in value if text) if isinstance(value, list) else value
        for name, value in values.items()
    })  # fmt: skip


def listed(declare: Callable[[Any], object]) -> dict[str, Parameter]:
    """Return the parameters that `declare` declares on the node that it is given, by name; no node is run."""
    node = _ListingNode()
    declare(node)
    return node.parameters


class _DefaultValue(NamedTuple):
    value: Any


class _ListingNode:
    """Stands in for a node: keeps what is declared on it, and reports every default as the current value."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}

    def declare_parameter(self, name: str, value: Any, descriptor: ParameterDescriptor) -> _DefaultValue:
        if name in self.parameters:
            raise BadParameter(f"parameter {name} is declared twice")
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        bounds = (ranges[0].from_value, ranges[0].to_value) if ranges else None
        self.parameters[name] = Parameter(name, value, descriptor.description, bounds, descriptor.read_only)
        return _DefaultValue(value)

    def get_parameter(self, name: str) -> _DefaultValue:
        if name == "use_sim_time":  # rclpy declares it on every node
            return _DefaultValue(False)
        return _DefaultValue(self.parameters[name].default)


def declared_like(node: ParameterNode, name: str, default: Any, description: str = "") -> Any:
    """Declare a parameter and return its value, converted to the type of its default: `-p clock_period_s:=5` works.

    Raises BadParameter where the value cannot be converted.
    """
    value = node.declare_parameter(
        name, default, ParameterDescriptor(description=description, dynamic_typing=True, read_only=True)
    ).value
    if isinstance(default, list) and isinstance(value, str):
        value = [value]
    try:
        if isinstance(default, bool) and not isinstance(value, bool):
            raise TypeError  # bool("no") is True
        return [str(item) for item in value] if isinstance(default, list) else type(default)(value)
    except (TypeError, ValueError):
        raise BadParameter(f"{name} is {value!r}, expected something like {default!r}") from None
