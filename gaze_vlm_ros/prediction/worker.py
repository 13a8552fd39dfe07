"""The thread that queries the backend, always for the newest frame. No ROS here."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime
from gaze_vlm_ros.prediction.arrivals import Arrivals
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.pacing import next_due
from gaze_vlm_ros.prediction.smoothing import PredictionSmoother, Smoothed
from gaze_vlm_ros.prediction.types import Answer, AnsweredObservation, Backend, NoAnswer, Observation, Problem, Status
from gaze_vlm_ros.video.images import DamagedImage


@dataclass
class WorkerCounts:
    """Counts since the worker started."""

    frames: int = 0  # received
    out_of_order: int = 0  # of them, not newer than the newest and therefore ignored
    answered: int = 0  # observations


class PredictionWorker:
    """Takes camera frames from one thread and answers the newest one in a thread of its own.

    A frame is queried as it arrives, or, where the backend is busy, the moment that it is free; frames in between are
    skipped. To start again with nothing seen and nothing answered, build a new worker.
    """

    def __init__(
        self,
        backend: Backend,
        frames: FrameBuffer,
        smoother: PredictionSmoother,
        rate_hz: float,
        on_answer: Callable[[AnsweredObservation, Observation], None],
        on_problem: Callable[[Problem], None],
        *,
        over_time: AnswersOverTime | None = None,
        paced_by_stamps: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """on_answer, on_problem: called in the worker's thread, and never after `stop` began.

        over_time: replaces the smoother for answers that say what and when.

        paced_by_stamps: measure rate_hz on the frames' stamps, so that a bag played at any speed is queried for the
        same frames; otherwise on `clock` (s).
        """
        self._backend, self._frames = backend, frames
        self._on_answer, self._on_problem, self._clock = on_answer, on_problem, clock
        self._rate_hz = rate_hz
        self.smoother, self.over_time = smoother, over_time
        self.now_smoother = PredictionSmoother(smoother.decay_s, smoother.switch_ratio)  # of what goes on now
        self.paced_by_stamps = paced_by_stamps
        self.counts = WorkerCounts()
        self.answered: AnsweredObservation | None = None  # the newest answer
        self.problem: Problem | None = None  # of the newest query, where it has no answer
        self._fatal: GazeVlmError | None = None
        self._arrivals = Arrivals()  # by `clock`
        self._due_s = -math.inf  # of the next query: by `clock`, or by the frames' stamps
        self._queried_ns = -1  # stamp of the newest frame that the backend was queried for
        self._busy = False
        self._querying = threading.Lock()  # both threads decide whether to query
        self._wanted, self._closing = threading.Event(), threading.Event()
        # A daemon: a query that does not end must not keep the process.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience_s: float | None = None) -> None:
        """Let the query in progress end, and end the thread. May be called twice.

        patience_s: leave the query after this time, at the end of the process; None = wait for it.
        """
        self._closing.set()
        self._wanted.set()
        self._thread.join(patience_s)

    @property
    def held(self) -> tuple[int, int]:
        """Number of frames that are held for observations, and their bytes."""
        return self._frames.held

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest frame; None before the first."""
        return self._frames.newest_ns

    def silence_s(self) -> float:
        """Time since the newest frame arrived, s; infinite before the first."""
        return self._arrivals.silence_s(self._clock())

    def patience_s(self, stale_after_s: float, valid_s: float) -> float:
        """Silence after which input is stale, s. See Arrivals.patience_s."""
        return self._arrivals.patience_s(stale_after_s, valid_s)

    def set_rate(self, rate_hz: float) -> None:
        """Query at another rate, from the next frame on."""
        self._rate_hz, self._due_s = rate_hz, -math.inf

    def take_fatal(self) -> GazeVlmError | None:
        """Return once the error that no later frame will mend, e.g. an encoding that is no image, before any answer."""
        fatal, self._fatal = self._fatal, None
        return fatal

    def add_frame(self, stamp_ns: int, message: Any) -> None:
        """Take one camera message, and query the backend if that is due."""
        self._arrivals.note(self._clock())
        self.counts.frames += 1
        if not self._frames.add(stamp_ns, message):
            self.counts.out_of_order += 1
            return
        with self._querying:
            if not self._busy:
                self._query_if_due()

    def _query_if_due(self) -> None:
        """Wake the thread if the newest frame is new and its query is due; `_querying` must be held.

        This runs as a frame arrives, or when the backend becomes free: with a timer each frame would wait for its tick.
        """
        newest_ns = self._frames.newest_ns
        if newest_ns is None or newest_ns == self._queried_ns:
            return
        now_s = self._clock()
        if self.paced_by_stamps:
            now_s = newest_ns / 1e9
            if newest_ns < self._queried_ns:
                self._due_s = -math.inf  # the bag was started again
        due_s = next_due(now_s, self._due_s, 1.0 / self._rate_hz)
        if due_s is not None:
            self._due_s, self._queried_ns, self._busy = due_s, newest_ns, True
            self._wanted.set()

    # In the worker's thread.

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closing.is_set():
                return
            try:
                self._answer_newest()
            except (DamagedImage, NoAnswer) as error:
                self._report(Status.ERROR, str(error))
            except GazeVlmError as error:
                if self.answered is None:
                    self._fatal = error
                else:  # the camera is one; somebody else sends on its topic too
                    self._report(Status.ERROR, str(error))
            except Exception as error:
                # Out of memory, a dead driver: the planner must hear of it, and the next frame may succeed.
                text = " ".join(f"{type(error).__name__}: {error}".split())
                self._report(Status.ERROR, text, unexpected=True)
            finally:
                with self._querying:
                    self._busy = False
                    self._query_if_due()

    def _over_time(self, stamp_ns: int, answer: Answer) -> Smoothed:
        if self.over_time is not None and answer.table is not None:
            return self.over_time.update(stamp_ns, answer.table, answer.nothing_probability or 0.0)
        other = answer.other_probability
        if answer.nothing_probability is not None:
            other = (other or 0.0) + answer.nothing_probability
        return self.smoother.update(stamp_ns, answer.probabilities, other, answer.texts)

    def _now(self, stamp_ns: int, answer: Answer) -> Smoothed | None:
        now = answer.now
        if now is None:
            return None
        probabilities = np.append(now.probabilities, now.nothing_probability)
        return self.now_smoother.update(stamp_ns, probabilities, now.other_probability, (*now.texts, ""))

    def _report(self, status: Status, text: str, unexpected: bool = False) -> None:
        self.problem = Problem(status, text, self._queried_ns, unexpected)
        if not self._closing.is_set():
            self._on_problem(self.problem)

    def _answer_newest(self) -> None:
        began = time.monotonic()
        observation = self._frames.observation()
        if observation is None:
            metadata = self._backend.metadata
            self._report(
                Status.NO_INPUT,
                f"too few frames: one is needed in each {metadata.observation_s / metadata.frames:g} s of "
                f"{metadata.observation_s:g} s",
            )
            return
        self._queried_ns = observation.stamp_ns  # a newer frame may have come since the thread was woken
        answer = self._backend.predict(observation)
        answer = replace(answer, focus=observation.on_camera(answer.focus))
        smoothed = self._over_time(observation.stamp_ns, answer)
        self.counts.answered += 1
        self.problem = None
        self.answered = AnsweredObservation(
            answer,
            smoothed,
            observation.start_ns,
            observation.stamp_ns,
            time.monotonic() - began,
            uuid.uuid4().bytes,
            self._now(observation.stamp_ns, answer),
        )
        if not self._closing.is_set():
            self._on_answer(self.answered, observation)
