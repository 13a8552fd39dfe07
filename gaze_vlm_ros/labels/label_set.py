"""Closed label sets: the answers that a model can give."""

from __future__ import annotations

import functools
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gaze_vlm_ros.errors import GazeVlmError


class NoLabelTexts(GazeVlmError):
    """All labels are empty."""


def one_spelling(text: str) -> str:
    """Return a label in Unicode's composed form (NFC), with single spaces and none at its ends.

    Texts that a person cannot tell apart are one label: é is one character or two, by the keyboard that wrote it.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def label_key(text: str) -> str:
    """Return what two spellings of one label have in common: `one_spelling`, without upper and lower case."""
    return one_spelling(one_spelling(text).casefold())


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

    def row(self, text: str) -> int:
        """Return the place of a label in the set, in whatever spelling; -1 = it is not in the set."""
        return self._rows.get(one_spelling(text), self._rows.get(label_key(text), -1))

    @functools.cached_property
    def _rows(self) -> Mapping[str, int]:
        # Checkpoints of earlier releases may know two spellings of one label: each is itself.
        rows = {text: row for row, text in enumerate(self.texts)}
        return {label_key(text): row for text, row in rows.items()} | rows


def label_set_id(texts: Sequence[str]) -> str:
    """Return the id of a label set: 16 hex digits of the SHA-256 of its texts in order; the same on every machine."""
    return hashlib.sha256(json.dumps(list(texts), ensure_ascii=False).encode()).hexdigest()[:16]


def collect_labels(rows: Iterable[tuple[str, str, str]]) -> LabelSet:
    """Return the set of all (text, verb, object class) in `rows`, sorted by text.

    Empty texts mean "unlabelled" and are skipped. Texts with the same `label_key` are one label, spelled as most of
    them are. If a label comes with several verbs or object classes, the first that is not empty is kept. Raises
    NoLabelTexts if nothing is left.
    """
    spelled: dict[str, Counter[str]] = {}
    verbs: dict[str, str] = {}
    object_classes: dict[str, str] = {}
    for text, verb, object_class in rows:
        if key := label_key(text):
            spelled.setdefault(key, Counter())[one_spelling(text)] += 1
            verbs[key] = verbs.get(key) or verb
            object_classes[key] = object_classes.get(key) or object_class
    if not spelled:
        raise NoLabelTexts("every label in these bags is empty; label what the person does before training on it")
    keys = {max(sorted(counts), key=counts.__getitem__): key for key, counts in spelled.items()}
    texts = tuple(sorted(keys))
    return LabelSet(
        texts,
        tuple(verbs[keys[text]] for text in texts),
        tuple(object_classes[keys[text]] for text in texts),
    )


def spellings(texts: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the spellings of each label that has several, such as ("Take the cup", "take the cup"), sorted."""
    of: dict[str, set[str]] = {}
    for text in texts:
        of.setdefault(label_key(text), set()).add(one_spelling(text))
    return sorted(tuple(sorted(each)) for each in of.values() if len(each) > 1)
