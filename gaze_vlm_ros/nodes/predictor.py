"""ROS 2 lifecycle node: predicts the person's next action from the camera alone.

Subscribes `camera/image_raw` (Image or CompressedImage); publishes `next_action`, `/diagnostics`, latched `model_info`
and, where somebody subscribes to it, `attention`. See config/infer.yaml and docs/predictor.md.
"""

from __future__ import annotations

import gc
import math
import sys
import threading
import time
import uuid
from array import array
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.camera import IMAGE_TYPES, NoCamera, NotACamera, subscribe_camera
from gaze_vlm_ros.nodes.classification import classification_of, classification_type
from gaze_vlm_ros.nodes.diagnostics import diagnostic_status
from gaze_vlm_ros.nodes.parameters import BadParameter, Declarations
from gaze_vlm_ros.nodes.prediction_message import Answered, Limits, model_info, with_answer, without_answer
from gaze_vlm_ros.nodes.process_memory import memory_mb
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.prediction.attention_map import attention_map
from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.checkpoint import abstain_threshold
from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
from gaze_vlm_ros.prediction.pacing import next_due
from gaze_vlm_ros.prediction.smoothing import PredictionSmoother
from gaze_vlm_ros.prediction.types import Answer, Backend, NoAnswer, Observation
from gaze_vlm_ros.video.images import DamagedImage

# May be set while it is active; the others are read when it is configured.
LIVE = ("rate_hz", "threshold", "stale_after_s", "valid_s", "max_candidates", "smoothing_s", "switch_ratio")
WITH_CANDIDATES = (ActionPrediction.STATUS_OK, ActionPrediction.STATUS_ABSTAIN)


