"""The gaze monitor over DDS: it abstains without a baseline, answers with one, and no fault leaves an old answer."""

import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_processes import finish, shared_environment, start_node

pytest.importorskip("rclpy", reason="the node needs rclpy")
from peers import Peer, ended

from gaze_vlm_ros.assessment.baseline import made_baseline, write_baseline
from gaze_vlm_ros.assessment.looks import looks_of
from gaze_vlm_ros.assessment.moments import MEASURES
from gaze_vlm_ros.assessment.objects import looked_at, looked_first_s
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.regions import RegionTrack

OK, ABSTAIN, STALE_INPUT, NO_INPUT, ERROR = range(5)
SHARES = np.full((48, 64), 1e-4, "<f4")
SHARES[20:28, 28:36] = 0.01


class Wearer:
    """Publishes gaze and attention by the computer's clock; faults are set from outside."""

    def __init__(self, peer: Peer) -> None:
        from sensor_msgs.msg import Image

        from gaze_vlm_msgs.msg import ActionLabel, GazeAssessment, GazeStamped, ImageRegions

        self.peer, self.received = peer, []  # type: ignore[var-annotated]
        self.gaze_kind, self.image_kind = GazeStamped, Image
        self.gaze = peer.node.create_publisher(GazeStamped, "gaze", 100)
        self.attention = peer.node.create_publisher(Image, "attention", 10)
        self.regions = peer.node.create_publisher(ImageRegions, "regions", 100)
        self.labels = peer.node.create_publisher(ActionLabel, "label", 10)
        self.mug = ImageRegions(names=["mug"], boxes=[300.0, 220.0, 340.0, 260.0], image_width=640, image_height=480)
        self.mug.header.frame_id = "head"
        self.sent: list[Any] = []  # gaze
        self.subscription = peer.node.create_subscription(GazeAssessment, "gaze_assessment", self.received.append, 10)
        self.changes: dict[str, Any] = {}
        self.sends_gaze = self.sends_attention = True
        self.later_s, self.next_s = 0.0, 0.0
        self.count = 0

    def step(self) -> None:
        if time.monotonic() < self.next_s:
            return
        self.next_s, self.count = time.monotonic() + 0.02, self.count + 1
        now_ns = self.peer.node.get_clock().now().nanoseconds
        if self.sends_gaze:
            fields = {"x": 320.0, "y": 240.0, "image_width": 640, "image_height": 480, "confidence": 1.0, "worn": 2}
            message = self.gaze_kind(eye_state=2 if self.count % 15 == 0 else 1, **(fields | self.changes))
            stamp_ns = now_ns + round(self.later_s * 1e9)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            message.header.frame_id = "head"
            self.gaze.publish(message)
            self.sent.append(message)
            self.mug.header.stamp = message.header.stamp
            self.regions.publish(self.mug)
        if self.sends_attention and self.count % 10 == 0:
            image = self.image_kind(height=48, width=64, encoding="32FC1", step=256)
            image.header.stamp.sec, image.header.stamp.nanosec = divmod(now_ns, 10**9)
            image.header.frame_id = "head"
            image.data = array("B", SHARES.tobytes())
            self.attention.publish(image)

    def until(self, status: int, text: str = "") -> Any:
        """Go on until a message of this status comes; return it."""
        self.received.clear()
        self.peer.wait_for(
            lambda: self.received and self.received[-1].status == status and text in self.received[-1].status_text,
            f"no status {status} {text!r}, but {self.received[-1:]}",
            self.step,
        )
        return self.received[-1]


