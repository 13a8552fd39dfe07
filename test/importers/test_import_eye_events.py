import numpy as np

from gaze_vlm_ros.importers.eye_events import Intervals, eye_states, inside


def test_both_ends_of_an_interval_are_inside() -> None:
    intervals = Intervals(np.array([30, 10, 31]), np.array([40, 20, 35]))
    stamps_ns = np.array([9, 10, 20, 21, 30, 33, 40, 41])
    assert inside(stamps_ns, intervals).tolist() == [False, True, True, False, True, True, True, False]


def test_a_blink_hides_all_and_a_saccade_a_fixation() -> None:
    stamps_ns = np.arange(6)
    fixations, saccades, blinks = (Intervals(np.array([a]), np.array([b])) for a, b in ((0, 3), (2, 4), (3, 3)))
    assert eye_states(stamps_ns, fixations, saccades, blinks).tolist() == [1, 1, 2, 3, 2, 0]
    assert eye_states(stamps_ns, None, None, None).tolist() == [0] * 6
