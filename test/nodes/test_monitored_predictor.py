"""The gaze monitor beside a predictor with a model of its own: answers in time, by what assess says, in flat memory."""

import os
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from ros_processes import shared_environment, start_node
from small_bags import TAKE_S, write_small_bag

pytest.importorskip("rclpy", reason="the nodes need rclpy")
from peers import Peer, ended

from gaze_vlm_ros import cli
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import nanoseconds, split_ns

SOAK_S = round(1800 * float(os.environ.get("SOAK_SCALE", "1")))
OK = 0
CAMERA = "camera/image_raw/compressed"


class Glasses:
    """Plays a bag's frames and gaze, stamped now, and notes each assessment with the time when it came."""

    def __init__(self, peer: Peer, bag: Path) -> None:
        from sensor_msgs.msg import CompressedImage

        from gaze_vlm_msgs.msg import GazeAssessment, GazeStamped

        self.node = peer.node
        self.received: list[tuple[int, Any]] = []  # now in ns, message
        self.frames = self.node.create_publisher(CompressedImage, CAMERA, 10)
        self.gaze = self.node.create_publisher(GazeStamped, "gaze", 100)
        self.node.create_subscription(GazeAssessment, "gaze_assessment", self.note, 10)
        with open_bag(bag) as opened:
            self.events = [
                (nanoseconds(message.header.stamp), topic, message)
                for topic in (f"/{CAMERA}", "/gaze")
                for message in opened.read(topic).messages()
            ]
        self.events.sort(key=lambda event: event[0])
        self.kinds = {f"/{CAMERA}": CompressedImage, "/gaze": GazeStamped}
        self.started_ns, self.shown = 0, 0

    def note(self, message: Any) -> None:
        self.received.append((self.node.get_clock().now().nanoseconds, message))

    def step(self) -> None:
        now_ns = self.node.get_clock().now().nanoseconds
        self.started_ns = self.started_ns or now_ns
        while self.shown < len(self.events):
            stamp_ns, topic, known = self.events[self.shown]
            if (due_ns := self.started_ns + stamp_ns - self.events[0][0]) > now_ns:
                return
            self.shown += 1
            message = self.kinds[topic]()
            message.header.stamp.sec, message.header.stamp.nanosec = split_ns(due_ns)
            message.header.frame_id = known.header.frame_id
            if topic == "/gaze":
                for name in ("x", "y", "image_width", "image_height", "confidence", "worn", "eye_state"):
                    setattr(message, name, getattr(known, name))
                self.gaze.publish(message)
            else:
                message.format, message.data = known.format, array("B", known.data.tobytes())
                self.frames.publish(message)


@pytest.mark.parametrize("seconds", [20, pytest.param(SOAK_S, marks=pytest.mark.soak)])
def test_it_answers_beside_a_predictor(
    seconds: int, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normal = write_small_bag(tmp_path / "normal", 5, takes=20)
    baseline = tmp_path / "discs.json"
    assert (
        cli.main(["assess", "--checkpoint", str(small_checkpoint), str(normal), "--write-baseline", str(baseline)]) == 0
    )
    bag = write_small_bag(tmp_path / "bag", 6, takes=round(seconds / TAKE_S) + 1)
    environment = shared_environment(monkeypatch)
    predictor = start_node("predictor", {"checkpoint": str(small_checkpoint), "rate_hz": 5.0}, environment, tmp_path)
    monitor = start_node("gaze_monitor", {"baseline": str(baseline), "rate_hz": 50.0}, environment, tmp_path)
    process, memory_mb = psutil.Process(monitor.pid), []
    peer = Peer(int(environment["ROS_DOMAIN_ID"]))
    try:
        glasses = Glasses(peer, bag)
        peer.wait_for(
            lambda: glasses.frames.get_subscription_count() and glasses.gaze.get_subscription_count(), "no nodes"
        )
        deadline_s = time.monotonic() + seconds + 600
        next_s = 0.0
        while glasses.shown < len(glasses.events):
            assert time.monotonic() < deadline_s
            glasses.step()
            peer.executor.spin_once(timeout_sec=0.01)
            if time.monotonic() > next_s:
                memory_mb.append(process.memory_info().rss / 1e6)
                next_s = time.monotonic() + 1.0
    finally:
        peer.close()
    for node in (predictor, monitor):
        code, output = ended(node)
        assert code == 0, output

    answers = [(came_ns, each) for came_ns, each in glasses.received if each.status == OK]
    assert answers, glasses.received[-1:]
    for _, each in answers:
        assert 0 <= each.surprise_percentile <= 1
        assert each.model_id
    first: dict[int, int] = {}
    for came_ns, each in answers:
        first.setdefault(nanoseconds(each.header.stamp), came_ns)
    late_s = np.array([(came_ns - stamp_ns) / 1e9 for stamp_ns, came_ns in first.items()])
    third = len(memory_mb) // 3  # the first third fills caches
    print(
        f"{len(answers)} assessments of {len(late_s)} moments in {seconds} s; from a moment to its assessment median "
        f"{np.median(late_s):.3f} s, 95 % {np.quantile(late_s, 0.95):.3f} s; memory {memory_mb[third]:.1f} to "
        f"{memory_mb[-1]:.1f} MB"
    )
    assert memory_mb[-1] - memory_mb[third] < 10, memory_mb
