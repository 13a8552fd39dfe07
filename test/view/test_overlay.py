"""What is drawn of a prediction, and what must not be: pixels, without ROS."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.prediction.attention_map import attention_map
from gaze_vlm_ros.prediction.types import FrameAttention
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.view.overlay import (
    LONGEST_TEXT,
    MAX_HEIGHT,
    Marks,
    PredictionState,
    draw_overlay,
    drawn_size,
    focus_share,
    gaze_near_frame,
    prediction_state,
    shown_answers,
)
from gaze_vlm_ros.view.scene import gaze_on_picture

SIZE = (640, 480)
SKY = np.full((480, 640, 3), (70, 110, 190), np.uint8)
OK = PredictionState("OK", "within 2 s", True, 0.1)
ABSTAIN = PredictionState("ABSTAIN", "the best candidate has 0.20, the threshold is 0.5", True, 0.1)
EXPIRED = PredictionState("EXPIRED", "the last prediction was valid until 3 s ago", False)
NO_MARKS = Marks()
ANSWERS = [("take the red mug", 0.5), ("take the jar", 0.25), ("take the tape", 0.0), ("take the box", 0.15)]


def picture(
    state: PredictionState = OK,
    answers: list[tuple[str, float]] = ANSWERS,
    marks: Marks = NO_MARKS,
    frame: RGB | None = SKY,
) -> RGB:
    size = SIZE if frame is None else drawn_size(frame.shape[1], frame.shape[0], 4000)
    return draw_overlay(frame, size, state, answers, 0.1, 3, marks)


def bar_widths(drawn: RGB) -> list[int]:
    """px of the filled part of each bar, top to bottom, by its colour in the middle of its line."""
    unit = drawn.shape[1] / 640
    widths = []
    for line in range(1, 5):
        row = drawn[round(drawn.shape[1] * 0.75 + (6 + 22 * line + 14) * unit)]
        track = row[round(0.47 * len(row)) + 1 : round(0.89 * len(row))]
        widths.append(int((track != track[-1]).any(axis=1).sum()))
    return widths


def is_grey(pixels: RGB) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def upper_left_attention() -> np.ndarray:
    """All of it on one of 16 x 12 patches: 120 to 160, 80 to 120 px."""
    return attention_map(FrameAttention(np.array([[120.0, 80.0, 160.0, 120.0]]), np.array([1.0])), SIZE)


def looking_at(x: float, y: float) -> Any:
    stamps_ns = np.arange(5) * 5_000_000
    track = GazeTrack(
        stamps_ns, np.tile([x, y], (5, 1)), np.ones(5), np.full(5, 2, np.uint8), np.ones(5, np.uint8), SIZE
    )
    return Marks(gaze=gaze_on_picture(track, SIZE), at_ns=10_000_000)


@pytest.mark.parametrize(
    ("status", "nothing", "expected"),
    [
        (0, 0.3, ["mug", "nothing", "jar"]),  # in the order of probability
        (0, 0.6, ["mug", "nothing", "jar"]),  # but an answer that is given stays first
        (5, 0.6, ["nothing", "mug", "jar"]),
        (0, float("nan"), ["mug", "jar"]),  # a checkpoint that cannot say it
    ],
)
def test_that_nothing_begins_is_drawn_among_the_answers(status: int, nothing: float, expected: list[str]) -> None:
    candidates = [SimpleNamespace(text="mug", probability=0.4), SimpleNamespace(text="jar", probability=0.1)]
    prediction = SimpleNamespace(status=status, candidates=candidates, nothing_probability=nothing)
    assert [text for text, _ in shown_answers(prediction)] == expected


def test_attention_is_spread_over_its_boxes_exactly() -> None:
    boxes = np.array([[0, 0, 30, 20], [15, 10, 20, 35], [600, 440, 700, 500]], float)  # the last beyond the frame
    shares = attention_map(FrameAttention(boxes, np.array([0.5, 0.2, 0.3])), SIZE)
    assert shares.shape == (48, 64)
    assert shares.sum() == pytest.approx(1)
    assert shares[:2, :3].sum() == pytest.approx(0.5 + 0.2 * 0.4)
    assert shares[2, 1] == pytest.approx(0.2 * 10 / 25)
    assert shares[44:, 60:].sum() == pytest.approx(0.3)
    assert np.count_nonzero(shares) == 6 + 2 + 4 * 4
    assert attention_map(FrameAttention(boxes, np.ones(3) / 3), (100, 1000)).shape == (64, 6)


def test_attention_is_drawn_where_it_is_and_nowhere_else() -> None:
    changed = (picture(marks=Marks(attention=upper_left_attention())) != picture())[:480].any(axis=2)
    assert changed[85:115, 125:155].all()
    changed[60:140, 100:180] = False  # its outline and soft edge
    assert not changed.any()


def test_attention_everywhere_is_not_drawn_as_attention_somewhere() -> None:
    even = np.full((48, 64), 1 / (48 * 64), np.float32)
    assert (picture(marks=Marks(attention=even)) == picture())[:480].all()


def test_gaze_and_focus_are_drawn_where_they_are() -> None:
    for marks in (looking_at(300, 200), Marks(focus=(300 / 640, 200 / 480))):
        changed = (picture(marks=marks) != picture())[:480].any(axis=2)
        assert changed[180:220, 280:320].any()
        changed[170:230, 270:330] = False
        assert not changed.any()


@pytest.mark.parametrize("width", [640, 1600])
def test_the_scene_is_not_covered_and_bars_are_as_long_as_their_probabilities(width: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (width * 3 // 4, width, 3), np.uint8)
    drawn = picture(frame=frame)
    assert (drawn[: len(frame)] == frame).all()
    full = 0.42 * width
    # What is not shown of the answers is in the last bar.
    assert bar_widths(drawn) == pytest.approx([0.5 * full, 0.25 * full, 0, 0.25 * full], abs=3)
    assert len(drawn) < 1.3 * len(frame)


def test_best_answers_are_green_where_they_hold_and_amber_where_the_model_abstains() -> None:
    (red, green, blue), (amber_red, amber_green, _) = (
        picture(state)[480 + 6 + 22 + 14, 320].astype(int).tolist() for state in (OK, ABSTAIN)
    )
    assert green > red + 50 < green + blue
    assert amber_red > amber_green + 50


def test_what_is_not_current_is_grey_and_without_attention() -> None:
    marks = looking_at(300, 200)
    current = picture(OK, marks=Marks(upper_left_attention(), gaze=marks.gaze, at_ns=marks.at_ns))
    expired = picture(EXPIRED, marks=Marks(upper_left_attention(), gaze=marks.gaze, at_ns=marks.at_ns))
    assert not is_grey(current[:480])
    assert not is_grey(current[480:])
    assert is_grey(expired)
    assert (expired[80:120, 120:160] == expired[0, 0]).all()
    assert expired.shape == current.shape  # a viewer's panel stays as it is


@pytest.mark.parametrize("width", [64, 640, 1600])
def test_long_texts_stay_in_their_places(width: int) -> None:
    frame = np.zeros((width * 3 // 4, width, 3), np.uint8)
    endless = "unscrew_the_lid_of_the_" * 30
    short, long = (picture(OK, [(text, 0.0)], frame=frame) for text in ("café 取る", endless))
    bars = slice(round(0.47 * short.shape[1]), None)
    assert (short[:, bars] == long[:, bars]).all()
    assert (short != long).any()
    assert short.shape == long.shape
    for text in ("", endless, "no answer for reasons that take many words to tell " * 20):
        assert picture(PredictionState("ERROR", text, False), [], frame=frame).shape == short.shape
    assert picture(PredictionState("NO CAMERA", "", False), [], frame=None).shape[1] == 640


def message(status: int = 0, **fields: Any) -> Any:
    """An ActionPrediction about a frame of 100 s, valid until 102 s."""

    def time(seconds: int) -> Any:
        return SimpleNamespace(sec=seconds, nanosec=0)

    values = {
        "status_text": "", "score_kind": 0, "current_action": "", "horizon": time(2), "valid_until": time(102),
        "current_candidates": [], "current_probability": math.nan, "current_nothing_probability": math.nan,
    }  # fmt: skip
    return SimpleNamespace(status=status, header=SimpleNamespace(stamp=time(100)), **(values | fields))


@pytest.mark.parametrize(
    ("prediction", "now_s", "word", "current", "text"),
    [
        (None, 100.0, "NO PREDICTION", False, "is the predictor running"),
        (message(), 100.2, "OK", True, "within 2 s"),
        (message(score_kind=2), 102.0, "OK", True, "within 2 s, rank only"),
        (message(current_action="take the jar"), 100.2, "OK", True, "now"),
        (
            message(current_action="a", current_probability=0.8, current_candidates=["a"]),
            100.2,
            "OK",
            True,
            "now a 80 %, within 2 s",
        ),
        (message(current_nothing_probability=0.9, current_candidates=["a"]), 100.2, "OK", True, "now nothing 90 %, w"),
        (message(1, status_text="below 0.5"), 100.2, "ABSTAIN", True, "below 0.5"),
        (message(), 102.001, "EXPIRED", False, "valid until 0 s ago"),
        (message(1), 109.0, "EXPIRED", False, "valid until 7 s ago"),
        (message(2, status_text="no frame"), 100.2, "STALE INPUT", False, "no frame (9 s ago)"),
        (message(3), 100.2, "NO INPUT", False, ""),
        (message(4), 100.2, "ERROR", False, ""),
        (message(7), 100.2, "STATUS 7", False, ""),
        (message(), 90.0, "OTHER CLOCK", False, "stamped 10 s after now"),
    ],
)
def test_only_answers_within_their_time_are_current(
    prediction: Any, now_s: float, word: str, current: bool, text: str
) -> None:
    state = prediction_state(prediction, round(now_s * 1e9), 9.0)
    assert (state.word, state.current) == (word, current)
    assert text in state.text
    assert not current or state.age_s == pytest.approx(now_s - 100)


def gaze_sample(x: float, frame_id: str = "head", image_width: int = 0) -> Any:
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=frame_id), x=x, y=50.0, confidence=1.0, worn=2, eye_state=1,
        image_width=image_width, image_height=image_width * 3 // 4,
    )  # fmt: skip


def test_gaze_is_taken_around_the_frame_in_order_and_in_px_of_the_picture() -> None:
    at_ns = 10_000_000_000
    samples = [(at_ns + round(s * 1e9), gaze_sample(x)) for s, x in ((0.2, 30.0), (-0.9, 10.0), (-1.1, 99.0))]
    found = gaze_near_frame(samples, at_ns, "head", (320, 240), SIZE)
    assert found is not None
    assert found.stamps_ns.tolist() == [at_ns - 900_000_000, at_ns + 200_000_000]
    assert found.xy[:, 0].tolist() == pytest.approx([20.0, 60.0], abs=1.0)  # the picture is twice as wide as the frame
    on_larger = gaze_near_frame([(at_ns, gaze_sample(1280.0, image_width=2560))], at_ns, "head", (320, 240), SIZE)
    assert on_larger is not None
    assert on_larger.xy[0, 0] == pytest.approx(320.0, abs=1.0)


def test_gaze_of_another_camera_is_left_out() -> None:
    foreign = [(0, gaze_sample(30.0, frame_id="glasses"))]
    assert gaze_near_frame(foreign, 0, "head", (320, 240), SIZE) is None
    assert gaze_near_frame(foreign, 0, "", (320, 240), SIZE) is not None
    assert gaze_near_frame([(0, gaze_sample(30.0, frame_id=""))], 0, "head", (320, 240), SIZE) is not None


@pytest.mark.parametrize("probability", [math.nan, math.inf, -math.inf, -3.0, 7.0])
def test_a_probability_that_is_none_is_drawn_as_unknown(probability: float) -> None:
    drawn = picture(answers=[("take the red mug", probability), *ANSWERS[1:]])
    assert bar_widths(drawn)[0] == 0
    assert bar_widths(drawn)[1] == bar_widths(picture())[1]
    assert (drawn != picture(answers=[("take the red mug", 0.0), *ANSWERS[1:]])).any()  # "?", not 0 %


def test_what_a_peer_sends_is_drawn_within_bounds() -> None:
    candidate = SimpleNamespace(text="a b " * 100_000, probability=0.5)
    long = message(status_text="a b " * 100_000, candidates=[candidate], nothing_probability=math.nan)
    state = prediction_state(long, 100 * 10**9, 0.0)
    assert len(state.text) < LONGEST_TEXT + 50
    assert len(shown_answers(long)[0][0]) < LONGEST_TEXT + 50
    assert drawn_size(1, 65_535, 1280)[1] == MAX_HEIGHT
    assert picture(marks=Marks(attention=np.full((3, 4), np.nan, np.float32))).shape == picture().shape
    for focus in ((math.nan, 1.0), (1.0, math.inf), (1e30, 1.0), (-1.0, 1.0)):
        assert focus_share(SimpleNamespace(focus_x=focus[0], focus_y=focus[1]), SIZE) is None
    assert focus_share(SimpleNamespace(focus_x=320.0, focus_y=120.0), SIZE) == (0.5, 0.25)
