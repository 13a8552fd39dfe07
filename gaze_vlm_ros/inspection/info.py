"""Summarize a training bag and what it lost, as data, text and JSON. No ROS needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gaze_vlm_ros.bags.errors import UnreadableMessage
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.bags.roles import open_with_roles
from gaze_vlm_ros.bags.session_records import RECOVERED_TOPIC_RECORD, RECOVERY_RECORD, TopicTotals
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.gaze.summary import gaze_summary
from gaze_vlm_ros.inspection.info_text import summary_text
from gaze_vlm_ros.inspection.roles import camera_of, gaze_of, labels_of
from gaze_vlm_ros.inspection.summary import FRAMES_TRIED, BagSummary, CameraSummary, LabelSummary, TopicSummary
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, viewable_kind

LABELS_SHOWN = 10  # most frequent first; a vocabulary has tens


def describe(path: Path | str, roles: Roles = AS_THE_BAG_SAYS) -> str:
    """Return the summary of a bag as text. Raises what `summarize` raises."""
    return summary_text(summarize(path, roles, progress=True))


def describe_as_json(path: Path | str, roles: Roles = AS_THE_BAG_SAYS) -> str:
    """Return the summary of a bag as JSON. Raises what `summarize` raises."""
    return json.dumps(asdict(summarize(path, roles, progress=True)), indent=2, allow_nan=False)


def summarize(path: Path | str, roles: Roles = AS_THE_BAG_SAYS, progress: bool = False) -> BagSummary:
    """Read every message of a bag once, which verifies its checksums. Raises what open_with_roles raises.

    progress: show a bar on stderr where that is a terminal.
    """
    with open_with_roles(path, roles) as bag:
        total = sum(map(len, bag.topics.values()))
        disable = None if progress else True  # None: unless stderr is a terminal
        with tqdm(total=total, desc="messages", unit="message", mininterval=0.5, leave=False, disable=disable) as bar:
            topics = [_topic_summary(stream, bag.totals.get(name), bar.update) for name, stream in bag.topics.items()]
        camera_role, _, frames = camera_of(bag)
        gaze_role, _, gaze = gaze_of(bag, frames)
        camera, problem = _camera_summary(frames) if frames else (None, "")
        label_role, _, labels, label_file = labels_of(bag, frames)
        filled = [stream.arrivals_ns for stream in bag.topics.values() if stream]
        start_ns = min((int(arrivals_ns[0]) for arrivals_ns in filled), default=None)
        stop_ns = max((int(arrivals_ns[-1]) for arrivals_ns in filled), default=0)
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
            camera_role=replace(camera_role, reason=problem) if problem else camera_role,
            gaze_role=gaze_role,
            label_role=label_role,
            camera=camera,
            gaze=gaze_summary(gaze, (camera.width, camera.height) if camera else None) if gaze else None,
            labels=_label_summary(labels) if labels is not None else None,
            label_origin=label_file.origin() if label_file else "",
            lost=_sum_if_all_known([topic.lost for topic in topics]),
        )


def _topic_summary(stream: TopicStream, totals: TopicTotals | None, progress: Callable[[], object]) -> TopicSummary:
    unreadable, stamped = "", stream.is_stamped
    try:
        times_ns = np.sort(stream.read_stamps(progress)) if stamped else stream.arrivals_ns
        if stream:
            stream.message(0)
    except UnreadableMessage as error:
        unreadable, stamped, times_ns = str(error), False, stream.arrivals_ns
    if not stamped:
        stream.verify(progress)
    intervals_ns = np.diff(times_ns)
    median_ns = float(np.median(intervals_ns)) if len(intervals_ns) else 0.0
    return TopicSummary(
        name=stream.topic,
        type_name=stream.type_name,
        messages=len(stream),
        stamped=stamped,
        rate_hz=1e9 / median_ns if median_ns > 0 else None,
        first_ns=int(times_ns[0]) if len(times_ns) else None,
        last_ns=int(times_ns[-1]) if len(times_ns) else None,
        longest_gap_s=float(intervals_ns.max()) / 1e9 if len(intervals_ns) else None,
        received=totals.received if totals else None,
        written=totals.written if totals else None,
        lost=totals.lost if totals and totals.lost_is_known else None,
        unreadable=unreadable,
    )


def _camera_summary(frames: FrameStream) -> tuple[CameraSummary | None, str]:
    """Return the first frame that can be decoded; or None, and why the last one tried cannot be."""
    problem = f"every frame of {frames.topic} is lost"
    keyframes_ns = frames.stamps_ns[frames.is_keyframe]
    has_keyframes = 1 < len(keyframes_ns) < len(frames)
    keyframe_s = float(np.median(np.diff(keyframes_ns))) / 1e9 if has_keyframes else None
    for index in np.flatnonzero(~frames.is_lost)[:FRAMES_TRIED].tolist():
        try:
            height, width, _ = frames.rgb(index).shape
        except (DamagedImage, UnknownEncoding) as error:
            problem = str(error)
            continue
        message = frames.message(index)
        name = getattr(message, "encoding", None) or message.format or viewable_kind(message)
        return CameraSummary(width, height, name, keyframe_s, int(np.count_nonzero(frames.is_lost))), ""
    return None, problem


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
