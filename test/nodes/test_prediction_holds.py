"""The condition of behaviour trees where it cannot work; examples/handover_tree.py shows that it does."""

import pytest

pytest.importorskip("rclpy", reason="the condition needs rclpy")


def test_a_tree_without_py_trees_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from gaze_vlm_ros.nodes import prediction_holds

    monkeypatch.setattr(prediction_holds, "Status", None)
    with pytest.raises(prediction_holds.NoPyTrees, match="pip install py_trees"):
        prediction_holds.PredictionHolds("holds", "take the mug")


def test_a_condition_that_is_not_set_up_says_so() -> None:
    pytest.importorskip("py_trees")
    from gaze_vlm_ros.nodes import PredictionHolds

    holds = PredictionHolds("holds", "take the mug")
    holds.tick_once()
    assert (holds.status.name, holds.feedback_message) == ("FAILURE", "it is not set up: call tree.setup(node=...)")
    with pytest.raises(KeyError, match=r"holds needs a node: call tree.setup"):
        holds.setup()
