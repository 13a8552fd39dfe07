"""What the planner's record counts, by hand."""

import pytest

from gaze_vlm_ros.demo.planner_record import PlannerStart, planner_record, starts_in

SECOND = 1_000_000_000


def test_starts_are_read_from_what_the_planner_prints() -> None:
    lines = [
        (5, "robot: begin helping with 'take the red mug'"),
        (6, "robot: cancel 'take the red mug': the prediction expired"),
        (7, "[INFO] robot: begin helping with 'it's the jar'"),
    ]
    assert starts_in(lines) == [PlannerStart(5, "take the red mug"), PlannerStart(7, "it's the jar")]


def test_right_early_wrong_and_open_starts() -> None:
    actions = [(10 * SECOND, "mug"), (20 * SECOND, "jar")]
    starts = [
        PlannerStart(round(at_s * SECOND), action)
        for at_s, action in ((7.0, "mug"), (8.5, "mug"), (9.0, "jar"), (19.5, "jar"), (21.0, "mug"), (29.0, "jar"))
    ]
    record = planner_record(starts, actions, horizon_s=2.0, end_ns=30 * SECOND)
    assert {name: record[name] for name in ("starts", "right", "early", "wrong", "open")} == {
        "starts": 6, "right": 2, "early": 1, "wrong": 2, "open": 1,
    }  # fmt: skip
    assert (record["actions"], record["actions_helped"]) == (2, 2)
    assert record["lead_s"] == {"median": pytest.approx(1.0), "least": pytest.approx(0.5), "most": pytest.approx(1.5)}
    assert planner_record([], actions, 2.0, 30 * SECOND)["lead_s"] is None
