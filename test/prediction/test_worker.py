"""The worker without ROS: newest frame first, at its rate, whatever the backend does."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.smoothing import PredictionSmoother
from gaze_vlm_ros.prediction.types import Answer, AnsweredObservation, NoAnswer, Observation, Problem, Status
from gaze_vlm_ros.prediction.worker import PredictionWorker
from gaze_vlm_ros.video.images import UnknownEncoding, encode_jpeg

MS = 1_000_000
PATIENCE_S = 60.0  # a busy machine
PICTURE = SimpleNamespace(format="jpeg", data=encode_jpeg(np.zeros((48, 64, 3), np.uint8)))
DAMAGED = SimpleNamespace(format="jpeg", data=b"no picture")


class FakeBackend:
    """Answers when it is let; notes the stamps that it was queried for."""

    metadata: Any = SimpleNamespace(observation_s=0.2, frames=1)

    def __init__(self) -> None:
        self.queried_ns: list[int] = []
        self.began, self.may_answer = threading.Semaphore(0), threading.Event()
        self.may_answer.set()
        self.error: Exception | None = None
        self.focus = (np.nan, np.nan)

    def warm_up(self) -> None: ...

    def close(self) -> None: ...

    def predict(self, observation: Observation) -> Answer:
        self.queried_ns.append(observation.stamp_ns)
        self.began.release()
        assert self.may_answer.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return Answer(("go", "take"), np.array([0.7, 0.3]), "calibrated", focus=self.focus, stages={"thinking": 0.1})


class Bench:
    """A worker, a clock that the test sets, and what the worker reported."""

    def __init__(self, rate_hz: float = 1000.0, frames: int = 1, paced_by_stamps: bool = False) -> None:
        self.backend, self.now_s = FakeBackend(), 0.0
        self.backend.metadata = SimpleNamespace(observation_s=0.2, frames=frames)
        self.reports: queue.Queue[AnsweredObservation | Problem] = queue.Queue()
        self.worker = PredictionWorker(
            self.backend, FrameBuffer(0.2, frames), PredictionSmoother(), rate_hz,
            lambda answered, _: self.reports.put(answered), self.reports.put,
            paced_by_stamps=paced_by_stamps, clock=lambda: self.now_s,
        )  # fmt: skip
        self.worker.start()

    def close(self) -> None:
        self.backend.may_answer.set()
        self.worker.stop()

    def show(self, at_ms: int, message: Any = PICTURE, now_s: float | None = None) -> None:
        self.now_s = at_ms / 1e3 if now_s is None else now_s
        self.worker.add_frame(at_ms * MS, message)

    def report(self) -> Any:
        """The next report; the worker has no query in progress afterwards."""
        found = self.reports.get(timeout=PATIENCE_S)
        self.settle()
        return found

    def settle(self) -> None:
        while self.worker._busy:
            threading.Event().wait(0.001)


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    """Builds benches whose workers end with the test, also where it fails."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(closing(Bench(**settings)))


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_an_answer_carries_the_stamps_of_its_frames(bench: Bench) -> None:
    assert (bench.worker.newest_ns, bench.worker.answered) == (None, None)
    bench.show(100)
    answered = bench.report()
    assert (answered.start_ns, answered.stamp_ns, len(answered.prediction_id)) == (100 * MS, 100 * MS, 16)
    assert answered.answer.texts[answered.smoothed.best] == "go"
    assert answered is bench.worker.answered
    assert bench.worker.newest_ns == 100 * MS


def test_where_the_model_looked_is_in_px_of_the_cameras_image(bench: Bench) -> None:
    """Frames may be shown to it smaller than they came."""
    bench.worker._frames = FrameBuffer(0.2, 1, trained_size=(16, 12))
    bench.backend.focus = (4.0, 6.0)
    bench.show(100, SimpleNamespace(format="jpeg", data=encode_jpeg(np.zeros((48, 64, 3), np.uint8))))
    assert bench.report().answer.focus == (16.0, 24.0)


def test_the_newest_frame_wins_and_others_are_skipped(bench: Bench) -> None:
    bench.backend.may_answer.clear()
    bench.show(100)
    assert bench.backend.began.acquire(timeout=PATIENCE_S)
    for at_ms in (110, 120, 130):
        bench.show(at_ms)
    bench.backend.may_answer.set()
    assert [bench.reports.get(timeout=PATIENCE_S).stamp_ns for _ in range(2)] == [100 * MS, 130 * MS]
    bench.settle()
    assert bench.backend.queried_ns == [100 * MS, 130 * MS]
    assert (bench.worker.counts.frames, bench.worker.counts.answered, bench.worker.counts.out_of_order) == (4, 2, 0)


def test_a_frame_that_is_not_newer_is_counted_and_not_queried(bench: Bench) -> None:
    bench.show(100)
    bench.report()
    bench.show(100)
    bench.show(90)
    bench.show(150)
    assert bench.report().stamp_ns == 150 * MS
    assert bench.backend.queried_ns == [100 * MS, 150 * MS]
    assert bench.worker.counts.out_of_order == 2


