"""Labels of a bag: those in it, and those in the label file beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaze_vlm_ros.bags.stamps import header_stamp_ns
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.labels.label_file import LabelFile, bag_identity, label_file_path, read_label_file
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.video.frame_stream import FrameStream


def read_labels(stream: TopicStream) -> LabelTrack:
    """Return all labels of a topic of ActionLabel messages, by their stamps. Raises BagDamaged."""
    messages = sorted(stream.messages(), key=header_stamp_ns)
    return LabelTrack(
        np.array([header_stamp_ns(message) for message in messages], np.int64),
        [message.text for message in messages],
        [message.verb for message in messages],
        [message.object_class for message in messages],
    )


def label_file_of(bag: Path, session: str, frames: FrameStream) -> LabelFile | None:
    """Return the labels in the file beside a bag, None where there is no such file or no frame.

    bag: path of the bag. session: name in the bag's record, "" = none. frames: identify the recording.
    Raises BadLabelFile, OtherBagsLabels.
    """
    path = label_file_path(bag)
    if not path.exists() or not len(frames):
        return None
    return read_label_file(path, bag_identity(session, frames.stamps_ns))
