"""The Foxglove layout against the topics that the launch file's nodes publish, and the fields of their messages."""

import json
import re
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.message_types import describe_type, known_types

ROOT = Path(__file__).parents[2]
LAYOUT = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
PACKAGES = {
    "ActionPrediction": "gaze_vlm_msgs",
    "ModelInfo": "gaze_vlm_msgs",
    "GazeAssessment": "gaze_vlm_msgs",
    "Image": "sensor_msgs",
    "CompressedImage": "sensor_msgs",
    "DiagnosticArray": "diagnostic_msgs",
}


def published() -> dict[str, str]:
    """Type by topic, with the namespace left out, of all nodes that infer.launch.py and monitor.launch.py start."""
    launched = "".join((ROOT / "launch" / f"{name}.launch.py").read_text() for name in ("infer", "monitor"))
    nodes = re.findall(r'executable="(\w+)"', launched)
    assert nodes
    files = [path for node in nodes for path in (ROOT / "gaze_vlm_ros" / "nodes").glob(f"{node}*.py")]
    text = "".join(path.read_text() for path in files)
    found = re.findall(r'create_publisher\(\s*([A-Z]\w+),\s*"/?([\w/]+)"', text)
    return {f"/{topic}": f"{PACKAGES[kind]}/msg/{kind}" for kind, topic in found}


def paths(config: Any) -> list[str]:
    """Every topic, or path of a field of one, that a panel names."""
    if isinstance(config, dict):
        return [path for value in config.values() for path in paths(value)]
    if isinstance(config, list):
        return [path for value in config for path in paths(value)]
    return [config] if isinstance(config, str) and config.startswith("/") else []


def leaves(layout: Any) -> list[str]:
    return [layout] if isinstance(layout, str) else leaves(layout["first"]) + leaves(layout["second"])


def test_every_panel_is_in_its_place_once() -> None:
    assert sorted(leaves(LAYOUT["layout"])) == sorted(LAYOUT["configById"])


def test_every_panel_shows_a_topic_that_the_launch_file_publishes_and_a_field_of_it() -> None:
    topics = published()
    for panel, config in LAYOUT["configById"].items():
        shown = paths(config)
        assert shown, panel
        for path in shown:
            topic, *fields = re.sub(r"\[\d+\]", "", path).split(".")
            assert topic in topics, f"{panel} shows {path}; there are {', '.join(sorted(topics))}"
            kind = topics[topic]
            for field in fields:
                describe_type(kind)
                of_type = dict(known_types().fielddefs[kind][1])
                assert field in of_type, f"{panel} shows {path}; {kind} has {', '.join(of_type)}"
                inner = of_type[field][1]
                if isinstance(inner, tuple) and isinstance(inner[0], tuple):  # an array
                    inner = inner[0][1]
                kind = inner if isinstance(inner, str) else inner[0]
    assert topics[LAYOUT["configById"]["Image!overlay"]["imageMode"]["imageTopic"]] == "sensor_msgs/msg/CompressedImage"
