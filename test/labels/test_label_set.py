"""Closed label sets: what is in them and what identifies them."""

import hashlib

import pytest

from gaze_vlm_ros.labels.label_set import NoLabelTexts, collect_labels, label_set_id


def test_label_set_is_sorted_unique_and_without_empty_texts() -> None:
    labels = collect_labels([("pour", "", ""), ("take", "take", ""), ("", "x", "y"), ("pour", "pour", "water")])
    assert labels.texts == ("pour", "take")
    assert labels.verbs == ("pour", "take")
    assert labels.object_classes == ("water", "")
    with pytest.raises(NoLabelTexts, match="every label in these bags is empty"):
        collect_labels([("", "", "")])


def test_label_set_id_depends_on_texts_and_order_only() -> None:
    expected = hashlib.sha256('["pour", "take é"]'.encode()).hexdigest()[:16]
    assert label_set_id(("pour", "take é")) == expected
    assert label_set_id(("take é", "pour")) != expected
    assert label_set_id(("pour take é",)) != expected
