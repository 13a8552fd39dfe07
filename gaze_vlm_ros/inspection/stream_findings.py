"""Findings about streams: their times, and the camera's frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.inspection.arrival_delay import MIN_SPAN_S, STEP_S, delay_trend
from gaze_vlm_ros.inspection.camera_gaze_lag import WIDTH_PX, picture_motion
from gaze_vlm_ros.inspection.finding import Finding, graded, worse
from gaze_vlm_ros.terminal.text import instant_text
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, small_grey
from gaze_vlm_ros.windows.settings import WindowSettings

LAG_FOOTAGE_S, LAG_PIECE_S = 300.0, 10.0  # of video used to measure the lag, in pieces spread over the bag


@dataclass(frozen=True)
class Frames:
    """Figures that one pass over all frames collects."""

    stamps_ns: NDArray[np.int64]
    sizes: list[tuple[int, int] | None]  # of each frame, (width, height) px; None = damaged
    motions: NDArray[np.float64]  # (N, 6, 2), NaN where not measured
    problem: str  # why the first damaged frame does not decode

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) px of the first frame that decodes, as FrameStream.size; None = there is none."""
        return next((size for size in self.sizes if size), None)


def look_at_frames(stream: FrameStream, progress: bool = False) -> Frames:
    """Decode every frame once, as training does, and measure the motion between them. At least one frame.

    progress: show a bar on stderr where that is a terminal.
    """
    stamps_ns = stream.stamps_ns
    motions = np.full((len(stream), 6, 2), np.nan)
    measured = _lag_footage(stamps_ns)
    sizes: list[tuple[int, int] | None] = []
    problem = ""
    before: NDArray[np.uint8] | None = None
    disable = None if progress else True  # None: unless stderr is a terminal
    for index in tqdm(range(len(stream)), desc="frames", unit="frame", mininterval=0.5, leave=False, disable=disable):
        try:
            rgb = stream.rgb(index)
        except (DamagedImage, UnknownEncoding) as error:
            problem = problem or str(error)
            sizes.append(None)
            before = None
            continue
        sizes.append((rgb.shape[1], rgb.shape[0]))
        grey = small_grey(rgb, WIDTH_PX) if measured[index] else None
        if grey is not None and before is not None and (motion := picture_motion(before, grey)) is not None:
            motions[index] = motion
        before = grey
    return Frames(stamps_ns, sizes, motions, problem)


