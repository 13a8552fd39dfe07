"""Turn gaze samples into a distribution over boxes of the image: exact, without rasterizing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from gaze_vlm_ros.gaze.flow import FlowSettings, carry
from gaze_vlm_ros.video.images import DamagedImage

if TYPE_CHECKING:
    from gaze_vlm_ros.session.gaze_track import GazeTrack
    from gaze_vlm_ros.video.frame_stream import FrameStream

Floats = NDArray[np.float64]

# gaze_vlm_msgs/GazeStamped
WORN_NO = 1
SACCADE, BLINK = 2, 3


def patch_distribution(points: Floats, weights: Floats, boxes: Floats, sigma: float) -> Floats:
    """Return (P,) the share of a mixture of Gaussians in each box; it sums to 1, or is all zeros if no point counts.

    points: (N, 2) px, centres of isotropic Gaussians of standard deviation `sigma` px; may lie off the image.
    weights: (N,) >= 0. A point with weight 0, or with a NaN coordinate, does not count.
    boxes: (P, 4) px x0, y0, x1, y1 of each visual token in the same image; they may overlap; an empty box gets 0.

    The mass on a box is the product of two differences of the normal distribution function (a Gaussian separates), so
    no grid is involved; it is normalized once over all boxes. Raises ValueError for wrong shapes or values.
    """
    points, weights, boxes = np.asarray(points, float), np.asarray(weights, float), np.asarray(boxes, float)
    points = points.reshape(-1, 2)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or weights.shape != (len(points),):
        raise ValueError(
            f"expected points (N, 2), weights (N,), boxes (P, 4); got {points.shape}, {weights.shape}, {boxes.shape}"
        )
    if not sigma > 0 or not np.isfinite(sigma):
        raise ValueError(f"sigma is {sigma} px, expected more than 0")
    if np.any(weights < 0):
        raise ValueError(f"weights must not be negative, got {weights.min()}")
    counts = (weights > 0) & np.isfinite(points).all(axis=1) & np.isfinite(weights)
    points, weights = points[counts], weights[counts]
    if not len(points) or not len(boxes):
        return np.zeros(len(boxes))
    log_mass = (
        _log_interval(points[:, 0], boxes[:, 0], boxes[:, 2], sigma)
        + _log_interval(points[:, 1], boxes[:, 1], boxes[:, 3], sigma)
        + np.log(weights)[:, None]
    )
    # In logarithms: a point far off the image keeps its share of 1e-300 beside others, and as the only point it
    # still shows which boxes are nearest to it.
    highest = log_mass.max()
    if highest == -np.inf:
        return np.zeros(len(boxes))
    mass = np.exp(log_mass - highest).sum(axis=0)
    return mass / mass.sum()


def _log_interval(centres: Floats, low: Floats, high: Floats, sigma: float) -> Floats:
    """Return (N, P) the log probability that a normal variable around each centre is in [low, high]; -inf if empty."""
    a, b = (low - centres[:, None]) / sigma, (high - centres[:, None]) / sigma
    # Mirror intervals above the centre: differences of two numbers near 1 would lose all digits.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    upper, lower = log_ndtr(b), log_ndtr(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = upper + np.log1p(-np.exp(lower - upper))
    return np.where(high > low, np.nan_to_num(result, nan=-np.inf, posinf=-np.inf, neginf=-np.inf), -np.inf)


def aggregate(
    samples: GazeTrack,
    frames: FrameStream,
    at: int,
    window_s: float = 0.2,  # the paper's; a fixation lasts about as long
    *,
    shift_s: float = 0.0,  # take gaze of this much later than the frame; negative: earlier
    newest_alone: bool = False,  # use only the newest sample that counts
    min_confidence: float = 0.6,  # below, pupil detectors are mostly wrong
    flow: FlowSettings | None = None,
) -> tuple[Floats, Floats]:
    """Return gaze on frame number `at`: points (n, 2) in px of that frame, and weights (n,), all 1.

    Samples of the last `window_s` seconds up to the frame's stamp count if the tracker is not known to be off the head,
    the confidence is at least `min_confidence` or not given, the eye is not known to be in a blink or saccade, and the
    point is on the image. With `flow`, each is carried from the frame on which it was measured (the newest one at that
    time) to frame `at` by optical flow, and dropped where flow is not consistent (arXiv 2510.21356, section 3), or
    where that other frame is damaged or of another size. With `newest_alone`, only the last of those that count is
    used. With `shift_s`, samples of the `window_s` seconds up to that much after the frame's stamp take their place.
    Later ones are carried back to frame `at`; earlier ones, which are there as a control, stay where they were in the
    newest picture of their own time. Raises DamagedImage where frame `at` is damaged.
    """
    at_ns = int(frames.stamps_ns[at]) + round(shift_s * 1e9)
    width, height = frames.size
    first = int(np.searchsorted(samples.stamps_ns, at_ns - round(window_s * 1e9), side="right"))
    stop = int(np.searchsorted(samples.stamps_ns, at_ns, side="right"))
    chosen = slice(first, stop)
    points = scaled(samples.xy[chosen], samples.image_size, (width, height))
    with np.errstate(invalid="ignore"):
        usable = (
            (samples.worn[chosen] != WORN_NO)
            & ~(samples.confidence[chosen] < min_confidence)  # NaN, not given, passes
            & ~np.isin(samples.eye_state[chosen], (SACCADE, BLINK))
            & (points >= 0).all(axis=1)
            & (points < (width, height)).all(axis=1)
        )
    points, stamps_ns = points[usable], samples.stamps_ns[chosen][usable]
    if newest_alone:
        points, stamps_ns = points[-1:], stamps_ns[-1:]
    if flow is not None and len(points):
        to = at if shift_s >= 0 else max(0, int(np.searchsorted(frames.stamps_ns, at_ns, side="right")) - 1)
        try:
            points = _carried(points, stamps_ns, frames, to, flow)
        except DamagedImage:
            if to == at:
                raise
            points = points[:0]
    return points, np.ones(len(points))


def scaled(points: Floats, measured_on: tuple[int, int], size: tuple[int, int]) -> Floats:
    """Return points (N, 2) px on an image of `measured_on` scaled to an image of `size`, both (width, height) px.

    Cameras often publish a smaller image than the tracker uses. measured_on (0, 0) = unknown: points stay as they are.
    """
    if not measured_on[0] or measured_on == size:
        return points.copy()
    return points * (np.array(size) / np.array(measured_on))


def _carried(points: Floats, stamps_ns: NDArray[np.int64], frames: FrameStream, at: int, flow: FlowSettings) -> Floats:
    """Return `points` carried to frame `at`, without those that flow loses."""
    # A sample between two frames belongs to the older one: the newer did not exist yet.
    measured_on = np.maximum(np.searchsorted(frames.stamps_ns, stamps_ns, side="right") - 1, 0)
    kept = [points[measured_on == at]]
    for source in np.unique(measured_on[measured_on != at]):
        target = frames.small_grey(at, flow.width_px)
        try:
            measured = frames.small_grey(int(source), flow.width_px)
        except DamagedImage:  # its samples are lost, the window is not
            continue
        moved, consistent = carry(points[measured_on == source], measured, target, frames.size, flow)
        kept.append(moved[consistent])
    return np.concatenate(kept)
