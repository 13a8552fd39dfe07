"""A parameter of the wrong type, and a name that is none, are one line of each node, and exit code 1."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the nodes need rclpy")

from ros_processes import finish, isolated_environment, start_node


@pytest.mark.parametrize(
    ("node", "parameters", "line"),
    [
        ("predictor", {"rate_hz": 10}, "'rate_hz' to '10' of type 'INTEGER', expecting type 'DOUBLE'; write it with"),
        ("predictor", {"checkpoint": 7}, "'checkpoint' to '7' of type 'INTEGER', expecting type 'STRING'"),
        (
            "predictor",
            {"camera_topic": "/cam-1/image"},
            "'/cam-1/image' is no topic name: topic name must not contain characters",
        ),
        ("predictor", {"rate_hz": 0.0}, "rate_hz"),
        ("recorder", {"bag": "bag", "wait_s": "long"}, "'wait_s' to 'long' of type 'STRING', expecting type 'DOUBLE'"),
        ("recorder", {"bag": "bag", "camera_topic": "/cam-1/image"}, "'/cam-1/image' is no topic name"),
        ("overlay", {"camera_topic": "/cam-1/image"}, "'/cam-1/image' is no topic name"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(
    node: str, parameters: dict[str, Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = isolated_environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    code, output = finish(start_node(node, parameters, environment, tmp_path))
    assert code == 1
    (error,) = [text for text in output.splitlines() if text and not text.startswith("[INFO]")]
    assert error.startswith(f"{node}: error: ")
    assert line in error
