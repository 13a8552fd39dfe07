"""Which topic of a bag is the camera, the gaze, the labels or the boxes of things."""

from __future__ import annotations

from pathlib import Path

from gaze_vlm_ros.bags.reader import Bag, open_bag
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.errors import GazeVlmError

# Each message of these types holds one coded picture. sensor_msgs/CompressedImage is video too if its format names a
# codec.
VIDEO_TYPES = ("foxglove_msgs/msg/CompressedVideo", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket")
CAMERA_TYPES = ("sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image", *VIDEO_TYPES)
# Suffixes that image_transport's plug-ins add to the name of the raw topic: JPEG or PNG, FFMPEGPacket, CompressedVideo.
COMPRESSED_TRANSPORTS = ("/compressed", "/ffmpeg", "/foxglove")
GAZE_TYPE = "gaze_vlm_msgs/msg/GazeStamped"
LABEL_TYPE = "gaze_vlm_msgs/msg/ActionLabel"
REGIONS_TYPE = "gaze_vlm_msgs/msg/ImageRegions"
POINT_TYPE = "geometry_msgs/msg/PointStamped"  # what drivers of other trackers publish


class UnclearRole(GazeVlmError):
    """Several topics could play the role, or the one that is named cannot."""


def open_with_roles(path: Path | str, roles: Roles = AS_THE_BAG_SAYS) -> Bag:
    """Open a bag whose metadata have what the user says in place of what the bag says.

    Raises what open_bag raises, NoSuchTopic, and UnclearRole for a topic of a type that cannot play its role.
    """
    bag = open_bag(path)
    for role, name, type_names in (
        ("camera_topic", roles.camera_topic, CAMERA_TYPES),
        ("gaze_topic", roles.gaze_topic, (GAZE_TYPE, POINT_TYPE)),
    ):
        if name:
            stream = bag.read(name if name in bag.topics else f"/{name.lstrip('/')}")
            if stream.type_name not in type_names:
                raise UnclearRole(
                    f"{path}: {stream.topic} cannot be the {role}: it carries {stream.type_name or 'no type'}, "
                    f"expected {' or '.join(type_names)}"
                )
            bag.metadata[role] = stream.topic
    if roles.gaze_coordinates:
        bag.metadata["gaze_coordinates"] = roles.gaze_coordinates
    return bag


def camera_stream(bag: Bag) -> TopicStream | None:
    """Return the camera's messages, None where the bag has none. Raises UnclearRole."""
    return _stream_of(bag, "camera_topic", *CAMERA_TYPES)


def gaze_stream(bag: Bag) -> TopicStream | None:
    """Return the gaze messages, of GAZE_TYPE or POINT_TYPE; None where the bag has none. Raises UnclearRole.

    Points count as gaze only where the bag names their topic: on a robot, points are mostly something else.
    """
    named = bag.topics.get(bag.metadata.get("gaze_topic", ""))
    if named is not None and named.type_name == POINT_TYPE:
        return named
    return _stream_of(bag, "gaze_topic", GAZE_TYPE)


def label_stream(bag: Bag) -> TopicStream | None:
    """Return the label messages, None where the bag has none. Raises UnclearRole."""
    return _stream_of(bag, "label_topic", LABEL_TYPE)


def regions_stream(bag: Bag) -> TopicStream | None:
    """Return the messages with boxes of things, None where the bag has none. Raises UnclearRole."""
    return _stream_of(bag, "regions_topic", REGIONS_TYPE)


def _stream_of(bag: Bag, role: str, *type_names: str) -> TopicStream | None:
    """Return the topic that the bag's record names for `role`, or else the only one of these types."""
    named = bag.topics.get(bag.metadata.get(role, ""))
    if named is not None and named.type_name in type_names:
        return named
    candidates = {stream.topic: stream for stream in bag.streams_of(*type_names)}
    if len(candidates) > 1:
        # A camera that is published raw and compressed is one choice: the smaller.
        compressed = [name for name in candidates if name.endswith(COMPRESSED_TRANSPORTS)]
        if len(compressed) == 1 and set(candidates) == {compressed[0], compressed[0].rpartition("/")[0]}:
            return candidates[compressed[0]]
        options = {"camera_topic": "give --camera-topic", "gaze_topic": "give --gaze-topic"}
        raise UnclearRole(
            f"{bag.path}: {role} could be {' or '.join(candidates)}, and the bag does not say which; "
            f"{options.get(role, 'leave the others out')}"
        )
    return next(iter(candidates.values()), None)
