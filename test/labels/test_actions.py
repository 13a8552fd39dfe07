"""Named events of a recording as actions."""

from collections import Counter

from gaze_vlm_ros.labels.actions import Action, actions_from_events


def test_events_are_actions() -> None:
    left_out: Counter[str] = Counter()
    names = ["recording.begin", "walk", "pour.begin", "stir", "pour.end", "sit.end", "drink", "recording.end"]
    assert actions_from_events(range(0, 80, 10), names, left_out) == [
        Action(10, None, "walk"), Action(20, 40, "pour"), Action(30, None, "stir"), Action(60, 70, "drink"),
    ]  # fmt: skip
    assert left_out == {"end events without a beginning (NAME.end)": 1}
