"""What is in a training bag, and what was lost: figures, and text for a person. No ROS needed."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bag_reader import Bag, open_bag
from gaze_vlm_ros.bag_writer import RECOVERED_TOPIC_RECORD, RECOVERY_RECORD
from gaze_vlm_ros.gaze import BLINK, SACCADE, WORN_NO
from gaze_vlm_ros.images import DamagedImage, UnknownEncoding
from gaze_vlm_ros.labelling.label_file import BadLabelFile, LabelFile, OtherBagsLabels, label_file_path, track_of
from gaze_vlm_ros.labels import LabelTrack
from gaze_vlm_ros.session import (
    CAMERA_TYPES,
    GAZE_TYPE,
    LABEL_TYPE,
    POINT_TYPE,
    FrameStream,
    GazeTrack,
    UnclearGaze,
    UnclearRole,
    label_file_of,
    read_gaze,
    read_labels,
    topic_of_role,
)

MIN_CONFIDENCE = 0.6  # as gaze.aggregate, so that the share is that of the samples which a trainer would use
LABELS_SHOWN = 10  # most frequent first; a vocabulary has tens
FRAMES_TRIED = 30  # about a second: cameras may begin with broken frames, and a whole bag of them is not worth waiting
DESCRIBED = ("session", "person", "task", "scene", "tracker")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class TopicSummary:
    """One topic. Times are acquisition stamps where messages begin with one, else arrival times."""

    name: str
    type_name: str
    messages: int
    stamped: bool  # messages begin with their time of acquisition
    rate_hz: float | None  # of the median interval; None = fewer than two messages, or all at one time
    first_ns: int | None
    last_ns: int | None
    longest_gap_s: float | None  # between two messages that follow each other in time
    received: int | None  # of the recorder's totals; None = not known
    written: int | None
    lost: int | None


@dataclass(frozen=True)
class CameraSummary:
    """The camera's first frame that can be decoded."""

    width: int
    height: int
    format: str  # encoding of raw images, format of compressed ones
    keyframe_s: float | None = None  # of video: median time from one keyframe to the next; None = fewer than two
    lost_frames: int = 0  # of video: before the first keyframe, or between a lost packet and the next one


@dataclass(frozen=True)
class GazeSummary:
    """Gaze samples, as `gaze.aggregate` would use them. One sample can fail for several reasons."""

    samples: int
    valid: int
    not_worn: int
    unsure: int  # confidence below MIN_CONFIDENCE
    off_image: int  # or no estimate at all
    blink_or_saccade: int
    no_estimate: int  # of those off the image, the ones whose x or y is NaN or infinite


@dataclass(frozen=True)
class LabelSummary:
    """Action labels."""

    labels: int  # with a text
    unlabelled: int  # without: "from here on nothing is labelled"
    distinct: int
    most_frequent: list[tuple[str, int]]


@dataclass(frozen=True)
class RoleSummary:
    """What a trainer would take for the camera, the gaze or the labels: a topic, or else why there is none."""

    topic: str | None
    reason: str


@dataclass(frozen=True)
class BagSummary:
    """Everything that `gaze-vlm bag info` tells."""

    path: str
    files: int
    size_bytes: int
    start_ns: int | None  # arrival of the first message; None = there is none
    duration_s: float  # to the arrival of the last
    metadata: dict[str, str]
    recovery: dict[str, str]  # what the bag was recovered from; empty = it was not
    recovered_lost: dict[str, int]  # messages by topic that the recovery knows to be lost
    has_metadata_yaml: bool  # `ros2 bag` needs it in a folder
    topics: list[TopicSummary]
    camera_role: RoleSummary
    gaze_role: RoleSummary
    label_role: RoleSummary
    camera: CameraSummary | None
    gaze: GazeSummary | None
    labels: LabelSummary | None
    label_origin: str  # of labels beside the bag, which replace those in it; empty = there are none
    lost: int | None  # in total; None = not known of every topic


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
        camera_role = _role(bag, "camera_topic", *CAMERA_TYPES)
        frames = None
        try:
            frames = FrameStream(bag, camera_role.topic) if camera_role.topic else None
        except UnknownEncoding as error:
            camera_role = RoleSummary(None, str(error))
        gaze_role, gaze = _gaze(bag, camera_role.topic)
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
            gaze=gaze_summary(gaze, camera) if gaze else None,
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


