"""The words of an answer that says what begins and when: made and read here, and nowhere else.

An answer is an action and a part of the horizon, or that nothing begins: "soon take the red mug", "nothing yet". When
comes first, so that the first words of an answer give the probability of each part of the horizon over all actions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError

NOTHING = -1  # as an action, or as a part of the horizon


class UnclearWords(GazeVlmError):
    """The words do not distinguish the parts of the horizon from each other, or from nothing."""


@dataclass(frozen=True)
class AnswerWords:
    """One word or more for each of K equal parts of the horizon, soonest first, and those for "nothing begins"."""

    when: tuple[str, ...]
    nothing: str

    def __post_init__(self) -> None:
        words = (*self.when, self.nothing)
        if not self.when or any(not word or word != " ".join(word.split()) for word in words):
            raise UnclearWords(f"words for when and nothing are {list(words)}, expected texts without outer spaces")
        if len(set(words)) < len(words):
            raise UnclearWords(f"words for when and nothing are {list(words)}, expected them to differ")

    @property
    def parts(self) -> int:
        """Number of parts of the horizon, K."""
        return len(self.when)

    def texts(self, actions: Sequence[str]) -> tuple[str, ...]:
        """Return all answers, (K A + 1): for each part of the horizon all A actions, and last that nothing begins.

        Raises UnclearWords where two of them are the same text.
        """
        texts = (*(f"{when} {action}" for when in self.when for action in actions), self.nothing)
        if len(set(texts)) < len(texts):
            double = next(text for text in texts if texts.count(text) > 1)
            raise UnclearWords(f"{double!r} would stand for two answers; set other when_words or nothing_words")
        return texts

    def read(self, text: str) -> tuple[str, int]:
        """Return the action in an answer, and its part of the horizon.

        ("", NOTHING) = nothing begins. An answer that names no part is an action at an unknown time: (text, NOTHING).
        """
        text = " ".join(text.split())
        if text == self.nothing:
            return "", NOTHING
        for word in sorted(self.when, key=len, reverse=True):
            if text.startswith(f"{word} "):
                return text.removeprefix(f"{word} "), self.when.index(word)
        return text, NOTHING

    def table(self, probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return P(action, part), (..., A, K), and P(nothing), (...), from those of `texts` in its order."""
        *leading, answers = probabilities.shape
        table = probabilities[..., :-1].reshape(*leading, self.parts, (answers - 1) // self.parts)
        return np.swapaxes(table, -1, -2), probabilities[..., -1]


def now_answers(actions: Sequence[str], nothing: str) -> tuple[str, ...]:
    """Return all answers to what goes on now: the actions and, last, that none does.

    Raises UnclearWords where `nothing` is also an action, or empty.
    """
    if nothing in actions or not nothing.strip():
        raise UnclearWords(f"now_nothing_words is {nothing!r}, expected a text that is no label")
    return (*actions, nothing)


def part_of(to_start_s: float, horizon_s: float, parts: int) -> int:
    """Return the part of the horizon, 0 to parts - 1, in which an action begins that begins in (0, horizon_s]."""
    return min(max(math.ceil(to_start_s / horizon_s * parts - 1e-9) - 1, 0), parts - 1)


def parts_after(known_s: float, horizon_s: float, parts: int) -> NDArray[np.float64]:
    """Return the share of each part of the horizon that lies after `known_s`, (parts,), mass being even in a part."""
    ends = np.arange(1, parts + 1) / parts * horizon_s
    return np.clip((ends - known_s) / (horizon_s / parts), 0.0, 1.0)
