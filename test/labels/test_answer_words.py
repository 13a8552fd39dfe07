"""Answers that say what begins and when, made and read."""

from __future__ import annotations

import numpy as np
import pytest

from gaze_vlm_ros.labels.answer_words import NOTHING, AnswerWords, UnclearWords, part_of, parts_after

WORDS = AnswerWords(("now", "now or soon", "later"), "nothing yet")


def test_every_answer_is_read_as_it_was_made() -> None:
    actions = ("take the mug", "soon")  # an action may be named as another part
    texts = WORDS.texts(actions)
    assert texts[0] == "now take the mug"
    assert texts[-1] == "nothing yet"
    read = [WORDS.read(text) for text in texts]
    assert read == [(action, part) for part in range(3) for action in actions] + [("", NOTHING)]


def test_spaces_do_not_matter_and_an_answer_may_name_no_part() -> None:
    assert WORDS.read(" now  take\nthe mug ") == ("take the mug", 0)
    assert WORDS.read("take the mug") == ("take the mug", NOTHING)
    assert WORDS.read("now") == ("now", NOTHING)


@pytest.mark.parametrize(
    ("when", "nothing", "expected"),
    [
        (("now", "now"), "nothing", "differ"),
        (("now", " soon"), "nothing", "outer spaces"),
        (("now",), "now", "differ"),
        ((), "nothing", "outer spaces"),
    ],
)
def test_words_that_cannot_be_told_apart_are_refused(when: tuple[str, ...], nothing: str, expected: str) -> None:
    with pytest.raises(UnclearWords, match=expected):
        AnswerWords(when, nothing)


def test_two_answers_of_the_same_text_are_refused() -> None:
    with pytest.raises(UnclearWords, match="'now or soon take' would stand for two"):
        WORDS.texts(("or soon take", "take"))


def test_a_table_holds_what_the_answers_hold() -> None:
    probabilities = np.array([[0.1, 0.2, 0.05, 0.15, 0.0, 0.1, 0.4], [0.0, 0, 0, 0, 0, 0, 1]])
    table, nothing = WORDS.table(probabilities)
    assert table.shape == (2, 2, 3)
    assert table[0].tolist() == [[0.1, 0.05, 0.0], [0.2, 0.15, 0.1]]  # action by part
    assert nothing.tolist() == [0.4, 1.0]


@pytest.mark.parametrize(
    ("to_start_s", "part"), [(1e-9, 0), (0.5, 0), (0.500001, 1), (1.0, 1), (1.01, 2), (2.0, 3), (0.6, 1)]
)
def test_a_part_includes_its_end_as_the_horizon_does(to_start_s: float, part: int) -> None:
    assert part_of(to_start_s, 2.0, 4) == part


def test_what_is_left_of_the_parts() -> None:
    assert parts_after(0.0, 2.0, 4).tolist() == [1, 1, 1, 1]
    assert parts_after(0.6, 2.0, 4) == pytest.approx([0, 0.8, 1, 1])
    assert parts_after(2.0, 2.0, 4).tolist() == [0, 0, 0, 0]
