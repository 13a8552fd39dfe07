"""Measures of answers, with confidence intervals. Pure NumPy and SciPy; nothing here is teacher-forced."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, logsumexp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def probabilities(log_likelihoods: Floats, temperature: float = 1.0) -> Floats:
    """Return (N, A) probabilities over the closed set, rows sum to 1, from (N, A) log-likelihoods of whole answers."""
    scaled = log_likelihoods / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def top_k_hits(scores: Floats, answers: Ints, k: int) -> NDArray[np.bool_]:
    """Return (N,) whether the true answer is among the k best. Ties count against it, so constant scores are no hit.

    Rank by log-likelihoods: probabilities may underflow to equal zeros.
    scores: (N, A). answers: (N,) index of the true answer; -1 = not in the set, which is never a hit.
    """
    true_scores = scores[np.arange(len(answers)), answers]
    as_good = (scores >= true_scores[:, None]).sum(axis=1)
    return np.asarray((answers >= 0) & (as_good <= k))


def class_mean_recall(hits: NDArray[np.bool_], answers: NDArray[Any]) -> float:
    """Return the mean over classes of the share of hits in each class that occurs: rare classes count as frequent ones.

    hits: (N,). answers: (N,) class of each.
    """
    return float(np.mean([hits[answers == answer].mean() for answer in np.unique(answers)]))


def negative_log_likelihood(log_likelihoods: Floats, answers: Ints, temperature: float) -> float:
    """Return the mean of -log p of the true answers over the closed set, nats."""
    scaled = log_likelihoods / temperature
    return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(answers)), answers]).mean())


TEMPERATURE_PRIOR = np.log(2.0)  # standard deviation of log temperature: a priori within a factor of 2, mostly


def fit_temperature(log_likelihoods: Floats, answers: Ints) -> float:
    """Return the most probable temperature (Guo et al. 2017), within 1/20 to 20, from N answered windows.

    Before any window is seen, the logarithm of the temperature is normal around 0, with standard deviation
    TEMPERATURE_PRIOR. A handful of windows that are all right, or all wrong, would otherwise say that the model is
    certain; hundreds outweigh the prior.
    """
    # The loss is smooth in one dimension, so a fine logarithmic grid is accurate (1 %) and cannot diverge.
    logs = np.linspace(np.log(0.05), np.log(20.0), 601)
    losses = [
        len(answers) * negative_log_likelihood(log_likelihoods, answers, np.exp(log))
        + 0.5 * (log / TEMPERATURE_PRIOR) ** 2
        for log in logs
    ]
    return float(np.exp(logs[int(np.argmin(losses))]))


def selective_threshold(
    confidences: Floats, hits: NDArray[np.bool_], precision: float, risk: float = 0.1
) -> tuple[float, float]:
    """Return the least confidence above which answers reach `precision`, and the share of answers above it.

    Selection with guaranteed risk (Geifman and El-Yaniv 2017): a binary search over the sorted confidences, with an
    exact binomial bound (Clopper and Pearson 1934) in each step. All bounds hold together with probability 1 - `risk`
    for independent answers; answers of one session are not independent. Returns (2.0, 0.0) if no confidence is enough.

    confidences, hits: (N,).
    """
    ranked = np.sort(confidences)[::-1]
    low, high = 1, len(ranked)  # number of answers above the threshold
    found = (2.0, 0.0)
    risk_each = risk / max(1, math.ceil(math.log2(max(2, len(ranked)))))
    while low <= high:
        threshold = ranked[(low + high) // 2 - 1]
        taken = confidences >= threshold  # ties included
        right, count = int(hits[taken].sum()), int(taken.sum())
        # A quantile of the beta distribution: the lower Clopper-Pearson bound.
        if right and betaincinv(right, count - right + 1, risk_each) >= precision:
            found = (float(threshold), count / len(ranked))
            low = count + 1
        else:
            high = (low + high) // 2 - 1
    return found


def rouge_l(answer: str, truth: str) -> float:
    """Return ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, without case and punctuation."""
    first, second = (re.findall(r"\w+", text.lower()) for text in (answer, truth))
    lengths = [0] * (len(second) + 1)  # longest common subsequence with each prefix of `second`
    for word in first:
        before = lengths.copy()
        for place, other in enumerate(second):
            lengths[place + 1] = before[place] + 1 if word == other else max(before[place + 1], lengths[place])
    return 2 * lengths[-1] / (len(first) + len(second)) if lengths[-1] else 0.0


def semantic_scores(answers: Sequence[str], truths: Sequence[str], embed: Callable[[Sequence[str]], Floats]) -> Floats:
    """Return (N,) the cosine between the sentence embeddings of each answer and of the true one.

    embed: returns (N, D) embeddings of N texts, rows of length 1; see vlm.embeddings.load_embedder.
    """
    texts = sorted({*answers, *truths})
    vectors = dict(zip(texts, embed(texts), strict=True))
    return np.array([float(vectors[a] @ vectors[b]) for a, b in zip(answers, truths, strict=True)])


LEAST_SESSIONS = 5  # of a bootstrap interval


def bootstrap_interval(
    sessions: Ints, statistic: Callable[[Ints], float], draws: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap confidence interval of `statistic(indices)`, resampling whole sessions.

    Windows of one session are not independent, so resampling windows would make intervals too narrow. With fewer than
    LEAST_SESSIONS the interval is (NaN, NaN): that of two is just their minimum and maximum.
    sessions: (N,) session of each window. draws: number of resamples.
    """
    names = np.unique(sessions)
    if len(names) < LEAST_SESSIONS:
        return float("nan"), float("nan")
    members = [np.flatnonzero(sessions == name) for name in names]
    generator = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([members[i] for i in generator.integers(len(names), size=len(names))]))
        for _ in range(draws)
    ]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
