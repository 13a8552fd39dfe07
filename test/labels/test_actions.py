from collections import Counter

from gaze_vlm_ros.labels.actions import Action, actions_from_events, label_track


def told(actions: list[Action]) -> tuple[list[tuple[int, str]], dict[str, int]]:
    left_out: Counter[str] = Counter()
    labels = label_track(actions, left_out)
    return list(zip(labels.starts_ns.tolist(), labels.texts, strict=True)), dict(left_out)


def test_an_end_is_told_unless_the_next_action_follows_at_once() -> None:
    actions = [Action(50, 60, "c"), Action(10, 20, "a"), Action(20, 40, "b")]
    assert told(actions) == ([(10, "a"), (20, "b"), (40, ""), (50, "c"), (60, "")], {})


def test_without_an_end_a_label_holds_until_the_next() -> None:
    assert told([Action(10, None, "a"), Action(20, None, "b")]) == ([(10, "a"), (20, "b")], {})


def test_what_labels_cannot_tell_is_counted() -> None:
    actions = [
        Action(10, 50, "a"), Action(20, 30, "inside a"), Action(20, 25, "too"), Action(60, 60, "none"),
        Action(70, 80, ""),
    ]  # fmt: skip
    assert told(actions) == (
        [(10, "a"), (20, "inside a"), (30, "")],
        {
            "rests of actions during which another starts": 1,
            "actions that start together with another": 1,
            "actions that end before they have started": 1,
            "actions without a text": 1,
        },
    )


def test_verbs_and_objects_go_with_their_action() -> None:
    labels = label_track([Action(1, 2, "cut tomato", "cut", "tomato")], Counter())
    assert (labels.verbs, labels.object_classes) == (["cut", ""], ["tomato", ""])


def test_no_actions_are_no_labels() -> None:
    assert told([]) == ([], {})


def test_events_are_actions() -> None:
    left_out: Counter[str] = Counter()
    names = ["recording.begin", "walk", "pour.begin", "stir", "pour.end", "sit.end", "drink", "recording.end"]
    assert actions_from_events(range(0, 80, 10), names, left_out) == [
        Action(10, None, "walk"), Action(20, 40, "pour"), Action(30, None, "stir"), Action(60, 70, "drink"),
    ]  # fmt: skip
    assert left_out == {"events that end what has not begun (NAME.end)": 1}
