"""What nodes print is on /rosout and in their ROS log files too, without what is only shown in passing."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_processes import finish, shared_environment, start_node, stop

pytest.importorskip("rclpy", reason="the nodes need rclpy")


class Listener:
    """Keeps the log messages of our nodes: level, name and text."""

    def __init__(self, environment: dict[str, str]) -> None:
        import rclpy
        from rcl_interfaces.msg import Log
        from rclpy.executors import SingleThreadedExecutor

        from gaze_vlm_ros.nodes.qos import rosout_qos

        self.environment = environment
        self.heard: list[tuple[int, str, str]] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("listener", context=self.context)
        self.node.create_subscription(Log, "/rosout", self._note, rosout_qos())
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def _note(self, message: Any) -> None:
        self.heard.append((message.level, message.name, message.msg))

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline_s, self.heard
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    made = Listener(shared_environment(monkeypatch) | {"ROS_LOG_DIR": str(tmp_path / "log")})
    yield made
    made.close()


def logged(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted(folder.glob("*.log")))


def test_news_and_the_error_that_ends_a_node(listener: Listener, tmp_path: Path) -> None:
    overlay = start_node("overlay", {}, listener.environment, tmp_path)
    ready = "overlay is ready; waiting for a subscriber of /overlay/compressed"
    listener.wait_for(lambda: (20, "overlay", ready) in listener.heard)
    stop(overlay)
    assert f"[overlay]: {ready}" in logged(tmp_path / "log")
    assert "[overlay]: overlay: 0 pictures" in logged(tmp_path / "log")  # said after the shutdown

    recorder = start_node("recorder", {"bag": str(tmp_path / "bag"), "wait_s": 3.0}, listener.environment, tmp_path)
    listener.wait_for(lambda: recorder.poll() is not None)
    listener.wait_for(lambda: any(level == 40 for level, _, _ in listener.heard))
    code, output = finish(recorder)
    assert code == 1
    (error,) = [text for level, name, text in listener.heard if (level, name) == (40, "recorder")]
    assert error.startswith("no publisher of /camera/image_raw/compressed, /gaze appeared within 3 s")
    assert output.count(error) == 1
    assert f"[recorder]: {error}" in logged(tmp_path / "log")


def test_a_node_that_cannot_be_made_is_in_the_log_file(listener: Listener, tmp_path: Path) -> None:
    code, _ = finish(start_node("recorder", {}, listener.environment, tmp_path))
    assert code == 1
    assert "[ERROR]" in logged(tmp_path / "log")
    assert "[recorder]: parameter bag is empty" in logged(tmp_path / "log")


def test_what_is_shown_in_passing_is_no_news(tmp_path: Path, listener: Listener) -> None:
    from gaze_vlm_ros.nodes.screen import Screen

    screen = Screen(listener.node)
    screen.show("recording for 1 s", passing=True)
    screen.redraw("topic  rate")
    screen.show("listener: warning: /gaze is silent")
    listener.wait_for(lambda: bool(listener.heard))
    screen.close()
    assert listener.heard == [(30, "listener", "/gaze is silent")]
