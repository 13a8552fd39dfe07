"""Findings about gaze: its samples, blinks, and its fit to the camera."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.gaze.distribution import BLINK
from gaze_vlm_ros.gaze.validity import LOST_TO_THE_TRACKER, sample_faults, usable_samples
from gaze_vlm_ros.inspection.camera_gaze_lag import estimate_lag
from gaze_vlm_ros.inspection.finding import Finding, graded, worse
from gaze_vlm_ros.inspection.stream_findings import Frames
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.terminal.text import instant_text
from gaze_vlm_ros.windows.settings import WindowSettings


def gaze_validity(gaze: GazeTrack, size: tuple[int, int] | None, settings: WindowSettings) -> Finding:
    """Return the share of usable samples and the faults of the others.

    size: (width, height) px of the frames; None = not known.
    """
    faults = sample_faults(gaze, size, settings.gaze_min_confidence)
    usable = ~np.logical_or.reduce(list(faults.values()))
    lost_share = float(np.logical_or.reduce([faults[reason] for reason in LOST_TO_THE_TRACKER]).mean())
    counts = {reason: int(np.count_nonzero(mask)) for reason, mask in faults.items()}
    text = f"{usable.mean():.1%} of {len(gaze)} samples usable"
    text += "".join(f", {count} {reason}" for reason, count in counts.items() if count)
    if np.isnan(gaze.confidence).all():
        text += "; the tracker gives no confidence"
    return Finding(
        "gaze validity",
        graded(lost_share, 0.1, 0.3),
        text,
        f"note: 10 % lost to the tracker, so all but blinks and saccades (unsure: confidence below "
        f"{settings.gaze_min_confidence:g}); warning: 30 %, adjust the glasses or calibrate",
        {
            "samples": len(gaze),
            "usable": int(np.count_nonzero(usable)),
            "lost_share": lost_share,
            **{reason.replace(" ", "_"): count for reason, count in counts.items()},
        },
    )


def blinks(gaze: GazeTrack) -> Finding:
    """Return how often and how long the eyes are closed, if the tracker reports eye states."""
    limit = (
        "note: below 2 or above 40 in a minute, over half a minute and more; warning: eyes closed 15 % of the time: "
        "does the tracker lose the eyes?"
    )
    if not gaze.eye_state.any():
        text = "not measurable: the tracker gives no eye states, so samples in blinks and saccades count as gaze"
        return Finding("blinks", "note", text, limit, {"blinks": None})
    closed = gaze.eye_state == BLINK
    count = int(closed[0]) + int(np.count_nonzero(closed[1:] & ~closed[:-1]))
    minutes = max(float(gaze.stamps_ns[-1] - gaze.stamps_ns[0]) / 60e9, 1e-9)
    rate, share = count / minutes, float(closed.mean())
    odd = minutes >= 0.5 and not 2 <= rate <= 40
    return Finding(
        "blinks",
        worse("note" if odd else "ok", graded(share, warning=0.15)),
        f"{count} blinks, {rate:.1f} in a minute; eyes closed {share:.1%} of the time",
        limit,
        {"blinks": count, "per_minute": rate, "closed_share": share},
    )


def gaze_image(gaze: GazeTrack, size: tuple[int, int]) -> Finding:
    """Return whether gaze and frames are images of one aspect.

    size: (width, height) px of the frames; gaze may be on a larger image of the same view.
    """
    width, height = gaze.image_size
    limit = "error: its aspect differs from that of the frames, so gaze would be distorted"
    figures = {"gaze_image": [width, height], "frames": list(size)}
    if not width:
        return Finding("gaze image", "ok", f"not given; taken as the frames' {size[0]}x{size[1]}", limit, figures)
    stretched = abs(width * size[1] / (height * size[0]) - 1)
    text = f"gaze is on {width}x{height}, frames are {size[0]}x{size[1]}"
    return Finding("gaze image", graded(stretched, error=0.01), text, limit, figures)


def frames_with_gaze(
    stamps_ns: NDArray[np.int64], gaze: GazeTrack, size: tuple[int, int], settings: WindowSettings
) -> NDArray[np.bool_]:
    """Return (N,) which frames have a usable sample in the gaze window before them. Optical flow may drop more."""
    usable = usable_samples(gaze, size, settings.gaze_min_confidence)
    before = np.concatenate([[0], np.cumsum(usable)])
    window_ns = round(settings.gaze_window_s * 1e9)
    first, stop = (np.searchsorted(gaze.stamps_ns, stamps_ns - back, side="right") for back in (window_ns, 0))
    return np.asarray(before[stop] > before[first])


def gaze_coverage(
    covered: NDArray[np.bool_], frames_ns: NDArray[np.int64], gaze_ns: NDArray[np.int64], settings: WindowSettings
) -> Finding:
    """Return the share of frames with usable gaze.

    covered: (N,) `frames_with_gaze`. frames_ns, gaze_ns: stamps of all frames and samples, ascending.
    """
    share = float(covered.mean())
    text = f"{share:.1%} of frames have usable gaze in the {settings.gaze_window_s:g} s up to them"
    if gaze_ns[-1] < frames_ns[0] or gaze_ns[0] > frames_ns[-1]:
        text += f"; gaze ({instant_text(int(gaze_ns[0]))}) and frames ({instant_text(int(frames_ns[0]))}) never overlap"
    return Finding(
        "gaze coverage",
        graded(1 - share, 0.1, 0.3, 0.999),
        text,
        "note: below 90 %; warning: below 70 %, windows without gaze train with the language loss alone; error: none",
        {"share": share},
    )


def camera_gaze_lag(frames: Frames, gaze: GazeTrack) -> Finding:
    """Return how late gaze is stamped against the frames. At least one frame must decode."""
    assert frames.size is not None
    estimate = estimate_lag(frames.stamps_ns, frames.motions, gaze, frames.size)
    limit = (
        "note: above 20 ms, or not measurable; warning: above 50 ms, a quarter of the gaze that counts for a frame "
        "belongs to another moment; error: above 200 ms. Measured from gaze that moves with the picture while the head "
        "turns"
    )
    figures: dict[str, Any] = asdict(estimate)
    if not estimate.blocks:
        figures["low_s"] = figures["high_s"] = None
    if estimate.lag_s is None:
        return Finding("camera-gaze lag", "note", f"cannot tell: {estimate.reason}", limit, figures)
    direction = "later" if estimate.lag_s > 0 else "earlier"
    text = (
        f"gaze is stamped {abs(estimate.lag_s) * 1e3:.0f} ms {direction} than frames [{estimate.low_s * 1e3:+.0f}, "
        f"{estimate.high_s * 1e3:+.0f}], from {estimate.fixations} fixations; "
        f"the picture's motion explains {estimate.explained:.2f} of the gaze motion in them"
    )
    return Finding("camera-gaze lag", graded(abs(estimate.lag_s), 0.02, 0.05, 0.2), text, limit, figures)
