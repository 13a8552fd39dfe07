"""Gaze is held back for its delay, and leaves with the eye state that is known by then."""

from gaze_vlm_ros.neon.eye_states import BLINK_STATE, FIXATION_STATE, UNKNOWN_STATE
from gaze_vlm_ros.neon.gaze_delay import GazeDelay
from gaze_vlm_ros.neon.samples import BLINK, FIXATION_ONSET, SACCADE, EyeEvent

MS = 1_000_000


def released(delay: GazeDelay[str], until_s: float) -> list[tuple[str, int]]:
    found = []
    while (ready := delay.release(until_s)) is not None:
        found.append(ready)
    return found


def test_without_a_delay_a_sample_leaves_at_once_with_what_is_known() -> None:
    delay: GazeDelay[str] = GazeDelay()
    assert delay.hold("first", 100 * MS, now_s=5.0) == 5.0
    assert released(delay, 5.0) == [("first", UNKNOWN_STATE)]
    delay.add_event(EyeEvent(FIXATION_ONSET, 90 * MS, None), age_ns=40 * MS)
    delay.hold("second", 105 * MS, now_s=5.005)
    assert released(delay, 5.005) == [("second", FIXATION_STATE)]
    assert len(delay) == 0


def test_samples_wait_for_their_delay_and_leave_in_order_with_events_that_came_meanwhile() -> None:
    delay: GazeDelay[str] = GazeDelay(delay_s=0.5)
    assert delay.hold("a", 100 * MS, now_s=1.0) == 1.5
    assert delay.hold("b", 105 * MS, now_s=1.25) == 1.75
    assert delay.release(1.49) is None
    assert len(delay) == 2
    delay.add_event(EyeEvent(BLINK, 104 * MS, 300 * MS), age_ns=50 * MS)
    assert released(delay, 1.5) == [("a", UNKNOWN_STATE)]
    assert released(delay, 1.75) == [("b", BLINK_STATE)]


def test_a_clock_that_is_set_releases_what_is_held_and_forgets_the_events() -> None:
    delay: GazeDelay[str] = GazeDelay(delay_s=2.0)
    delay.add_event(EyeEvent(FIXATION_ONSET, 0, None), age_ns=0)
    delay.hold("before", 10 * MS, now_s=0.0)
    assert delay.release() == ("before", FIXATION_STATE)
    delay.forget_events()
    delay.hold("after", 10 * MS, now_s=0.0)
    assert delay.release() == ("after", UNKNOWN_STATE)


def test_an_onset_ends_where_events_are_missing() -> None:
    delay: GazeDelay[str] = GazeDelay()
    delay.add_event(EyeEvent(FIXATION_ONSET, 0, None), age_ns=0)
    delay.miss_events()
    delay.hold("a", 10 * MS, now_s=0.0)
    assert delay.release() == ("a", UNKNOWN_STATE)


def test_the_longest_delay_of_an_event_is_kept() -> None:
    delay: GazeDelay[str] = GazeDelay()
    for age_ms in (20, 80, 50):
        delay.add_event(EyeEvent(SACCADE, 0, 10 * MS), age_ns=age_ms * MS)
    assert delay.longest_event_delay_ms == 80.0
