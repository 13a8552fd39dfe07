"""Message definitions, type hashes and (de)serialization without ROS."""

from __future__ import annotations

import functools
import math
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from gaze_vlm_ros.errors import GazeVlmError

# Fields that a type of ours gained after a release: how many at its end, and what they are where they are left out.
_LATER_FIELDS = {"gaze_vlm_msgs/msg/GazeStamped": (3, math.nan)}


class UnknownMessageType(GazeVlmError):
    """Neither rosbags nor any installed ROS package defines the type."""


class TypeDescription(NamedTuple):
    """Description of a message type as MCAP and rosbag2 store it."""

    definition: str  # text with those of all nested types; bytes that are not UTF-8 as surrogate escapes
    type_hash: str  # REP-2016, RIHS01_...
    encoding: str = "ros2msg"  # of the definition; another one than .msg texts only in copies


@functools.cache
def known_types() -> Typestore:
    """Return the type store of this process: standard packages, and all types described or read so far."""
    return get_typestore(Stores.ROS2_KILTED)


def describe_type(type_name: str) -> TypeDescription:
    """Return definition and hash of a type, e.g. "sensor_msgs/msg/Image". Raises UnknownMessageType."""
    store = known_types()
    _register(type_name)
    definition, _ = store.generate_msgdef(type_name, ros_version=2)
    return TypeDescription(definition, store.hash_rihs01(type_name))


def message_class(type_name: str) -> Any:
    """Return the dataclass of a type, with its fields in order and its constants. Raises UnknownMessageType.

    Fields that a type of ours gained later may be left out: they are then unknown.
    """
    _register(type_name)
    found = known_types().types[type_name]
    if type_name in _LATER_FIELDS:
        count, value = _LATER_FIELDS[type_name]
        # rosbags gives a default only to the constants, which stand after the fields.
        constants = found.__init__.__code__.co_argcount - 1 - len(known_types().fielddefs[type_name][1])
        found.__init__.__defaults__ = (value,) * count + (found.__init__.__defaults__ or ())[-constants:]
    return found


def serialize(message: Any, type_name: str) -> bytes:
    """Return an instance of a `message_class` as CDR bytes, including the encapsulation header."""
    _register(type_name)
    return bytes(known_types().serialize_cdr(message, type_name))


def deserialize(data: bytes, type_name: str) -> Any:
    """Return the instance of a `message_class` in CDR bytes. Bytes that are no such message raise any exception."""
    _register(type_name)
    return known_types().deserialize_cdr(data, type_name)


def begins_with_stamp(type_name: str, types: Typestore) -> bool:
    """Return whether messages of a type begin with their stamp: std_msgs/Header, or Foxglove's `timestamp`."""
    definition = types.fielddefs.get(type_name)
    if definition is None or not definition[1]:
        return False
    name, (_, field_type) = definition[1][0]
    return field_type == "std_msgs/msg/Header" or (name, field_type) == ("timestamp", "builtin_interfaces/msg/Time")


def _register(type_name: str) -> None:
    store = known_types()
    if type_name in store.fielddefs:
        return
    text = _installed_definition(type_name).read_text(encoding="utf-8")
    # Nested types must be known before the hash can be computed.
    new_types = get_types_from_msg(text, type_name)
    for _, fields in new_types.values():
        for _, field in fields:
            for nested in _nested_names(field):
                if nested not in new_types:
                    _register(nested)
    store.register(new_types)


def _nested_names(field: tuple[Any, ...]) -> list[str]:
    """Return the names of the message types in one rosbags field description."""
    kind, inner = field
    if int(kind) == 2:  # Nodetype.NAME
        return [inner]
    if int(kind) in (3, 4):  # Nodetype.ARRAY, SEQUENCE: (element, length)
        return _nested_names(inner[0])
    return []


def _installed_definition(type_name: str) -> Path:
    package, _, name = type_name.partition("/msg/")
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    places = [Path(prefix, "share", package, "msg", f"{name}.msg") for prefix in prefixes]
    # In a checkout gaze_vlm_msgs is beside this package, so reading bags needs no build.
    places.append(Path(__file__).resolve().parents[2] / package / "msg" / f"{name}.msg")
    for place in places:
        if place.is_file():
            return place
    raise UnknownMessageType(
        f"message type {type_name} is not known: no {package}/msg/{name}.msg in {', '.join(prefixes)}; "
        "source the workspace that has it"
    )
