"""The example planner over real DDS: it acts on what holds, and takes back what no longer does."""

import math
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_processes import finish, shared_environment, start

pytest.importorskip("rclpy", reason="the planner needs rclpy")
PLANNER = Path(__file__).resolve().parents[2] / "examples" / "handover_planner.py"
MUG, JAR, BOX = "take the red mug", "take the jar", "take the box"


class Predictor:
    """Says what the test wants, and reads what the planner's robot does."""

    def __init__(self, environment: dict[str, str], silence_s: float | None) -> None:
        import rclpy

        from gaze_vlm_msgs.msg import ActionPrediction

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("predictor", context=self.context)
        self.publisher = self.node.create_publisher(ActionPrediction, "next_action", 1)
        parameters = ["--ros-args", "-p", f"helps_with:=[{MUG}, {JAR}]"]
        # Silence is checked by a test of its own: on a busy machine it may come by itself.
        parameters += [] if silence_s is None else ["-p", f"silence_s:={silence_s}"]
        self.planner = start([sys.executable, str(PLANNER), *parameters], environment)
        self.revision, self.model_id = 0, "bench@12345678"
        deadline_s = time.monotonic() + 200
        while not self.publisher.get_subscription_count():
            assert time.monotonic() < deadline_s, "no planner came"
            time.sleep(0.02)

    def say(
        self, text: str, probability: float = 0.9, valid_s: float = 600.0, status: int = 0, same: bool = False
    ) -> None:
        from rclpy.duration import Duration

        from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction

        self.revision += not same
        message = ActionPrediction(
            status=status, revision=self.revision, score_kind=0, model_id=self.model_id, nothing_probability=math.nan
        )
        message.header.stamp = self.node.get_clock().now().to_msg()
        if text:
            message.candidates = [ActionCandidate(action_id=text, text=text, probability=probability)]
        message.valid_until = (self.node.get_clock().now() + Duration(seconds=valid_s)).to_msg()
        self.publisher.publish(message)

    def robot_says(self) -> str:
        """Next line of the robot; the middleware may print warnings before."""
        assert self.planner.stdout is not None
        return next((line.strip() for line in self.planner.stdout if line.startswith("robot:")), "")

    def close(self) -> None:
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Predictor]:
    environment = shared_environment(monkeypatch)
    made = Predictor(environment, 600.0)
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Predictor]:
    """A predictor whose planner goes by `model_info`."""
    environment = shared_environment(monkeypatch)
    made = Predictor(environment, None)
    yield made
    made.close()


def test_it_acts_on_what_holds_and_takes_back_what_does_not(predictor: Predictor) -> None:
    begun = f"robot: begin helping with '{MUG}'"
    # None of these moves the robot: each is followed by one that does, and that is the first to be seen.
    for wrong in (
        {"text": MUG, "probability": 0.5}, {"text": BOX}, {"text": MUG, "valid_s": -1.0}, {"text": MUG, "status": 1},
        {"text": "", "status": 2},
    ):  # fmt: skip
        predictor.say(**wrong)  # type: ignore[arg-type]
        time.sleep(0.1)  # a depth of one: it must be taken before the next replaces it
    predictor.say(MUG)
    assert predictor.robot_says() == begun
    # Said again, with newer frames: nothing happens until the answer changes.
    predictor.say(MUG, same=True)
    time.sleep(0.1)
    predictor.say(JAR)
    assert predictor.robot_says() == f"robot: cancel '{MUG}': the person will {JAR} instead"
    assert predictor.robot_says() == f"robot: begin helping with '{JAR}'"
    predictor.say("", status=2)  # the camera died
    assert predictor.robot_says() == f"robot: cancel '{JAR}': the predictor says: STALE_INPUT"
    # No prediction outlives its validity, though no other message comes.
    predictor.say(MUG, valid_s=5.0)
    assert predictor.robot_says() == begun
    assert re.fullmatch(rf"robot: cancel '{MUG}': it expired \d+\.\d s ago", predictor.robot_says())
    # Another predictor, or another activation, may use the same number for another answer.
    predictor.say(MUG)
    assert predictor.robot_says() == begun
    predictor.say(JAR, same=True)
    assert predictor.robot_says() == f"robot: cancel '{MUG}': the person will {JAR} instead"
    assert predictor.robot_says() == f"robot: begin helping with '{JAR}'"
    predictor.model_id = "other@12345678"
    predictor.say(JAR, same=True)
    assert predictor.robot_says() == f"robot: cancel '{JAR}': '{JAR}' is another answer than the one before"
    assert predictor.robot_says() == f"robot: begin helping with '{JAR}'"
    predictor.planner.send_signal(signal.SIGINT)
    code, rest = finish(predictor.planner)
    assert (code, rest) == (0, "")


def test_a_predictor_that_is_silent_ends_it_long_before_the_validity(impatient: Predictor) -> None:
    """Killed, it sends no message that would cancel: the robot went on for the whole validity."""
    from rclpy.qos import DurabilityPolicy, QoSProfile

    from gaze_vlm_msgs.msg import ModelInfo

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = impatient.node.create_publisher(ModelInfo, "model_info", latched)
    info.publish(ModelInfo(model_id=impatient.model_id, rate=0.1))  # 15 s of silence are normal
    impatient.say(MUG, valid_s=3600.0)
    assert impatient.robot_says() == f"robot: begin helping with '{MUG}'"
    said = impatient.robot_says()
    assert re.match(rf"robot: cancel '{MUG}': no prediction came for 15\.\d\d s, more than 15\.00 s", said), said
    impatient.planner.send_signal(signal.SIGINT)
    assert finish(impatient.planner) == (0, "")


def test_it_waits_while_the_person_needs_help_and_not_beyond_the_validity(predictor: Predictor) -> None:
    from rclpy.duration import Duration

    from gaze_vlm_msgs.msg import GazeAssessment

    monitor = predictor.node.create_publisher(GazeAssessment, "gaze_assessment", 1)
    deadline_s = time.monotonic() + 200
    while not monitor.get_subscription_count():
        assert time.monotonic() < deadline_s, "no planner came"
        time.sleep(0.02)

    def assess(needs_help: float, status: int = 0, valid_s: float = 600.0) -> None:
        message = GazeAssessment(status=status, needs_help=needs_help)
        message.header.stamp = predictor.node.get_clock().now().to_msg()
        message.valid_until = (predictor.node.get_clock().now() + Duration(seconds=valid_s)).to_msg()
        monitor.publish(message)

    assess(0.995)
    assert predictor.robot_says() == "robot: wait: the person seems to need help"
    predictor.say(MUG)
    assess(0.5)
    assert predictor.robot_says() == f"robot: begin helping with '{MUG}'"
    assess(0.995, status=1)  # it abstains
    predictor.say(JAR)
    assert predictor.robot_says().startswith(f"robot: cancel '{MUG}'")
    assert predictor.robot_says() == f"robot: begin helping with '{JAR}'"
    assess(0.995, valid_s=5.0)
    assert predictor.robot_says() == "robot: wait: the person seems to need help"
    predictor.say(MUG)
    assert predictor.robot_says().startswith(f"robot: cancel '{JAR}'")
    assert predictor.robot_says() == f"robot: begin helping with '{MUG}'"  # the assessment is too old by then
    predictor.planner.send_signal(signal.SIGINT)
    code, output = finish(predictor.planner)
    assert code == 0, output
