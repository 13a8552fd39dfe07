"""Which topic of a bag is the camera, the gaze, the labels or the boxes of things."""

from __future__ import annotations

from gaze_vlm_ros.bags.reader import Bag
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
# Drivers of other trackers publish bare points. The bag's record gaze_coordinates says what they mean; normalized: from
# 0 to 1 over the image's width and height.
POINT_TYPE = "geometry_msgs/msg/PointStamped"
GAZE_COORDINATES = ("px_top_left", "px_bottom_left", "normalized_top_left", "normalized_bottom_left")


class UnclearRole(GazeVlmError):
    """Several topics could play the role."""


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
        raise UnclearRole(
            f"{bag.path}: {role} could be {' or '.join(candidates)}, and the bag does not say which; "
            "record again with the topic's parameter set, or leave the others out"
        )
    return next(iter(candidates.values()), None)
