"""Scores of answers and of attention, with confidence intervals. Pure numpy; nothing here is teacher-forced."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

if TYPE_CHECKING:
    from gaze_vlm_ros.vlm.embeddings import Embed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def probabilities(log_likelihoods: Floats, temperature: float = 1.0) -> Floats:
    """(N, A) log-likelihoods of complete answers -> (N, A) probabilities over the closed set, rows sum to 1."""
    scaled = log_likelihoods / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def top_k_hits(scores: Floats, answers: Ints, k: int) -> NDArray[np.bool_]:
    """(N,) is the true answer among the k best? A tie counts against it, so that constant scores are no hit."""
    true_scores = scores[np.arange(len(answers)), answers]
    as_good = (scores >= true_scores[:, None]).sum(axis=1)
    return np.asarray(as_good <= k)


def class_mean_recall(hits: NDArray[np.bool_], answers: Ints) -> float:
    """Mean over the classes that occur of the share of hits in that class: frequent classes do not drown rare ones."""
    return float(np.mean([hits[answers == answer].mean() for answer in np.unique(answers)]))


def negative_log_likelihood(log_likelihoods: Floats, answers: Ints, temperature: float) -> float:
    """Mean -log p of the true answers over the closed set, nats."""
    chosen = probabilities(log_likelihoods, temperature)[np.arange(len(answers)), answers]
    return float(-np.log(np.maximum(chosen, 1e-300)).mean())


def fit_temperature(log_likelihoods: Floats, answers: Ints) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017), within 1/20 to 20."""
    # One smooth dimension: a fine grid on a log scale is exact enough (1 %) and cannot diverge.
    grid = np.exp(np.linspace(np.log(0.05), np.log(20.0), 601))
    losses = [negative_log_likelihood(log_likelihoods, answers, temperature) for temperature in grid]
    return float(grid[int(np.argmin(losses))])


def selective_threshold(
    confidences: Floats, hits: NDArray[np.bool_], precision: float, risk: float = 0.1
) -> tuple[float, float]:
    """Least confidence from which answers are right with `precision` or more, and the share of answers that reach it.

    Selection with guaranteed risk (Geifman and El-Yaniv 2017): a binary search over the sorted confidences, each step
    an exact binomial bound (Clopper and Pearson 1934), which all hold together but for a chance of `risk`. That holds
    for independent answers; those of one session are less than that. (2.0, 0.0): no confidence is high enough.
    """
    ranked = np.sort(confidences)[::-1]
    low, high = 1, len(ranked)  # how many answers the threshold lets through
    found = (2.0, 0.0)
    risk_each = risk / max(1, math.ceil(math.log2(max(2, len(ranked)))))
    while low <= high:
        threshold = ranked[(low + high) // 2 - 1]
        taken = confidences >= threshold  # with all ties
        right, count = int(hits[taken].sum()), int(taken.sum())
        if right and beta.ppf(risk_each, right, count - right + 1) >= precision:
            found = (float(threshold), count / len(ranked))
            low = count + 1
        else:
            high = (low + high) // 2 - 1
    return found


def rouge_l(said: str, wanted: str) -> float:
    """ROUGE-L of one answer (Lin 2004): F1 of the longest common subsequence of words, without case and punctuation."""
    first, second = (re.findall(r"\w+", text.lower()) for text in (said, wanted))
    lengths = [0] * (len(second) + 1)  # of the longest common subsequence with each beginning of `second`
    for word in first:
        before = lengths.copy()
        for place, other in enumerate(second):
            lengths[place + 1] = before[place] + 1 if word == other else max(before[place + 1], lengths[place])
    return 2 * lengths[-1] / (len(first) + len(second)) if lengths[-1] else 0.0


def semantic_scores(said: Sequence[str], wanted: Sequence[str], embed: Embed) -> Floats:
    """(N,) cosine between the sentence embeddings of each answer and of the true one."""
    texts = sorted({*said, *wanted})
    vectors = dict(zip(texts, embed(texts), strict=True))
    return np.array([float(vectors[a] @ vectors[b]) for a, b in zip(said, wanted, strict=True)])


def bootstrap_interval(
    sessions: Ints, statistic: Callable[[Ints], float], draws: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Confidence interval of `statistic(indices)` when whole sessions are drawn with replacement.

    Windows of one session are not independent, so drawing windows would make intervals too narrow. With a single
    session there is nothing to draw from and the interval is (NaN, NaN).
    sessions: (N,) the session of each window.
    """
    names = np.unique(sessions)
    if len(names) < 2:
        return float("nan"), float("nan")
    members = [np.flatnonzero(sessions == name) for name in names]
    generator = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([members[i] for i in generator.integers(len(names), size=len(names))]))
        for _ in range(draws)
    ]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# Attention against gaze. Both are distributions over the V visual tokens of one window.


def gaze_kl(gaze: Floats, attention: Floats) -> float:
    """KL(gaze ‖ attention), nats; attention is floored at 1e-12."""
    seen = gaze > 0
    return float((gaze[seen] * np.log(gaze[seen] / np.maximum(attention[seen], 1e-12))).sum())


def top_k_overlap(gaze: Floats, attention: Floats, k: int) -> float:
    """Share of the k tokens with most gaze that are among the k with most attention."""
    return len(set(np.argsort(-gaze, kind="stable")[:k]) & set(np.argsort(-attention, kind="stable")[:k])) / k


def normalized_scanpath_saliency(gaze: Floats, attention: Floats) -> float:
    """NSS (Peters et al. 2005): attention, standardized over the tokens, averaged with gaze as weights."""
    spread = attention.std()
    return float((gaze * (attention - attention.mean())).sum() / spread) if spread > 0 else 0.0


def attention_auc(gaze: Floats, attention: Floats) -> float:
    """AUC: how well attention tells the gazed-at tokens (half the highest gaze, or more) from the others; ties half."""
    positive = gaze >= 0.5 * gaze.max()
    if positive.all():
        return float("nan")
    chosen, others = attention[positive], attention[~positive]
    above = (chosen[:, None] > others[None, :]).mean()
    equal = (chosen[:, None] == others[None, :]).mean()
    return float(above + 0.5 * equal)


def attention_scores(gaze: Floats, attention: Floats, k: int) -> dict[str, float]:
    """Means over the windows that have gaze. gaze, attention: (N, V); a row of zeros in gaze has none."""
    rows: Sequence[int] = np.flatnonzero(gaze.sum(axis=1) > 0).tolist()
    table = {
        "top_k_overlap": [top_k_overlap(gaze[row], attention[row], k) for row in rows],
        "kl": [gaze_kl(gaze[row], attention[row]) for row in rows],
        "nss": [normalized_scanpath_saliency(gaze[row], attention[row]) for row in rows],
        "auc": [attention_auc(gaze[row], attention[row]) for row in rows],
    }
    return {name: float(np.nanmean(values)) if values else float("nan") for name, values in table.items()}
