"""After which silence a camera counts as stopped."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from gaze_vlm_ros.prediction.arrivals import Arrivals
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.smoothing import PredictionSmoother, Smoothed
from gaze_vlm_ros.prediction.status import Limits, PredictorState, PublicationLog, current_status
from gaze_vlm_ros.prediction.types import Answer, AnsweredObservation, Status
from gaze_vlm_ros.prediction.worker import PredictionWorker

LIMIT_S, VALID_S = 0.5, 2.0


def answered(stamp_ns: int) -> AnsweredObservation:
    probabilities = np.array([0.2, 0.8])
    answer = Answer(("take the jar", "take the mug"), probabilities, "calibrated")
    return AnsweredObservation(answer, Smoothed(probabilities, None, 1, False, True), 0, stamp_ns, 0.05, bytes(16))


def said_by(camera_hz: float, seconds: float, stops_at_s: float = 1e9) -> list[tuple[float, Status, int]]:
    """(time, status, revision) of each message, of a node that answers each frame at once and beats each 10 ms."""
    now_s = 0.0
    worker = PredictionWorker(
        SimpleNamespace(), FrameBuffer(1.0, 1), PredictionSmoother(), 5.0, lambda *_: None, lambda *_: None,
        clock=lambda: now_s,
    )  # fmt: skip
    log, said, next_frame_s = PublicationLog(0), [], 0.0
    for step in range(round(100 * seconds)):
        now_s = step / 100
        fresh = now_s >= next_frame_s and now_s < stops_at_s
        if fresh:
            worker.add_frame(round(now_s * 1e9), None)
            worker.answered = answered(round(now_s * 1e9))
            next_frame_s += 1 / camera_hz
        limits = Limits(0.5, 0.0, VALID_S, worker.patience_s(LIMIT_S, VALID_S))
        state = PredictorState(
            round(now_s * 1e9), worker.newest_ns, worker.silence_s(), worker.problem, worker.answered
        )
        if fresh or log.is_due(now_s, 5.0, worker.silence_s() > limits.stale_after_s):
            status = current_status(state, limits, "/camera", "bench").status
            said.append((now_s, status, log.note(status, "take the mug", now_s)))
    return said


@pytest.mark.parametrize("camera_hz", [1.0, 1.5, 2.5, 30.0])
def test_a_slow_camera_does_not_change_the_answer(camera_hz: float) -> None:
    """At 1.5 Hz the answer was stale before each next frame: 28 revisions in 10 s."""
    settled = [(status, revision) for now_s, status, revision in said_by(camera_hz, 14.0) if now_s > 4.0]
    assert {status for status, _ in settled} == {Status.OK}
    assert len({revision for _, revision in settled}) == 1


@pytest.mark.parametrize(("camera_hz", "patience_s"), [(30.0, 0.5), (4.0, 0.5), (1.5, 1.0), (0.5, 2.0)])
def test_a_camera_that_stops_is_reported_after_its_patience(camera_hz: float, patience_s: float) -> None:
    said = said_by(camera_hz, 30.0, stops_at_s=21.0)
    last_frame_s = np.floor(20.999 * camera_hz) / camera_hz
    first_stale_s = next(now_s for now_s, status, _ in said if now_s > last_frame_s and status == Status.STALE_INPUT)
    assert first_stale_s - last_frame_s == pytest.approx(patience_s, abs=0.03)


def test_a_hiccup_does_not_make_a_camera_slow() -> None:
    arrivals = Arrivals()
    assert arrivals.silence_s(5.0) == np.inf
    assert arrivals.patience_s(LIMIT_S, VALID_S) == LIMIT_S
    for gap_s in itertools.accumulate([0.0, 0.1, 0.1, 5.0, 0.1, 5.0, 0.1]):
        arrivals.note(gap_s)
    assert arrivals.patience_s(LIMIT_S, VALID_S) == LIMIT_S
    assert arrivals.silence_s(11.0) == pytest.approx(0.6)
