"""The report of `gaze-vlm bag info` as text for a person."""

from __future__ import annotations

from pathlib import Path

from gaze_vlm_ros.gaze.summary import MIN_CONFIDENCE
from gaze_vlm_ros.inspection.summary import DESCRIBED, FRAMES_TRIED, BagSummary, TopicSummary
from gaze_vlm_ros.labels.label_file import label_file_path
from gaze_vlm_ros.terminal.text import instant_text, printable


def summary_text(summary: BagSummary) -> str:
    """Return the summary as text."""
    files = "1 file" if summary.files == 1 else f"{summary.files} files"
    rows = [
        ("bag", summary.path),
        ("size", f"{summary.size_bytes / 1e6:.3f} MB, {files}"),
        ("start", "no message" if summary.start_ns is None else instant_text(summary.start_ns)),
        ("duration", f"{summary.duration_s:.3f} s"),
    ]
    rows += [(key, printable(summary.metadata.get(key, "")) or "not given") for key in DESCRIBED]
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
                printable(topic.name) + _mark(topic),
                printable(topic.type_name) or "?",
                str(topic.messages),
                "-" if topic.rate_hz is None else f"{topic.rate_hz:.2f} Hz",
                "-" if span_s is None else f"{span_s:.3f} s",
                "-" if topic.longest_gap_s is None else f"{topic.longest_gap_s:.3f} s",
                *("?" if count is None else str(count) for count in (topic.received, topic.written, topic.lost)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    # Two columns of names, then figures, aligned to the right.
    layout = "  ".join(f"{{:{'<' if column < 2 else '>'}{width}}}" for column, width in enumerate(widths))
    lines = [layout.format(*row) for row in rows]
    lines += [f"(unreadable): {printable(topic.unreadable)}" for topic in topics if topic.unreadable]
    if not all(topic.stamped or topic.unreadable for topic in topics):
        lines.append("(arrival): messages without a stamp; rate, span and gap are of arrival times, not acquisition")
    return lines


def _mark(topic: TopicSummary) -> str:
    return " (unreadable)" if topic.unreadable else "" if topic.stamped else " (arrival)"


def _camera_text(summary: BagSummary) -> str:
    role, camera = summary.camera_role, summary.camera
    if role.topic is None:
        return f"none: {role.reason}"
    if camera is None:
        return f"{role.topic}: none of the first {FRAMES_TRIED} frames can be decoded: {role.reason}"
    text = f"{role.topic}: {camera.width}x{camera.height}, {printable(camera.format)}"
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
    shown = ", ".join(f"{printable(text)} ({count})" for text, count in labels.most_frequent)
    more = ", ..." if labels.distinct > len(labels.most_frequent) else ""
    place = role.topic
    if summary.label_origin:
        place = f"{label_file_path(Path(summary.path)).name} ({printable(summary.label_origin)})"
        place += f", in place of {role.topic}" if role.topic else ""
    return f"{place}: {labels.labels} labels, {labels.distinct} distinct: {shown or 'all are empty'}{more}"


def _recovery_text(summary: BagSummary) -> str:
    recovery = summary.recovery
    return (
        f"from {printable(recovery.get('from', '?'))}; {recovery.get('unused_bytes', '?')} of its "
        f"{recovery.get('source_bytes', '?')} bytes could not be used"
    )


def _lost_text(summary: BagSummary) -> str:
    mixed = [printable(topic.name) for topic in summary.topics if topic.received is not None and topic.lost is None]
    if mixed:
        return f"not known of {', '.join(mixed)}: several publishers, which the recorder's ROS did not distinguish"
    if summary.lost is None:
        lost = sum(summary.recovered_lost.values())
        return "not known: the bag has no totals" + (f"; at least {lost} in damaged chunks" if lost else "")
    received = sum(topic.received or 0 for topic in summary.topics)
    differing = [t.name for t in summary.topics if t.written is not None and t.written != t.messages]
    text = f"{summary.lost} messages; {received} were received"
    if differing:
        text += f"; the totals of {', '.join(differing)} disagree with the messages that are in the bag"
    return text
