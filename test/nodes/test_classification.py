"""The mirror in vision_msgs, with a stand-in for that package, which is in no wheel."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("gaze_vlm_msgs", reason="a message of ours is mirrored")
from gaze_vlm_ros.nodes.classification import NoVisionMessages, classification_of, classification_type


def test_each_candidate_is_a_hypothesis_and_the_stamp_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction

    messages = ModuleType("vision_msgs.msg")
    messages.Classification, messages.ObjectHypothesis = SimpleNamespace, SimpleNamespace  # keyword arguments alone
    monkeypatch.setitem(sys.modules, "vision_msgs", ModuleType("vision_msgs"))
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", messages)
    assert classification_type() is SimpleNamespace
    pairs = [("take the jar", 0.75), ("go", 0.125)]
    prediction = ActionPrediction(candidates=[ActionCandidate(action_id=a, probability=p) for a, p in pairs])
    prediction.header.stamp.sec, prediction.header.frame_id = 7, "head"
    mirrored = classification_of(prediction)
    assert [(one.class_id, one.score) for one in mirrored.results] == pairs
    assert (mirrored.header.stamp.sec, mirrored.header.frame_id) == (7, "head")


def test_where_the_package_is_missing_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    with pytest.raises(NoVisionMessages, match=r"install ros-.*-vision-msgs, or set classification to false"):
        classification_type()
