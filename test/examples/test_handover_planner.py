"""The example planner over real DDS: it acts on what holds, and takes back what no longer does."""

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

    def __init__(self, environment: dict[str, str]) -> None:
        import rclpy

        from gaze_vlm_msgs.msg import ActionPrediction

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.node = rclpy.create_node("predictor", context=self.context)
        self.publisher = self.node.create_publisher(ActionPrediction, "next_action", 1)
        parameters = ["--ros-args", "-p", f"helps_with:=[{MUG}, {JAR}]"]
        self.planner = start([sys.executable, str(PLANNER), *parameters], environment)
        self.revision = 0
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
        message = ActionPrediction(status=status, revision=self.revision, score_kind=0)
        if text:
            message.candidates = [ActionCandidate(text=text, probability=probability)]
        message.valid_until = (self.node.get_clock().now() + Duration(seconds=valid_s)).to_msg()
        self.publisher.publish(message)

    def robot_says(self) -> str:
        assert self.planner.stdout is not None
        return self.planner.stdout.readline().strip()

    def close(self) -> None:
        self.node.destroy_node()
        self.context.shutdown()


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Predictor]:
    environment = shared_environment(monkeypatch)
    made = Predictor(environment)
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
    assert predictor.robot_says() == f"robot: cancel '{JAR}': the predictor says: 2"
    # No prediction outlives its validity, though no other message comes.
    predictor.say(MUG, valid_s=5.0)
    assert predictor.robot_says() == begun
    assert predictor.robot_says() == f"robot: cancel '{MUG}': the prediction expired, and no newer one confirms it"
    predictor.planner.send_signal(signal.SIGINT)
    code, rest = finish(predictor.planner)
    assert (code, rest) == (0, "")
