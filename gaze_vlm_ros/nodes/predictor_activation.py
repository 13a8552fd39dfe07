"""The predictor between activate and deactivate: camera, worker and heartbeat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.clock import Clock
from rclpy.node import Node

from gaze_vlm_msgs.msg import ActionPrediction
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.camera import CameraSearch
from gaze_vlm_ros.nodes.parameters import topic_name
from gaze_vlm_ros.nodes.prediction_message import prediction_message
from gaze_vlm_ros.nodes.predictor_outputs import PredictorOutputs
from gaze_vlm_ros.nodes.predictor_parameters import PredictorParameters
from gaze_vlm_ros.nodes.running import until_shutdown
from gaze_vlm_ros.prediction.answers_over_time import point_text
from gaze_vlm_ros.prediction.status import (
    CurrentStatus,
    Limits,
    PredictorState,
    PublicationLog,
    current_status,
    size_warning,
    valid_for_s,
)
from gaze_vlm_ros.prediction.types import AnsweredObservation, Backend, Observation, Problem, Status
from gaze_vlm_ros.prediction.worker import PredictionWorker
from gaze_vlm_ros.terminal.text import escaped

COUNT_NAMES = ("frames received", "out of order", "observations answered", "messages published")


class Activation:
    """Subscribes the camera and publishes predictions until it is stopped. Each activation is a new object."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        parameters: PredictorParameters,
        backend: Backend,
        outputs: PredictorOutputs,
        least_probability: float,
        on_camera: Callable[[Any], None],
    ) -> None:
        """clock: steady, for timers. least_probability: the threshold that target_precision takes.

        on_camera: called with each subscription of the camera: a new one where it came back as another.
        """
        self._node, self._clock, self._parameters, self._outputs = node, clock, parameters, outputs
        self._metadata, self._least_probability = backend.metadata, least_probability
        self.camera_topic = topic_name(node, parameters.text("camera_topic"))
        self._autostart = parameters.flag("autostart")
        self._frame_id = ""  # of the newest frame
        self._published = PublicationLog()
        self.newest: CurrentStatus | None = None  # what the last message said
        self._publishing = threading.Lock()  # executor and worker both publish
        self._over_time = parameters.answers_over_time(self._metadata)
        self.worker = PredictionWorker(
            backend,
            parameters.frame_buffer(self._metadata),
            parameters.smoother(),
            parameters.number("rate_hz"),
            self._on_answer,
            self._on_problem,
            over_time=self._over_time,
            paced_by_stamps=parameters.flag("use_sim_time"),
        )
        self.worker.start()
        self._search = CameraSearch(
            node,
            clock,
            self.camera_topic,
            self._on_image,
            on_camera,
            self._give_up,
            lambda: parameters.number("stale_after_s"),
            # A managed node waits: its manager decides when to give up.
            parameters.number("camera_wait_s") if self._autostart else 0.0,
            (outputs.attention_topic, topic_name(node, "overlay/compressed")),
        )
        self._heartbeat = self._start_heartbeat()
        self.is_running = True

    def stop(self) -> None:
        """Let the query in progress end, and stop publishing. May be called twice."""
        self.worker.stop()
        if self.is_running:
            self._search.destroy()
            self._node.destroy_timer(self._heartbeat)
        self.is_running = False

    def apply_changes(self, names: set[str]) -> None:
        """Use the new values of the parameters `names`."""
        parameters, worker = self._parameters, self.worker
        for smoother in (worker.smoother, worker.now_smoother):
            smoother.decay_s = parameters.number("smoothing_s")
            smoother.switch_ratio = parameters.number("switch_ratio")
        worker.paced_by_stamps = parameters.flag("use_sim_time")
        if "threshold" in names and self._over_time is not None and self._metadata.stream is not None:
            self._over_time.set_point(parameters.operating_point(self._metadata.stream))
        if "rate_hz" in names:
            worker.set_rate(parameters.number("rate_hz"))
            self._node.destroy_timer(self._heartbeat)
            self._heartbeat = self._start_heartbeat()

    def counts(self) -> dict[str, int]:
        """Counts since activation, by COUNT_NAMES."""
        counts = self.worker.counts
        figures = (counts.frames, counts.out_of_order, counts.answered, self._published.count)
        return dict(zip(COUNT_NAMES, figures, strict=True))

    def thresholds(self) -> str:
        """In words, the thresholds of a checkpoint of the stream; "" for others."""
        return f"{point_text(self._over_time.point)}; " if self._over_time is not None else ""

    def is_stale(self) -> bool:
        """Whether the camera has been silent for too long."""
        return self.worker.silence_s() > self._limits().stale_after_s

    def _limits(self) -> Limits:
        limits = self._parameters.limits(self._metadata, self._least_probability)
        limits = replace(limits, stale_after_s=self.worker.patience_s(limits.stale_after_s, limits.valid_s))
        if self._over_time is None:
            return limits
        point = self._over_time.point
        return replace(limits, threshold=point.begin, target_precision=point.target_precision)

    def _start_heartbeat(self) -> Any:
        # Often enough to report silence, or the end of the camera, when it is due and not a cycle later.
        period_s = min(max(0.1 / self._parameters.number("rate_hz"), 0.005), 0.1)
        return self._node.create_timer(period_s, self._beat, clock=self._clock)

    # In the executor's thread.

    def _on_image(self, message: Any) -> None:
        self._frame_id = message.header.frame_id
        self.worker.add_frame(nanoseconds(message.header.stamp), message)

    def _give_up(self, error: GazeVlmError) -> None:
        """End an autostarted node; a managed one reports the error in each message until it is deactivated."""
        if self._autostart:
            raise error
        problem = self.worker.problem
        if problem is None or problem.text != str(error):
            self._node.get_logger().error(escaped(str(error)))
        self.worker.problem = Problem(Status.ERROR, str(error), self.worker.newest_ns or 0)

    def _beat(self) -> None:
        if fatal := self.worker.take_fatal():
            self._give_up(fatal)
        if self._published.is_due(time.monotonic(), self._parameters.number("rate_hz"), self.is_stale()):
            self._publish()

    # In the worker's thread.

    def _on_answer(self, answered: AnsweredObservation, observation: Observation) -> None:
        with until_shutdown(self._node):
            warning = size_warning(observation.image_size, self._metadata.frame_size)
            if self.worker.counts.answered == 1 and warning:
                self._node.get_logger().warning(warning)
            height, width, _ = observation.frames[-1].shape
            self._outputs.publish_attention(
                answered.answer.attention, (width, height), observation.stamp_ns, self._frame_id
            )
            self._outputs.publish_classification(self._publish())

    def _on_problem(self, problem: Problem) -> None:
        with until_shutdown(self._node):
            if problem.unexpected:
                self._node.get_logger().error(escaped(f"no prediction: {problem.text}"), throttle_duration_sec=5.0)
            self._publish()

    # In both.

    def _publish(self) -> ActionPrediction:
        with self._publishing:
            worker = self.worker
            limits = self._limits()
            state = PredictorState(
                self._node.get_clock().now().nanoseconds,
                worker.newest_ns,
                worker.silence_s(),
                worker.problem,
                worker.answered,
            )
            current = current_status(state, limits, self.camera_topic, self._metadata.model_id)
            message = prediction_message(
                self._metadata,
                self._frame_id,
                current,
                state.answered,
                valid_for_s(state, limits),
                self._parameters.count("max_candidates"),
            )
            best = message.candidates[0].text if message.candidates else ""
            self.newest = current
            message.revision = self._published.note(current.status, best, time.monotonic())
            self._outputs.publish_prediction(message)
        return message
