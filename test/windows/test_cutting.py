"""Which windows a session is cut into."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.windows.cutting import cut_windows
from gaze_vlm_ros.windows.settings import WindowSettings

SECOND = 1_000_000_000
LABELS = [(5.0, "take mug"), (7.0, ""), (9.0, "pour"), (11.0, "")]


def session(duration_s: float = 15, rate_hz: float = 10, labels: list[tuple[float, str]] = LABELS) -> Any:
    return SimpleNamespace(
        frames=SimpleNamespace(stamps_ns=(np.arange(duration_s * rate_hz) / rate_hz * SECOND).round().astype(np.int64)),
        labels=SimpleNamespace(
            starts_ns=np.array([round(start * SECOND) for start, _ in labels], dtype=np.int64),
            texts=[text for _, text in labels],
        ),
    )


def test_leads_before_each_action() -> None:
    windows, counts = cut_windows(3, session(), WindowSettings(leads_s=(0.5, 1.0), frames=3))
    assert [(w.at_ns / SECOND, w.answer) for w in windows] == [
        (4.0, "take mug"), (4.5, "take mug"), (8.0, "pour"), (8.5, "pour"),
    ]  # fmt: skip
    assert windows[0].frames == (20, 30, 40)
    assert windows[0].session == 3
    assert windows[2].answer_start_ns == 9 * SECOND
    assert counts.kept == 4
    assert not counts.dropped


@pytest.mark.parametrize("cut", [{"leads_s": (0.25, 1.0, 1.75)}, {"leads_s": (), "stride_s": 0.75}])
def test_windows_a_step_apart_share_frames_though_the_camera_jitters(cut: dict[str, Any]) -> None:
    jittering = session(duration_s=60, rate_hz=30, labels=[(3.1 * n, f"action {n}") for n in range(2, 19)])
    off_s = np.random.default_rng(0).uniform(0, 0.02, len(jittering.frames.stamps_ns))
    jittering.frames.stamps_ns += (off_s * SECOND).astype(np.int64)
    windows, _ = cut_windows(0, jittering, WindowSettings(frames=4, observation_s=3.0, **cut))
    assert len(windows) > 40
    shown = {window.frames for window in windows}
    for before, after in itertools.pairwise(windows):
        if 0.7 * SECOND < after.at_ns - before.at_ns < 0.8 * SECOND:
            assert after.frames[:-1] == before.frames[1:]
    assert len({frame for frames in shown for frame in frames}) <= len(windows) * (1 + 3 / 3) + 4
    stamps_ns = jittering.frames.stamps_ns
    for window in windows:
        assert stamps_ns[window.frames[-1]] == window.at_ns
        steps_s = np.diff(stamps_ns[list(window.frames)]) / SECOND
        assert (np.abs(steps_s - 0.75) < 0.06).all()


def test_epic_kitchens_asks_for_each_action_one_second_before_it() -> None:
    """Also where another action starts in between; own windows then have that one as the answer."""
    labels = [(5.0, "take mug"), (5.5, "pour"), (7.0, ""), (9.0, "stir"), (0.5, "sit")]
    cooking = session(labels=sorted(labels))
    windows, counts = cut_windows(0, cooking, WindowSettings(protocol="epic-kitchens", frames=3))
    assert [(w.at_ns / SECOND, w.answer, w.answer_start_ns / SECOND) for w in windows] == [
        (4.0, "take mug", 5.0), (4.5, "pour", 5.5), (8.0, "stir", 9.0),
    ]  # fmt: skip
    assert counts.dropped == {"with too few frames before them": 1}
    own, _ = cut_windows(0, cooking, WindowSettings(leads_s=(1.0,), frames=3))
    assert [w.answer for w in own] == ["take mug", "take mug", "stir"]


def test_stride_windows_are_dropped_by_reason_and_counted() -> None:
    stalled = session()
    keep = (stalled.frames.stamps_ns < 6 * SECOND) | (stalled.frames.stamps_ns > 7.95 * SECOND)
    stalled.frames.stamps_ns = stalled.frames.stamps_ns[keep]
    windows, counts = cut_windows(0, stalled, WindowSettings(leads_s=(), stride_s=1.0, frames=3))
    # At 3, 4 and 8 s an action follows within 2 s; at 8 s the camera had stalled.
    assert [w.at_ns // SECOND for w in windows] == [3, 4]
    assert counts.dropped["with too few frames before them"] == 1
    assert sum(counts.dropped.values()) + counts.kept == len(
        {int(stalled.frames.stamps_ns[stalled.frames.stamps_ns <= s * SECOND][-1]) for s in range(3, 15)}
    )


def test_no_window_knows_what_comes_after_it() -> None:
    """Everything a window shows is the same when the recording ends at its moment."""
    whole = session()
    for window in cut_windows(0, whole, WindowSettings(stride_s=0.3))[0]:
        shown = whole.frames.stamps_ns[list(window.frames)]
        assert shown.max() <= window.at_ns < window.answer_start_ns <= window.at_ns + 2 * SECOND
        assert shown.min() > window.at_ns - 3 * SECOND


def test_current_task_answers_what_goes_on_and_drops_rests() -> None:
    windows, counts = cut_windows(0, session(), WindowSettings(task="current", stride_s=1.0, frames=3))
    assert [(w.at_ns // SECOND, w.answer) for w in windows] == [
        (5, "take mug"), (6, "take mug"), (9, "pour"), (10, "pour"),
    ]  # fmt: skip
    assert all(w.answer_start_ns <= w.at_ns for w in windows)
    assert counts.dropped["unlabelled"] == 8
