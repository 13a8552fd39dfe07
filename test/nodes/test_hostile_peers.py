"""What peers on the same domain send over DDS ends no node: it is counted, answered or drawn as unknown."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import DEADLINE_S, Peer, ended
from ros_processes import start_node

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.video.images import encode_jpeg

pytest.importorskip("rclpy", reason="the nodes need rclpy")
# Not the empty one: Fast DDS then delivers nothing more of that publisher.
GARBAGE = [b"\0", b"\0\1\0\0", b"\0\1\0\0\xff\xff\xff\xff\xff", b"\xff" * 40, bytes(range(256))]
UNFINISHED = b"\0\1\0\3"  # with it, rmw_fastrtps ends a process that lets it decode an Image


def test_a_recording_outlives_messages_and_requests_that_are_none(
    peer: tuple[Peer, dict[str, str]], tmp_path: Path
) -> None:
    from sensor_msgs.msg import CompressedImage

    from gaze_vlm_msgs.msg import GazeStamped, RecorderStatus
    from gaze_vlm_msgs.srv import StartEpisode, StopEpisode

    robot, environment = peer
    root = tmp_path / "day"
    camera = robot.node.create_publisher(CompressedImage, "camera/image_raw/compressed", 10)
    gaze = robot.node.create_publisher(GazeStamped, "gaze", 100)
    status: list[RecorderStatus] = []
    robot.node.create_subscription(RecorderStatus, "recorder/status", status.append, 10)
    parameters = {"bag": str(root), "episodes": True, "report_s": 0.1}
    recorder = start_node("recorder", parameters, environment, tmp_path)
    robot.wait_for(lambda: gaze.get_subscription_count() and camera.get_subscription_count(), "no recorder")

    def start(episode_id: str) -> Any:
        return robot.call(StartEpisode, "recorder/start_episode", StartEpisode.Request(episode_id=episode_id))

    for length in (300, 252, 129):
        answer = start("e" * length)
        assert not answer.success
        assert f"has {length} bytes, expected at most 128" in answer.message
    assert not root.exists()
    assert start("e" * 128).success
    image = CompressedImage(format="jpeg", data=encode_jpeg(np.zeros((48, 64, 3), np.uint8)))
    for number in range(1, 41):
        image.header.stamp = robot.node.get_clock().now().to_msg()
        camera.publish(image)
        for data in GARBAGE if number % 10 == 0 else ():
            gaze.publish(data)
        gaze.publish(GazeStamped(header=image.header, x=float(number), y=1.0, confidence=math.nan))
        robot.executor.spin_once(timeout_sec=0.02)
    robot.wait_for(
        lambda: max(topic.written for topic in status[-1].topics if topic.name == "/gaze") >= 40, "not all is written"
    )
    answer = robot.call(StopEpisode, "recorder/stop_episode", StopEpisode.Request(keep=True))
    assert answer.success
    assert answer.message.endswith("messages were lost")
    code, output = ended(recorder)
    assert code == 1, output
    assert "recorder: inputs refused: " in output
    assert "warning: refused an input of /gaze (" in output
    bag = root / ("e" * 128)
    session = load_session(bag)
    assert session.gaze is not None
    assert session.gaze.xy[:, 0].tolist() == list(range(1, 41))
    with open_bag(bag) as found:
        totals = found.totals["/gaze"]
    assert totals.lost == totals.received - 40 > 0


def test_an_overlay_outlives_pictures_and_predictions_that_cannot_be_drawn(
    peer: tuple[Peer, dict[str, str]], tmp_path: Path
) -> None:
    from sensor_msgs.msg import CompressedImage, Image

    from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction, GazeStamped

    robot, environment = peer
    camera = robot.node.create_publisher(Image, "camera/image_raw", 10)
    predictor = robot.node.create_publisher(ActionPrediction, "next_action", 10)
    attention = robot.node.create_publisher(Image, "attention", 10)
    gaze = robot.node.create_publisher(GazeStamped, "gaze", 10)
    overlay = start_node("overlay", {"max_rate_hz": 50.0}, environment, tmp_path)
    pictures: list[CompressedImage] = []
    robot.node.create_subscription(CompressedImage, "overlay/compressed", pictures.append, 10)

    def send(image: Image, probability: float, other: float) -> None:
        now = robot.node.get_clock().now()
        image.header.stamp = now.to_msg()
        candidate = ActionCandidate(text="jar\x1b[2J" * 1000, probability=probability)
        prediction = ActionPrediction(header=image.header, candidates=[candidate], other_probability=other)
        prediction.focus_x, prediction.focus_y = math.inf, math.nan
        prediction.valid_until.sec, prediction.valid_until.nanosec = divmod(now.nanoseconds + 10**10, 10**9)
        attention.publish(Image(header=image.header, encoding="32FC1", height=5, width=7, data=[1, 2, 3]))
        gaze.publish(GazeStamped(header=image.header, x=math.inf, y=math.nan, image_width=2**32 - 1, image_height=0))
        for publisher in (camera, predictor, attention, gaze):
            publisher.publish(GARBAGE[-1])
            publisher.publish(UNFINISHED)
        camera.publish(image)
        predictor.publish(prediction)

    tiny = Image(encoding="uyvy", height=3, width=3, step=6, data=bytes(18))
    good = Image(encoding="rgb8", height=48, width=64, step=192, data=bytes(48 * 192))
    for image, probability, other in ((tiny, 0.5, 0.5), (good, math.nan, math.nan), (good, -3.0, math.inf)):
        count = len(pictures)
        robot.wait_for(lambda count=count: len(pictures) > count + 2, "nothing is drawn",
                       lambda sent=(image, probability, other): send(*sent))  # fmt: skip
    code, output = ended(overlay)
    assert code == 0, output
    assert "overlay: inputs refused: " in output
    assert "/camera/image_raw" in output.splitlines()[-1]


def test_a_subscription_hears_on_after_a_message_that_rclpy_cannot_take(
    peer: tuple[Peer, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a message's bytes are refused in rclpy itself, before any callback."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from std_msgs.msg import String

    from gaze_vlm_ros.nodes.barrier import Barrier
    from gaze_vlm_ros.nodes.input_executor import InputExecutor

    robot, _ = peer
    heard: list[str] = []
    take, is_first = SingleThreadedExecutor._take_subscription, [True]

    def take_badly(executor: Any, subscription: Any) -> Any:
        callback = take(executor, subscription)
        if is_first and is_first.pop():
            raise RuntimeError("cannot be taken")
        return callback

    monkeypatch.setattr(SingleThreadedExecutor, "_take_subscription", take_badly)
    listener = rclpy.create_node("listener", context=robot.context)
    listener.create_subscription(String, "words", lambda message: heard.append(message.data), 10)
    words = robot.node.create_publisher(String, "words", 10)
    barrier = Barrier(lambda text: None)
    executor = InputExecutor(barrier, context=robot.context)
    executor.add_node(listener)
    robot.wait_for(words.get_subscription_count, "no match")
    deadline_s = time.monotonic() + DEADLINE_S
    while len(heard) < 3:
        assert time.monotonic() < deadline_s
        words.publish(String(data="a"))
        executor.spin_once(timeout_sec=0.1)
    assert barrier.refused == {"/words": 1}
    executor.shutdown()
    listener.destroy_node()
