"""The choice of a camera's topic, and a camera that comes back as another."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import Peer
from ros_processes import start_node, stop

from gaze_vlm_ros.nodes.camera_choice import CameraChoice, NotACamera, Offer, choose_camera
from gaze_vlm_ros.video.images import encode_jpeg

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DEADLINE_S = 200.0


def test_the_raw_topic_comes_first_and_one_lossy_publisher_makes_it_lossy() -> None:
    raw, lossy, jpeg = Offer(RAW, True), Offer(RAW, False), Offer(COMPRESSED, True)
    assert choose_camera("/a", {}) is None
    assert choose_camera("/a", {"/a": [], "/a/compressed": [jpeg]}) == CameraChoice("/a/compressed", COMPRESSED, True)
    assert choose_camera("/a", {"/a": [raw], "/a/compressed": [jpeg]}) == CameraChoice("/a", RAW, True)
    assert choose_camera("/a", {"/a": [raw, lossy]}) == CameraChoice("/a", RAW, False)
    assert choose_camera("/a", {"/a": [jpeg]}) == CameraChoice("/a", COMPRESSED, True)


@pytest.mark.parametrize("types", [["std_msgs/msg/String"], [RAW, COMPRESSED], ["sensor_msgs/msg/CompressedVideo"]])
def test_what_carries_no_images_is_named(types: list[str]) -> None:
    with pytest.raises(NotACamera, match=r"topic /a carries .*, expected sensor_msgs/msg/"):
        choose_camera("/a", {"/a": [Offer(name, True) for name in types]})


def test_a_camera_that_comes_back_as_another_is_heard_again(peer: tuple[Peer, dict[str, str]], tmp_path: Path) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CompressedImage, Image

    from gaze_vlm_msgs.msg import ActionPrediction

    robot, environment = peer
    node, executor = robot.node, robot.executor
    heard: list[ActionPrediction] = []
    pictures: list[CompressedImage] = []
    node.create_subscription(ActionPrediction, "next_action", heard.append, 10)
    node.create_subscription(CompressedImage, "overlay/compressed", pictures.append, 10)
    (tmp_path / "answers.jsonl").write_text('{"t_s": 0.0, "candidates": [{"text": "take", "probability": 0.9}]}\n')
    parameters = {"backend": "replay", "checkpoint": str(tmp_path / "answers.jsonl"), "camera_wait_s": 0.0}
    nodes = [
        start_node("predictor", parameters, environment, tmp_path),
        start_node("overlay", {}, environment, tmp_path),
    ]
    sky = np.full((48, 64, 3), (70, 110, 190), np.uint8)

    def show(topic: str, reliability: ReliabilityPolicy) -> None:
        """Publish images as a camera of its own, until predictor and overlay have seen one of it."""
        kind: Any = CompressedImage if topic.endswith("compressed") else Image
        camera = node.create_publisher(kind, topic, QoSProfile(depth=5, reliability=reliability))
        stamps: set[tuple[int, int]] = set()
        deadline_s = time.monotonic() + DEADLINE_S
        answered = drawn = False
        while not (answered and drawn):
            assert time.monotonic() < deadline_s, f"{topic}, {reliability.name}: answered {answered}, drawn {drawn}"
            image = (
                CompressedImage(format="jpeg", data=encode_jpeg(sky))
                if kind is CompressedImage
                else Image(width=64, height=48, step=192, encoding="rgb8", data=sky.tobytes())
            )
            image.header.stamp = node.get_clock().now().to_msg()
            stamps.add((image.header.stamp.sec, image.header.stamp.nanosec))
            camera.publish(image)
            until_s = time.monotonic() + 0.1
            while time.monotonic() < until_s:
                executor.spin_once(timeout_sec=0.05)
            ok = [message for message in heard if message.status == ActionPrediction.STATUS_OK]
            answered = any((m.header.stamp.sec, m.header.stamp.nanosec) in stamps for m in ok)
            drawn = any((m.header.stamp.sec, m.header.stamp.nanosec) in stamps for m in pictures)
        node.destroy_publisher(camera)

    try:
        show("camera/image_raw", ReliabilityPolicy.RELIABLE)
        show("camera/image_raw", ReliabilityPolicy.BEST_EFFORT)
        show("camera/image_raw/compressed", ReliabilityPolicy.BEST_EFFORT)
        show("camera/image_raw/compressed", ReliabilityPolicy.RELIABLE)
        show("camera/image_raw", ReliabilityPolicy.RELIABLE)
    finally:
        for process in nodes:
            stop(process)
