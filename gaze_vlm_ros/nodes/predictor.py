"""ROS 2 lifecycle node: predicts a person's next action from the camera.

Subscribes `camera/image_raw` (Image or CompressedImage); publishes `next_action`, `/diagnostics`, latched `model_info`
and, where somebody subscribes to it, `attention`. See config/infer.yaml and docs/predictor.md.
"""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from gaze_vlm_ros.nodes.classification import classification_type
from gaze_vlm_ros.nodes.configuring import ConfiguringNode
from gaze_vlm_ros.nodes.parameters import topic_name
from gaze_vlm_ros.nodes.predictor_activation import Activation
from gaze_vlm_ros.nodes.predictor_diagnostics import PredictorDiagnostics
from gaze_vlm_ros.nodes.predictor_outputs import PredictorOutputs
from gaze_vlm_ros.nodes.predictor_parameters import PredictorParameters
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.prediction.checkpoint import abstain_threshold
from gaze_vlm_ros.prediction.types import Backend

CLOSE_S = 3.0  # for the query in progress: launch kills a node 5 s after it asked it to end


class PredictorNode(ConfiguringNode):
    """Configure loads the model and warms it up, activate predicts, deactivate stops, cleanup frees the memory.

    With autostart the node configures and activates itself, and ends with one line where it cannot.
    """

    def __init__(self) -> None:
        super().__init__("predictor")
        self._settings = PredictorParameters(self)
        self._screen = Screen(self)  # a log on a full disk, or a terminal that is held, must not end predictions
        self.log = self._screen.log
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._backend: Backend | None = None  # from configure to cleanup
        self._outputs: PredictorOutputs | None = None  # likewise
        self._least_probability = 0.0  # the threshold that target_precision takes
        self._activation: Activation | None = None  # the newest one, running or not
        self._diagnosis = PredictorDiagnostics(None)
        self.add_on_set_parameters_callback(self._refuse_late_changes)
        self.add_post_set_parameters_callback(self._apply_changes)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        if self._settings.flag("autostart"):
            self.start_itself(self._steady)

    def _refuse_late_changes(self, changes: list[Parameter]) -> SetParametersResult:
        if self._backend is None and not self.is_configuring:
            return SetParametersResult(successful=True)
        return self._settings.refuse_late_changes(changes)

    def _apply_changes(self, changes: list[Parameter]) -> None:
        names = {change.name for change in changes}
        if self._outputs is not None and "rate_hz" in names:
            self._outputs.publish_info(self._settings.number("rate_hz"))
        if self._activation is not None and self._activation.is_running:
            self._activation.apply_changes(names)

    # Transitions.

    def load(self) -> None:
        """Load the model and warm it up; publish `model_info`."""
        settings = self._settings
        topic_name(self, settings.text("camera_topic"))
        backend = settings.open_backend()
        classification = classification_type() if settings.flag("classification") else None
        target = settings.number("target_precision")
        self._least_probability = abstain_threshold(backend.metadata, target) if target else 0.0
        backend.warm_up()
        self._backend = backend
        self._outputs = PredictorOutputs(self, backend.metadata, settings.number("rate_hz"), classification)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look for the camera, and predict."""
        assert self._backend is not None
        assert self._outputs is not None
        self._activation = Activation(
            self,
            self._steady,
            self._settings,
            self._backend,
            self._outputs,
            self._least_probability,
            self._show_camera,
        )
        self._diagnosis = PredictorDiagnostics(self._activation)
        metadata = self._backend.metadata
        self._screen.show(
            f"predictor is ready: {metadata.model_id}, {len(metadata.labels) or 'open'} answers, "
            f"{metadata.frames} frames in {metadata.observation_s:g} s, horizon {metadata.horizon_s:g} s; "
            f"{self._activation.thresholds()}waiting for {self._activation.camera_topic}"
        )
        return TransitionCallbackReturn.SUCCESS

    def _show_camera(self, subscription: Any) -> None:
        self._screen.show(f"camera: {subscription.topic_name} ({subscription.msg_type.__name__})")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the query in progress end, and stop."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model's memory."""
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and free the model's memory."""
        self._stop()
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def _stop(self) -> None:
        if self._activation is not None:
            self._activation.stop()

    def _free(self) -> None:
        if self._backend is not None:
            self._backend.close()
        if self._outputs is not None:
            self._outputs.destroy()
        self._backend = self._outputs = None

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray(status=[self._diagnosis.status(self, self._backend)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def close(self) -> int:
        """End the worker's thread and print the counts. Return the exit code."""
        if self._activation is not None:
            self._activation.worker.stop(CLOSE_S)
            self._screen.show(", ".join(f"{count} {name}" for name, count in self._activation.counts().items()))
        self._screen.close()
        return 0


def main() -> int:
    """Run the node."""
    return run_node("predictor", PredictorNode)


if __name__ == "__main__":
    raise SystemExit(main())
