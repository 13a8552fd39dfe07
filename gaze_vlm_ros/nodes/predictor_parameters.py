"""Parameters of the predictor node: declaration, rules for changing them, and what is opened with them."""

from __future__ import annotations

from pathlib import Path

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from gaze_vlm_ros.nodes.parameters import BadParameter, Declarations
from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime, chosen_point
from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.operating_points import OperatingPoint
from gaze_vlm_ros.prediction.smoothing import PredictionSmoother
from gaze_vlm_ros.prediction.status import Limits
from gaze_vlm_ros.prediction.stream_metadata import StreamMetadata
from gaze_vlm_ros.prediction.types import Backend

# These may be set while the node is active; all others are read when it is configured.
LIVE = ("rate_hz", "threshold", "stale_after_s", "valid_s", "max_candidates", "smoothing_s", "switch_ratio")


class PredictorParameters:
    """Declares the parameters of a predictor node and reads their present values."""

    def __init__(self, node: Node) -> None:
        self._node = node
        declare = Declarations(node, fixed=False)
        node.declare_parameter(
            "autostart",
            True,
            ParameterDescriptor(description="configure and activate without a lifecycle manager", read_only=True),
        )
        # Where pictures and the key go, and which files are opened, is said by who starts the process, and by no peer.
        at_start = Declarations(node, fixed=True)
        at_start.text(
            "checkpoint", "", "folder written by training/fit.py; with backend replay, a bag or file of predictions"
        )
        at_start.text(
            "backend", "model", "model: weights in this process; openai: a remote server; replay: recorded answers"
        )
        declare.text("answers", "closed", "closed: rank the checkpoint's labels; open: generate free text")
        at_start.text("server_url", "", "backend openai: root of the API, such as http://gpu:8000/v1")
        declare.text("server_model", "", "backend openai: name of the model on the server; empty: the only one it has")
        # An older answer is worth little, because people are quick.
        declare.number("server_timeout_s", 2.0, 0.05, 60.0, "backend openai: time for the server to answer, s")
        declare.flag("replay_loop", True, "backend replay: start again after the last answer")
        declare.flag("replay_delay", True, "backend replay: take as long for each answer as the model did")
        declare.text(
            "camera_topic", "camera/image_raw", "Image or CompressedImage; its /compressed where nobody publishes it"
        )
        declare.number("camera_wait_s", 30.0, 0.0, 86400.0, "time to wait for a camera before giving up, s; 0: forever")
        # Shorter than a planner's patience, longer than a hiccup of a 10 Hz camera.
        declare.number("stale_after_s", 0.5, 0.01, 60.0, "time without a frame until the status is STALE_INPUT, s")
        # People change what they do several times a second; a higher rate only heats the computer.
        declare.number("rate_hz", 5.0, 0.1, 100.0, "queries of the model per second, Hz, each for the newest frame")
        # With this slack the vision tower runs on one new frame per answer, and the frames of a window are spaced
        # nearly as evenly as in training.
        declare.number(
            "frame_slack",
            0.33,
            0.0,
            1.0,
            "how much older than training's choice a known frame may be, as a share of the time between frames",
        )
        declare.number(
            "threshold",
            0.0,
            0.0,
            1.0,
            "ABSTAIN where the best candidate is less probable; 0: never, or the checkpoint's own thresholds",
        )
        declare.number(
            "target_precision",
            0.0,
            0.0,
            1.0,
            "ABSTAIN where validation promises a lower precision; 0: only threshold counts",
        )
        declare.number(
            "valid_s", 0.0, 0.0, 3600.0, "time after the last frame for which a prediction may be used, s; 0: horizon"
        )
        declare.count("max_candidates", 5, 1, 1000, "candidates per message; other_probability holds the rest")
        declare.flag(
            "classification", False, "also publish answers as vision_msgs/Classification on next_action/classification"
        )
        # One message at 5 Hz: a single odd window does not change the answer, and a new answer shows one message later.
        declare.number(
            "smoothing_s", 0.2, 0.0, 60.0, "age at which an answer weighs 1/e of a new one, s; 0: no smoothing"
        )
        declare.number(
            "switch_ratio", 1.5, 1.0, 100.0, "another answer replaces the best when it is this many times as probable"
        )
        declare.text("device", "auto", "cpu, cuda, cuda:1; auto: cuda where available")
        declare.text("dtype", "float32", "type of weights and activations: float32, bfloat16, float16")
        declare.text("quantization", "none", "quantization of the weights: none, or int8 (needs torchao)")
        declare.flag("compile", False, "use torch.compile on the vision tower; configuring then takes longer")
        declare.count("threads", 0, 0, 1024, "threads of torch on the CPU; 0: torch decides")

    def number(self, name: str) -> float:
        """Present value of a floating-point parameter."""
        return float(self._node.get_parameter(name).value)

    def count(self, name: str) -> int:
        """Present value of an integer parameter."""
        return int(self._node.get_parameter(name).value)

    def text(self, name: str) -> str:
        """Present value of a string parameter."""
        return str(self._node.get_parameter(name).value)

    def flag(self, name: str) -> bool:
        """Present value of a boolean parameter."""
        return bool(self._node.get_parameter(name).value)

    def refuse_late_changes(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse to change what a configured node has read already. Other parameters of the node are left to ROS."""
        for change in changes:
            if not self._node.has_parameter(change.name) or change.name in (*LIVE, "use_sim_time"):
                continue
            if change.value != self._node.get_parameter(change.name).value:
                reason = f"{change.name} is read when the node is configured: clean it up first"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def open_backend(self) -> Backend:
        """Open the backend, with torch's threads set before. Raises BadParameter and what open_backend raises."""
        checkpoint = self.text("checkpoint")
        if not checkpoint:
            raise BadParameter("parameter checkpoint is empty, expected a folder that training/fit.py wrote")
        if threads := self.count("threads"):
            import torch

            torch.set_num_threads(threads)
        return open_backend(
            Path(checkpoint).expanduser(),
            backend=self.text("backend"),
            answers=self.text("answers"),
            device=self.text("device"),
            dtype=self.text("dtype"),
            quantization=self.text("quantization"),
            compiled=self.flag("compile"),
            server_url=self.text("server_url"),
            server_model=self.text("server_model"),
            server_timeout_s=self.number("server_timeout_s"),
            replay_loop=self.flag("replay_loop"),
            replay_delay=self.flag("replay_delay"),
        )

    def frame_buffer(self, metadata: CheckpointMetadata) -> FrameBuffer:
        """Build an empty buffer for the observations of a checkpoint."""
        slack_s = self.number("frame_slack") * metadata.observation_s / metadata.frames
        return FrameBuffer(metadata.observation_s, metadata.frames, slack_s, metadata.frame_size)

    def smoother(self) -> PredictionSmoother:
        """Build a smoother that has seen no answer."""
        return PredictionSmoother(self.number("smoothing_s"), self.number("switch_ratio"))

    def answers_over_time(self, metadata: CheckpointMetadata) -> AnswersOverTime | None:
        """Build what follows the answers of a checkpoint of the stream over time; None for other checkpoints."""
        if metadata.stream is None or not metadata.labels:
            return None
        return AnswersOverTime(metadata.stream, metadata.horizon_s, self.operating_point(metadata.stream))

    def operating_point(self, stream: StreamMetadata) -> OperatingPoint:
        """Thresholds of a checkpoint of the stream, by `threshold` and `target_precision`, or its own."""
        return chosen_point(stream, self.number("threshold"), self.number("target_precision"))

    def limits(self, metadata: CheckpointMetadata, least_probability: float) -> Limits:
        """Conditions that an answer must meet now. least_probability: the threshold that target_precision takes."""
        return Limits(
            threshold=max(self.number("threshold"), least_probability),
            target_precision=self.number("target_precision"),
            valid_s=self.number("valid_s") or metadata.horizon_s,
            stale_after_s=self.number("stale_after_s"),
            task=metadata.task,
        )
