"""Which topic of a bag is the camera, the gaze or the labels."""

from __future__ import annotations

from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.errors import GazeVlmError

VIDEO_TYPES = ("foxglove_msgs/msg/CompressedVideo", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket")
CAMERA_TYPES = ("sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image", *VIDEO_TYPES)
# What image_transport's plug-ins add to the name of the raw topic: JPEG or PNG, FFMPEGPacket, CompressedVideo.
COMPRESSED_TRANSPORTS = ("/compressed", "/ffmpeg", "/foxglove")
GAZE_TYPE = "gaze_vlm_msgs/msg/GazeStamped"
LABEL_TYPE = "gaze_vlm_msgs/msg/ActionLabel"
# Other trackers' drivers publish bare points; the bag's record gaze_coordinates says what they mean. Normalized: 0 to 1
# over the image's width and height.
POINT_TYPE = "geometry_msgs/msg/PointStamped"
GAZE_COORDINATES = ("px_top_left", "px_bottom_left", "normalized_top_left", "normalized_bottom_left")


class UnclearRole(GazeVlmError):
    """Several topics could be the one that is asked for."""


def topic_of_role(bag: Bag, role: str, *type_names: str) -> str | None:
    """The topic that the bag's record names for `role`, or the only one of these types, or None. Raises UnclearRole."""
    named = bag.metadata.get(role, "")
    if named in bag.topics and bag.topics[named].type_name in type_names:
        return named
    candidates = bag.topics_of(*type_names)
    if len(candidates) > 1:
        # One camera, published raw and compressed, is one choice: the smaller.
        compressed = [name for name in candidates if name.endswith(COMPRESSED_TRANSPORTS)]
        if len(compressed) == 1 and set(candidates) == {compressed[0], compressed[0].rpartition("/")[0]}:
            return compressed[0]
        raise UnclearRole(
            f"{bag.path}: {role} could be {' or '.join(candidates)}, and the bag does not say which; "
            "record again with the topic's parameter set, or leave the others out"
        )
    return candidates[0] if candidates else None


# Each message holds one coded picture. sensor_msgs/CompressedImage is video too where its format names a codec.
