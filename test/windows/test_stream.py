"""The windows of the stream: all moments of a session, where nothing may begin or nothing be known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_cutting import LABELS, SECOND, session

from gaze_vlm_ros.windows.cutting import cut_windows
from gaze_vlm_ros.windows.settings import BadSettings, WindowSettings

STREAM: dict[str, Any] = {"moments_every_s": 0.5, "moments_jitter": 0.0, "leads_s": (), "frames": 3}


def test_every_moment_has_the_answer_that_its_future_gives() -> None:
    """Labels from 5 s: take at 5, rest at 7, pour at 9, and at 11 s labels stop; the horizon is 2 s."""
    windows, counts = cut_windows(0, session(), WindowSettings(**STREAM))
    answers = {w.at_ns / SECOND: (w.answer, w.known_s) for w in windows}
    assert min(answers) == 3.0  # before, no action begins within 2 s, and labels have not begun
    assert [answers[s] for s in (3.0, 4.5)] == [("take mug", None)] * 2
    assert [answers[s] for s in (5.0, 6.5)] == [("", None)] * 2  # the action that begins at 5 s has begun
    assert [answers[s] for s in (7.0, 8.5)] == [("pour", None)] * 2
    assert answers[9.0] == ("", None)  # 2 s are known
    assert [answers[s] for s in (9.5, 10.0, 10.5)] == [("", 1.5), ("", 1.0), ("", 0.5)]
    assert max(answers) == 10.5
    # 3 s are observed first, and a camera at 10 Hz ends at 14.9 s.
    assert counts.dropped == {"without a known future": 8}
    assert all(w.lead_s is None for w in windows if not w.answer)
    assert windows[0].lead_s == 2.0


def test_an_action_without_an_end_holds_until_the_recording_ends() -> None:
    windows, counts = cut_windows(0, session(labels=LABELS[:-1]), WindowSettings(**STREAM))
    known = {w.at_ns / SECOND: w.known_s for w in windows}
    assert known[12.5] is None
    assert known[13.0] == pytest.approx(1.9)
    assert known[14.5] == pytest.approx(0.4)
    assert not counts.dropped


def test_moments_before_the_labels_are_counted() -> None:
    _, counts = cut_windows(0, session(labels=[(9.0, "pour"), (20.0, "")]), WindowSettings(**STREAM))
    assert counts.dropped["before the labels begin"] == 8  # 3.0 to 6.5 s


def test_jitter_is_the_same_each_time_and_differs_between_sessions() -> None:
    settings = WindowSettings(**STREAM | {"moments_jitter": 1.0})
    first, later = session(rate_hz=100), session(rate_hz=100)
    later.frames.stamps_ns += 7
    later.labels.starts_ns += 7
    moments = [np.array([w.at_ns for w in cut_windows(0, one, settings)[0]]) for one in (first, first, later)]
    assert moments[0].tolist() == moments[1].tolist()
    assert (moments[0] != moments[2] - 7).mean() > 0.8
    steps_s = np.diff(moments[0]) / SECOND
    assert steps_s.std() > 0.1  # two uniform draws over 0.5 s: 0.2 s
    assert (steps_s < 1.02).all()


def test_leads_add_windows_that_are_not_of_the_stream() -> None:
    alone, _ = cut_windows(0, session(), WindowSettings(**STREAM))
    more, _ = cut_windows(0, session(), WindowSettings(**STREAM | {"leads_s": (0.7, 1.0)}))
    assert [w for w in more if w.of_stream] == alone
    # 1 s before an action there is a moment of the stream already.
    assert [(w.at_ns / SECOND, w.answer) for w in more if not w.of_stream] == [(4.3, "take mug"), (8.3, "pour")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"task": "current"}, "moments_every_s is 0.5, expected 0 for task current"),
        ({"stride_s": 1.0}, "both cut windows"),
        ({"moments_jitter": 2.0}, "moments_jitter is 2.0"),
        ({"moments_every_s": -1.0}, "moments_every_s is -1.0"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadSettings, match=expected):
        WindowSettings(**STREAM | values)


def test_every_moment_has_the_label_that_holds() -> None:
    """take from 5 to 7 s, pour from 9 to 11 s, and nothing between; before 5 s nothing is known."""
    windows, _ = cut_windows(0, session(), WindowSettings(**STREAM, tasks=("next", "now")))
    now = {w.at_ns / SECOND: (w.now, w.now_start_ns / SECOND) for w in windows}
    assert now[3.0] == now[4.5] == (None, 0)
    assert now[5.0] == now[6.5] == ("take mug", 5)
    assert now[7.0] == now[8.5] == ("", 7)
    assert now[9.0] == now[10.5] == ("pour", 9)
    assert max(now) == 10.5  # what comes after the labels stop is not known


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"tasks": ("now", "later")}, r"setting tasks is \['now', 'later'\], expected one or both of next, now"),
        ({"tasks": ("now", "now")}, "expected one or both of next, now"),
        (
            {"tasks": ("now",), "moments_every_s": 0.0, "leads_s": (1.0,)},
            "needs windows of the stream: set moments_every_s",
        ),
        (
            {"tasks": ("next",), "task": "current", "moments_every_s": 0.0, "stride_s": 1.0},
            "task is 'current'; leave out",
        ),
        ({"tasks": ("now",), "protocol": "epic-kitchens"}, "needs next among tasks"),
    ],
)
def test_tasks_that_cannot_be(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadSettings, match=expected):
        WindowSettings(**STREAM | values)


def test_tasks_say_what_is_asked() -> None:
    asked = [
        (settings.asks_next, settings.asks_now)
        for settings in (
            WindowSettings(),
            WindowSettings(task="current", stride_s=1.0),
            WindowSettings(**STREAM),
            WindowSettings(**STREAM, tasks=("now",)),
            WindowSettings(**STREAM, tasks=("now", "next")),
        )
    ]
    assert asked == [(True, False), (False, False), (True, False), (False, True), (True, True)]


def test_labels_that_reach_beyond_the_last_frame() -> None:
    """The camera ends at 14.9 s; pour goes on to 20 s, and then stir begins: the labels say what comes."""
    labels = [(5.0, "take mug"), (13.0, "pour"), (16.5, "stir"), (20.0, "")]
    windows, counts = cut_windows(0, session(labels=labels), WindowSettings(**STREAM, tasks=("next", "now")))
    answers = {w.at_ns / SECOND: (w.answer, w.known_s, w.now) for w in windows}
    assert answers[13.0] == ("", None, "pour")
    assert answers[14.5] == ("stir", None, "pour")
    assert answers[11.0] == ("pour", None, "take mug")
    assert not counts.dropped


def test_one_label_that_never_ends() -> None:
    """After it begins nothing is known to begin before the last frame; it holds throughout."""
    windows, _ = cut_windows(0, session(labels=[(5.0, "pour")]), WindowSettings(**STREAM, tasks=("next", "now")))
    assert {w.now for w in windows if w.at_ns >= 5 * SECOND} == {"pour"}
    assert {w.answer for w in windows if w.at_ns >= 5 * SECOND} == {""}
    assert {w.answer for w in windows if w.at_ns < 5 * SECOND} == {"pour"}
