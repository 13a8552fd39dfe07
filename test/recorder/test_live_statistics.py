"""Rates, shares and warnings between two reports."""

import math

import pytest

from gaze_vlm_ros.bags.roles import GAZE_TYPE, LABEL_TYPE
from gaze_vlm_ros.recorder.live_statistics import LiveStatistics, is_valid_gaze
from gaze_vlm_ros.recorder.tally import TopicTally


def statistics() -> LiveStatistics:
    statistics = LiveStatistics("/gaze", now_s=100.0)
    statistics.add_topics({"/gaze": GAZE_TYPE, "/label": LABEL_TYPE})
    return statistics


def test_rates_and_the_share_of_valid_gaze_are_those_of_the_report_period() -> None:
    counted = statistics()
    for number in range(10):
        counted.count("/gaze", 100, 100.1)
        counted.count_gaze(number < 9)
    tally = TopicTally(GAZE_TYPE, stamped=True, received=10)
    (gaze, label), changes = counted.report({"/gaze": tally}, 102.0)
    assert (gaze.name, gaze.rate_hz, gaze.note, gaze.tally) == ("/gaze", 5.0, "90% valid", tally)
    assert (label.name, label.rate_hz, label.note) == ("/label", 0.0, "")
    assert label.tally == TopicTally(LABEL_TYPE, stamped=False)
    assert changes == []
    (gaze, _), _ = counted.report({"/gaze": tally}, 103.0)
    assert (gaze.rate_hz, gaze.note) == (0.0, "")


def test_a_silent_topic_is_reported_once_and_labels_never_are() -> None:
    counted = statistics()
    said = []
    for second in range(1, 20):
        for _ in range(200 if second < 10 else 0):
            counted.count("/gaze", 1, 100.0 + second)
        for _ in range(5 if second < 10 else 0):
            counted.count("/label", 1, 100.0 + second)
        said += counted.report({}, 100.0 + second)[1]
    assert said == ["/gaze has been silent for 1.0 s; usual 200 Hz"]


def test_room_is_computed_from_the_smoothed_data_rate() -> None:
    counted = statistics()
    assert counted.seconds_left(1e9) == math.inf
    counted.count("/gaze", 5_000_000, 100.5)
    counted.report({}, 101.0)  # 5 MB/s, a fifth of it in the mean
    assert counted.seconds_left(1e9) == pytest.approx(1000.0)
    counted.report({}, 102.0)
    assert counted.seconds_left(1e9) == pytest.approx(1250.0)


def test_silence_begins_with_the_last_message() -> None:
    counted = statistics()
    assert counted.silence_s(1e6) < 0
    counted.count("/label", 1, 200.0)
    assert counted.silence_s(203.5) == 3.5


@pytest.mark.parametrize(
    ("x", "y", "size", "worn", "valid"),
    [
        (0.0, 0.0, (640, 480), True, True),
        (639.9, 479.9, (640, 480), True, True),
        (640.0, 0.0, (640, 480), True, False),
        (0.0, 480.0, (640, 480), True, False),
        (-0.1, 0.0, (640, 480), True, False),
        (0.0, -0.1, (640, 480), True, False),
        (5000.0, -5.0, (0, 0), True, True),  # the size is unknown
        (math.nan, math.nan, (0, 0), True, False),
        (math.inf, 0.0, (0, 0), True, False),
        (10.0, 10.0, (640, 480), False, False),
    ],
)
def test_gaze_is_valid_on_the_image(x: float, y: float, size: tuple[int, int], worn: bool, valid: bool) -> None:
    assert is_valid_gaze(x, y, size, worn) is valid