class PredictorNode(LifecycleNode):
    """The executor receives images and publishes; a thread of its own asks the model, always about the newest frame.

    configure loads the model and warms it up, activate subscribes and predicts, deactivate stops, cleanup frees the
    memory. With autostart it does the first two by itself, and ends with one line where it cannot.
    """

    def __init__(self) -> None:
        super().__init__("predictor")
        self._declare_parameters()
        self._screen = Screen()  # a log on a full disk, or a terminal that is held, must not end predictions
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._backend: Backend | None = None
        self._least = 0.0  # probability, by target_precision
        self._thread: threading.Thread | None = None
        self._failure: GazeVlmError | None = None
        self._closing = threading.Event()
        self._publishing = threading.Lock()  # two threads publish
        self._asking = threading.Lock()  # two threads ask
        self._timers_active: list[Any] = []
        self._camera: Any = None
        self._active_since: float | None = None  # time.monotonic()
        self._reset()
        self.add_on_set_parameters_callback(self._refuse_late_changes)
        self.add_post_set_parameters_callback(self._apply_changes)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._autostart = bool(self.get_parameter("autostart").value)
        if self._autostart:
            self._starting = self.create_timer(0.0, self._start, clock=self._steady)

    def _declare_parameters(self) -> None:
        declare = Declarations(self, fixed=False)
        self.declare_parameter(
            "autostart", True, ParameterDescriptor(description="configure and activate by itself", read_only=True)
        )
        declare.text("checkpoint", "", "folder that training/fit.py wrote; of replay, a bag or file of predictions")
        declare.text(
            "backend", "model", "model = weights, here; openai = a server elsewhere; replay = recorded answers"
        )
        declare.text("answers", "closed", "closed = the checkpoint's labels, ranked; open = free text, generated")
        declare.text("server_url", "", "of openai: the API's root, such as http://gpu:8000/v1")
        declare.text("server_model", "", "of openai: as the server calls it; empty = the one it has")
        # An answer that is older than this is worth little: people are quick.
        declare.number("server_timeout_s", 2.0, 0.05, 60.0, "s for the server to answer")
        declare.flag("replay_loop", True, "of replay: begin again behind the last answer")
        declare.flag("replay_delay", True, "of replay: take as long for each answer as the model did")
        declare.text("camera_topic", "camera/image_raw", "Image or CompressedImage; else its /compressed is taken")
        declare.number(
            "camera_wait_s", 30.0, 0.0, 86400.0, "s for a camera to appear before giving up; 0 = wait for ever"
        )
        # Shorter than a planner's patience, longer than a hiccup of a 10 Hz camera.
        declare.number("stale_after_s", 0.5, 0.01, 60.0, "s without a frame after which the input is stale")
        # People decide several times a second; more only heats the computer.
        declare.number("rate_hz", 5.0, 0.1, 100.0, "Hz of questions to the model, each about the newest frame")
        # A vision tower that runs on one new frame an answer, and windows that are hardly less even than training's.
        declare.number("frame_slack", 0.33, 0.0, 1.0, "of the time between frames: how much older a known one may be")
        declare.number(
            "threshold", 0.0, 0.0, 1.0, "least probability of the best candidate; below it: ABSTAIN; 0 = never"
        )
        declare.number(
            "target_precision", 0.0, 0.0, 1.0, "abstain where the checkpoint promises less; 0 = threshold alone"
        )
        declare.number(
            "valid_s", 0.0, 0.0, 3600.0, "s from the last frame for which a prediction may be used; 0 = the horizon"
        )
        declare.count("max_candidates", 5, 1, 1000, "candidates in a message; the rest is other_probability")
        declare.flag(
            "classification", False, "publish answers as vision_msgs/Classification too, on next_action/classification"
        )
        # One message at 5 Hz: a single odd window does not turn the answer, and a new one shows at the next.
        declare.number(
            "smoothing_s", 0.2, 0.0, 60.0, "s after which an answer weighs 1/e of a new one; 0 = each by itself"
        )
        declare.number(
            "switch_ratio", 1.5, 1.0, 100.0, "how many times as probable another answer must be to replace the best"
        )
        declare.text("device", "auto", "cpu, cuda, cuda:1; auto = cuda where there is one")
        declare.text("dtype", "float32", "of weights and activations: float32, bfloat16, float16")
        declare.text("quantization", "none", "of weights: none, or int8 (needs torchao)")
        declare.flag("compile", False, "torch.compile on the vision tower; configuring then takes longer")
        declare.count("threads", 0, 0, 1024, "of torch on the CPU; 0 = its own choice")

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def _refuse_late_changes(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if self._backend is not None and self.has_parameter(parameter.name) and parameter.name not in LIVE:
                if parameter.name == "use_sim_time" or parameter.value == self.get_parameter(parameter.name).value:
                    continue
                reason = f"{parameter.name} is read when the node is configured: clean it up first"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _apply_changes(self, parameters: list[Parameter]) -> None:
        changed = {parameter.name for parameter in parameters}
        if "rate_hz" in changed and self._timers_active:
            self._due = -math.inf
            self._restart_ticking()
        self._set_evidence()

    # Transitions.

    def _start(self) -> None:
        self._starting.cancel()
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise self._failure or BadParameter("the predictor cannot start")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and warm it up; publish `model_info`."""
        try:
            self._configure()
        except GazeVlmError as error:
            self._failure = error
            self._backend = None
            if not self._autostart:
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        checkpoint = self._text("checkpoint")
        if not checkpoint:
            raise BadParameter("parameter checkpoint is empty, expected a folder that training/fit.py wrote")
        if threads := int(self.get_parameter("threads").value):
            import torch

            torch.set_num_threads(threads)
        backend = open_backend(
            Path(checkpoint).expanduser(),
            backend=self._text("backend"),
            answers=self._text("answers"),
            device=self._text("device"),
            dtype=self._text("dtype"),
            quantization=self._text("quantization"),
            compiled=bool(self.get_parameter("compile").value),
            server_url=self._text("server_url"),
            server_model=self._text("server_model"),
            server_timeout_s=self._number("server_timeout_s"),
            replay_loop=bool(self.get_parameter("replay_loop").value),
            replay_delay=bool(self.get_parameter("replay_delay").value),
        )
        mirrored = classification_type() if self.get_parameter("classification").value else None
        target = self._number("target_precision")
        self._least = abstain_threshold(backend.metadata, target) if target else 0.0
        backend.warm_up()
        self._backend = backend
        self._predictions = self.create_publisher(
            ActionPrediction, "next_action", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self._attention = self.create_publisher(
            Image, "attention", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self._mirror = self.create_publisher(mirrored, "next_action/classification", 1) if mirrored else None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._info = self.create_publisher(ModelInfo, "model_info", latched)
        self._info.publish(model_info(backend.metadata, self._number("rate_hz"), self.get_clock().now().to_msg()))

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look for the camera, and predict."""
        assert self._backend is not None
        metadata = self._backend.metadata
        self._reset()
        self._active_since = time.monotonic()
        slack_s = self._number("frame_slack") * metadata.observation_s / metadata.frames
        self._frames = FrameBuffer(metadata.observation_s, metadata.frames, slack_s)
        self._thread = threading.Thread(target=self._infer, name="inference")
        self._thread.start()
        self._looking = self.create_timer(0.1, self._look_for_camera, clock=self._steady)
        self._timers_active = [self._looking]
        self._restart_ticking()
        self._screen.show(
            f"predictor is ready: {metadata.model_id}, {len(metadata.labels) or 'open'} answers, "
            f"{metadata.frames} frames in {metadata.observation_s:g} s, horizon {metadata.horizon_s:g} s; "
            f"waiting for {self._camera_topic()}"
        )
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the inference in progress end, and stop."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model's memory."""
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def _reset(self) -> None:
        """Nothing was seen, asked or answered."""
        self._frames = FrameBuffer(1.0, 1)
        self._due = -math.inf  # when the next question is due: time.monotonic(); in simulated time, the frame's stamp
        self._published = -math.inf  # time.monotonic() of the last message
        self._frame_id = ""
        self._size_was_checked = False
        self._last_image = -math.inf  # time.monotonic()
        self._counts = {"frames received": 0, "out of order": 0, "observations answered": 0, "messages published": 0}
        self._counts_then = dict(self._counts)  # at the last diagnostics
        self._stages: dict[str, float] = {}  # s, of the last answer
        self._revision = 0
        self._answer_then: tuple[int, str] | None = None  # status and best candidate of the last message
        self._result: Answered | None = None
        self._fatal: GazeVlmError | None = None
        # Status, text and asked-about stamp of the last observation, where it has no answer.
        self._problem: tuple[int, str, int] | None = None
        self._wanted = threading.Event()
        self._busy = False
        self._asked_ns = -1  # stamp of the last observation that the model was asked about
        self._active_since = None
        self._evidence = PredictionSmoother()
        self._set_evidence()
        self._closing.clear()

    def _set_evidence(self) -> None:
        evidence = self._evidence
        evidence.decay_s, evidence.switch_ratio = self._number("smoothing_s"), self._number("switch_ratio")
        evidence.threshold = self._threshold()

    def _threshold(self) -> float:
        return max(self._number("threshold"), self._least)

    def _restart_ticking(self) -> None:
        for timer in self._timers_active[1:]:
            self.destroy_timer(timer)
        # Often enough that silence, and the death of the camera, are told when they are due and not a cycle later.
        period_s = min(max(0.25 / self._number("rate_hz"), 0.005), 0.1)
        ticking = self.create_timer(period_s, self._tick, clock=self._steady)
        self._timers_active = [self._looking, ticking]

    def _end_inference(self) -> None:
        """Let the one in progress end."""
        self._closing.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _stop(self) -> None:
        self._end_inference()
        for timer in self._timers_active:
            self.destroy_timer(timer)
        self._timers_active = []
        if self._camera is not None:
            self.destroy_subscription(self._camera)
            self._camera = None

    def _free(self) -> None:
        if self._backend is None:
            return
        self._backend.close()
        self._backend = None
        self._result = None
        self.destroy_publisher(self._predictions)
        self.destroy_publisher(self._attention)
        if self._mirror is not None:
            self.destroy_publisher(self._mirror)
        self.destroy_publisher(self._info)
        gc.collect()  # a model is full of cycles
        torch = sys.modules.get("torch")  # not imported for this
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _metadata(self) -> Any:
        assert self._backend is not None
        return self._backend.metadata

    # The camera.

    def _camera_topic(self) -> str:
        return self.resolve_topic_name(self._text("camera_topic"))

    def _look_for_camera(self) -> None:
        """Subscribe as soon as somebody publishes the topic, whatever kind of image it is."""
        wanted = self._camera_topic()
        try:
            self._camera = subscribe_camera(self, wanted, self._on_image)
        except NotACamera as error:
            self._looking.cancel()
            self._cannot_go_on(error)
            return
        if self._camera is not None:
            self._looking.cancel()
            self._screen.show(f"camera: {self._camera.topic_name} ({self._camera.msg_type.__name__})")
            return
        wait_s = self._number("camera_wait_s")
        if wait_s and self._autostart and self._active_since and time.monotonic() - self._active_since > wait_s:
            topics = dict(self.get_topic_names_and_types())
            topics.pop(self._attention.topic_name, None)
            there = sorted(name for name, types in topics.items() if set(types) & set(IMAGE_TYPES))
            raise NoCamera(
                f"nobody published {wanted} or {wanted}/compressed within {wait_s:g} s; image topics here are "
                f"{', '.join(there) or 'none'}; start the camera, or set camera_topic"
            )

    def _cannot_go_on(self, error: GazeVlmError) -> None:
        """Ends a node that started by itself; one that is managed says so in each message until it is deactivated."""
        if self._autostart:
            raise error
        if self._problem is None or self._problem[1] != str(error):
            self.get_logger().error(str(error))
        self._problem = ActionPrediction.STATUS_ERROR, str(error), self._frames.newest_ns or 0

    def _on_image(self, message: Any) -> None:
        self._last_image = time.monotonic()
        self._frame_id = message.header.frame_id
        self._counts["frames received"] += 1
        if not self._frames.add(nanoseconds(message.header.stamp), message):
            self._counts["out of order"] += 1
            return
        with self._asking:
            if not self._busy:
                self._ask_if_due()

    def _ask_if_due(self) -> None:
        """Wake the model for a frame that it was not asked about; `_asking` is held.

        As a frame arrives, or the moment that the model is free: with a clock of our own each frame would wait for it.
        """
        newest_ns = self._frames.newest_ns
        if newest_ns is None or newest_ns == self._asked_ns:
            return
        now_s = time.monotonic()
        if bool(self.get_parameter("use_sim_time").value):
            # A bag that is played at any speed is asked about the same frames.
            now_s = newest_ns / 1e9
            if newest_ns < self._asked_ns:
                self._due = -math.inf  # it was started again
        due = next_due(now_s, self._due, 1.0 / self._number("rate_hz"))
        if due is not None:
            self._due, self._asked_ns, self._busy = due, newest_ns, True
            self._wanted.set()

    # The model, in a thread of its own.

    def _infer(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closing.is_set():
                return
            try:
                self._answer_newest()
            except (DamagedImage, NoAnswer) as error:
                self._tell(ActionPrediction.STATUS_ERROR, str(error))
            except GazeVlmError as error:
                self._fatal = error  # e.g. an encoding that is no image: the next frame will be no better
            except Exception as error:
                # Out of memory, a driver that died: the planner must hear of it, and the next frame may succeed.
                text = " ".join(f"{type(error).__name__}: {error}".split())
                self.get_logger().error(f"no prediction: {text}", throttle_duration_sec=5.0)
                self._tell(ActionPrediction.STATUS_ERROR, text)
            finally:
                with self._asking:
                    self._busy = False
                    self._ask_if_due()

    def _tell(self, status: int, text: str) -> None:
        """Why the observation has no answer."""
        self._problem = status, text, self._asked_ns
        if not self._closing.is_set():
            self._publish()

    def _answer_newest(self) -> None:
        began = time.monotonic()
        observation = self._frames.observation()
        metadata = self._metadata()
        if observation is None:
            self._tell(
                ActionPrediction.STATUS_NO_INPUT,
                f"too few frames: one is needed in each {metadata.observation_s / metadata.frames:g} s of "
                f"{metadata.observation_s:g} s",
            )
            return
        self._asked_ns = observation.stamp_ns  # a newer frame may have come since it was asked
        assert self._backend is not None
        answer = self._backend.predict(observation)
        belief = self._evidence.update(
            observation.stamp_ns, answer.probabilities, answer.other_probability, answer.texts
        )
        self._check_size(observation.frames[-1].shape)
        self._counts["observations answered"] += 1
        self._stages = dict(answer.stages)
        self._problem = None
        self._result = Answered(
            answer, belief, observation.start_ns, observation.stamp_ns, time.monotonic() - began, uuid.uuid4().bytes
        )
        if not self._closing.is_set():
            self._publish_attention(answer, observation)
            message = self._publish()
            if self._mirror is not None and message.status == message.STATUS_OK:
                self._mirror.publish(classification_of(message))

    def _publish_attention(self, answer: Answer, observation: Observation) -> None:
        if answer.attention is None or not self._attention.get_subscription_count():
            return
        height, width, _ = observation.frames[-1].shape
        shares = attention_map(answer.attention, (width, height))
        rows, columns = shares.shape
        message = Image(height=rows, width=columns, encoding="32FC1", step=4 * columns)
        message.header.stamp, message.header.frame_id = time_of(observation.stamp_ns), self._frame_id
        message.data = array("B", shares.astype("<f4").tobytes())
        self._attention.publish(message)

    def _check_size(self, shape: tuple[int, ...]) -> None:
        if not self._size_was_checked and self._metadata().frame_size not in ((shape[1], shape[0]), (0, 0)):
            trained = "x".join(map(str, self._metadata().frame_size))
            self.get_logger().warning(
                f"camera images are {shape[1]}x{shape[0]}, and the model was trained on {trained}; its figures are "
                "not those of this camera"
            )
        self._size_was_checked = True

    # What is published.

    def _tick(self) -> None:
        """Where no answer comes, say again what holds: a planner must see a message each cycle."""
        if self._fatal is not None:
            fatal, self._fatal = self._fatal, None
            self._cannot_go_on(fatal)
        now = time.monotonic()
        stale = now - self._last_image > self._number("stale_after_s")
        believed = self._answer_then is not None and self._answer_then[0] in WITH_CANDIDATES
        # A quarter of a cycle later than an answer would be: one that is a little late speaks for itself.
        if (stale and believed) or now - self._published > 1.25 / self._number("rate_hz"):
            self._publish()

    def _publish(self) -> ActionPrediction:
        with self._publishing:
            message = self._message()
            best = message.candidates[0].text if message.candidates else ""
            if (message.status, best) != self._answer_then:
                self._revision += 1
                self._answer_then = (message.status, best)
            message.revision = self._revision
            self._predictions.publish(message)
            self._published = time.monotonic()
            self._counts["messages published"] += 1
        return message

    def _valid_s(self) -> float:
        return self._number("valid_s") or float(self._metadata().horizon_s)

    def _message(self) -> ActionPrediction:
        """What holds now."""
        metadata, answered = self._metadata(), self._result
        newest_ns = self._frames.newest_ns
        silence_s = time.monotonic() - self._last_image
        stamp_ns = 0  # of the frame that the message tells of
        if newest_ns is None:
            status, text = ActionPrediction.STATUS_NO_INPUT, f"no frame on {self._camera_topic()} yet"
            if self._problem is not None:
                status, text, stamp_ns = self._problem
        elif silence_s > self._number("stale_after_s"):
            status, stamp_ns = ActionPrediction.STATUS_STALE_INPUT, newest_ns
            text = f"the last frame came {silence_s:.1f} s ago"
        elif self._problem is not None:
            status, text, stamp_ns = self._problem
        elif answered is None:
            status, text = ActionPrediction.STATUS_NO_INPUT, "the first observation is not answered yet"
        elif (age_s := self.get_clock().now().nanoseconds / 1e9 - answered.stamp_ns / 1e9) > self._valid_s():
            status, stamp_ns = ActionPrediction.STATUS_STALE_INPUT, newest_ns
            text = (
                f"the newest answered frame is stamped {age_s:.1f} s before now, and answers hold for "
                f"{self._valid_s():g} s: the model is too slow, or camera and robot have different clocks"
            )
        else:
            limits = Limits(
                self._threshold(),
                self._number("target_precision"),
                self._valid_s(),
                int(self.get_parameter("max_candidates").value),
            )
            return with_answer(metadata, self._frame_id, answered, limits)
        return without_answer(metadata, self._frame_id, status, text, stamp_ns)

    def _publish_diagnostics(self) -> None:
        active = bool(self._timers_active)
        silence_s = time.monotonic() - self._last_image
        level, text = DiagnosticStatus.OK, "predicting"
        if not active:
            text = "inactive" if self._backend is not None else "not configured"
        elif self._problem is not None and self._problem[0] == ActionPrediction.STATUS_ERROR:
            level, text = DiagnosticStatus.ERROR, self._problem[1]
        elif silence_s > self._number("stale_after_s"):
            level = DiagnosticStatus.WARN
            text = f"no frame for {silence_s:.1f} s" if math.isfinite(silence_s) else "no frame yet"
        skipped = self._counts["frames received"] - self._counts["observations answered"]
        new = {name: count - self._counts_then[name] for name, count in self._counts.items()}
        self._counts_then = dict(self._counts)
        values: dict[str, object] = {
            "answers in the last second": new["observations answered"],
            "frames in the last second": new["frames received"],
            "frames skipped for newer ones": skipped,
            "age of the newest frame [s]": f"{silence_s:.2f}" if math.isfinite(silence_s) else "-",
            "time of the last answer [ms]": f"{1e3 * self._result.inference_s:.1f}" if self._result else "-",
            **{f"of it {stage} [ms]": f"{1e3 * seconds:.1f}" for stage, seconds in self._stages.items()},
            **{f"{where} memory [MB]": f"{used:.0f}" for where, used in memory_mb().items()},
            **self._counts,
        }
        hardware_id = self._backend.metadata.model_id if self._backend is not None else ""
        message = DiagnosticArray(status=[diagnostic_status(self, "predictions", level, text, values, hardware_id)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def close(self) -> int:
        """Print what was done."""
        self._end_inference()
        if self._active_since is not None:
            self._screen.show(", ".join(f"{count} {name}" for name, count in self._counts.items()))
        self._screen.close()
        return 0


def main() -> int:
    return run_node("predictor", PredictorNode)


if __name__ == "__main__":
    raise SystemExit(main())
