"""Gaze beside the model's attention at successive moments, and the measures of a window of them.

The monitor and `gaze-vlm assess` use the same functions, so that they agree on the same recording.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.assessment.attention_fit import scanpath_saliency, surprise, within_half
from gaze_vlm_ros.assessment.entropy import areas_of, stationary_entropy, transition_entropy
from gaze_vlm_ros.assessment.looks import look_statistics, looks_of
from gaze_vlm_ros.gaze.distribution import scaled
from gaze_vlm_ros.gaze.validity import usable_samples
from gaze_vlm_ros.session.gaze_track import GazeTrack

Floats = NDArray[np.float64]

RATE_HZ = 2.0  # moments a second: a fixation lasts 0.3 s, and a tiny model on two cores answers as often
POINT_S = 0.2  # gaze up to a moment that counts for it, as in gaze.aggregate: a fixation lasts about as long
WINDOW_S = 10.0  # of the measures: some thirty looks, the fewest that an entropy of transitions means something for
LEAST_KNOWN = 0.5  # of the moments of a window that gaze must be known for

# What each measure is, and which side of normal speaks for "odd" or "needs help": 1 = more than normal, -1 = less, 0 =
# either. A person who searches looks more widely and less predictably; one who does something else looks where the
# model of the task does not.
MEASURES = {
    "surprise": "surprise of gaze under the model's attention, nats",
    "saliency": "normalized scanpath saliency, standard deviations",
    "off_task": "share of moments with gaze off the half of the picture's attention that the model gives most",
    "stationary_entropy": "entropy of looks over areas, bits",
    "transition_entropy": "entropy of the next area given the one before, bits",
    "fixation_s": "median duration of a fixation, s",
    "saccade_width": "median distance between successive fixations, picture widths",
}
SIDES: dict[str, dict[str, int]] = {
    "odd": {"surprise": 1, "saliency": -1, "off_task": 1, "fixation_s": 0, "saccade_width": 0},
    "needs_help": {"surprise": 1, "off_task": 1, "stationary_entropy": 1, "transition_entropy": 1, "saccade_width": 1},
}


@dataclass
class Moments:
    """Gaze under the model's attention, one entry a moment, in the order of time."""

    size: tuple[int, int]  # (width, height) px of the frame
    stamps_ns: list[int] = field(default_factory=list)  # of the frame that the attention is on
    surprise: list[float] = field(default_factory=list)  # NaN = gaze is not known
    saliency: list[float] = field(default_factory=list)
    off_task: list[float] = field(default_factory=list)  # 1 = gaze is off the half with most attention; NaN = unknown

    def add(self, stamp_ns: int, point: Floats, attention: Floats) -> None:
        """Add one moment. point: (2,) px in the frame, NaN = unknown. attention: (rows, columns), sums to 1."""
        points = np.reshape(point, (1, 2))
        self.stamps_ns.append(stamp_ns)
        self.surprise.append(float(surprise(points, attention, self.size)[0]))
        self.saliency.append(float(scanpath_saliency(points, attention, self.size)[0]))
        known = bool(np.isfinite(points).all())
        self.off_task.append(float(not within_half(points, attention, self.size)[0]) if known else float("nan"))

    def drop_before(self, stamp_ns: int) -> None:
        """Forget moments before `stamp_ns`."""
        count = int(np.searchsorted(self.stamps_ns, stamp_ns))
        for name in ("stamps_ns", "surprise", "saliency", "off_task"):
            del getattr(self, name)[:count]


def gaze_at(gaze: GazeTrack, at_ns: int, size: tuple[int, int]) -> Floats:
    """Return (2,) the mean of the samples that count in the POINT_S seconds up to `at_ns`, px of a frame of `size`.

    NaN where none counts (gaze.validity). Looks only backward, so that a running system gives the same.
    """
    first, stop = np.searchsorted(gaze.stamps_ns, [at_ns - round(POINT_S * 1e9), at_ns], side="right")
    near = part_of(gaze, int(first), int(stop))
    points = scaled(near.xy[usable_samples(near, size)], gaze.image_size, size)
    return np.asarray(points.mean(axis=0)) if len(points) else np.full(2, np.nan)


def part_of(gaze: GazeTrack, first: int, stop: int) -> GazeTrack:
    """Return samples `first` to `stop` of a track."""
    part = slice(first, stop)
    return replace(
        gaze,
        stamps_ns=gaze.stamps_ns[part],
        xy=gaze.xy[part],
        confidence=gaze.confidence[part],
        worn=gaze.worn[part],
        eye_state=gaze.eye_state[part],
        pupils_mm=None if gaze.pupils_mm is None else gaze.pupils_mm[part],
    )


def window_measures(moments: Moments, gaze: GazeTrack, at_ns: int) -> dict[str, float]:
    """Return each of MEASURES over the WINDOW_S seconds up to `at_ns`; all NaN where too little is known.

    Too little: the first moment is less than WINDOW_S ago (but for one step), or gaze is known for less than
    LEAST_KNOWN of the moments.
    """
    unknown = dict.fromkeys(MEASURES, float("nan"))
    from_ns = at_ns - round(WINDOW_S * 1e9)
    if not moments.stamps_ns or moments.stamps_ns[0] > from_ns + 1e9 / RATE_HZ:
        return unknown
    first, stop = (int(x) for x in np.searchsorted(moments.stamps_ns, [from_ns, at_ns], side="right"))
    values = np.array([moments.surprise[first:stop], moments.saliency[first:stop], moments.off_task[first:stop]])
    known = np.isfinite(values[0])
    if not len(known) or known.sum() < max(LEAST_KNOWN * len(known), LEAST_KNOWN * WINDOW_S * RATE_HZ / 2):
        return unknown
    begin, end = (int(x) for x in np.searchsorted(gaze.stamps_ns, [from_ns, at_ns], side="right"))
    part = part_of(gaze, begin, end)
    size = gaze.image_size if gaze.image_size[0] else moments.size
    looks = looks_of(part, size)
    statistics = look_statistics(part, looks, size[0])
    areas = areas_of(looks.xy, size)
    salient = values[1][np.isfinite(values[1])]
    return {
        "surprise": float(values[0][known].mean()),
        "saliency": float(salient.mean()) if len(salient) else float("nan"),
        "off_task": float(values[2][known].mean()),
        "stationary_entropy": stationary_entropy(areas, looks.durations_s),
        "transition_entropy": transition_entropy(areas),
        "fixation_s": statistics.fixation_s,
        "saccade_width": statistics.saccade_width,
    }
