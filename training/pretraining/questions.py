"""Questions about an observation and their answers, and the words of both. None is about an action or gaze."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import AnswerWords
from gaze_vlm_ros.sim.bench_scene import OBJECTS
from gaze_vlm_ros.sim.bench_session import vocabulary
from training.pretraining.pictures import Observation
from training.settings import Settings

NEAREST = "Which thing is the hand nearest to?"
HOLDING = "What is the hand holding?"
HAND = "Where is the hand?"
GRID = 6  # columns and rows of places, counted from 1 at the top left
TIPS = len(OBJECTS)  # in Turn.about: the fingertips
_CLEAR = 1.25  # the second nearest thing is so many times as far away, or the question is not asked
_NAMES = tuple(f"the {thing.name}" for thing in OBJECTS)


class Turn(NamedTuple):
    """One question about the last frame."""

    question: str
    answer: str
    about: int  # where the answer is seen: index into OBJECTS, or TIPS


def words() -> list[str]:
    """Texts for the tokenizer: all questions and answers, and the answers of fits on the simulated bench."""
    asked = [NEAREST, HOLDING, HAND, *map(_where, _NAMES), *map(_what, _cells())]
    answers = AnswerWords(Settings.when_words, Settings.nothing_words).texts(vocabulary())
    return [*asked, *_NAMES, "nothing", *_cells(), Settings.question, *vocabulary(), *answers]


def nearest(observation: Observation) -> Turn | None:
    """Return the question for the thing nearest to the fingertips; None where that is not clear from the picture."""
    if not observation.hand_seen:
        return None
    far = np.linalg.norm((observation.grasps - observation.hand) * (4, 3), axis=1)
    first, second = np.argsort(far)[:2].tolist()
    if observation.carried is not None:
        first = observation.carried
    elif far[second] <= _CLEAR * far[first]:
        return None
    return Turn(NEAREST, _NAMES[first], first)


def turns(rng: np.random.Generator, observation: Observation, count: int) -> list[Turn]:
    """Return at most `count` different questions, in random order; the nearest thing is the most frequent.

    A question whose answer is not clear from the last frame is never among them.
    """
    held = observation.carried
    others = []
    if observation.hand_seen:
        others.append(Turn(HAND, _cell(observation.hand), TIPS))
        others.append(Turn(HOLDING, "nothing" if held is None else _NAMES[held], TIPS))
    inside = [i for i, place in enumerate(observation.places) if (place > 0).all() and (place < 1).all()]
    cells = [_cell(observation.places[i]) for i in inside]
    for i, cell in zip(inside, cells, strict=True):
        others.append(Turn(_where(_NAMES[i]), cell, i))
        if cells.count(cell) == 1:
            others.append(Turn(_what(cell), _NAMES[i], i))
    asked = [others[i] for i in rng.permutation(len(others))[:count]]
    near = nearest(observation)
    if near is not None:
        asked[rng.integers(2) * rng.integers(len(asked))] = near  # more than half of the time the first
    return asked


def _where(name: str) -> str:
    return f"Where is {name}?"


def _what(cell: str) -> str:
    return f"Which thing is at {cell}?"


def _cells() -> list[str]:
    return [f"column {column} row {row}" for column in range(1, GRID + 1) for row in range(1, GRID + 1)]


def _cell(place: NDArray[np.float64]) -> str:
    column, row = np.clip(np.floor(place * GRID), 0, GRID - 1).astype(int) + 1
    return f"column {column} row {row}"
