"""The overlay node over DDS: off while nobody looks, and never a prediction beyond its time in colour."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_processes import finish, shared_environment, start_node

from gaze_vlm_ros.video.images import encode_jpeg, to_rgb

pytest.importorskip("rclpy", reason="the node needs rclpy")
INPUTS = ("camera/image_raw", "camera/image_raw/compressed", "next_action", "attention", "gaze", "gaze_assessment")
DEADLINE_S = 200.0  # a busy machine


def nanoseconds(stamp: Any) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def test_it_draws_while_somebody_looks_and_nothing_beyond_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import CompressedImage

    from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction, GazeAssessment

    environment = shared_environment(monkeypatch)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(environment["ROS_DOMAIN_ID"]))
    node = rclpy.create_node("robot", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    camera = node.create_publisher(CompressedImage, "camera/image_raw/compressed", 10)
    predictor = node.create_publisher(ActionPrediction, "next_action", 10)
    monitor = node.create_publisher(GazeAssessment, "gaze_assessment", 10)
    overlay = start_node("overlay", {"max_rate_hz": 50.0}, environment, tmp_path)

    def wait_for(condition: Callable[[], Any], what: str) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s, what
            executor.spin_once(timeout_sec=0.02)

    def subscribed() -> list[str]:
        return [topic for topic in INPUTS if node.count_subscribers(topic)]

    wait_for(lambda: node.count_publishers("overlay/compressed"), "the overlay does not start")
    assert subscribed() == []

    pictures: list[CompressedImage] = []
    viewer = node.create_subscription(CompressedImage, "overlay/compressed", pictures.append, 10)
    wait_for(lambda: set(subscribed()) == set(INPUTS) - {"camera/image_raw"}, "it does not subscribe to all")
    wait_for(lambda: predictor.get_subscription_count() and camera.get_subscription_count(), "no match")
    sky = encode_jpeg(np.full((48, 64, 3), (70, 110, 190), np.uint8))
    sent: list[ActionPrediction] = []

    def predict_for_a_second() -> None:
        now = node.get_clock().now()
        if sent and now.nanoseconds < nanoseconds(sent[-1].header.stamp) + 300_000_000:
            return
        frame = CompressedImage(format="jpeg", data=sky)
        frame.header.stamp, frame.header.frame_id = now.to_msg(), "head_camera"
        prediction = ActionPrediction(header=frame.header, candidates=[ActionCandidate(text="jar", probability=0.9)])
        prediction.valid_until.sec, prediction.valid_until.nanosec = divmod(now.nanoseconds + 10**9, 10**9)
        camera.publish(frame)
        predictor.publish(prediction)
        sent.append(prediction)

    def newest_is_grey() -> bool:
        return int(np.ptp(to_rgb(pictures[-1])[:300], axis=2).max()) < 30  # JPEG bleeds a little

    def newest_is_in_colour() -> bool:
        predict_for_a_second()
        return bool(pictures) and not newest_is_grey()

    wait_for(newest_is_in_colour, "no picture in colour")
    assert pictures[-1].header in [prediction.header for prediction in sent]
    wait_for(newest_is_grey, "it is drawn in colour beyond its time")
    assert node.get_clock().now().nanoseconds > nanoseconds(sent[-1].valid_until)

    height = to_rgb(pictures[-1]).shape[0]

    def assess_for_a_second() -> bool:
        now = node.get_clock().now()
        assessment = GazeAssessment(surprise_percentile=0.5, needs_help=0.5, odd=0.5)
        assessment.header.stamp = now.to_msg()
        assessment.valid_until.sec, assessment.valid_until.nanosec = divmod(now.nanoseconds + 10**9, 10**9)
        monitor.publish(assessment)
        return newest_line_is_green()

    def newest_line_is_green() -> bool:
        line = to_rgb(pictures[-1])[height:].astype(int)
        return bool(line.size and (line[..., 1] > line[..., 0] + 50).any())

    wait_for(assess_for_a_second, "an assessment adds no line with its status")
    wait_for(lambda: not newest_line_is_green(), "an assessment is drawn as current beyond its time")
    assert to_rgb(pictures[-1]).shape[0] > height

    node.destroy_subscription(viewer)
    wait_for(lambda: not subscribed(), "it goes on although nobody looks")
    overlay.send_signal(signal.SIGINT)
    code, output = finish(overlay)
    assert code == 0, output
    assert "Traceback" not in output
    executor.shutdown()
    node.destroy_node()
    context.shutdown()
