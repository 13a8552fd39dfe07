"""Closed label sets, and which label holds now or starts next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError


class NoLabelTexts(GazeVlmError):
    """Labels are there, and all of them are empty."""


@dataclass(frozen=True)
class LabelTrack:
    """Action labels in the order of their start; each holds until the next. Empty text = unlabelled from there on."""

    starts_ns: NDArray[np.int64]  # (N,)
    texts: list[str]
    verbs: list[str]
    object_classes: list[str]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class LabelSet:
    """The answers that a model can give, in a fixed order; verbs and object classes belong to the text beside them."""

    texts: tuple[str, ...]
    verbs: tuple[str, ...]
    object_classes: tuple[str, ...]

    @property
    def id(self) -> str:
        return label_set_id(self.texts)


def label_set_id(texts: Sequence[str]) -> str:
    """Name of a closed label set: 16 hex digits of the SHA-256 of its texts in order. The same on every machine."""
    return hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()[:16]


def collect_labels(rows: Iterable[tuple[str, str, str]]) -> LabelSet:
    """The set of all (text, verb, object class) that occur, sorted by text.

    Empty texts mean "unlabelled" and are left out.
    Where one text comes with several verbs or object classes the first that is not empty stands.
    Raises NoLabelTexts when nothing is left.
    """
    verbs: dict[str, str] = {}
    object_classes: dict[str, str] = {}
    for text, verb, object_class in rows:
        if text:
            verbs[text] = verbs.get(text) or verb
            object_classes[text] = object_classes.get(text) or object_class
    if not verbs:
        raise NoLabelTexts("every label in these bags is empty; label what the person does before training on it")
    texts = tuple(sorted(verbs))
    return LabelSet(texts, tuple(verbs[text] for text in texts), tuple(object_classes[text] for text in texts))


def current_label(starts_ns: NDArray[np.int64], at_ns: int) -> int:
    """Row of the label that holds at `at_ns`: the last that started at or before it; -1 before the first.

    starts_ns: (N,) ascending. The row may be one with an empty text: then the person does nothing that was labelled.
    """
    return int(np.searchsorted(starts_ns, at_ns, side="right")) - 1


def next_label(starts_ns: NDArray[np.int64], texts: Sequence[str], at_ns: int, horizon_s: float) -> int:
    """Row of the first action that starts in (at_ns, at_ns + horizon]; -1 when none does.

    Empty texts end an action without starting one, and are passed over: what follows a rest is the next action.
    """
    first = int(np.searchsorted(starts_ns, at_ns, side="right"))
    stop = int(np.searchsorted(starts_ns, at_ns + round(horizon_s * 1e9), side="right"))
    return next((row for row in range(first, stop) if texts[row]), -1)
