"""Label tracks: what they express of actions, and which label holds now or starts next."""

import unicodedata
from collections import Counter

import numpy as np
import pytest

from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.track import current_label, next_label, track_from_actions

STARTS = np.array([10, 20, 30, 40], dtype=np.int64) * 1_000_000_000
TEXTS = ["take the mug", "", "pour water", ""]


def tracked(actions: list[Action]) -> tuple[list[tuple[int, str]], dict[str, int]]:
    left_out: Counter[str] = Counter()
    labels = track_from_actions(actions, left_out)
    return list(zip(labels.starts_ns.tolist(), labels.texts, strict=True)), dict(left_out)


def test_texts_have_one_spelling_whoever_wrote_them() -> None:
    decomposed = unicodedata.normalize("NFD", "stir the purée")
    actions = [Action(10, None, decomposed), Action(20, None, " stir  it ")]
    assert tracked(actions)[0] == [(10, "stir the purée"), (20, "stir it")]


def test_an_end_is_an_empty_label_unless_the_next_action_follows_at_once() -> None:
    actions = [Action(50, 60, "c"), Action(10, 20, "a"), Action(20, 40, "b")]
    assert tracked(actions) == ([(10, "a"), (20, "b"), (40, ""), (50, "c"), (60, "")], {})


def test_without_an_end_a_label_holds_until_the_next() -> None:
    assert tracked([Action(10, None, "a"), Action(20, None, "b")]) == ([(10, "a"), (20, "b")], {})


def test_what_a_track_cannot_express_is_counted() -> None:
    actions = [
        Action(10, 50, "a"), Action(20, 30, "inside a"), Action(20, 25, "too"), Action(60, 60, "none"),
        Action(70, 80, ""),
    ]  # fmt: skip
    assert tracked(actions) == (
        [(10, "a"), (20, "inside a"), (30, "")],
        {
            "remainders of actions that the next one cuts short": 1,
            "actions that start at the same time as another": 1,
            "actions that end before they start": 1,
            "actions without a text": 1,
        },
    )


def test_verbs_and_objects_go_with_their_action() -> None:
    labels = track_from_actions([Action(1, 2, "cut tomato", "cut", "tomato")], Counter())
    assert (labels.verbs, labels.object_classes) == (["cut", ""], ["tomato", ""])


def test_no_actions_are_no_labels() -> None:
    assert tracked([]) == ([], {})


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
