"""handover_tree.py over real DDS: it stops helping whatever fails, long before the prediction's validity ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ros_processes import isolated_environment

pytest.importorskip("rclpy", reason="the tree needs rclpy")
pytest.importorskip("py_trees", reason="the tree needs py_trees")
SCRIPT = Path(__file__).resolve().parents[2] / "benchmark" / "planner_tree.py"


@pytest.mark.parametrize("case", ["deactivated", "killed", "hung", "slow", "camera", "ahead", "all_ahead"])
def test_the_robot_stops_whatever_fails(case: str, tmp_path: Path) -> None:
    """Answers are valid for an hour, except those of a slow model, which end by their validity only."""
    out = tmp_path / "out.json"
    valid_s = 5 if case == "slow" else 3600
    arguments = ["--case", case, "--rate", "0.5", "--valid", str(valid_s), "--patience", "200", "--json", str(out)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], env=isolated_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(out.read_text())
    assert found["began"] == 0  # it stopped, or never began, and did not begin again
    assert found["held_s"] < 200
