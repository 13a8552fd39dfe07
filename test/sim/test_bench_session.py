"""The simulated bench: honest frames, a sign that lies when it should, gaze that leads the hand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.sim.bench_scene import OBJECTS
from gaze_vlm_ros.sim.bench_session import (
    BadBenchSettings,
    BenchSettings,
    FrameEvent,
    GazeEvent,
    LabelEvent,
    simulate,
    vocabulary,
    write_bag,
)
from gaze_vlm_ros.sim.person import FIXATION, SACCADE, UnknownTask

SMALL = {"width": 160, "height": 120}


def frames(settings: BenchSettings) -> list[FrameEvent]:
    return [event for event in simulate(settings) if isinstance(event, FrameEvent)]


def approaches(scene: str, sessions: int = 8) -> Iterator[tuple[FrameEvent, FrameEvent]]:
    """Two frames of each reach, 0.5 and 0.3 s before the hand is there."""
    for seed in range(sessions):
        settings = BenchSettings(seed=seed, scene=scene, person=f"p{seed}", duration_s=40, gaze_rate_hz=1, **SMALL)
        shown = frames(settings)
        by_time = {event.t_ns: event for event in shown}
        for contact_s in sorted({event.truth.contact_s for event in shown}):
            moments = [round((contact_s - lead_s) * settings.frame_rate_hz) for lead_s in (0.5, 0.3)]
            pair = [by_time.get(round(moment / settings.frame_rate_hz * 1e9)) for moment in moments]
            if pair[0] and pair[1] and pair[0].truth.contact_s == contact_s:
                yield pair[0], pair[1]


def where_the_hand_goes(earlier: FrameEvent, later: FrameEvent) -> int:
    """The nearest object in front of the hand: what anyone sees who looks at the two frames, and no learning."""
    # The head turns meanwhile: seen from the objects, which stand still.
    shift = np.median(later.truth.object_centres - earlier.truth.object_centres, axis=0)
    motion = later.truth.hand - (earlier.truth.hand + shift)
    to_object = later.truth.object_centres - later.truth.hand
    distance = np.linalg.norm(to_object, axis=1)
    along = to_object @ motion / max(np.linalg.norm(motion), 1e-9)
    return int(np.argmin(distance + 2 * np.maximum(0, -along)))


@pytest.mark.parametrize(("scene", "sign_share"), [("workbench", (0.35, 0.65)), ("misleading", (0.0, 0.0))])
def test_frames_decide_and_the_sign_does_not(scene: str, sign_share: tuple[float, float]) -> None:
    pairs = list(approaches(scene))
    assert len(pairs) > 60
    seen = np.mean([where_the_hand_goes(a, b) == b.truth.target for a, b in pairs])
    signed = np.mean([b.truth.hint == b.truth.target for _, b in pairs])
    assert seen > 0.95
    assert sign_share[0] <= signed <= sign_share[1]


def test_targets_are_spread_over_all_objects() -> None:
    counts = np.bincount([b.truth.target for _, b in approaches("workbench")], minlength=len(OBJECTS))
    assert counts.min() > 0
    assert counts.max() < 0.4 * counts.sum()


def test_the_same_settings_give_the_same_session() -> None:
    settings = BenchSettings(seed=5, duration_s=3, **SMALL)
    first, second = list(simulate(settings)), list(simulate(settings))
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        if isinstance(a, FrameEvent):
            np.testing.assert_array_equal(a.rgb, b.rgb)
        else:
            assert a == b
    other = frames(BenchSettings(seed=6, duration_s=1, **SMALL))[0]
    assert not np.array_equal(frames(settings)[0].rgb, other.rgb)


def test_events_come_in_time_order_at_their_rates() -> None:
    events = list(simulate(BenchSettings(seed=1, duration_s=20, **SMALL)))
    times = [event.t_ns for event in events]
    assert times == sorted(times)
    assert sum(isinstance(event, FrameEvent) for event in events) == 200
    assert 0.98 * 4000 < sum(isinstance(event, GazeEvent) for event in events) < 4000
    texts = {event.text for event in events if isinstance(event, LabelEvent)}
    assert "" in texts
    assert texts - {""} <= set(vocabulary())


def test_fixations_lead_the_hand_onto_the_target() -> None:
    settings = BenchSettings(seed=2, duration_s=60, **SMALL)
    on_target, saccades = [], 0
    gaze: list[GazeEvent] = []
    for event in simulate(settings):
        if isinstance(event, GazeEvent):
            gaze.append(event)
            saccades += event.eye_state == SACCADE
        elif isinstance(event, FrameEvent) and 0.1 < event.truth.contact_s - event.t_ns / 1e9 < 1.0:
            fixations = [g for g in gaze[-10:] if g.eye_state == FIXATION and g.confidence > 0.6]
            x0, y0, x1, y1 = event.truth.target_box
            on_target += [x0 - 3 <= g.x <= x1 + 3 and y0 - 3 <= g.y <= y1 + 3 for g in fixations]
    assert np.mean(on_target) > 0.8
    assert 0.02 < saccades / len(gaze) < 0.3


def test_blinks_and_glasses_off_are_marked() -> None:
    settings = BenchSettings(seed=3, duration_s=60, not_worn_rate_hz=0.1, frame_rate_hz=0.1, **SMALL)
    gaze = [event for event in simulate(settings) if isinstance(event, GazeEvent)]
    worn, states = np.array([g.worn for g in gaze]), np.array([g.eye_state for g in gaze])
    confidence = np.array([g.confidence for g in gaze])
    assert 0.02 < np.mean(worn == 1) < 0.5
    assert 0.01 < np.mean(states == 3) < 0.15
    assert confidence[(worn == 1) | (states == 3)].max() <= 0.4
    assert confidence[(worn == 2) & (states == 1)].min() >= 0.9


def test_a_bag_holds_the_whole_session(tmp_path: Path) -> None:
    settings = BenchSettings(seed=4, duration_s=5, person="ada", scene="misleading", **SMALL)
    write_bag(settings, tmp_path / "bag", start_ns=10**18)
    session = load_session(tmp_path / "bag")
    events = list(simulate(settings))
    expected = [event for event in events if isinstance(event, FrameEvent)]
    assert session.gaze is not None
    assert session.labels is not None
    np.testing.assert_array_equal(session.frames.stamps_ns, [10**18 + event.t_ns for event in expected])
    assert np.abs(session.frames.rgb(7).astype(int) - expected[7].rgb).mean() < 4  # JPEG
    samples = [event for event in events if isinstance(event, GazeEvent)]
    np.testing.assert_array_equal(session.gaze.xy, [(g.x, g.y) for g in samples])
    assert session.labels.texts == [event.text for event in events if isinstance(event, LabelEvent)]
    assert (session.person, session.scene) == ("ada", "misleading")


def test_impossible_settings_are_named() -> None:
    with pytest.raises(BadBenchSettings, match="duration_s is 0"):
        BenchSettings(duration_s=0)
    with pytest.raises(UnknownTask, match="juggle"):
        list(simulate(BenchSettings(task="juggle")))
    with pytest.raises(UnknownTask, match="kitchen"):
        list(simulate(BenchSettings(scene="kitchen")))
