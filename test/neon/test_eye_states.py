"""Which state a gaze sample gets, from the events that have arrived by then."""

import pytest

from gaze_vlm_ros.neon.eye_states import BLINK_STATE, FIXATION_STATE, SACCADE_STATE, UNKNOWN_STATE, EyeStates
from gaze_vlm_ros.neon.samples import BLINK, FIXATION, FIXATION_ONSET, SACCADE, SACCADE_ONSET, EyeEvent

MS = 1_000_000


def states(*events: tuple[int, int, int | None]) -> EyeStates:
    """Events of (kind, start ms, end ms)."""
    made = EyeStates()
    for kind, start_ms, end_ms in events:
        made.add(EyeEvent(kind, start_ms * MS, None if end_ms is None else end_ms * MS))
    return made


def test_states_are_those_of_the_messages() -> None:
    from gaze_vlm_msgs.msg import GazeStamped

    assert (UNKNOWN_STATE, FIXATION_STATE, SACCADE_STATE, BLINK_STATE) == (
        GazeStamped.EYE_UNKNOWN,
        GazeStamped.EYE_FIXATION,
        GazeStamped.EYE_SACCADE,
        GazeStamped.EYE_BLINK,
    )


@pytest.mark.parametrize(
    ("at_ms", "state"),
    [(99, UNKNOWN_STATE), (100, FIXATION_STATE), (300, FIXATION_STATE), (310, SACCADE_STATE), (341, UNKNOWN_STATE)],
)
def test_within_whole_events(at_ms: int, state: int) -> None:
    assert states((FIXATION, 100, 300), (SACCADE, 301, 340)).at(at_ms * MS) == state


def test_an_onset_holds_until_something_else_is_told() -> None:
    onset = states((FIXATION_ONSET, 100, None))
    assert onset.at(99 * MS) == UNKNOWN_STATE
    assert onset.at(700 * MS) == FIXATION_STATE
    onset.add(EyeEvent(SACCADE_ONSET, 720 * MS, None))
    assert [onset.at(at_ms * MS) for at_ms in (719, 720, 750)] == [FIXATION_STATE, SACCADE_STATE, SACCADE_STATE]
    onset.add(EyeEvent(SACCADE, 720 * MS, 760 * MS))
    assert [onset.at(at_ms * MS) for at_ms in (760, 761)] == [SACCADE_STATE, UNKNOWN_STATE]


def test_an_onset_does_not_hold_for_ever() -> None:
    assert states((FIXATION_ONSET, 0, None)).at(5_001 * MS) == UNKNOWN_STATE


def test_a_blink_is_before_all() -> None:
    blink = states((FIXATION, 0, 500), (BLINK, 200, 300))
    assert [blink.at(at_ms * MS) for at_ms in (199, 250, 301)] == [FIXATION_STATE, BLINK_STATE, FIXATION_STATE]


def test_what_has_begun_may_be_over_where_events_are_missing() -> None:
    missing = states((FIXATION, 0, 100), (SACCADE_ONSET, 101, None))
    assert missing.at(150 * MS) == SACCADE_STATE
    missing.miss()
    assert [missing.at(at_ms * MS) for at_ms in (50, 150)] == [FIXATION_STATE, UNKNOWN_STATE]


def test_nothing_is_known_after_the_clock_was_set() -> None:
    known = states((FIXATION, 0, 100), (SACCADE_ONSET, 101, None))
    assert known.at(150 * MS) == SACCADE_STATE
    known.forget()
    assert [known.at(at_ms * MS) for at_ms in (50, 150)] == [UNKNOWN_STATE, UNKNOWN_STATE]
    known.add(EyeEvent(FIXATION_ONSET, 120 * MS, None))
    assert (known.at(150 * MS), known.contradicted) == (FIXATION_STATE, 0)


def test_answers_that_later_events_contradict_are_counted_once() -> None:
    late = states((FIXATION_ONSET, 0, None))
    for at_ms in range(0, 400, 5):
        late.at(at_ms * MS)
    late.add(EyeEvent(FIXATION, 0, 299 * MS))
    assert late.contradicted == 0  # it says nothing of what comes after
    late.add(EyeEvent(SACCADE_ONSET, 300 * MS, None))
    assert late.contradicted == 20  # 300 to 395 ms were answered with the fixation's
    late.add(EyeEvent(SACCADE, 300 * MS, 340 * MS))
    assert late.contradicted == 20
    late.add(EyeEvent(BLINK, 100 * MS, 199 * MS))
    assert late.contradicted == 40


def test_what_is_long_past_is_forgotten() -> None:
    long = states(*((FIXATION, start_ms, start_ms + 200) for start_ms in range(0, 60_000, 250)))
    assert long.at(100 * MS) == UNKNOWN_STATE
    assert long.at(59_800 * MS) == FIXATION_STATE
    assert len(long._whole) < 60
