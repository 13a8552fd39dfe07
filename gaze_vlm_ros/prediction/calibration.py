"""Calibration: whether answers are right as often as their probabilities say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reliability(
    confidences: NDArray[np.float64], hits: NDArray[np.bool_], bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean confidence, share of hits (both NaN where empty) and count of each of the equally wide bins; (bins,) each.

    confidences, hits: (N,).
    """
    which = np.minimum((confidences * bins).astype(np.int64), bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(which, weights=confidences, minlength=bins) / counts
        accuracy = np.bincount(which, weights=hits.astype(np.float64), minlength=bins) / counts
    return confidence, accuracy, counts


def calibration_error(confidences: NDArray[np.float64], hits: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015, Guo et al. 2017): mean over answers of |confidence - accuracy| of
    their bin.
    """
    confidence, accuracy, counts = reliability(confidences, hits, bins)
    filled = counts > 0
    return float((np.abs(confidence - accuracy)[filled] * counts[filled]).sum() / counts.sum())
