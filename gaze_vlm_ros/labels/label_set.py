"""Closed label sets: the answers that a model can give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gaze_vlm_ros.errors import GazeVlmError


class NoLabelTexts(GazeVlmError):
    """All labels are empty."""


@dataclass(frozen=True)
class LabelSet:
    """The answers that a model can give, in a fixed order. Entries of the three tuples belong together."""

    texts: tuple[str, ...]
    verbs: tuple[str, ...]
    object_classes: tuple[str, ...]

    @property
    def id(self) -> str:
        """The set's `label_set_id`."""
        return label_set_id(self.texts)


def label_set_id(texts: Sequence[str]) -> str:
    """Return the id of a label set: 16 hex digits of the SHA-256 of its texts in order; the same on every machine."""
    return hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()[:16]


def collect_labels(rows: Iterable[tuple[str, str, str]]) -> LabelSet:
    """Return the set of all (text, verb, object class) in `rows`, sorted by text.

    Empty texts mean "unlabelled" and are skipped. If a text comes with several verbs or object classes, the first that
    is not empty is kept. Raises NoLabelTexts if nothing is left.
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
