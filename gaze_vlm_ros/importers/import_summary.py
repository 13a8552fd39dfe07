"""The summary of an import: what was written to the bag, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaze_vlm_ros.gaze.summary import GazeSummary, gaze_summary
from gaze_vlm_ros.importers.imported_session import ImportedSession
from gaze_vlm_ros.terminal.text import instant_text


@dataclass(frozen=True)
class ImportSummary:
    """What was written to the bag, and what was left out."""

    bag: Path
    frames: int
    size: tuple[int, int]  # (width, height) px
    frame_span_ns: tuple[int, int]  # first and last
    longest_gap_s: float  # between two frames
    gaze: GazeSummary
    gaze_without_video: int  # samples in the bag at times without video
    actions: int
    distinct_actions: int
    imu: int
    left_out: dict[str, int]

    def table(self) -> str:
        """Return the summary for a terminal, one fact a line."""
        first_ns, last_ns = self.frame_span_ns
        span_s = (last_ns - first_ns) / 1e9
        rate = f"{(self.frames - 1) / span_s:.1f} Hz, " if span_s > 0 else ""
        gaze = "none"
        if self.gaze.samples:
            gaze = f"{self.gaze.samples} samples, {self.gaze.valid / self.gaze.samples:.1%} valid{self._invalid()}"
            gaze += f"; {self.gaze_without_video} at times without video" if self.gaze_without_video else ""
        rows = [
            ("bag", str(self.bag)),
            ("frames", f"{self.frames}, {self.size[0]}x{self.size[1]}, {rate}longest gap {self.longest_gap_s:.3f} s"),
            ("gaze", gaze),
            ("labels", f"{self.actions} actions, {self.distinct_actions} different" if self.actions else "none"),
            ("imu", f"{self.imu} samples" if self.imu else "none"),
            ("span", f"{span_s:.3f} s of frames from {instant_text(first_ns)}"),
        ]
        left_out = [f"{count} {what}" for what, count in sorted(self.left_out.items())] or ["nothing"]
        rows += [("left out" if number == 0 else "", line) for number, line in enumerate(left_out)]
        return "\n".join(f"{name:<10}{value}" for name, value in rows)

    def _invalid(self) -> str:
        gaze = self.gaze
        reasons = {
            "not worn": gaze.not_worn, "unsure": gaze.unsure, "off the image or none": gaze.off_image,
            "blink or saccade": gaze.blink_or_saccade,
        }  # fmt: skip
        parts = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        return f" ({parts})" if parts else ""


def summarize_import(
    session: ImportedSession,
    out: Path,
    size: tuple[int, int],
    frames_ns: Sequence[int],
    left_out: Mapping[str, int],
) -> ImportSummary:
    """Return the summary of a bag that was written.

    size: (width, height) px of the frames. frames_ns: stamps of the frames that were written. left_out: counts by
    reason; zeros are dropped.
    """
    gaze, stamps_ns = session.gaze, np.sort(np.array(frames_ns, np.int64))
    covered = np.zeros(len(gaze), np.bool_)
    for timed in session.videos:
        start_ns, end_ns = int(timed.stamps_ns[0]), int(timed.stamps_ns[-1]) + timed.video.frame_ns
        covered |= (gaze.stamps_ns >= start_ns) & (gaze.stamps_ns < end_ns)
    texts = [text for text in session.labels.texts if text]
    return ImportSummary(
        bag=out,
        frames=len(stamps_ns),
        size=size,
        frame_span_ns=(int(stamps_ns[0]), int(stamps_ns[-1])) if len(stamps_ns) else (0, 0),
        longest_gap_s=float(np.diff(stamps_ns).max(initial=0)) / 1e9,
        gaze=gaze_summary(gaze, session.videos[0].video.size),
        gaze_without_video=int((~covered).sum()),
        actions=len(texts),
        distinct_actions=len(set(texts)),
        imu=len(session.imu.stamps_ns) if session.imu is not None else 0,
        left_out={reason: count for reason, count in left_out.items() if count},
    )
