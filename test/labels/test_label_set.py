"""Closed label sets: what is in them and what identifies them."""

import hashlib
import unicodedata

import pytest

from gaze_vlm_ros.labels.label_set import LabelSet, NoLabelTexts, collect_labels, label_set_id, spellings


def test_label_set_is_sorted_unique_and_without_empty_texts() -> None:
    labels = collect_labels([("pour", "", ""), ("take", "take", ""), ("", "x", "y"), ("pour", "pour", "water")])
    assert labels.texts == ("pour", "take")
    assert labels.verbs == ("pour", "take")
    assert labels.object_classes == ("water", "")
    with pytest.raises(NoLabelTexts, match="every label in these bags is empty"):
        collect_labels([("", "", "")])


def test_spellings_of_one_label_are_one_label_spelled_as_most_are() -> None:
    composed, decomposed = (unicodedata.normalize(form, "stir the purée") for form in ("NFC", "NFD"))
    texts = [decomposed, "Stir  the purée", composed, "stir the purée ", "pour", " "]
    labels = collect_labels([(text, "", "") for text in texts])
    assert labels.texts == ("pour", composed)
    assert [labels.row(text) for text in texts] == [1, 1, 1, 1, 0, -1]
    assert labels.row("purée") == -1
    assert spellings(texts) == [("Stir the purée", composed)]
    assert LabelSet(("Pour",), ("",), ("",)).row("pour") == 0


def test_label_set_id_depends_on_texts_and_order_only() -> None:
    expected = hashlib.sha256('["pour", "take é"]'.encode()).hexdigest()[:16]
    assert label_set_id(("pour", "take é")) == expected
    assert label_set_id(("take é", "pour")) != expected
    assert label_set_id(("pour take é",)) != expected
