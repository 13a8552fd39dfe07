"""What is in a training bag, and what was lost: figures, and text for a person. No ROS needed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np

from gaze_vlm_ros.bags.reader import Bag, open_bag
from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE, UnclearRole, topic_of_role
from gaze_vlm_ros.bags.writer import RECOVERED_TOPIC_RECORD, RECOVERY_RECORD
from gaze_vlm_ros.gaze.summary import gaze_summary
from gaze_vlm_ros.inspection.info_text import summary_text
from gaze_vlm_ros.inspection.summary import (
    FRAMES_TRIED,
    BagSummary,
    CameraSummary,
    LabelSummary,
    RoleSummary,
    TopicSummary,
)
from gaze_vlm_ros.labels.label_file import BadLabelFile, LabelFile, OtherBagsLabels, track_of
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.session.frame_stream import FrameStream
from gaze_vlm_ros.session.gaze_track import GazeTrack, UnclearGaze, read_gaze
from gaze_vlm_ros.session.session import label_file_of, read_labels
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding

LABELS_SHOWN = 10  # most frequent first; a vocabulary has tens


def describe(path: Path | str) -> str:
    """Text for a person. Raises what `summarize` raises."""
    return summary_text(summarize(path))


def describe_as_json(path: Path | str) -> str:
    """The figures of BagSummary as JSON. Raises what `summarize` raises."""
    return json.dumps(asdict(summarize(path)), indent=2, ensure_ascii=False, allow_nan=False)


def summarize(path: Path | str) -> BagSummary:
    """Read every message of a bag once, checksums included. Raises BagNotFound, NotABag, BagDamaged."""
    with open_bag(path) as bag:
        topics = [_topic_summary(bag, name) for name in bag.topics]
        camera_role = role_of(bag, "camera_topic", *CAMERA_TYPES)
        frames = None
        try:
            frames = FrameStream(bag, camera_role.topic) if camera_role.topic else None
        except UnknownEncoding as error:
            camera_role = RoleSummary(None, str(error))
        gaze_role, gaze = gaze_of(bag, camera_role.topic)
        camera = _camera_summary(frames) if frames else None
        label_role, labels, label_file = labels_of(bag, frames)
        filled = [info for info in bag.topics.values() if info.count]
        start_ns = min((info.first_ns for info in filled), default=None)
        stop_ns = max((info.last_ns for info in filled), default=0)
        recovery = [record for name, record in bag.records if name == RECOVERY_RECORD]
        recovered = [record for name, record in bag.records if name == RECOVERED_TOPIC_RECORD]
        return BagSummary(
            path=str(path),
            files=bag.file_count,
            size_bytes=bag.size_bytes,
            start_ns=start_ns,
            duration_s=0.0 if start_ns is None else (stop_ns - start_ns) / 1e9,
            metadata=dict(bag.metadata),
            recovery=dict(recovery[-1]) if recovery else {},
            recovered_lost={
                record["topic"]: int(record["lost"])
                for record in recovered
                if "topic" in record and record.get("lost", "0").isdecimal() and int(record.get("lost", "0"))
            },
            has_metadata_yaml=Path(path).is_file() or (Path(path) / "metadata.yaml").is_file(),
            topics=topics,
            camera_role=camera_role,
            gaze_role=gaze_role,
            label_role=label_role,
            camera=camera,
            gaze=gaze_summary(gaze, (camera.width, camera.height) if camera else None) if gaze else None,
            labels=_label_summary(labels) if labels is not None else None,
            label_origin=label_file.origin() if label_file else "",
            lost=_sum_if_all_known([topic.lost for topic in topics]),
        )


def _topic_summary(bag: Bag, name: str) -> TopicSummary:
    info = bag.topics[name]
    stamped = bag.is_stamped(name)
    if stamped:
        times_ns = np.sort(bag.stamps_ns(name))
    else:
        times_ns = bag.log_times_ns(name)
        for index in range(info.count):
            bag.raw(name, index)  # reads what the checksum is of
    intervals_ns = np.diff(times_ns)
    median_ns = float(np.median(intervals_ns)) if len(intervals_ns) else 0.0
    totals = bag.totals.get(name)
    return TopicSummary(
        name=name,
        type_name=info.type_name,
        messages=info.count,
        stamped=stamped,
        rate_hz=1e9 / median_ns if median_ns > 0 else None,
        first_ns=int(times_ns[0]) if len(times_ns) else None,
        last_ns=int(times_ns[-1]) if len(times_ns) else None,
        longest_gap_s=float(intervals_ns.max()) / 1e9 if len(intervals_ns) else None,
        received=totals.received if totals else None,
        written=totals.written if totals else None,
        lost=totals.lost if totals else None,
    )


def role_of(bag: Bag, role: str, *type_names: str) -> RoleSummary:
    try:
        topic = topic_of_role(bag, role, *type_names)
    except UnclearRole as error:
        return RoleSummary(None, str(error))
    if topic is None:
        return RoleSummary(None, f"no topic carries {' or '.join(type_names)}")
    if not bag.topics[topic].count:
        return RoleSummary(None, f"{topic} has no message")
    return RoleSummary(topic, "")


def gaze_of(bag: Bag, camera: str | None) -> tuple[RoleSummary, GazeTrack | None]:
    """As `load_session`, and with the reason in place of an error."""
    named = bag.metadata.get("gaze_topic", "")
    points = named in bag.topics and bag.topics[named].type_name == POINT_TYPE and bag.topics[named].count > 0
    role = RoleSummary(named, "") if points else role_of(bag, "gaze_topic", GAZE_TYPE)
    if role.topic is None:
        return role, None
    if points and camera is None:
        return RoleSummary(None, f"the points of {named} are of an image, and the bag has no camera"), None
    try:
        # Points alone need the frames' size.
        frames = cast(FrameStream, FrameStream(bag, camera) if points and camera else None)
        return role, read_gaze(bag, role.topic, frames)
    except UnclearGaze as error:
        return RoleSummary(None, str(error)), None
    except (DamagedImage, UnknownEncoding) as error:
        return RoleSummary(None, f"the points of {named} are of an image, and the first one is bad: {error}"), None


def labels_of(bag: Bag, frames: FrameStream | None) -> tuple[RoleSummary, LabelTrack | None, LabelFile | None]:
    """As `load_session`, and with the reason in place of an error. The role is that of the bag's own labels."""
    role = role_of(bag, "label_topic", LABEL_TYPE)
    try:
        label_file = label_file_of(bag, frames) if frames is not None else None
    except (BadLabelFile, OtherBagsLabels) as error:
        return RoleSummary(None, str(error)), None, None
    if label_file:
        return role, track_of(label_file.labels), label_file
    return role, read_labels(bag, role.topic) if role.topic else None, None


def _camera_summary(frames: FrameStream) -> CameraSummary | None:
    keyframes_ns = frames.stamps_ns[frames.is_keyframe]
    has_keyframes = 1 < len(keyframes_ns) < len(frames)
    keyframe_s = float(np.median(np.diff(keyframes_ns))) / 1e9 if has_keyframes else None
    for index in np.flatnonzero(~frames.is_lost)[:FRAMES_TRIED].tolist():
        try:
            height, width, _ = frames.rgb(index).shape
        except (DamagedImage, UnknownEncoding):
            continue
        message = frames.message(index)
        name = getattr(message, "encoding", None) or message.format
        return CameraSummary(width, height, name, keyframe_s, int(np.count_nonzero(frames.is_lost)))
    return None


def _label_summary(labels: LabelTrack) -> LabelSummary:
    counts = Counter(text for text in labels.texts if text)
    return LabelSummary(
        labels=counts.total(),
        unlabelled=len(labels) - counts.total(),
        distinct=len(counts),
        most_frequent=counts.most_common(LABELS_SHOWN),
    )


def _sum_if_all_known(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
