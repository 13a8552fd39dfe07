"""Logistic regression over options, in NumPy: what rules are fitted by."""

from __future__ import annotations

import numpy as np

from gaze_vlm_ros.prediction.believed_stream import Floats, Ints


def log_shares(logits: Floats) -> Floats:
    """Return the logarithm of the softmax over the last axis."""
    above = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(above - np.log(np.exp(above).sum(axis=-1, keepdims=True)))


def fit_conditional(options: Floats, chosen: Ints, ridge: float = 1.0) -> Floats:
    """Return (F,) weights of McFadden's conditional logit (1974), by Newton's method.

    options: (M, C, F) features of each option. chosen: (M,). ridge: half of it times the sum of
    squared weights is added to the negative log-likelihood of all moments, so that few moments give weights near 0.
    """
    weights = np.zeros(options.shape[2])
    penalty = np.eye(len(weights)) * ridge
    picked = options[np.arange(len(chosen)), chosen]
    for _ in range(30):
        shares = np.exp(log_shares(options @ weights))
        mean = np.einsum("mc,mcf->mf", shares, options)
        gradient = (picked - mean).sum(axis=0) - ridge * weights
        off = (options - mean[:, None]) * np.sqrt(shares)[..., None]
        off = off.reshape(-1, len(weights))
        step = np.linalg.solve(off.T @ off + penalty, gradient)
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))  # far from the optimum Newton's step is too long
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def fit_multinomial(features: Floats, classes: Ints, count: int, ridge: float = 1.0) -> Floats:
    """Return (count, G) weights of a multinomial logit. features: (M, G). classes: (M,) 0 to count - 1."""
    wide = np.zeros((len(features), count, count, features.shape[1]))
    wide[:, np.arange(count), np.arange(count)] = features[:, None]
    return fit_conditional(wide.reshape(len(features), count, -1), classes, ridge).reshape(count, -1)
