import hashlib

import numpy as np
import pytest

from gaze_vlm_ros.labels.label_set import NoLabelTexts, collect_labels, current_label, label_set_id, next_label

STARTS = np.array([10, 20, 30, 40], dtype=np.int64) * 1_000_000_000
TEXTS = ["take the mug", "", "pour water", ""]


def test_label_set_is_sorted_unique_and_without_empty_texts() -> None:
    labels = collect_labels([("pour", "", ""), ("take", "take", ""), ("", "x", "y"), ("pour", "pour", "water")])
    assert labels.texts == ("pour", "take")
    assert labels.verbs == ("pour", "take")
    assert labels.object_classes == ("water", "")
    with pytest.raises(NoLabelTexts, match="every label in these bags is empty"):
        collect_labels([("", "", "")])


def test_label_set_id_depends_on_texts_and_order_alone() -> None:
    expected = hashlib.sha256('["pour", "take é"]'.encode()).hexdigest()[:16]
    assert label_set_id(("pour", "take é")) == expected
    assert label_set_id(("take é", "pour")) != expected
    assert label_set_id(("pour take é",)) != expected


@pytest.mark.parametrize(("at_s", "row"), [(9.9, -1), (10, 0), (15, 0), (20, 1), (99, 3)])
def test_current_label(at_s: float, row: int) -> None:
    assert current_label(STARTS, round(at_s * 1e9)) == row


@pytest.mark.parametrize(
    ("at_s", "horizon_s", "row"),
    [
        (8, 2, 0),  # starts at the very end of the horizon
        (8, 1.9, -1),
        (10, 15, -1),  # has started: not next any more; and the rest at 20 s is no action
        (10, 20, 2),
        (15, 100, 2),  # the first of all that follow
        (30, 100, -1),
    ],
)
def test_next_label(at_s: float, horizon_s: float, row: int) -> None:
    assert next_label(STARTS, TEXTS, round(at_s * 1e9), horizon_s) == row