def _lag_footage(stamps_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) which frames are used to measure the lag: all, or pieces of LAG_FOOTAGE_S in total."""
    since_s = (stamps_ns - stamps_ns[0]) / 1e9
    each = max(1, int(np.ceil(since_s[-1] / LAG_FOOTAGE_S)))
    return np.asarray((since_s // LAG_PIECE_S).astype(int) % each == 0)


def frame_quality(frames: Frames) -> Finding:
    """Return damaged frames, and sizes that change."""
    sizes = Counter(size for size in frames.sizes if size)
    damaged = sum(size is None for size in frames.sizes)
    share = damaged / len(frames.sizes)
    text = ", ".join(f"{count} of {width}x{height}" for (width, height), count in sizes.most_common()) or "no frame"
    text += f"; {damaged} damaged" + (f", the first: {frames.problem}" if damaged else "")
    severity = worse(graded(share, 0, 0.01, 0.999), "warning" if len(sizes) > 1 else "ok")
    return Finding(
        "frames",
        severity,
        text,
        "note: a damaged frame, which costs its windows; warning: above 1 % of them, or several sizes, of which only "
        "the first one's windows train; error: none decodes",
        {"frames": len(frames.sizes), "damaged": damaged, "sizes": {f"{w}x{h}": n for (w, h), n in sizes.items()}},
    )


def camera_gaps(stamps_ns: NDArray[np.int64], settings: WindowSettings) -> Finding:
    """Return gaps between frames. stamps_ns: (N,) acquisition times, ascending."""
    figures = _intervals(stamps_ns)
    limit = (
        f"note: an interval above 3 usual ones; warning: above {settings.part_s:g} s, each {settings.part_s:g} s of an "
        "observation must hold a frame, or 5 % of the time in gaps; error: usual interval above that"
    )
    if not figures:
        return Finding("camera gaps", "error", "one frame", limit, {"frames": len(stamps_ns)})
    usual_s, longest_s = figures["usual_s"], figures["longest_s"]
    severity = worse(
        graded(longest_s, 3 * usual_s, max(settings.part_s, 3 * usual_s)),
        graded(figures["gap_share"], warning=0.05),
        graded(usual_s, error=settings.part_s),
    )
    return Finding("camera gaps", severity, _gap_text(figures), limit, figures)


def gaze_gaps(stamps_ns: NDArray[np.int64], settings: WindowSettings) -> Finding:
    """Return gaps between gaze samples. stamps_ns: (N,) acquisition times, ascending."""
    figures = _intervals(stamps_ns, at_least_s=settings.gaze_window_s)
    limit = (
        f"note: an interval above {settings.gaze_window_s:g} s, frames in it have no gaze; "
        "warning: 5 % of the time in such gaps"
    )
    if not figures:
        return Finding("gaze gaps", "warning", "one sample", limit, {"samples": len(stamps_ns)})
    severity = worse(graded(figures["longest_s"], settings.gaze_window_s), graded(figures["gap_share"], warning=0.05))
    return Finding("gaze gaps", severity, _gap_text(figures), limit, figures)


def _intervals(stamps_ns: NDArray[np.int64], at_least_s: float = 0.0) -> dict[str, Any]:
    """Return usual (median) and longest interval, and gaps: above 3 usual ones and at_least_s, and their share."""
    intervals_s = np.diff(stamps_ns) / 1e9
    intervals_s = intervals_s[intervals_s > 0]  # `order` reports duplicates
    if not len(intervals_s):
        return {}
    usual_s = float(np.median(intervals_s))
    gaps_s = intervals_s[intervals_s > max(3 * usual_s, at_least_s)]
    return {
        "usual_s": usual_s,
        "longest_s": float(intervals_s.max()),
        "gaps": len(gaps_s),
        "gap_share": float(gaps_s.sum() / intervals_s.sum()),
        "span_s": float(intervals_s.sum()),
    }


def _gap_text(figures: dict[str, Any]) -> str:
    return (
        f"{1 / figures['usual_s']:.2f} Hz for {figures['span_s']:.1f} s, "
        f"longest interval {figures['longest_s']:.3f} s, gaps {figures['gap_share']:.1%} of the time"
    )


def order(stream: str, stamps_ns: NDArray[np.int64]) -> Finding:
    """Return stamps that go back, repeat, or are not set. stamps_ns: (N,) acquisition times in the order of arrival."""
    steps_ns = np.diff(stamps_ns)
    back_s = -steps_ns[steps_ns < 0] / 1e9
    duplicates = len(stamps_ns) - len(np.unique(stamps_ns))
    unset = int(np.count_nonzero(stamps_ns <= 0))
    furthest_s = float(back_s.max(initial=0))
    faults = [
        f"{len(back_s)} stamps go back, by up to {furthest_s:.3f} s" if len(back_s) else "",
        f"{duplicates} duplicates" if duplicates else "",
        f"{unset} not set" if unset else "",
    ]
    severity = worse(
        graded(len(back_s) + duplicates, 0),
        graded(furthest_s, warning=0.5),
        graded(duplicates / len(stamps_ns), warning=0.01),
        graded(unset, error=0),
    )
    return Finding(
        f"{stream} order",
        severity,
        ", ".join(filter(None, faults)) or "each stamp once, in order",
        "note: any that is not, readers sort them; warning: back by more than 0.5 s, a clock was set, or 1 % "
        "duplicates; error: header.stamp not set",
        {"backward": len(back_s), "furthest_back_s": furthest_s, "duplicates": duplicates, "not_set": unset},
    )


def clock(stream: str, stamps_ns: NDArray[np.int64], arrivals_ns: NDArray[np.int64]) -> Finding:
    """Return drift, steps and delay of the clock that stamps a stream.

    stamps_ns, arrivals_ns: (N,) acquisition and arrival of each message, in the order of arrival.
    """
    trend = delay_trend(stamps_ns, arrivals_ns)
    largest_step_s = max((abs(size_s) for _, size_s in trend.steps), default=0.0)
    text = f"arrives {trend.median_s * 1e3:.1f} ms after acquisition"
    if not (arrivals_ns - stamps_ns).any():
        text = "arrival equals acquisition: imported or simulated, which says nothing about clocks"
    elif trend.drift_ppm is None:
        text += f"; drift cannot be measured in {trend.span_s:.0f} s (it takes {MIN_SPAN_S:g} s, and enough messages)"
    else:
        text += (
            f", drifting by {trend.drift_ppm:+.1f} ppm [{trend.drift_low_ppm:+.1f}, {trend.drift_high_ppm:+.1f}], "
            f"{trend.drift_s * 1e3:+.1f} ms in all"
        )
        for at_ns, size_s in trend.steps[:3]:
            text += f"; a step of {size_s * 1e3:+.0f} ms at about {instant_text(at_ns)}"
        text += f"; {len(trend.steps)} steps" if len(trend.steps) > 3 else ""
    ahead_s = max(0.0, -trend.lowest_s)
    if ahead_s:
        text += f"; stamped up to {ahead_s * 1e3:.1f} ms ahead of arrival"
    severity = worse(
        graded(abs(trend.drift_s), 0.01, 0.05),
        graded(largest_step_s, 0, 0.05),
        graded(ahead_s, warning=0.005),
        graded(trend.median_s, note=1.0),
    )
    figures = {
        "delay_s": trend.median_s,
        "lowest_delay_s": trend.lowest_s,
        "drift_ppm": trend.drift_ppm,
        "drift_interval_ppm": None if trend.drift_ppm is None else [trend.drift_low_ppm, trend.drift_high_ppm],
        "drift_s": trend.drift_s,
        "steps": [{"at_ns": at_ns, "size_s": size_s} for at_ns, size_s in trend.steps],
    }
    return Finding(
        f"{stream} clock",
        severity,
        text,
        f"note: 10 ms of drift, a step above {STEP_S * 1e3:g} ms, a second of delay; warning: 50 ms of drift or step, "
        "a quarter of the gaze that counts for a frame, or 5 ms ahead: clocks disagree",
        figures,
    )
