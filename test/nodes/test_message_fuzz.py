"""Random messages and requests of peers: the nodes refuse what they cannot use, within bounded memory, and go on."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_inputs import odd_message
from peers import Peer, ended
from ros_processes import start_node

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.video.images import encode_jpeg

pytest.importorskip("rclpy", reason="the nodes need rclpy")
INPUTS = int(os.environ.get("FUZZ_MESSAGES", "60"))  # of each topic
MOST_MIB = 400  # growth of a node's peak memory; a message here has 10 KB
ODD_TEXTS = ("", " ", "\0", "a\nb", "../up", "/", "e" * 100_000, "\x1b[2J", "é" * 64, "nan", ".", "a b", "-", "\ud7ff")


def peak_mib(process: Any) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Sender:
    """Publishers of a peer, and a good message of each."""

    def __init__(self, robot: Peer) -> None:
        from sensor_msgs.msg import CompressedImage, Image

        from gaze_vlm_msgs.msg import ActionCandidate, ActionLabel, ActionPrediction, GazeStamped, ImageRegions

        self.robot = robot
        picture = np.full((48, 64, 3), 90, np.uint8)
        self.good: dict[str, Any] = {
            "camera/image_raw/compressed": CompressedImage(format="jpeg", data=encode_jpeg(picture)),
            "camera/image_raw": Image(encoding="rgb8", height=48, width=64, step=192, data=picture.tobytes()),
            "gaze": GazeStamped(x=9.0, y=9.0, image_width=64, image_height=48, confidence=1.0),
            "label": ActionLabel(text="take the mug", verb="take", object_class="mug"),
            "regions": ImageRegions(image_width=64, image_height=48, names=["mug"], boxes=[1.0, 2.0, 3.0, 4.0]),
            "next_action": ActionPrediction(candidates=[ActionCandidate(text="mug", probability=0.5)]),
            "attention": Image(encoding="32FC1", height=2, width=2, step=8, data=np.ones(4, np.float32).tobytes()),
        }
        self.publishers: dict[str, Any] = {}

    def to(self, *topics: str) -> None:
        for topic in topics:
            self.publishers[topic] = self.robot.node.create_publisher(type(self.good[topic]), topic, 10)

    def matched(self) -> bool:
        return all(publisher.get_subscription_count() for publisher in self.publishers.values())

    def send_good(self, *topics: str) -> None:
        for topic in topics or self.publishers:
            message = self.good[topic]
            message.header.stamp = self.robot.node.get_clock().now().to_msg()
            self.publishers[topic].publish(message)

    def send_odd(self, drawn: random.Random) -> None:
        from rclpy.serialization import serialize_message

        for topic, publisher in self.publishers.items():
            self.good[topic].header.stamp = self.robot.node.get_clock().now().to_msg()
            publisher.publish(odd_message(serialize_message(self.good[topic]), drawn))


def send_much(sender: Sender, seed: int, process: Any, goes_on: Callable[[], int]) -> None:
    """Send odd messages among good ones; after them a good one still has its effect."""
    drawn = random.Random(seed)
    sender.robot.wait_for(lambda: goes_on() > 2, "the node does not work", sender.send_good)
    before_mib = peak_mib(process)
    for _ in range(INPUTS):
        sender.send_odd(drawn)
        sender.send_good()
        sender.robot.executor.spin_once(timeout_sec=0.01)
        assert process.poll() is None, process.communicate()[0]
    reached = goes_on()
    sender.robot.wait_for(lambda: goes_on() > reached + 2, "the node works no more", sender.send_good)
    grown_mib = peak_mib(process) - before_mib
    print(f"{INPUTS * len(sender.publishers)} odd messages, peak memory {grown_mib:.0f} MiB more")
    assert grown_mib < MOST_MIB


def test_a_predictor_goes_on_predicting(
    peer: tuple[Peer, dict[str, str]], small_checkpoint: Path, tmp_path: Path
) -> None:
    from gaze_vlm_msgs.msg import ActionPrediction

    robot, environment = peer
    sender = Sender(robot)
    sender.to("camera/image_raw/compressed")
    parameters = {"checkpoint": str(small_checkpoint), "rate_hz": 10.0, "camera_topic": "camera/image_raw/compressed"}
    predictor = start_node("predictor", parameters, environment, tmp_path)
    answers: list[ActionPrediction] = []
    robot.node.create_subscription(ActionPrediction, "next_action", answers.append, 10)
    usable = (ActionPrediction.STATUS_OK, ActionPrediction.STATUS_ABSTAIN)
    send_much(sender, 1, predictor, lambda: sum(answer.status in usable for answer in answers))
    assert all(math.isfinite(one.probability) for answer in answers for one in answer.candidates)
    code, output = ended(predictor)
    assert code == 0, output


def test_an_overlay_goes_on_drawing(peer: tuple[Peer, dict[str, str]], tmp_path: Path) -> None:
    from sensor_msgs.msg import CompressedImage

    robot, environment = peer
    sender = Sender(robot)
    sender.to("camera/image_raw", "next_action", "attention", "gaze")
    overlay = start_node("overlay", {"max_rate_hz": 50.0}, environment, tmp_path)
    pictures: list[CompressedImage] = []
    robot.node.create_subscription(CompressedImage, "overlay/compressed", pictures.append, 10)
    send_much(sender, 2, overlay, lambda: len(pictures))
    code, output = ended(overlay)
    assert code == 0, output


def test_a_gaze_monitor_goes_on_assessing(peer: tuple[Peer, dict[str, str]], tmp_path: Path) -> None:
    from gaze_vlm_msgs.msg import GazeAssessment

    robot, environment = peer
    sender = Sender(robot)
    sender.to("gaze", "attention", "next_action", "label", "regions")
    monitor = start_node("gaze_monitor", {"rate_hz": 50.0}, environment, tmp_path)
    found: list[GazeAssessment] = []
    robot.node.create_subscription(GazeAssessment, "gaze_assessment", found.append, 10)

    def of_both_inputs() -> int:
        return sum("of gaze and attention" in each.status_text or "baseline" in each.status_text for each in found)

    send_much(sender, 4, monitor, of_both_inputs)
    assert all(math.isnan(each.odd) and math.isnan(each.looked_first) for each in found)
    code, output = ended(monitor)
    assert code == 0, output


def test_a_recorder_writes_every_good_message(peer: tuple[Peer, dict[str, str]], tmp_path: Path) -> None:
    from gaze_vlm_msgs.msg import ActionLabel, RecorderStatus
    from gaze_vlm_msgs.srv import AddLabel, StartEpisode, StopEpisode

    robot, environment = peer
    sender = Sender(robot)
    sender.to("camera/image_raw/compressed", "gaze", "label")
    root = tmp_path / "day"
    recorder = start_node("recorder", {"bag": str(root), "episodes": True, "report_s": 0.1}, environment, tmp_path)
    status: list[RecorderStatus] = []
    robot.node.create_subscription(RecorderStatus, "recorder/status", status.append, 10)

    robot.wait_for(sender.matched, "no recorder")
    robot.wait_for(lambda: status and status[-1].topics, "not ready")
    drawn = random.Random(3)
    for text in ODD_TEXTS:
        name = text or drawn.choice(ODD_TEXTS)
        if robot.call(StartEpisode, "recorder/start_episode", StartEpisode.Request(episode_id=name, task=text)).success:
            label = AddLabel.Request(label=ActionLabel(text=text, verb=name, object_class=text))
            robot.call(AddLabel, "recorder/add_label", label)
            robot.call(StopEpisode, "recorder/stop_episode", StopEpisode.Request(keep=bool(drawn.getrandbits(1))))
    assert all(folder.resolve().is_relative_to(root) for folder in root.rglob("*"))
    assert robot.call(StartEpisode, "recorder/start_episode", StartEpisode.Request(episode_id="good")).success

    def written() -> int:
        counts = {topic.name: topic.written for topic in status[-1].topics} if status else {}
        return min(counts.get(f"/{topic}", 0) for topic in sender.publishers)

    send_much(sender, 3, recorder, written)
    robot.call(StopEpisode, "recorder/stop_episode", StopEpisode.Request(keep=True))
    ended(recorder)
    with open_bag(root / "good") as bag:
        for topic in (f"/{topic}" for topic in sender.publishers):
            known = bag.totals[topic]
            assert known.written + known.lost == known.received, topic
            assert known.written == len(bag.read(topic)) >= INPUTS, topic
