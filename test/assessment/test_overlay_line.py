"""The line of a picture that says how gaze fits: numbers only while they may be used, unknown as unknown."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.assessment.overlay_line import assessment_state, with_assessment
from gaze_vlm_ros.view.overlay import LONGEST_TEXT, PredictionState


def message(status: int = 0, **fields: Any) -> Any:
    """A GazeAssessment about a frame of 100 s, valid until 102 s."""

    def time(seconds: int) -> Any:
        return SimpleNamespace(sec=seconds, nanosec=0)

    values = {
        "status_text": "", "surprise_percentile": 0.83, "needs_help": 0.4, "odd": 0.99, "valid_until": time(102),
    }  # fmt: skip
    return SimpleNamespace(status=status, header=SimpleNamespace(stamp=time(100)), **(values | fields))


@pytest.mark.parametrize(
    ("assessment", "now_s", "word", "text"),
    [
        (message(), 100.2, "OK", "percentile: surprise 83, needs help 40, odd 99"),
        (message(odd=math.nan), 100.2, "OK", "percentile: surprise 83, needs help 40, odd ?"),
        (message(odd=7.0, needs_help=-math.inf), 102.0, "OK", "percentile: surprise 83, needs help ?, odd ?"),
        (message(), 102.001, "EXPIRED", "the last assessment was valid until 0 s ago"),
        (message(1, status_text="no baseline"), 100.2, "ABSTAIN", "no baseline (9 s ago)"),
        (message(2, status_text="no gaze"), 100.2, "STALE INPUT", "no gaze (9 s ago)"),
        (message(3), 100.2, "NO INPUT", " (9 s ago)"),
        (message(4, status_text="clocks are apart"), 100.2, "ERROR", "clocks are apart (9 s ago)"),
        (message(9), 100.2, "STATUS 9", " (9 s ago)"),
        (message(), 90.0, "OTHER CLOCK", "stamped 10 s after now; a bag needs --clock and use_sim_time"),
    ],
)
def test_numbers_are_written_only_while_they_may_be_used(assessment: Any, now_s: float, word: str, text: str) -> None:
    state = assessment_state(assessment, round(now_s * 1e9), 9.0)
    assert (state.word, state.text, state.current) == (word, text, word == "OK")


@pytest.mark.parametrize("width", [480, 640, 1280])
def test_the_line_is_below_the_picture_and_of_one_height(width: int) -> None:
    above = np.random.default_rng(0).integers(0, 256, (90, width, 3), np.uint8)
    states = [
        PredictionState("OK", "percentile: surprise 83, needs help 40, odd 99", True),
        PredictionState("STALE INPUT", "no gaze " * 200, False),
        PredictionState("EXPIRED", "", False),
    ]
    drawn = [with_assessment(above, state) for state in states]
    assert len({picture.shape for picture in drawn}) == 1
    assert all((picture[:90] == above).all() for picture in drawn)
    assert [bool((picture[90:] == picture[90:, :, :1]).all()) for picture in drawn] == [False, True, True]  # grey


def test_a_peer_s_text_is_drawn_within_bounds() -> None:
    state = assessment_state(message(1, status_text="a b " * 100_000), 100 * 10**9, 0.0)
    assert len(state.text) < LONGEST_TEXT + 50
