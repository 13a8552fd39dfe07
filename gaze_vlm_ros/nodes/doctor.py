"""`gaze-vlm doctor`: listens on the running robot for some seconds and prints what is wrong with it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier

from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.inspection.robot_findings import (
    Endpoint,
    Line,
    TopicView,
    disk_line,
    exit_code_of,
    gpu_line,
    report,
    topic_lines,
)
from gaze_vlm_ros.nodes.camera_choice import camera_names
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded
from gaze_vlm_ros.nodes.message_classes import message_class_of
from gaze_vlm_ros.nodes.open_transports import network_of, network_text, network_warnings
from gaze_vlm_ros.nodes.running import NodeFinished, run_node
from gaze_vlm_ros.recorder.disk import free_disk_bytes

LOOK_PERIOD_S = 0.1


class Doctor(Node):
    """Subscribes whatever publishes camera and gaze, best effort, and reports after `seconds`."""

    def __init__(self, camera: str, gaze: str, seconds: float, folder: Path, checkpoint: Path | None) -> None:
        super().__init__("doctor")
        self._camera, self._gaze = self.resolve_topic_name(camera), self.resolve_topic_name(gaze)
        self._seconds, self._folder, self._checkpoint = seconds, folder, checkpoint
        self._received: dict[str, int] = {}  # by topic that is subscribed
        self._since_s: dict[str, float] = {}
        self._ahead_s: dict[str, float] = {}
        self._started_s = time.monotonic()
        self.create_timer(LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look(self) -> None:
        for name in (*camera_names(self._camera), self._gaze):
            types = {info.topic_type for info in self.get_publishers_info_by_topic(name)}
            allowed = (GAZE_TYPE,) if name == self._gaze else CAMERA_TYPES[:2]
            if name not in self._received and len(types) == 1 and types <= set(allowed):
                self._subscribe(name, *types)
        if time.monotonic() - self._started_s >= self._seconds:
            lines = self._lines()
            print(report(lines), flush=True)
            raise NodeFinished(exit_code_of(lines))

    def _subscribe(self, name: str, type_name: str) -> None:
        self._received[name], self._since_s[name] = 0, time.monotonic()

        def count(message: Any) -> None:
            self._received[name] += 1
            self._ahead_s[name] = (nanoseconds(message.header.stamp) - self.get_clock().now().nanoseconds) / 1e9

        # One of best effort hears every publisher.
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        subscribe_decoded(self, message_class_of(type_name), name, count, qos)

    def _view(self, name: str) -> TopicView:
        def ends(infos: Any) -> tuple[Endpoint, ...]:
            return tuple(
                Endpoint(info.node_name, info.topic_type, info.qos_profile.reliability == ReliabilityPolicy.RELIABLE)
                for info in infos
            )

        seconds = time.monotonic() - self._since_s.get(name, self._started_s)
        return TopicView(
            name,
            ends(self.get_publishers_info_by_topic(name)),
            ends(self.get_subscriptions_info_by_topic(name)),
            self._received.get(name, 0),
            seconds,
            self._ahead_s.get(name),
        )

    def _lines(self) -> list[Line]:
        network = network_of(get_rmw_implementation_identifier(), self.context.get_domain_id())
        lines = [Line("ok", f"network: {network_text(network)}")]
        lines += [Line("warning", f"network: {warning}") for warning in network_warnings(network)]
        views = [self._view(name) for name in camera_names(self._camera)]
        camera = next((view for view in views if view.publishers), views[0])
        lines += topic_lines("camera", camera, CAMERA_TYPES[:2], "--camera-topic", needed=True)
        lines += topic_lines("gaze", self._view(self._gaze), (GAZE_TYPE,), "--gaze-topic", needed=False)
        lines += [disk_line(self._folder, free_disk_bytes(self._folder)), gpu_line(_gpus())]
        if self._checkpoint is not None:
            lines.append(_checkpoint_line(self._checkpoint))
        return lines

    def close(self) -> int:
        """Return the exit code."""
        return 0


def _gpus() -> list[str] | None:
    try:
        import torch
    except ImportError:
        return None
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def _checkpoint_line(folder: Path) -> Line:
    from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata

    try:
        metadata = read_checkpoint_metadata(folder)
    except GazeVlmError as error:
        return Line("error", f"checkpoint: {error}")
    return Line(
        "ok", f"checkpoint: {metadata.model_id}, {len(metadata.labels)} answers, horizon {metadata.horizon_s:g} s"
    )


def run_doctor(camera_topic: str, gaze_topic: str, seconds: float, folder: Path, checkpoint: Path | None) -> int:
    """Listen, print one line a finding; return 1 where something is wrong."""
    os.environ.setdefault("ROS_SUPER_CLIENT", "TRUE")  # with a discovery server, all topics are of interest
    return run_node("doctor", lambda: Doctor(camera_topic, gaze_topic, seconds, folder, checkpoint), args=[])
