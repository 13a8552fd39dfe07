"""The recorder's ~/status message."""

from __future__ import annotations

import math
from collections.abc import Sequence

from builtin_interfaces.msg import Time

from gaze_vlm_msgs.msg import RecorderStatus, TopicStatus
from gaze_vlm_ros.recorder.bag_session import BagSession
from gaze_vlm_ros.recorder.tables import TopicState


def recorder_status(session: BagSession, topics: Sequence[TopicState], free_bytes: int, stamp: Time) -> RecorderStatus:
    """Return the message; free_bytes: on the disk of the bag, stamp: when the topics' states were measured."""
    status = RecorderStatus(
        state=_state(session),
        bag=str(session.folder),
        episode_id=session.episode_id,
        free_bytes=free_bytes,
        clock_offset=math.nan,
        topics=[_topic_status(topic) for topic in topics],
    )
    status.header.stamp = stamp
    return status


def _state(session: BagSession) -> int:
    if session.is_recording:
        return int(RecorderStatus.STATE_RECORDING)
    return int(RecorderStatus.STATE_PAUSED if session.is_ready else RecorderStatus.STATE_WAITING)


def _topic_status(topic: TopicState) -> TopicStatus:
    return TopicStatus(
        name=topic.name,
        type=topic.tally.type_name,
        received=topic.tally.taken,
        written=topic.tally.written,
        dropped=topic.tally.lost,
        rate=topic.rate_hz,
        max_gap=topic.tally.max_gap_s,
    )
