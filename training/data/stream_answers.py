"""Answers of the stream as tokens, and the truth of its windows as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import NOTHING, AnswerWords, UnclearWords, part_of, parts_after
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.windows.cutting import Window


@dataclass(frozen=True)
class StreamAnswers:
    """What N windows of the stream ask for. Actions are indices into the label set, parts those of the horizon."""

    words: AnswerWords
    horizon_s: float
    actions: NDArray[np.int64]  # (N,) the action that begins next; NOTHING = none
    to_start_s: NDArray[np.float64]  # (N,) time until it does, s; NaN = none
    known_s: NDArray[np.float64]  # (N,) time for which it is known that nothing begins; inf = the answer is known
    when_position: int  # see batch.WhenTokens
    when_tokens: NDArray[np.int64]  # (K + 1,)

    @property
    def censored(self) -> NDArray[np.bool_]:
        """(N,) which windows are right-censored."""
        return np.isfinite(self.known_s)

    @property
    def parts(self) -> NDArray[np.int64]:
        """(N,) part of the horizon in which the action begins; NOTHING = none."""
        count = self.words.parts
        return np.array([NOTHING if math.isnan(s) else part_of(s, self.horizon_s, count) for s in self.to_start_s])

    def only(self, rows: NDArray[np.int64]) -> StreamAnswers:
        """Return the truth of the windows `rows`."""
        return replace(self, actions=self.actions[rows], to_start_s=self.to_start_s[rows], known_s=self.known_s[rows])

    def shares(self, rows: NDArray[np.int64], actions: int) -> tuple[NDArray[np.float64], float]:
        """Return the share of each answer in the windows `rows` whose answer is known: (A, K), and that of nothing.

        Each counts as if it had occurred half a time more, since none is impossible.
        """
        rows = rows[~self.censored[rows]]
        counts = np.full(self.words.parts * actions + 1, 0.5)
        np.add.at(counts, answer_index(self.only(rows), actions), 1)
        table, nothing = self.words.table(counts / counts.sum())
        return table, float(nothing)

    def remaining(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return batch.WhenTokens.remaining of the windows `rows`."""
        shares = np.zeros((len(rows), self.words.parts + 1), np.float32)
        for place, known_s in enumerate(self.known_s[rows]):
            if np.isfinite(known_s):
                shares[place] = [*parts_after(float(known_s), self.horizon_s, self.words.parts), 1.0]
        return shares

    def adjustment(self, used: NDArray[np.int64], stream: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return batch.WhenTokens.adjustment for windows `used` to train on in place of those of the `stream`."""
        shares = []
        for rows in (used, stream):
            parts = self.parts[rows[~self.censored[rows]]]
            counts = np.bincount(np.where(parts == NOTHING, self.words.parts, parts), minlength=self.words.parts + 1)
            shares.append(counts / max(1, len(parts)))
        both = (shares[0] > 0) & (shares[1] > 0)
        return np.log(np.where(both, shares[0], 1) / np.where(both, shares[1], 1)).astype(np.float32)


def stream_answers(
    windows: Sequence[Window],
    labels: LabelSet,
    words: AnswerWords,
    horizon_s: float,
    answer_tokens: Sequence[Sequence[int]],
) -> StreamAnswers:
    """Return the truth of `windows`. answer_tokens: of words.texts(labels.texts). Raises UnclearWords."""
    position, tokens = when_tokens(answer_tokens, words)
    leads = [window.lead_s for window in windows]
    return StreamAnswers(
        words,
        horizon_s,
        np.array([labels.row(window.answer) if window.answer else NOTHING for window in windows], np.int64),
        np.array([math.nan if lead is None else lead for lead in leads]),
        np.array([math.inf if window.known_s is None else window.known_s for window in windows]),
        position,
        tokens,
    )


def when_tokens(answer_tokens: Sequence[Sequence[int]], words: AnswerWords) -> tuple[int, NDArray[np.int64]]:
    """Return the position at which answers say when, and the token there of each part and of nothing, (K + 1,).

    answer_tokens: of words.texts(labels), in its order. Raises UnclearWords where a part has no token of its own.
    """
    position = 0
    while len({tuple(answer[: position + 1]) for answer in answer_tokens}) == 1:
        position += 1
    actions = (len(answer_tokens) - 1) // words.parts
    groups = [answer_tokens[part * actions : (part + 1) * actions] for part in range(words.parts)]
    found = [{answer[position] for answer in group} for group in (*groups, answer_tokens[-1:])]
    tokens = [next(iter(each)) for each in found]
    if any(len(each) > 1 for each in found) or len(set(tokens)) < len(tokens):
        raise UnclearWords(
            f"the tokenizer begins two of the words {[*words.when, words.nothing]} with the same token; set when_words "
            "and nothing_words to words that begin differently"
        )
    return position, np.array(tokens, np.int64)


def answer_index(truth: StreamAnswers, actions: int) -> NDArray[np.int64]:
    """Return (N,) the index of each window's answer in AnswerWords.texts; that of nothing where it is censored."""
    nothing = truth.words.parts * actions
    return np.where(truth.actions == NOTHING, nothing, truth.parts * actions + truth.actions)
