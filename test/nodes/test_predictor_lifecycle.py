"""The predictor as a managed node: its transitions, its parameters while it runs, its faults and its memory."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_processes import finish, shared_environment, start_node
from small_bags import WIDTH

from gaze_vlm_ros.bags.reader import open_bag

pytest.importorskip("rclpy", reason="the node needs rclpy")
OK, ABSTAIN, STALE_INPUT, NO_INPUT, ERROR = range(5)
TOPIC = "camera/image_raw/compressed"
DEADLINE_S = 120.0  # a busy machine
PERIOD_S = 0.1  # of the camera


class Robot:
    """A camera, a lifecycle manager and a planner, in this process; frames are published while it waits."""

    def __init__(self, domain: int, bag: Path) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from lifecycle_msgs.srv import ChangeState, GetState
        from rcl_interfaces.srv import SetParameters
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from sensor_msgs.msg import CompressedImage, Image

        from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.predictions: list[Any] = []
        self.received_ns: list[int] = []
        self.diagnostics: list[Any] = []
        self.node.create_subscription(ActionPrediction, "next_action", self._note, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        self.infos: list[Any] = []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(ModelInfo, "model_info", self.infos.append, latched)
        self.attention: list[Any] = []
        self.node.create_subscription(Image, "attention", self.attention.append, 10)
        self.camera = self.node.create_publisher(CompressedImage, TOPIC, 10)
        services = {"change_state": ChangeState, "get_state": GetState, "set_parameters": SetParameters}
        self.clients = {name: self.node.create_client(kind, f"predictor/{name}") for name, kind in services.items()}
        self.bag = open_bag(bag)
        self.shows = False
        self.shift_ns = 0  # of stamps
        self.data: bytes | None = None  # in place of the bag's pictures
        self._shown, self._due_s = 0, 0.0

    def _note(self, message: Any) -> None:
        self.predictions.append(message)
        self.received_ns.append(self.node.get_clock().now().nanoseconds)

    def spin(self) -> None:
        from builtin_interfaces.msg import Time
        from sensor_msgs.msg import CompressedImage
        from std_msgs.msg import Header

        if self.shows and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + PERIOD_S
            stamp_ns = self.node.get_clock().now().nanoseconds + self.shift_ns
            picture = self.bag.read(f"/{TOPIC}").message(self._shown % 300)
            self._shown += 1
            header = Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id="head")
            data = self.data if self.data is not None else picture.data.tobytes()
            self.camera.publish(CompressedImage(header=header, format="jpeg", data=data))
        self.executor.spin_once(timeout_sec=0.02)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            latest = (self.predictions[-1].status, self.predictions[-1].status_text) if self.predictions else "none"
            assert time.monotonic() < deadline_s, f"{what}; the latest prediction is {latest}"
            self.spin()

    def call(self, name: str, request: Any) -> Any:
        self.wait_for(self.clients[name].service_is_ready, f"no service {name}")
        future = self.clients[name].call_async(request)
        self.wait_for(future.done, f"no answer of {name}")
        return future.result()

    def change(self, transition: int) -> bool:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        return self.call("change_state", ChangeState.Request(transition=Transition(id=transition))).success

    def state(self) -> str:
        from lifecycle_msgs.srv import GetState

        return self.call("get_state", GetState.Request()).current_state.label

    def set(self, name: str, value: Any) -> tuple[bool, str]:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        message = Parameter(name, value=value).to_parameter_msg()
        (result,) = self.call("set_parameters", SetParameters.Request(parameters=[message])).results
        return result.successful, result.reason

    def wait_for_status(self, status: int) -> Any:
        count = len(self.predictions)
        self.wait_for(
            lambda: any(p.status == status for p in self.predictions[count:]), f"no prediction of status {status}"
        )
        return next(p for p in self.predictions[count:] if p.status == status)

    def close(self) -> None:
        self.bag.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def robot(small_bags: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Robot, dict[str, str]]]:
    environment = shared_environment(monkeypatch)
    made = Robot(int(environment["ROS_DOMAIN_ID"]), small_bags / "s3")
    yield made, environment
    made.close()


def resident_mb(process: subprocess.Popen[str]) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def threads(process: subprocess.Popen[str]) -> int:
    return len(os.listdir(f"/proc/{process.pid}/task"))


def test_fifty_lifecycle_cycles_leave_nothing_behind(
    robot: tuple[Robot, dict[str, str]], small_checkpoint: Path, tmp_path: Path
) -> None:
    """Each loads the model, subscribes, predicts where there is time, and frees it."""
    from lifecycle_msgs.msg import Transition as T

    manager, environment = robot
    parameters = {"checkpoint": str(small_checkpoint), "autostart": False, "rate_hz": 20.0, "threads": 1}
    process = start_node("predictor", parameters, environment, tmp_path)
    assert manager.state() == "unconfigured"
    assert not manager.change(T.TRANSITION_ACTIVATE)
    manager.shows = True
    memory, tasks = [], []
    revisions = []
    for cycle in range(50):
        assert manager.change(T.TRANSITION_CONFIGURE)
        assert manager.change(T.TRANSITION_ACTIVATE)
        if cycle % 10 == 0:
            revisions.append(manager.wait_for_status(OK).revision)
        assert manager.change(T.TRANSITION_DEACTIVATE)
        assert manager.change(T.TRANSITION_CLEANUP)
        memory.append(resident_mb(process))
        tasks.append(threads(process))
    assert manager.state() == "unconfigured"
    assert len(set(revisions)) == 5  # an answer of one activation is none of another
    # The first cycles fill caches and pools of memory; a leak of one model (0.3 MB of weights) a cycle would add 12 MB.
    assert min(memory[-10:]) - min(memory[5:15]) < 8, memory
    assert tasks[-1] == tasks[5]
    print(f"memory after 10 cycles {memory[9]:.1f} MB, after 50 {memory[-1]:.1f} MB")
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 0, output
    assert "Traceback" not in output


def test_a_node_that_configures_answers_all_the_while(
    robot: tuple[Robot, dict[str, str]], small_checkpoint: Path, tmp_path: Path
) -> None:
    """Loading takes seconds: a manager that asks meanwhile hears where the node is, and parameters stay as they are."""
    from lifecycle_msgs.msg import Transition as T
    from lifecycle_msgs.srv import ChangeState

    manager, environment = robot
    process = start_node("predictor", {"checkpoint": str(small_checkpoint), "autostart": False}, environment, tmp_path)
    assert manager.state() == "unconfigured"
    request = ChangeState.Request(transition=T(id=T.TRANSITION_CONFIGURE))
    configured = manager.clients["change_state"].call_async(request)
    while (state := manager.state()) == "unconfigured":
        assert not configured.done()
    assert state == "configuring"
    assert not configured.done()
    assert manager.set("camera_topic", "elsewhere") == (
        False,
        "camera_topic is read when the node is configured: clean it up first",
    )
    assert not manager.change(T.TRANSITION_CONFIGURE)
    assert not manager.change(T.TRANSITION_ACTIVATE)
    manager.wait_for(configured.done, "no answer to the request to configure")
    assert configured.result().success
    assert manager.state() == "inactive"
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("autostart", [False, True])
def test_a_node_that_configures_can_be_ended(
    robot: tuple[Robot, dict[str, str]],
    small_checkpoint: Path,
    tmp_path: Path,
    autostart: bool,
    request_to_end: signal.Signals,
) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    manager, environment = robot
    parameters = {"checkpoint": str(small_checkpoint), "autostart": autostart}
    process = start_node("predictor", parameters, environment, tmp_path)
    if not autostart:
        assert manager.state() == "unconfigured"
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
        manager.clients["change_state"].call_async(request)
    manager.wait_for(lambda: manager.state() == "configuring", "the node does not configure")
    process.send_signal(request_to_end)
    code, output = finish(process)
    assert code == 0, output
    assert "predictor is ready" not in output
    assert "Traceback" not in output


def test_a_managed_node_says_why_it_cannot_and_goes_on(
    robot: tuple[Robot, dict[str, str]], small_checkpoint: Path, tmp_path: Path
) -> None:
    from lifecycle_msgs.msg import Transition as T

    manager, environment = robot
    folder = tmp_path / "checkpoint"
    parameters = {"checkpoint": str(folder), "autostart": False}
    process = start_node("predictor", parameters, environment, tmp_path)
    assert not manager.change(T.TRANSITION_CONFIGURE)
    assert manager.state() == "unconfigured"
    folder.mkdir()
    for file in small_checkpoint.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    assert not manager.change(T.TRANSITION_CONFIGURE)
    assert manager.state() == "unconfigured"
    weights.write_bytes(whole)
    assert manager.change(T.TRANSITION_CONFIGURE)
    accepted, reason = manager.set("camera_topic", "elsewhere")
    assert not accepted
    assert reason == "camera_topic is read when the node is configured: clean it up first"
    assert manager.change(T.TRANSITION_ACTIVATE)
    manager.shows = True
    assert manager.wait_for_status(OK).candidates
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output
    assert f"no such checkpoint folder: {folder}" in output
    assert "Traceback" not in output


def test_no_peer_redirects_pictures_or_key(
    robot: tuple[Robot, dict[str, str]], small_checkpoint: Path, tmp_path: Path
) -> None:
    """Where pictures go, with which key, and which files are opened was said when the process began."""
    from lifecycle_msgs.msg import Transition as T

    manager, environment = robot
    process = start_node("predictor", {"checkpoint": str(small_checkpoint), "autostart": False}, environment, tmp_path)
    for is_configured in (False, True):
        for name, value in {"server_url": "http://peer:1/v1", "backend": "openai", "checkpoint": "/tmp"}.items():
            accepted, reason = manager.set(name, value)
            assert not accepted, name
            assert reason == f"Trying to set a read-only parameter: {name}."
        if not is_configured:
            assert manager.change(T.TRANSITION_CONFIGURE)
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output


def test_faults_and_changes_while_it_predicts(
    robot: tuple[Robot, dict[str, str]], small_checkpoint: Path, tmp_path: Path
) -> None:
    """No status is OK without fresh frames, none outlives its validity; the disk of its log is full all the while."""
    planner, environment = robot
    parameters = {"checkpoint": str(small_checkpoint), "rate_hz": 10.0, "stale_after_s": 0.5, "camera_wait_s": 0.0}
    process = start_node("predictor", parameters, environment, tmp_path, full_disk=True)
    planner.wait_for_status(NO_INPUT)
    planner.shows = True
    planner.wait_for_status(OK)

    # Where the model looked, as a picture of cells: the most of it at the focus.
    planner.wait_for(lambda: bool(planner.attention), "no attention")
    asked = planner.attention[0]
    planner.wait_for(lambda: planner.predictions[-1].header.stamp == asked.header.stamp, "no prediction of its frame")
    focus = planner.predictions[-1].focus_x, planner.predictions[-1].focus_y
    shares = np.frombuffer(asked.data, "<f4").reshape(asked.height, asked.width)
    assert (asked.encoding, asked.step, asked.header.frame_id) == ("32FC1", 4 * asked.width, "head")
    assert shares.sum() == pytest.approx(1, abs=1e-4)
    column, row = (int(px * asked.width / WIDTH) for px in focus)
    assert shares[row, column] == shares.max()

    # The camera dies: stale half a second after its last frame, never OK again; and comes back.
    planner.shows = False
    stale = planner.wait_for_status(STALE_INPUT)
    assert not stale.candidates
    first = planner.predictions.index(stale)
    planner.wait_for(lambda: len(planner.predictions) > first + 10, "no more messages")
    assert all(p.status == STALE_INPUT for p in planner.predictions[first:])
    assert float(stale.status_text.split()[-3]) >= 0.5
    planner.shows = True
    planner.wait_for_status(OK)

    # Pictures that do not decode, and a clock that jumps: said, and over when they are.
    planner.data = b"no picture"
    assert "do not decode" in planner.wait_for_status(ERROR).status_text
    planner.data = None
    planner.wait_for_status(OK)
    planner.shift_ns = -3600 * 10**9
    assert "different clocks" in planner.wait_for_status(STALE_INPUT).status_text
    planner.shift_ns = 0
    planner.wait_for_status(OK)
    planner.shift_ns = 60 * 10**9
    assert "after now: camera and robot have different clocks" in planner.wait_for_status(STALE_INPUT).status_text
    planner.shift_ns = 0
    planner.wait_for_status(OK)

    # Parameters change while it runs, within their ranges.
    assert planner.set("threshold", 1.0) == (True, "")
    assert "the threshold is 1" in planner.wait_for_status(ABSTAIN).status_text
    assert planner.set("threshold", 0.0) == (True, "")
    planner.wait_for_status(OK)
    accepted, reason = planner.set("threshold", 1.5)
    assert not accepted
    assert "threshold" in reason
    assert not planner.set("device", "cuda")[0]
    assert planner.set("max_candidates", 1) == (True, "")
    planner.wait_for(lambda: len(planner.predictions[-1].candidates) == 1, "more than one candidate")
    assert planner.set("rate_hz", 2.0) == (True, "")
    planner.wait_for_status(OK)
    # Planners go by it to know how long silence is normal.
    planner.wait_for(lambda: bool(planner.infos) and planner.infos[-1].rate == 2.0, "model_info has another rate")

    values = {value.key: value.value for value in planner.diagnostics[-1].status[0].values}
    assert {
        "answers in the last second", "frames skipped for newer ones", "age of the newest frame [s]", "CPU memory [MB]",
        "frames held for observations", "of them [MB]",
        "of it preprocess [ms]", "of it language [ms]", "of it ranking [ms]",
    } <= values.keys()  # fmt: skip
    assert int(values["observations answered"]) > 0
    answered = [
        (p, at) for p, at in zip(planner.predictions, planner.received_ns, strict=True) if p.status in (OK, ABSTAIN)
    ]
    for prediction, received_ns in answered:
        stamp, until = prediction.header.stamp, prediction.valid_until
        assert received_ns <= until.sec * 10**9 + until.nanosec
        assert (until.sec - stamp.sec) * 10**9 + until.nanosec - stamp.nanosec == 2 * 10**9  # the checkpoint's horizon
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output
    assert "Traceback" not in output
