"""Measures of attention against gaze. Both are distributions over the V visual tokens of one window. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gaze_kl(gaze: Floats, attention: Floats) -> float:
    """Return KL(gaze ‖ attention) of two (V,) distributions, nats; attention is clamped to at least 1e-12."""
    seen = gaze > 0
    return float((gaze[seen] * np.log(gaze[seen] / np.maximum(attention[seen], 1e-12))).sum())


def top_k_overlap(gaze: Floats, attention: Floats, k: int) -> float:
    """Return the share of the k tokens with most gaze that are among the k with most attention."""
    return len(set(np.argsort(-gaze, kind="stable")[:k]) & set(np.argsort(-attention, kind="stable")[:k])) / k


def normalized_scanpath_saliency(gaze: Floats, attention: Floats) -> float:
    """Return NSS (Peters et al. 2005): attention, standardized over the tokens, averaged with gaze as weights."""
    spread = attention.std()
    return float((gaze * (attention - attention.mean())).sum() / spread) if spread > 0 else 0.0


def attention_auc(gaze: Floats, attention: Floats) -> float:
    """Return how well attention separates gazed-at tokens from the others: area under the ROC curve, ties half.

    Gazed-at tokens have at least half the highest gaze. NaN if all tokens have.
    """
    positive = gaze >= 0.5 * gaze.max()
    if positive.all():
        return float("nan")
    chosen, others = attention[positive], attention[~positive]
    above = (chosen[:, None] > others[None, :]).mean()
    equal = (chosen[:, None] == others[None, :]).mean()
    return float(above + 0.5 * equal)


def attention_scores(gaze: Floats, attention: Floats, k: int) -> dict[str, float]:
    """Return the mean of each measure over the windows with gaze; NaN if there is none.

    gaze, attention: (N, V); a row of zeros in gaze means no gaze. k: tokens of the top-k overlap.
    """
    rows: Sequence[int] = np.flatnonzero(gaze.sum(axis=1) > 0).tolist()
    table = {
        "top_k_overlap": [top_k_overlap(gaze[row], attention[row], k) for row in rows],
        "kl": [gaze_kl(gaze[row], attention[row]) for row in rows],
        "nss": [normalized_scanpath_saliency(gaze[row], attention[row]) for row in rows],
        "auc": [attention_auc(gaze[row], attention[row]) for row in rows],
    }
    return {name: float(np.nanmean(values)) if values else float("nan") for name, values in table.items()}