def _role(bag: Bag, role: str, *type_names: str) -> RoleSummary:
    try:
        topic = topic_of_role(bag, role, *type_names)
    except UnclearRole as error:
        return RoleSummary(None, str(error))
    if topic is None:
        return RoleSummary(None, f"no topic carries {' or '.join(type_names)}")
    if not bag.topics[topic].count:
        return RoleSummary(None, f"{topic} has no message")
    return RoleSummary(topic, "")


def _gaze(bag: Bag, camera: str | None) -> tuple[RoleSummary, GazeTrack | None]:
    """As `load_session`, and with the reason in place of an error."""
    named = bag.metadata.get("gaze_topic", "")
    points = named in bag.topics and bag.topics[named].type_name == POINT_TYPE and bag.topics[named].count > 0
    role = RoleSummary(named, "") if points else _role(bag, "gaze_topic", GAZE_TYPE)
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
    role = _role(bag, "label_topic", LABEL_TYPE)
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


def gaze_summary(gaze: GazeTrack, camera: CameraSummary | None, min_confidence: float = MIN_CONFIDENCE) -> GazeSummary:
    size = gaze.image_size if gaze.image_size[0] else (camera.width, camera.height) if camera else (math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        on_image = np.all((gaze.xy >= 0) & (gaze.xy < size), axis=1)
        unsure = gaze.confidence < min_confidence  # NaN, not given, is not unsure
    not_worn = gaze.worn == WORN_NO
    unsteady = np.isin(gaze.eye_state, (SACCADE, BLINK))
    return GazeSummary(
        samples=len(gaze),
        valid=_count(on_image & ~unsure & ~not_worn & ~unsteady),
        not_worn=_count(not_worn),
        unsure=_count(unsure),
        off_image=_count(~on_image),
        no_estimate=int(np.count_nonzero(~np.isfinite(gaze.xy).all(axis=1))),
        blink_or_saccade=_count(unsteady),
    )


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


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


def instant_text(time_ns: int) -> str:
    """UTC and local time to the millisecond; the bare number where no calendar reaches."""
    try:
        utc = _EPOCH + timedelta(microseconds=time_ns // 1000)
        local = utc.astimezone()
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC ({local:%Y-%m-%d %H:%M:%S %Z})"


def summary_text(summary: BagSummary) -> str:
    """For a person."""
    files = "1 file" if summary.files == 1 else f"{summary.files} files"
    rows = [
        ("bag", summary.path),
        ("size", f"{summary.size_bytes / 1e6:.3f} MB, {files}"),
        ("start", "no message" if summary.start_ns is None else instant_text(summary.start_ns)),
        ("duration", f"{summary.duration_s:.3f} s"),
    ]
    rows += [(key, _printable(summary.metadata.get(key, "")) or "not given") for key in DESCRIBED]
    if summary.recovery:
        rows.append(("recovered", _recovery_text(summary)))
    if not summary.has_metadata_yaml:
        rows.append(("note", "no metadata.yaml, which `ros2 bag` needs; `gaze-vlm bag recover` writes one"))
    facts = [f"{name:<10} {text}" for name, text in rows]
    used = [
        f"camera     {_camera_text(summary)}",
        f"gaze       {_gaze_text(summary)}",
        f"labels     {_label_text(summary)}",
    ]
    blocks = [facts, _table(summary.topics), used, [f"lost       {_lost_text(summary)}"]]
    return "\n\n".join("\n".join(block) for block in blocks)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _table(topics: list[TopicSummary]) -> list[str]:
    if not topics:
        return ["no topics"]
    rows: list[tuple[str, ...]] = [
        ("topic", "type", "messages", "rate", "span", "longest gap", "received", "written", "lost")
    ]
    for topic in topics:
        span_s = None if topic.first_ns is None or topic.last_ns is None else (topic.last_ns - topic.first_ns) / 1e9
        rows.append(
            (
                _printable(topic.name) + ("" if topic.stamped else " (arrival)"),
                _printable(topic.type_name) or "?",
                str(topic.messages),
                "-" if topic.rate_hz is None else f"{topic.rate_hz:.2f} Hz",
                "-" if span_s is None else f"{span_s:.3f} s",
                "-" if topic.longest_gap_s is None else f"{topic.longest_gap_s:.3f} s",
                *("?" if count is None else str(count) for count in (topic.received, topic.written, topic.lost)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    # Two columns of names, and then figures, which are read from the right.
    layout = "  ".join(f"{{:{'<' if column < 2 else '>'}{width}}}" for column, width in enumerate(widths))
    lines = [layout.format(*row) for row in rows]
    if not all(topic.stamped for topic in topics):
        lines.append("(arrival): messages without a stamp; rate, span and gap are of arrival times, not acquisition")
    return lines


def _camera_text(summary: BagSummary) -> str:
    role, camera = summary.camera_role, summary.camera
    if role.topic is None:
        return f"none: {role.reason}"
    if camera is None:
        return f"{role.topic}: none of the first {FRAMES_TRIED} frames can be decoded"
    text = f"{role.topic}: {camera.width}x{camera.height}, {_printable(camera.format)}"
    if camera.keyframe_s is not None:
        text += f", a keyframe every {camera.keyframe_s:.2f} s"
    return text + (f"; {camera.lost_frames} frames without their keyframe" if camera.lost_frames else "")


def _gaze_text(summary: BagSummary) -> str:
    role, gaze = summary.gaze_role, summary.gaze
    if gaze is None:
        return f"none: {role.reason}"
    return (
        f"{role.topic}: {gaze.valid / gaze.samples:.1%} of {gaze.samples} samples valid; not worn {gaze.not_worn}, "
        f"confidence below {MIN_CONFIDENCE:g} {gaze.unsure}, off the image {gaze.off_image}, "
        f"blink or saccade {gaze.blink_or_saccade}"
    )


def _label_text(summary: BagSummary) -> str:
    role, labels = summary.label_role, summary.labels
    if labels is None:
        return f"none: {role.reason}"
    shown = ", ".join(f"{_printable(text)} ({count})" for text, count in labels.most_frequent)
    more = ", ..." if labels.distinct > len(labels.most_frequent) else ""
    place = role.topic
    if summary.label_origin:
        place = f"{label_file_path(Path(summary.path)).name} ({_printable(summary.label_origin)})"
        place += f", in place of {role.topic}" if role.topic else ""
    return f"{place}: {labels.labels} labels, {labels.distinct} distinct: {shown or 'all are empty'}{more}"


def _recovery_text(summary: BagSummary) -> str:
    recovery = summary.recovery
    return (
        f"from {_printable(recovery.get('from', '?'))}; {recovery.get('unused_bytes', '?')} of its "
        f"{recovery.get('source_bytes', '?')} bytes could not be used"
    )


def _lost_text(summary: BagSummary) -> str:
    if summary.lost is None:
        lost = sum(summary.recovered_lost.values())
        return "not known: the bag has no totals" + (f"; at least {lost} in damaged chunks" if lost else "")
    received = sum(topic.received or 0 for topic in summary.topics)
    differing = [t.name for t in summary.topics if t.written is not None and t.written != t.messages]
    text = f"{summary.lost} messages; {received} were received"
    if differing:
        text += f"; the totals of {', '.join(differing)} disagree with the messages that are in the bag"
    return text