def test_queries_keep_the_rate_and_a_new_rate_holds_from_the_next_frame(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(rate_hz=10.0)
    for at_ms in range(0, 1000, 20):
        bench.show(at_ms)
        bench.settle()
    assert [ns // MS for ns in bench.backend.queried_ns] == [0, *range(60, 1000, 100)]
    bench.worker.set_rate(1000.0)
    for at_ms in range(1000, 1200, 20):
        bench.show(at_ms)
        bench.settle()
    assert [ns // MS for ns in bench.backend.queried_ns[11:]] == list(range(1000, 1200, 20))


def test_stamps_set_the_pace_of_a_bag_however_fast_it_is_played(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(rate_hz=10.0, paced_by_stamps=True)
    for _ in range(2):  # played twice
        for at_ms in range(10_000, 11_000, 20):
            bench.show(at_ms, now_s=5.0)
            bench.settle()
    assert bench.backend.queried_ns[:11] == bench.backend.queried_ns[11:]
    assert [ns // MS for ns in bench.backend.queried_ns[:11]] == [10_000, *range(10_060, 11_000, 100)]


def test_silence_is_measured_from_the_newest_frame(bench: Bench) -> None:
    assert bench.worker.silence_s() == float("inf")
    bench.show(1000)
    bench.report()
    bench.now_s = 1.75
    assert bench.worker.silence_s() == pytest.approx(0.75)


def test_too_few_frames_are_no_input(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(frames=2)
    bench.show(100)
    problem = bench.report()
    assert problem == Problem(Status.NO_INPUT, "too few frames: one is needed in each 0.1 s of 0.2 s", 100 * MS)
    assert bench.worker.problem is problem
    bench.show(200)
    assert bench.report().start_ns == 100 * MS
    assert bench.worker.problem is None


@pytest.mark.parametrize(
    ("error", "text", "unexpected"),
    [
        (NoAnswer("the server is down"), "the server is down", False),
        (MemoryError("no\n more"), "MemoryError: no more", True),
    ],
)
def test_a_failed_query_is_an_error_until_the_next_answer(
    bench: Bench, error: Exception, text: str, unexpected: bool
) -> None:
    bench.backend.error = error
    bench.show(100)
    assert bench.report() == Problem(Status.ERROR, text, 100 * MS, unexpected)
    assert bench.worker.take_fatal() is None
    bench.backend.error = None
    bench.show(200)
    assert bench.report().stamp_ns == 200 * MS
    assert (bench.worker.problem, bench.worker.counts.answered) == (None, 1)


def test_a_damaged_frame_is_an_error(bench: Bench) -> None:
    bench.show(100, DAMAGED)
    problem = bench.report()
    assert (problem.status, problem.stamp_ns) == (Status.ERROR, 100 * MS)
    assert "do not decode" in problem.text
    assert bench.backend.queried_ns == []


def test_what_no_later_frame_mends_is_returned_once(bench: Bench) -> None:
    bench.show(100, SimpleNamespace(format="h264", data=b""))
    bench.settle()
    assert isinstance(bench.worker.take_fatal(), UnknownEncoding)
    assert bench.worker.take_fatal() is None
    bench.backend.error = GazeVlmError("cannot go on")
    bench.show(200)
    bench.settle()
    assert str(bench.worker.take_fatal()) == "cannot go on"


def test_after_an_answer_another_sender_on_the_camera_topic_ends_nothing(bench: Bench) -> None:
    bench.show(100)
    assert bench.report().stamp_ns == 100 * MS
    bench.show(200, SimpleNamespace(format="h264", data=b""))
    problem = bench.report()
    assert (problem.status, problem.stamp_ns) == (Status.ERROR, 200 * MS)
    assert bench.worker.take_fatal() is None
    bench.show(300)
    assert bench.report().stamp_ns == 300 * MS
    assert bench.reports.empty()


def test_nothing_is_reported_after_stop(bench: Bench) -> None:
    bench.backend.may_answer.clear()
    bench.show(100)
    assert bench.backend.began.acquire(timeout=PATIENCE_S)
    ending = threading.Thread(target=bench.worker.stop)
    ending.start()
    while not bench.worker._closing.is_set():
        threading.Event().wait(0.001)
    bench.backend.may_answer.set()
    ending.join(PATIENCE_S)
    assert not ending.is_alive()
    assert bench.reports.empty()
    bench.show(200)
    assert bench.backend.queried_ns == [100 * MS]
    bench.worker.stop()  # twice is no error


def test_a_new_worker_has_seen_nothing(make_bench: Callable[..., Bench]) -> None:
    before = make_bench()
    before.show(100)
    before.report()
    worker = make_bench().worker
    assert (worker.newest_ns, worker.answered, worker.problem, worker.counts.frames) == (None, None, None, 0)
