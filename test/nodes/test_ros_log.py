"""What nodes print is on /rosout and in their ROS log files too, without what is only shown in passing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import Peer
from ros_processes import finish, shared_environment, start_node, stop

pytest.importorskip("rclpy", reason="the nodes need rclpy")


class Listener(Peer):
    """Keeps the log messages of our nodes: level, name and text."""

    def __init__(self, environment: dict[str, str]) -> None:
        from rcl_interfaces.msg import Log

        from gaze_vlm_ros.nodes.qos import rosout_qos

        self.environment = environment
        self.heard: list[tuple[int, str, str]] = []
        super().__init__(int(environment["ROS_DOMAIN_ID"]), "listener")
        self.node.create_subscription(Log, "/rosout", self._note, rosout_qos())

    def _note(self, message: Any) -> None:
        self.heard.append((message.level, message.name, message.msg))

    def last_heard(self) -> str:
        return f"; heard {self.heard}"


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
    listener.wait_for(lambda: (20, "overlay", ready) in listener.heard, "the overlay is not ready")
    stop(overlay)
    assert f"[overlay]: {ready}" in logged(tmp_path / "log")
    assert "[overlay]: overlay: 0 pictures" in logged(tmp_path / "log")  # said after the shutdown

    recorder = start_node("recorder", {"bag": str(tmp_path / "bag"), "wait_s": 3.0}, listener.environment, tmp_path)
    listener.wait_for(lambda: recorder.poll() is not None, "the recorder goes on")
    listener.wait_for(lambda: any(level == 40 for level, _, _ in listener.heard), "no error")
    code, output = finish(recorder)
    assert code == 1
    (error,) = [text for level, name, text in listener.heard if (level, name) == (40, "recorder")]
    assert error.startswith("no publisher of /camera/image_raw/compressed, /gaze appeared within 3 s")
    assert output.count(error) == 1
    assert f"[recorder]: {error}" in logged(tmp_path / "log")


def test_news_of_a_lifecycle_node(listener: Listener, tmp_path: Path) -> None:
    monitor = start_node("gaze_monitor", {}, listener.environment, tmp_path)
    ready = "gaze_monitor is ready: no baseline, so it abstains; waiting for /gaze and attention"
    listener.wait_for(lambda: (20, "gaze_monitor", ready) in listener.heard, "the monitor is not ready")
    stop(monitor)
    assert f"[gaze_monitor]: {ready}" in logged(tmp_path / "log")


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
    listener.wait_for(lambda: bool(listener.heard), "no line")
    screen.close()
    assert listener.heard == [(30, "listener", "/gaze is silent")]
