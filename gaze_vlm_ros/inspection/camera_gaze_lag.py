"""Measure from a recording how late gaze is stamped against the camera. No ROS needed.

While a person fixates something, the eyes turn against the head (the vestibulo-ocular reflex), so the point of gaze
goes with the picture. The picture's motion between frames carries the fixated point along; the shift in time at which
gaze stays closest to that point over all fixations is the lag. Saccades, a still head, and eyes that follow a moving
thing carry no information.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from gaze_vlm_ros.gaze.validity import usable_samples
from gaze_vlm_ros.session.gaze_track import GazeTrack

Floats = NDArray[np.float64]

WIDTH_PX = 320  # at which the picture's motion is measured: 3 ms a frame, and still exact to 1 % of the motion
SEARCH_S, STEP_S = 0.3, 0.01  # lags tried; a parabola interpolates between steps
MAX_FRAME_GAP_S = 0.2  # a head turns and stops in less than twice that, so no path crosses a longer gap
# Saccades of over 2 degrees are faster on cameras of 80 to 100 degrees; heads at work mostly turn more slowly.
SACCADE_WIDTHS_PER_S = 1.0  # of the picture
_SPEED_OVER_S = 0.03  # samples are noisy: speed is measured over the duration of a small saccade
_EDGE_S = 0.01  # cut from both ends of a fixation, where the saccade's smooth ends are
_FIXATION_S = (0.08, 1.0)  # shorter ones carry little information; in longer ones the eyes drift, so they are split
_BLOCK_S = 2.0  # unit of the bootstrap: the head's motion within a block is not independent
_RESAMPLES = 400
_MIN_CORNERS = 24  # twice as many equations as the motion has numbers
_CORNER_PX = 0.03  # exactness of one corner's motion; at 0.1 slow motion through a wide lens came out 2 % too small
_SHARED_PX = 1.0  # more than half of the corners must move alike within this

# Conditions for reporting a lag.
MIN_BLOCKS = 10  # 20 s with fixations: an interval from fewer means little
MIN_EXPLAINED = 0.2  # of gaze's motion within fixations; unrelated motion explains none, see docs/checking.md
MAX_UNCERTAINTY_S = 0.025  # half of the 95 % interval; a lag of 50 ms must be distinguishable from none


@dataclass(frozen=True)
class LagEstimate:
    """Result of the measurement. Positive: gaze is stamped later than the frame that shows what the eyes did."""

    lag_s: float | None  # None = not measurable, see `reason`
    low_s: float  # 95 % interval, by bootstrap over blocks of 2 s; NaN where there are no fixations
    high_s: float
    explained: float  # share of gaze's motion within fixations that the picture's motion explains, at the best lag
    fixations: int
    blocks: int  # of 2 s, with fixations
    reason: str


def picture_motion(earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> Floats | None:
    """Return the motion between two small grey pictures, (6, 2) for `moved`; None where most corners do not share one.

    earlier, later: (h, w) uint8, WIDTH_PX wide. Corners are followed because dense flow came out 2 to 3 % too small for
    motion below one pixel per frame, which made 12 ms of lag.
    """
    if earlier.shape != later.shape:
        return None
    corners = cv2.goodFeaturesToTrack(earlier, maxCorners=150, qualityLevel=0.01, minDistance=8)
    if corners is None or len(corners) < _MIN_CORNERS:
        return None
    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01)
    guess = np.empty((0,), np.float32)  # OpenCV: no first guess
    followed, found, _ = cv2.calcOpticalFlowPyrLK(
        earlier, later, corners, guess, winSize=(15, 15), maxLevel=3, criteria=until
    )
    seen = found.ravel() == 1
    if seen.sum() < _MIN_CORNERS:
        return None
    start = corners[seen].reshape(-1, 2).astype(float)
    shift = followed[seen].reshape(-1, 2).astype(float) - start
    terms = _terms(start)
    # Reweighted least squares: hands and what they carry move differently from the head.
    motion = np.zeros((6, 2))
    motion[0] = np.median(shift, axis=0)
    for _ in range(10):
        misfit = np.linalg.norm(shift - terms @ motion, axis=1)
        within = max(float(np.median(misfit)), _CORNER_PX)
        weight = 1 / (1 + (misfit / within) ** 2)
        motion = np.linalg.lstsq(terms * weight[:, None], shift * weight[:, None], rcond=None)[0]
    misfit = np.linalg.norm(shift - terms @ motion, axis=1)
    return motion if np.median(misfit) < _SHARED_PX else None


def moved(points: Floats, motion: Floats) -> Floats:
    """Return points (N, 2) px of the earlier small picture moved to the later one."""
    return points + _terms(points) @ motion


def _terms(points: Floats) -> Floats:
    """Return the (N, 6) terms that motion is a weighted sum of.

    A turning head moves the picture exactly by a quadratic in its coordinates (Longuet-Higgins & Prazdny 1980), and the
    same terms absorb the distortion of a wide lens.
    """
    x, y = points.T / WIDTH_PX
    return np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y])


def estimate_lag(
    frames_ns: NDArray[np.int64], motions: Floats, gaze: GazeTrack, frame_size: tuple[int, int]
) -> LagEstimate:
    """Estimate the lag of gaze after the camera.

    frames_ns: (N,) ascending. motions: (N, 6, 2) `picture_motion` from frame i - 1 to i, NaN where it is not known.
    frame_size: (width, height) px of the frames; gaze refers to it unless the track has its own image size.
    """
    scale = min(WIDTH_PX, frame_size[0]) / (gaze.image_size[0] or frame_size[0])
    xy = gaze.xy * scale
    usable = usable_samples(gaze, frame_size)
    shifts_s = np.linspace(-SEARCH_S, SEARCH_S, 2 * round(SEARCH_S / STEP_S) + 1)
    blocks: dict[int, Floats] = {}  # by number: sums of squares, for each shift, and without any motion of the picture
    count = 0
    for rows in _fixations(gaze.stamps_ns, xy, usable, SACCADE_WIDTHS_PER_S * min(WIDTH_PX, frame_size[0])):
        squares = _spread_around_path(frames_ns, motions, gaze.stamps_ns[rows], xy[rows], shifts_s)
        if squares is not None:
            block = int((gaze.stamps_ns[rows[0]] - gaze.stamps_ns[0]) // round(_BLOCK_S * 1e9))
            blocks[block] = blocks.get(block, 0) + squares
            count += 1
    return _judge(np.array([blocks[block] for block in sorted(blocks)]), shifts_s, count)


def _fixations(
    stamps_ns: NDArray[np.int64], xy: Floats, usable: NDArray[np.bool_], saccade_px_per_s: float
) -> list[NDArray[np.int64]]:
    """Return the rows of each run of usable samples that moves slower than a saccade, without its ends."""
    if len(stamps_ns) < 2:
        return []
    times_s = (stamps_ns - stamps_ns[0]) / 1e9
    known = np.flatnonzero(usable)
    if not len(known):
        return []
    smooth = _box_average(times_s, np.where(usable[:, None], xy, 0.0), usable, _SPEED_OVER_S / 3)
    ends = (times_s[:, None] + np.array([-0.5, 0.5]) * _SPEED_OVER_S).ravel()
    places = np.column_stack([np.interp(ends, times_s[known], smooth[known, axis]) for axis in (0, 1)]).reshape(
        -1, 2, 2
    )
    speed = np.linalg.norm(places[:, 1] - places[:, 0], axis=1) / _SPEED_OVER_S
    slow = usable & (speed < saccade_px_per_s)
    together = np.diff(times_s) < 2.5 * np.median(np.diff(times_s))  # one lost sample is bridged
    cuts = np.flatnonzero(~(slow[1:] & slow[:-1] & together)) + 1
    found = []
    for rows in np.split(np.arange(len(stamps_ns)), cuts):
        first_s, last_s = times_s[rows[0]] + _EDGE_S, times_s[rows[-1]] - _EDGE_S
        rows = rows[(times_s[rows] >= first_s) & (times_s[rows] <= last_s)]
        if len(rows) >= 5 and slow[rows[0]] and last_s - first_s >= _FIXATION_S[0]:
            found += np.array_split(rows, int(np.ceil((last_s - first_s) / _FIXATION_S[1])))
    return found


def _box_average(times_s: Floats, values: Floats, usable: NDArray[np.bool_], half_s: float) -> Floats:
    """Return the (N, 2) mean of the usable values within half_s of each time; NaN where there is none."""
    first, stop = (
        np.searchsorted(times_s, times_s + side * half_s, "right" if side > 0 else "left") for side in (-1, 1)
    )
    sums = np.vstack([np.zeros((1, 2)), np.cumsum(values, axis=0)])
    counts = np.concatenate([[0], np.cumsum(usable)])
    with np.errstate(invalid="ignore"):
        return np.asarray((sums[stop] - sums[first]) / (counts[stop] - counts[first])[:, None])


def _spread_around_path(
    frames_ns: NDArray[np.int64], motions: Floats, stamps_ns: NDArray[np.int64], xy: Floats, shifts_s: Floats
) -> Floats | None:
    """Return (S + 1,) sums of squares of gaze around the fixated point, for each shift; the last: around a fixed point.

    The picture carries the fixated point along. None where its motion is not known throughout.
    """
    first = int(np.searchsorted(frames_ns, stamps_ns[0] - round(shifts_s[-1] * 1e9), side="right")) - 1
    last = int(np.searchsorted(frames_ns, stamps_ns[-1] - round(shifts_s[0] * 1e9), side="left"))
    if first < 0 or last >= len(frames_ns):
        return None
    steps = motions[first + 1 : last + 1]
    if not np.isfinite(steps).all() or np.diff(frames_ns[first : last + 1]).max() > MAX_FRAME_GAP_S * 1e9:
        return None
    # Carry the point from the middle outward: a gaze error moves with it, and does not grow over one fixation.
    middle = int(np.clip(np.searchsorted(frames_ns, int(stamps_ns.mean())) - first, 0, last - first))
    path = np.empty((last - first + 1, 2))
    path[middle] = xy.mean(axis=0)
    for row in range(middle, last - first):
        path[row + 1] = moved(path[row, None], steps[row])[0]
    for row in range(middle, 0, -1):
        path[row - 1] = path[row]
        for _ in range(3):  # fixed-point iteration: motion changes little over its own length
            path[row - 1] += path[row] - moved(path[row - 1, None], steps[row - 1])[0]
    frame_times_s = (frames_ns[first : last + 1] - frames_ns[first]) / 1e9
    query_s = ((stamps_ns - frames_ns[first]) / 1e9)[:, None] - shifts_s
    away = xy[:, None] - CubicSpline(frame_times_s, path)(query_s)
    still = ((xy - xy.mean(axis=0)) ** 2).sum()
    return np.append(((away - away.mean(axis=0)) ** 2).sum(axis=(0, 2)), still)


def _judge(blocks: Floats, shifts_s: Floats, fixations: int) -> LagEstimate:
    """blocks: (B, S + 1) sums of squares of `_spread_around_path`."""
    if not len(blocks):
        return LagEstimate(None, np.nan, np.nan, 0.0, 0, 0, "no fixation is within frames whose motion is known")
    total = blocks.sum(axis=0)
    explained = float(1 - total[:-1].min() / total[-1]) if total[-1] else 0.0
    draws = np.random.default_rng(0).integers(0, len(blocks), (_RESAMPLES, len(blocks)))
    lags_s = [_lowest(blocks[draw].sum(axis=0)[:-1], shifts_s) for draw in draws]
    low_s, high_s = (float(edge) for edge in np.percentile(lags_s, [2.5, 97.5]))
    lag_s = _lowest(total[:-1], shifts_s)
    if len(blocks) < MIN_BLOCKS:
        reason = f"{len(blocks) * _BLOCK_S:g} s with fixations, at least {MIN_BLOCKS * _BLOCK_S:g} s are needed"
    elif explained < MIN_EXPLAINED:
        reason = (
            f"the picture's motion explains {max(explained, 0):.2f} of gaze's motion within fixations, below "
            f"{MIN_EXPLAINED:g}: the head was still, the eyes followed moving things, or gaze belongs to another time"
        )
    elif abs(lag_s) >= SEARCH_S:
        reason = f"the best lag is at the edge of the search range, {SEARCH_S * 1e3:g} ms"
    elif high_s - low_s > 2 * MAX_UNCERTAINTY_S:
        reason = (
            f"somewhere from {low_s * 1e3:+.0f} to {high_s * 1e3:+.0f} ms, wider than {2e3 * MAX_UNCERTAINTY_S:g} ms: "
            "the head moved too little, or too evenly"
        )
    else:
        reason = ""
    return LagEstimate(None if reason else lag_s, low_s, high_s, explained, fixations, len(blocks), reason)


def _lowest(curve: Floats, shifts_s: Floats) -> float:
    """Return the minimum of the parabola through the lowest point and its neighbours."""
    row = int(np.argmin(curve))
    if not 0 < row < len(curve) - 1:
        return float(shifts_s[row])
    before, at, after = curve[row - 1 : row + 2]
    bend = before - 2 * at + after
    return float(shifts_s[row] + (STEP_S * 0.5 * (before - after) / bend if bend > 0 else 0.0))
