"""Gaze targets: from gaze samples to a distribution over the visual tokens of each window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.distribution import aggregate, patch_distribution
from gaze_vlm_ros.gaze.fixations import with_fixations
from gaze_vlm_ros.gaze.flow import FlowSettings
from gaze_vlm_ros.session.session import Session, load_session
from training.settings import Settings

Floats = NDArray[np.float64]
FrameGaze = tuple[Floats, Floats]  # points (n, 2) px on one frame, weights (n,)


class NothingToShuffle(GazeVlmError):
    """The shuffled control needs two windows with gaze."""


def session_of(path: Path | str, settings: Settings) -> Session:
    """Open a bag to take gaze from. Raises what load_session raises.

    If settings.gaze_samples asks for fixations, they are found where the tracker gives none.
    """
    session = load_session(path, roles=settings.roles)
    if settings.gaze_samples != "fixations" or session.gaze is None:
        return session
    return replace(session, gaze=with_fixations(session.gaze, session.frames.size))


def frame_gaze(session: Session, index: int, settings: Settings) -> FrameGaze:
    """Return usable gaze on frame `index` of the session: (n, 2) points px and (n,) weights, n = 0 without gaze."""
    if session.gaze is None:
        return np.empty((0, 2)), np.empty(0)
    return aggregate(
        session.gaze,
        session.frames,
        index,
        settings.gaze_window_s,
        shift_s=settings.gaze_shift_s,
        newest_alone=settings.gaze_samples == "newest",
        min_confidence=settings.gaze_min_confidence,
        flow=FlowSettings() if settings.gaze_flow else None,
    )


def window_target(gaze: list[FrameGaze], frame_of_token: NDArray[np.int64], boxes: Floats, sigma_px: float) -> Floats:
    """Return the (V,) share of gaze on each visual token of a window: sums to 1, or all zero without usable gaze.

    The target g of the regularizer (arXiv 2510.21356): a Gaussian mixture integrated over each token's box. Gaze on a
    part of the frame that the model does not see does not count, see `on_tokens`: normalized up from nothing, it would
    be a target on the nearest tokens.

    gaze: points px and weights on each of the window's frames. frame_of_token: (V,).
    boxes: (V, 4) x0, y0, x1, y1, px on the token's own frame. sigma_px: standard deviation of each Gaussian.
    """
    # Normalize once over the window, so that a frame during a saccade or a blink, with few samples, has a small share.
    # To do so, place the frames side by side, so far apart that no Gaussian reaches the next frame.
    apart = boxes[:, 2].max() - boxes[:, 0].min() + 100 * sigma_px
    laid_boxes = boxes + apart * frame_of_token[:, None] * np.array([1.0, 0.0, 1.0, 0.0])
    laid_points = [points + np.array([apart * frame, 0.0]) for frame, (points, _) in enumerate(gaze)]
    weights = [
        weights * on_tokens(points, boxes[frame_of_token == frame], sigma_px)
        for frame, (points, weights) in enumerate(gaze)
    ]
    return patch_distribution(np.concatenate(laid_points), np.concatenate(weights), laid_boxes, sigma_px)


def on_tokens(points: Floats, boxes: Floats, sigma_px: float) -> NDArray[np.bool_]:
    """Return (n,) which points are on what the model sees of their frame: at most `sigma_px` from a token's box.

    points: (n, 2) px. boxes: (V, 4) px, of the tokens on the same frame; an empty box sees nothing.
    """
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    if not len(boxes) or not len(points):
        return np.zeros(len(points), bool)
    low, high = boxes[None, :, :2], boxes[None, :, 2:]
    away = np.maximum(np.maximum(low - points[:, None], points[:, None] - high), 0.0)  # (n, V, 2)
    return np.asarray((np.hypot(away[..., 0], away[..., 1]) <= sigma_px).any(axis=1))


def unseen_share(
    gaze: Iterable[list[FrameGaze]], frame_of_token: NDArray[np.int64], boxes: Floats, sigma_px: float
) -> float:
    """Return the share of usable gaze of some windows, by weight, on parts of the frame that the model does not see."""
    unseen = total = 0.0
    for window in gaze:
        for frame, (points, weights) in enumerate(window):
            seen = on_tokens(points, boxes[frame_of_token == frame], sigma_px)
            unseen, total = unseen + float(weights[~seen].sum()), total + float(weights.sum())
    return unseen / total if total else 0.0


def prior_target(
    kind: str, frame_of_token: NDArray[np.int64], boxes: Floats, frame_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the (V,) target of every window in the controls `uniform` and `centred`; sums to 1.

    uniform: equal on all visual tokens. centred: a Gaussian around the centre of each frame, where gaze in the pictures
    of a head camera tends to be; its standard deviation is a sixth of the frame's width.
    """
    if kind == "uniform":
        return np.full(len(boxes), 1 / len(boxes), np.float32)
    frames = int(frame_of_token.max()) + 1
    centre = (np.array([[frame_size[0] / 2, frame_size[1] / 2]]), np.ones(1))
    return window_target([centre] * frames, frame_of_token, boxes, frame_size[0] / 6).astype(np.float32)


def shuffled_rows(has_gaze: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Return for each window the window whose gaze it gets in the shuffled control, (N,).

    Windows with usable gaze exchange it in a random cycle: none keeps its own, and as many have gaze as before. Raises
    NothingToShuffle if only one window has gaze.
    """
    if has_gaze.sum() == 1:
        raise NothingToShuffle("only one window to train on has usable gaze, and it would keep its own; give more bags")
    rows = np.arange(len(has_gaze))
    order = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(has_gaze))
    rows[order] = np.roll(order, 1)
    return rows
