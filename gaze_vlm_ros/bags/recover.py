"""Save the complete messages of a cut off or damaged bag to a new bag. The old bag is only read. No ROS needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from gaze_vlm_ros.bags.compression import NotDecompressed, in_mode
from gaze_vlm_ros.bags.errors import NotABag
from gaze_vlm_ros.bags.files import bag_files, files_of_metadata
from gaze_vlm_ros.bags.mcap_file import MAGIC
from gaze_vlm_ros.bags.mcap_scan import Scan, scan
from gaze_vlm_ros.bags.raw_messages import DeclaredTopic, entries, message_compression, open_raw, same_type
from gaze_vlm_ros.bags.session_records import (
    METADATA_RECORD,
    RECOVERED_TOPIC_RECORD,
    RECOVERY_RECORD,
    TOTALS_RECORD,
    TopicTotals,
    totals_of,
)
from gaze_vlm_ros.bags.writer import BagExists, BagNotWritable, BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.terminal.text import instant_text

# rosbag2's copy of metadata.yaml inside the file, which describes the old bag.
_NOT_CARRIED_OVER = ("rosbag2",)


class BagIsWhole(GazeVlmError):
    """The bag is complete: there is nothing to recover."""


class NothingToSave(GazeVlmError):
    """The file holds no complete message."""


@dataclass(frozen=True)
class Recovery:
    """Result of a recovery."""

    source: Path
    folder: Path  # of the new bag
    saved: dict[str, int]  # messages, by topic
    # Messages by topic: exact if the file still has its statistics, otherwise those of damaged chunks whose index is
    # left. Messages that a killed recorder had not written yet are not counted.
    lost: dict[str, int]
    source_bytes: int
    unused_bytes: int  # of the source: in no whole record, or not of a bag (attachments)
    first_ns: int  # arrival of the first and last message saved
    last_ns: int


def recover(path: Path, out: Path | None = None, progress: bool = False) -> Recovery:
    """Write every complete message of the bag at `path` to a new bag.

    path: bag folder or .mcap file. out: folder of the new bag; None = beside the old one, with "_recovered" appended to
    its name. A chunk that fails its checksum is left out; messages of a chunk that the file's end cuts off are saved
    without a checksum. progress: show a bar on stderr where that is a terminal. Memory does not grow with the bag's
    length.
    Raises BagNotFound, NotABag, FileUnreadable, BagExists, BagNotWritable, BagIsWhole or NothingToSave, and then leaves
    no file.
    """
    files = bag_files(path)
    folder = out or _beside(path)
    if folder.exists():
        raise BagExists(f"{folder} exists already, and bags are never overwritten; give another name")
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(open_raw(file))) for file in files]
        total = 2 * sum(file.size for file in opened)  # they are scanned, then copied
        disable = None if progress else True  # None: unless stderr is a terminal
        bar = stack.enter_context(
            tqdm(total=total, desc="recover", unit="B", unit_scale=True, leave=False, disable=disable)
        )
        scans = [scan(file, bar.update) for file in opened]
        records = [record for found in scans for record in found.metadata]
        totals, totals_right = _totals(records)
        if all(found.whole for found in scans) and totals_right and _can_be_played(path, files):
            raise BagIsWhole(f"{path} is whole; nothing to recover")
        if not any(entry.message and entry.topic for found in scans for entry in entries(found)):
            begins = [found.file.read(0, len(MAGIC)) for found in scans]
            if all(begin != MAGIC[: len(begin)] for begin in begins):
                raise NotABag(f"{path} is not an MCAP file: it has neither its magic bytes nor a chunk; give a bag")
            raise NothingToSave(f"{path} holds no whole message; nothing can be recovered from it")
        session = {key: value for name, record in records if name == METADATA_RECORD for key, value in record.items()}
        writer = BagWriter(folder, session, message_compression=message_compression(scans))
        try:
            return _copy(path, writer, scans, records, totals, bar.update)
        except OSError as error:
            writer.discard()
            raise BagNotWritable(
                f"cannot write to {folder}: {error.strerror}; make room, or give another place"
            ) from None
        except BaseException:
            writer.discard()
            raise


def recovery_text(recovery: Recovery) -> str:
    """Return the result of a recovery as text."""
    topics = [*recovery.saved, *(topic for topic in recovery.lost if topic not in recovery.saved)]
    width = max(len("topic"), *map(len, topics))
    lines = [f"{'topic':<{width}}     saved  known lost"]
    lines += [
        f"{topic:<{width}}  {recovery.saved.get(topic, 0):8d}  {recovery.lost.get(topic, 0):10d}" for topic in topics
    ]
    duration_s = (recovery.last_ns - recovery.first_ns) / 1e9
    lines.append(f"from {instant_text(recovery.first_ns)}, {duration_s:.3f} s")
    lines.append(f"{recovery.unused_bytes} of {recovery.source_bytes} bytes could not be used")
    lines.append(f"wrote {recovery.folder}; {recovery.source} is unchanged")
    return "\n".join(lines)


def _beside(path: Path) -> Path:
    named = Path(os.path.abspath(path)) if path.name in ("", "..") else path
    return named.with_name(f"{named.stem if path.is_file() else named.name}_recovered")


def _totals(records: list[tuple[str, dict[str, str]]]) -> tuple[dict[str, TopicTotals], bool]:
    """Return totals by topic, and whether every record of totals could be read."""
    totals: dict[str, TopicTotals] = {}
    right = True
    for name, record in records:
        if name == TOTALS_RECORD:
            try:
                topic, totals_of_topic = totals_of(record)
            except ValueError:
                right = False
            else:
                totals[topic] = totals_of_topic
    return totals, right


def _can_be_played(path: Path, files: list[Path]) -> bool:
    """Return whether `ros2 bag` can open it: a folder needs a metadata.yaml of its files, a file needs none."""
    if path.is_file():
        return True
    return sorted(files_of_metadata(path) or []) == sorted(file.name for file in files)


def _copy(
    source: Path,
    writer: BagWriter,
    scans: list[Scan],
    records: list[tuple[str, dict[str, str]]],
    totals: dict[str, TopicTotals],
    progress: Callable[[int], object],
) -> Recovery:
    for name, record in records:
        if name not in (METADATA_RECORD, TOTALS_RECORD, *_NOT_CARRIED_OVER):
            writer.add_record(name, record)
    saved: dict[str, int] = {}
    lost: Counter[str] = Counter()
    declared: dict[str, DeclaredTopic] = {}
    first_ns, last_ns = 2**64, 0
    for found in scans:
        names: dict[int, str] = {}
        seen: Counter[int] = Counter()
        for channel_id, name, topic, message in entries(found):
            names[channel_id] = name
            if topic and name not in declared:
                writer.add_topic(name, topic.type_name, topic.qos, description=topic.description)
                declared[name], saved[name] = topic, 0
            if message is None:
                continue
            seen[channel_id] += 1
            # A topic has one type, and that one definition, in a bag; files of different bags may disagree.
            if topic is None or not same_type(topic, declared[name]):
                lost[name] += 1
                continue
            try:
                data = in_mode(message.data, writer.message_compression)
            except NotDecompressed:
                lost[name] += 1
                continue
            writer.write(name, data, message.log_time, message.publish_time, message.sequence)
            saved[name] += 1
            first_ns, last_ns = min(first_ns, message.log_time), max(last_ns, message.log_time)
            progress(len(message.data))
        missing = found.lost if found.written is None else Counter(found.written) - seen
        for channel_id, count in missing.items():
            lost[names.get(channel_id, f"(undeclared topic {channel_id})")] += count
    recovery = Recovery(
        source=source,
        folder=writer.folder,
        saved=saved,
        lost=dict(lost),
        source_bytes=sum(found.file.size for found in scans),
        unused_bytes=sum(found.unused_bytes for found in scans),
        first_ns=first_ns,
        last_ns=last_ns,
    )
    writer.add_record(
        RECOVERY_RECORD,
        {
            "from": os.path.abspath(source),
            "source_bytes": str(recovery.source_bytes),
            "unused_bytes": str(recovery.unused_bytes),
        },
    )
    for name in {**saved, **lost}:
        counts = {"saved": str(saved.get(name, 0)), "lost": str(lost[name])}
        writer.add_record(RECOVERED_TOPIC_RECORD, {"topic": name, **counts})
    writer.close(
        {
            name: replace(known, written=saved.get(name, 0), lost=known.lost + known.written - saved.get(name, 0))
            for name, known in totals.items()
            if known.written >= saved.get(name, 0)  # otherwise they belong to another bag
        }
    )
    return recovery
