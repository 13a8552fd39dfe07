"""Training bags: open, read, write and recover MCAP files as rosbag2 writes them. No ROS needed."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.bags.errors import BagDamaged, BagNotFound, NoSuchTopic, NotABag
    from gaze_vlm_ros.bags.message_types import (
        TypeDescription,
        UnknownMessageType,
        describe_type,
        message_class,
        serialize,
    )
    from gaze_vlm_ros.bags.reader import Bag, open_bag
    from gaze_vlm_ros.bags.recover import BagIsWhole, NothingToSave, Recovery
    from gaze_vlm_ros.bags.roles import UnclearRole, camera_stream, gaze_stream, label_stream
    from gaze_vlm_ros.bags.session_records import TopicTotals
    from gaze_vlm_ros.bags.stamps import duration_s, header_stamp_ns, nanoseconds, split_ns
    from gaze_vlm_ros.bags.topic_stream import TopicStream
    from gaze_vlm_ros.bags.writer import BagExists, BagNotWritable, BagWriter, Split
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.bags.errors": ["BagDamaged", "BagNotFound", "NoSuchTopic", "NotABag"],
            "gaze_vlm_ros.bags.message_types": [
                "TypeDescription",
                "UnknownMessageType",
                "describe_type",
                "message_class",
                "serialize",
            ],
            "gaze_vlm_ros.bags.reader": ["Bag", "open_bag"],
            "gaze_vlm_ros.bags.recover": ["BagIsWhole", "NothingToSave", "Recovery"],
            "gaze_vlm_ros.bags.roles": ["UnclearRole", "camera_stream", "gaze_stream", "label_stream"],
            "gaze_vlm_ros.bags.session_records": ["TopicTotals"],
            "gaze_vlm_ros.bags.stamps": ["duration_s", "header_stamp_ns", "nanoseconds", "split_ns"],
            "gaze_vlm_ros.bags.topic_stream": ["TopicStream"],
            "gaze_vlm_ros.bags.writer": ["BagExists", "BagNotWritable", "BagWriter", "Split"],
        },
    )

__all__ = [
    "Bag",
    "BagDamaged",
    "BagExists",
    "BagIsWhole",
    "BagNotFound",
    "BagNotWritable",
    "BagWriter",
    "NoSuchTopic",
    "NotABag",
    "NothingToSave",
    "Recovery",
    "Split",
    "TopicStream",
    "TopicTotals",
    "TypeDescription",
    "UnclearRole",
    "UnknownMessageType",
    "camera_stream",
    "describe_type",
    "duration_s",
    "gaze_stream",
    "header_stamp_ns",
    "label_stream",
    "message_class",
    "nanoseconds",
    "open_bag",
    "serialize",
    "split_ns",
]
