"""What the recorder node derives from ROS and says in ROS: quality of service, and its status message."""

import math

import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from gaze_vlm_msgs.msg import RecorderStatus
from gaze_vlm_ros.bags.writer import DEFAULT_QOS
from gaze_vlm_ros.nodes.qos import IMAGE_DEPTH, SAMPLE_DEPTH, recording_qos, rosbag2_qos
from gaze_vlm_ros.nodes.recorder_status import recorder_status
from gaze_vlm_ros.recorder.tables import TopicState
from gaze_vlm_ros.recorder.tally import TopicTally

RELIABLE, LOSSY = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
GAZE, IMAGE = "gaze_vlm_msgs/msg/GazeStamped", "sensor_msgs/msg/Image"


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ([], (RELIABLE, VOLATILE)),
        ([(RELIABLE, VOLATILE)], (RELIABLE, VOLATILE)),
        ([(RELIABLE, LATCHED)], (RELIABLE, LATCHED)),
        ([(RELIABLE, LATCHED), (LOSSY, VOLATILE)], (LOSSY, VOLATILE)),
        ([(RELIABLE, LATCHED), (LOSSY, LATCHED)], (LOSSY, LATCHED)),
    ],
)
def test_the_strongest_that_every_publisher_offers(offered: list, expected: tuple) -> None:
    profiles = [QoSProfile(depth=1, reliability=r, durability=d) for r, d in offered]
    qos = recording_qos(GAZE, profiles)
    assert (qos.reliability, qos.durability) == expected
    assert qos.depth == SAMPLE_DEPTH
    assert recording_qos(IMAGE, profiles).depth == IMAGE_DEPTH


def test_a_default_profile_is_written_as_rosbag2_does() -> None:
    assert rosbag2_qos(QoSProfile(depth=10, reliability=RELIABLE)).keys() == DEFAULT_QOS.keys()
    written = rosbag2_qos(QoSProfile(depth=7, reliability=LOSSY, durability=LATCHED))
    assert (written["history"], written["depth"]) == ("keep_last", 7)
    assert (written["reliability"], written["durability"]) == ("best_effort", "transient_local")
    assert written["deadline"] == {"sec": 0, "nsec": 0} or written["deadline"] == DEFAULT_QOS["deadline"]


class Session:
    """Stands in for a BagSession in each of its states."""

    folder = "bags/day/pour"

    def __init__(self, is_ready: bool, is_recording: bool) -> None:
        self.is_ready, self.is_recording = is_ready, is_recording
        self.episode_id = "pour" if is_recording else ""


@pytest.mark.parametrize(
    ("session", "state"),
    [
        (Session(False, False), RecorderStatus.STATE_WAITING),
        (Session(True, False), RecorderStatus.STATE_PAUSED),
        (Session(True, True), RecorderStatus.STATE_RECORDING),
    ],
)
def test_the_status_message(session: Session, state: int) -> None:
    tally = TopicTally(GAZE, stamped=True, received=9, written=5, overflowed=2, missed=1, max_gap_s=0.25)
    message = recorder_status(session, [TopicState("/gaze", 200.0, tally)], 123_456, Time(sec=5))  # type: ignore[arg-type]
    assert (message.state, message.bag, message.episode_id) == (state, "bags/day/pour", session.episode_id)
    assert (message.free_bytes, message.header.stamp.sec) == (123_456, 5)
    assert math.isnan(message.clock_offset)
    (topic,) = message.topics
    assert (topic.name, topic.type, topic.rate, topic.max_gap) == ("/gaze", GAZE, 200.0, 0.25)
    assert (topic.received, topic.written, topic.dropped) == (9, 5, 3)
