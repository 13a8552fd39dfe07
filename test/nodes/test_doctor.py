"""`gaze-vlm doctor` beside real publishers."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_processes import finish, shared_environment, start

pytest.importorskip("rclpy", reason="the doctor needs rclpy")


class Robot:
    """A node of this process, and the doctor beside it."""

    def __init__(self, environment: dict[str, str]) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.environment = environment
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("driver", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def doctor(self, publish: Any = None, *arguments: str) -> tuple[int, str]:
        """Exit code and report, while `publish` is called at 20 Hz."""
        command = [sys.executable, "-m", "gaze_vlm_ros.cli", "doctor", "--seconds", "8", *arguments]
        doctor: subprocess.Popen[str] = start(command, self.environment)
        while doctor.poll() is None:
            if publish is not None:
                publish()
            self.executor.spin_once(timeout_sec=0)
            time.sleep(0.05)
        return finish(doctor)


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Robot]:
    robot = Robot(shared_environment(monkeypatch))
    yield robot
    robot.node.destroy_node()
    robot.context.try_shutdown()


def test_a_good_camera_and_one_whose_clock_is_ahead(robot: Robot) -> None:
    from rclpy.duration import Duration
    from sensor_msgs.msg import Image

    camera = robot.node.create_publisher(Image, "camera/image_raw", 5)
    ahead = Duration(seconds=0)

    def publish() -> None:
        image = Image(width=4, height=2, step=12, encoding="rgb8", data=bytes(24))
        image.header.stamp = (robot.node.get_clock().now() + ahead).to_msg()
        camera.publish(image)

    _, said = robot.doctor(publish)
    assert "ok      network: ROS domain" in said
    assert "camera: /camera/image_raw (sensor_msgs/msg/Image, reliable) at " in said
    assert "this clock" in said
    assert "note    gaze: nobody publishes /gaze" in said
    assert "error " not in said
    ahead = Duration(seconds=60)
    code, said = robot.doctor(publish)
    assert code == 1
    assert "s ahead of this clock, and nothing will be answered" in said


def test_no_camera_and_a_checkpoint_that_is_none(robot: Robot, tmp_path: Path) -> None:
    code, said = robot.doctor(None, "--checkpoint", str(tmp_path / "absent"))
    assert code == 1
    assert "error   camera: nobody publishes /camera/image_raw; start its source, or set --camera-topic" in said
    assert "error   checkpoint: no such checkpoint folder" in said
    assert "Traceback" not in said


def test_a_wrong_type_and_a_reader_that_does_not_match(robot: Robot) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    words = robot.node.create_publisher(String, "camera/image_raw", 5)
    code, said = robot.doctor()
    assert code == 1
    assert "carries std_msgs/msg/String, expected" in said
    robot.node.destroy_publisher(words)

    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    robot.node.create_publisher(Image, "camera/other", best_effort)
    robot.node.create_subscription(Image, "camera/other", print, 5)
    code, said = robot.doctor(None, "--camera-topic", "camera/other")
    assert code == 1
    assert "driver reads /camera/other reliably, driver offers best effort" in said
    assert "nothing came" in said
