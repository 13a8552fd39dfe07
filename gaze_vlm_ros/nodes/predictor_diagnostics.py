"""What the predictor reports on /diagnostics."""

from __future__ import annotations

import math
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from gaze_vlm_ros.nodes.diagnostics import diagnostic_status
from gaze_vlm_ros.nodes.predictor_activation import COUNT_NAMES, Activation
from gaze_vlm_ros.nodes.process_memory import memory_mb
from gaze_vlm_ros.prediction.types import Backend, Status


class PredictorDiagnostics:
    """Diagnostics of one activation. A new activation gets a new object."""

    def __init__(self, activation: Activation | None) -> None:
        """activation: None = the node has not been activated yet."""
        self._activation = activation
        self._counts = dict.fromkeys(COUNT_NAMES, 0)  # when `status` was last called

    def status(self, node: Node, backend: Backend | None) -> DiagnosticStatus:
        """Build the status; to be called once a second. backend: None = the node is not configured."""
        activation = self._activation
        silence_s, answered = math.inf, None
        stages: Mapping[str, float] = {}
        counts = dict(self._counts)
        held_frames = held_bytes = 0
        if activation is not None:
            held_frames, held_bytes = activation.worker.held
            counts, silence_s = activation.counts(), activation.worker.silence_s()
            if activation.worker.answered is not None:
                answered = activation.worker.answered if backend is not None else None
                stages = activation.worker.answered.answer.stages
        level, text = _level(activation, backend, silence_s)
        new = {name: count - self._counts[name] for name, count in counts.items()}
        self._counts = counts
        values: dict[str, object] = {
            "answers in the last second": new["observations answered"],
            "frames in the last second": new["frames received"],
            "frames skipped for newer ones": counts["frames received"] - counts["observations answered"],
            "age of the newest frame [s]": f"{silence_s:.2f}" if math.isfinite(silence_s) else "-",
            "time of the last answer [ms]": f"{1e3 * answered.inference_s:.1f}" if answered else "-",
            **{f"of it {stage} [ms]": f"{1e3 * seconds:.1f}" for stage, seconds in stages.items()},
            "frames held for observations": held_frames,
            "of them [MB]": f"{held_bytes / 1e6:.1f}",
            **{f"{where} memory [MB]": f"{used:.0f}" for where, used in memory_mb().items()},
            **counts,
        }
        hardware_id = backend.metadata.model_id if backend is not None else ""
        return diagnostic_status(node, "predictions", level, text, values, hardware_id)


def _level(activation: Activation | None, backend: Backend | None, silence_s: float) -> tuple[bytes, str]:
    if activation is None or not activation.is_running:
        return DiagnosticStatus.OK, "inactive" if backend is not None else "not configured"
    problem = activation.worker.problem
    if problem is not None and problem.status == Status.ERROR:
        return DiagnosticStatus.ERROR, problem.text
    if activation.is_stale():
        return DiagnosticStatus.WARN, f"no frame for {silence_s:.1f} s" if math.isfinite(silence_s) else "no frame yet"
    if activation.newest is not None and activation.newest.status == Status.STALE_INPUT:
        return DiagnosticStatus.WARN, activation.newest.text
    return DiagnosticStatus.OK, "predicting"
