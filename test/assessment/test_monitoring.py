"""What the monitor says at each moment, and when it says nothing."""

import dataclasses
import math

import numpy as np
import pytest

from gaze_vlm_ros.assessment.baseline import Baseline, made_baseline
from gaze_vlm_ros.assessment.moments import MEASURES
from gaze_vlm_ros.assessment.monitoring import KEPT_S, AssessmentStatus, Monitor, Sample

SIZE = (640, 480)
S = 1_000_000_000
START = 1_700_000_000 * S
ATTENTION = np.full((48, 64), 1.0)
ATTENTION[20:28, 28:36] = 400.0  # around the middle of the picture


def baseline() -> Baseline:
    rng = np.random.default_rng(0)
    normal = {"surprise": 3.0, "saliency": 5.0, "off_task": 0.1, "fixation_s": 0.2, "saccade_width": 0.1}
    rows = [{name: normal.get(name, 1.5) * (1 + 0.1 * rng.normal()) for name in MEASURES} for _ in range(1000)]
    return made_baseline("run@ffffffff", "f" * 64, "", [], ["s"], rows, {})


def sample(at_s: float, x: float = 320.0, **changes: object) -> Sample:
    stamp_ns = START + round(at_s * S)
    return dataclasses.replace(Sample(stamp_ns, x, 240.0, 1.0, 2, 1, SIZE, "head"), **changes)  # type: ignore[arg-type]


def at(monitor: Monitor, time_s: float):
    return monitor.assess(START + round(time_s * S), time_s)


def feed(
    monitor: Monitor, from_s: float, to_s: float, gaze: bool = True, attention: bool = True, **changes: object
) -> None:
    for step in range(round(from_s * 50), round(to_s * 50)):
        now_s = step / 50
        if gaze:
            x = 320.0 + 20 * math.sin(step // 15)
            monitor.add_gaze(sample(now_s, **({"x": x, "eye_state": 2 if step % 15 == 0 else 1} | changes)), now_s)  # type: ignore[arg-type]
        if attention and step % 10 == 0:
            monitor.add_attention(START + round((now_s - 0.1) * S), ATTENTION, "head", now_s)


def fed(normal: Baseline | None, **changes: object) -> Monitor:
    monitor = Monitor(normal, 0.8, 2.0)
    feed(monitor, 0, 13, **changes)
    return monitor


def test_it_says_where_gaze_stands_after_a_whole_window() -> None:
    monitor = Monitor(baseline(), 0.8, 2.0)
    feed(monitor, 0, 5)
    early = at(monitor, 5)
    assert early.status == AssessmentStatus.NO_INPUT
    assert "expected 10 s" in early.text
    feed(monitor, 5, 13)
    found = at(monitor, 13)
    assert found.status == AssessmentStatus.OK
    assert found.row is not None
    assert found.standing is not None
    assert found.row["off_task"] == 0
    assert 0 <= found.stamp_ns - (START + 12 * S) < S
    away = fed(baseline(), x=20.0)
    looked_away = at(away, 13).standing
    assert looked_away is not None
    assert looked_away.percentiles["off_task"] == 1
    assert looked_away.percentiles["surprise"] == 1
    assert found.standing.percentiles["surprise"] < 0.5
    assert looked_away.odd > 0.99


def test_without_a_baseline_it_abstains() -> None:
    found = at(fed(None), 13)
    assert (found.status, found.row, found.standing) == (AssessmentStatus.ABSTAIN, None, None)
    assert "no baseline" in found.text


@pytest.mark.parametrize("lost", ["gaze", "attention"])
def test_an_input_that_stops_is_stale_within_a_second_and_never_an_old_answer(lost: str) -> None:
    monitor = fed(baseline())
    assert at(monitor, 13).status == AssessmentStatus.OK
    feed(monitor, 13, 14, **{lost: False})  # type: ignore[arg-type]
    found = at(monitor, 14)
    assert found.status == AssessmentStatus.STALE_INPUT
    assert f"no {lost} for" in found.text
    assert found.standing is None


def test_evidence_that_is_old_when_it_comes_is_not_used() -> None:
    monitor = fed(baseline())
    assert monitor.assess(START + 16 * S, 13.0).status == AssessmentStatus.ERROR  # the clock of this computer ran on
    assert monitor.assess(START + round(15.5 * S), 13.0).status == AssessmentStatus.STALE_INPUT


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"worn": 1}, AssessmentStatus.ABSTAIN, "not worn"),
        ({"x": math.nan}, AssessmentStatus.ABSTAIN, "gaze is lost"),
        ({"confidence": 0.1}, AssessmentStatus.ABSTAIN, "gaze is lost"),
        ({"frame_id": "robot"}, AssessmentStatus.ERROR, "gaze is on camera 'robot', attention on 'head'"),
        ({"size": (0, 0)}, AssessmentStatus.ERROR, "size of its image"),
    ],
)
def test_faults_of_gaze_show_within_a_second(changes: dict[str, object], status: AssessmentStatus, said: str) -> None:
    monitor = fed(baseline())
    feed(monitor, 13, 14, **changes)  # type: ignore[arg-type]
    found = at(monitor, 14)
    assert (found.status, found.standing) == (status, None)
    assert said in found.text


def test_clocks_apart_are_named() -> None:
    monitor = fed(baseline())
    monitor.add_gaze(sample(18.0), 13.0)
    found = at(monitor, 13)
    assert found.status == AssessmentStatus.ERROR
    assert "clocks are apart: gaze is stamped 5.5 s after attention" in found.text


def test_another_model_is_named() -> None:
    monitor = fed(baseline())
    monitor.model_id = "run@ffffffff"
    assert at(monitor, 13).status == AssessmentStatus.OK
    monitor.model_id = "other@12345678"
    found = at(monitor, 13)
    assert found.status == AssessmentStatus.ABSTAIN
    assert "the baseline is of run@ffffffff, and other@12345678 predicts" in found.text


def test_a_clock_that_is_set_back_begins_again() -> None:
    monitor = fed(baseline())
    monitor.add_gaze(sample(-20.0), 13.1)
    monitor.add_attention(START - 20 * S, ATTENTION, "head", 13.1)
    assert monitor.assess(START - 20 * S, 13.1).status == AssessmentStatus.NO_INPUT


def test_what_is_kept_is_bounded() -> None:
    monitor = Monitor(baseline(), 0.8, 2.0)
    for part in range(6):
        feed(monitor, 10 * part, 10 * part + 10)
        at(monitor, 10 * part + 10)
    assert len(monitor._gaze) <= KEPT_S * 50 + 1
    assert monitor._moments is not None
    assert len(monitor._moments.stamps_ns) < 30
    assert not monitor._pending or len(monitor._pending) < 3


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.full((4, 4), -1.0), np.ones(4), np.ones((0, 4))]
)
def test_attention_that_is_no_distribution_is_refused(bad: np.ndarray) -> None:
    monitor = fed(baseline())
    with pytest.raises(ValueError, match="attention"):
        monitor.add_attention(START + 14 * S, bad, "head", 14.0)
    assert at(monitor, 13).status == AssessmentStatus.OK
