"""The predicates node over real DDS: a predicate is there while its answer holds, and no longer."""

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import Peer
from ros_processes import finish, shared_environment, start_node

pytest.importorskip("rclpy", reason="the node needs rclpy")


class Predictor(Peer):
    """Says what the test wants, and hears what holds."""

    def __init__(self, environment: dict[str, str]) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile

        from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo, Predicates

        super().__init__(int(environment["ROS_DOMAIN_ID"]), "predictor")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.publisher = self.node.create_publisher(ActionPrediction, "next_action", 1)
        self.info = self.node.create_publisher(ModelInfo, "model_info", latched)
        self.said: list[Any] = []
        self.node.create_subscription(Predicates, "predicates", self.said.append, latched)

    def say(self, verb: str, thing: str, revision: int, valid_s: float = 600.0, status: int = 0) -> Any:
        from rclpy.duration import Duration

        from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction

        text = f"{verb} the {thing}"
        message = ActionPrediction(status=status, revision=revision, model_id="bench", nothing_probability=math.nan)
        message.candidates = [
            ActionCandidate(action_id=text, text=text, verb=verb, object_class=thing, probability=0.9)
        ]
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.valid_until = (self.node.get_clock().now() + Duration(seconds=valid_s)).to_msg()
        self.publisher.publish(message)
        return message

    def last_heard(self) -> str:
        return f"; the last is {self.said[-1:]}"

    def hear(self, predicates: list[str], reason: str = "") -> Any:
        self.wait_for(
            lambda: bool(self.said) and list(self.said[-1].predicates) == predicates and reason in self.said[-1].reason,
            f"not heard: {predicates} {reason!r}",
        )
        return self.said[-1]


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Predictor, dict[str, str]]]:
    environment = shared_environment(monkeypatch)
    made = Predictor(environment)
    yield made, environment
    made.close()


def test_a_predicate_is_there_while_its_answer_holds(
    predictor: tuple[Predictor, dict[str, str]], tmp_path: Path
) -> None:
    from gaze_vlm_msgs.msg import ModelInfo

    robot, environment = predictor
    process = start_node("predicates", {"objects": ["red_mug", "jar"]}, environment, tmp_path)
    robot.hear([], "no prediction has come")
    robot.wait_for(lambda: robot.publisher.get_subscription_count() > 0, "nobody listens")
    mug = robot.say("take", "red mug", 7)
    robot.hear([], "no model_info of bench has come")
    robot.info.publish(ModelInfo(model_id="bench", rate=0.01))  # 150 s of silence are normal
    heard = robot.hear(["(person_will_take red_mug)"])
    assert (heard.header.stamp, heard.valid_until, heard.reason) == (mug.header.stamp, mug.valid_until, "")
    robot.say("take", "jar", 8)
    robot.hear(["(person_will_take jar)"])
    robot.say("take", "box", 9)
    robot.hear([], "nothing to do for 'take the box'")
    later = robot.say("take", "jar", 10)
    assert robot.hear(["(person_will_take jar)"]).valid_until == later.valid_until
    newer = robot.say("take", "jar", 10)  # the same answer from newer frames
    robot.wait_for(lambda: robot.said[-1].valid_until == newer.valid_until, "its validity was not extended")
    robot.say("take", "jar", 11, status=2)
    robot.hear([], "the predictor says: STALE_INPUT")
    robot.say("take", "jar", 12, valid_s=3.0)
    robot.hear(["(person_will_take jar)"])
    robot.hear([], "it expired")
    robot.say("take", "jar", 13)
    robot.hear(["(person_will_take jar)"])
    robot.info.publish(ModelInfo(model_id="bench", rate=5.0))
    robot.hear([], "no prediction came for")
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 0, output
    assert "Traceback" not in output