def made(path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [{name: abs(float(rng.normal(2.0, 1.0))) for name in MEASURES} for _ in range(200)]
    write_baseline(path, made_baseline("run@ffffffff", "f" * 64, "tidy", ["p"], ["s"], rows, {}))
    return path


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    return shared_environment(monkeypatch)


def test_each_fault_has_its_status_and_no_number(tmp_path: Path, environment: dict[str, str]) -> None:
    node = start_node("gaze_monitor", {"baseline": str(made(tmp_path / "b.json"))}, environment, tmp_path)
    peer = Peer(int(environment["ROS_DOMAIN_ID"]))
    try:
        wearer = Wearer(peer)
        found = wearer.until(OK)
        assert 0 <= found.surprise_percentile <= 1
        assert 0 <= found.odd <= 1
        assert found.attention_to_task == 1
        assert found.baseline_id.startswith("tidy, 1 sessions")
        assert found.score_kind == found.SCORE_RANK_ONLY
        evidence_s = found.header.stamp.sec + found.header.stamp.nanosec / 1e9
        assert found.valid_until.sec + found.valid_until.nanosec / 1e9 == pytest.approx(evidence_s + 2.0, abs=1e-3)

        for name, value, status, text in (
            ("changes", {"worn": 1}, ABSTAIN, "not worn"),
            ("changes", {"x": float("nan")}, ABSTAIN, "gaze is lost"),
            ("sends_gaze", False, STALE_INPUT, "no gaze for"),
            ("sends_attention", False, STALE_INPUT, "no attention for"),
            ("later_s", 8.0, ERROR, "clocks are apart"),
        ):
            usual = getattr(wearer, name)
            setattr(wearer, name, value)
            fault = wearer.until(status, text)
            assert np.isnan([fault.surprise, fault.surprise_percentile, fault.odd, fault.needs_help]).all()
            assert fault.valid_until == fault.header.stamp
            setattr(wearer, name, usual)
        code, output = ended(node)
        assert code == 0, output
    finally:
        peer.close()


def test_how_long_before_an_action_its_object_was_looked_at_is_what_assess_measures(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    from gaze_vlm_msgs.msg import ActionLabel

    node = start_node("gaze_monitor", {"baseline": str(made(tmp_path / "b.json"))}, environment, tmp_path)
    peer = Peer(int(environment["ROS_DOMAIN_ID"]))
    try:
        wearer = Wearer(peer)
        wearer.changes = {"x": 20.0}
        assert np.isnan(wearer.until(OK).looked_first)  # no action yet
        wearer.changes = {}
        before = len(wearer.sent)
        peer.wait_for(lambda: len(wearer.sent) > before + 40, "no gaze", wearer.step)
        label = ActionLabel(text="take the mug", verb="take", object_class="mug")
        label.header.stamp = wearer.sent[-1].header.stamp
        wearer.labels.publish(label)
        peer.wait_for(lambda: np.isfinite(wearer.received[-1].looked_first), "looked first is not known", wearer.step)
        found = wearer.received[-1]

        stamps_ns = np.array([nanoseconds(message.header.stamp) for message in wearer.sent])
        track = GazeTrack(
            stamps_ns, np.array([(message.x, message.y) for message in wearer.sent]), np.ones(len(stamps_ns)),
            np.full(len(stamps_ns), 2, np.uint8), np.array([message.eye_state for message in wearer.sent], np.uint8),
            (640, 480),
        )  # fmt: skip
        regions = RegionTrack(
            tmp_path, stamps_ns, [{"mug": np.array(wearer.mug.boxes)}] * len(stamps_ns), [(640, 480)] * len(stamps_ns)
        )
        looks = looks_of(track, track.image_size)
        expected_s = looked_first_s(
            looked_at(looks, regions, track.image_size), looks, "mug", nanoseconds(label.header.stamp)
        )
        assert expected_s > 0.5
        assert found.status == OK
        assert found.looked_first == pytest.approx(expected_s, abs=0.05)  # a sample may be lost
        assert ended(node)[0] == 0
    finally:
        peer.close()


def test_without_a_baseline_it_abstains(tmp_path: Path, environment: dict[str, str]) -> None:
    node = start_node("gaze_monitor", {}, environment, tmp_path)
    peer = Peer(int(environment["ROS_DOMAIN_ID"]))
    try:
        wearer = Wearer(peer)
        found = wearer.until(ABSTAIN, "no baseline")
        assert np.isnan([found.surprise, found.odd, found.needs_help]).all()
        assert found.baseline_id == ""
        assert ended(node)[0] == 0
    finally:
        peer.close()


def test_a_file_that_is_no_baseline_ends_the_node_in_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "b.json").write_text("{}")
    node = start_node("gaze_monitor", {"baseline": str(tmp_path / "b.json")}, environment, tmp_path)
    code, output = finish(node)
    assert code == 1
    assert output.strip().splitlines()[-1].startswith("gaze_monitor: error: ")
    assert "is no baseline" in output
    assert "Traceback" not in output
