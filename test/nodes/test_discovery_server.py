"""Nodes that find their peers by a discovery server see only the topics that they take part in."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_processes import finish, isolated_environment, start, start_node

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.nodes.graph_view import blindness_text, sees_all_topics

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from discovery_server import NoDiscoveryServer, discovery_server  # noqa: E402

PEER = str(ROOT / "benchmark" / "network_peer.py")
ANSWERS = '{"t_s": 0.0, "candidates": [{"text": "take the red mug", "probability": 0.9}]}\n'


@pytest.fixture
def client() -> Iterator[dict[str, str]]:
    """Environment of a client of a discovery server that runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = isolated_environment()
    del environment["ROS_AUTOMATIC_DISCOVERY_RANGE"]
    try:
        with discovery_server("127.0.0.1", port):
            yield environment | {"ROS_DISCOVERY_SERVER": f"127.0.0.1:{port}"}
    except NoDiscoveryServer as error:
        pytest.skip(str(error))


def end(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code == 0, said
    return said


def test_clients_hear_the_camera_and_record_it(client: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(ANSWERS)
    replayed = {"backend": "replay", "checkpoint": str(tmp_path / "answers.jsonl")}
    predictor = start_node("predictor", {**replayed, "stale_after_s": 60.0, "camera_wait_s": 0.0}, client, tmp_path)
    overlay = start_node("overlay", {}, client, tmp_path)
    recorder = start_node(
        "recorder", {"bag": str(tmp_path / "bag"), "camera_topic": "camera/image_raw"}, client, tmp_path
    )
    out = tmp_path / "counts.json"
    # Three readers that only make the server speak, and then the three that hear.
    command = [sys.executable, PEER, str(out), "--readers", "3", "--wait", "120", "--hear-first"]
    code, said = finish(start(command, client), timeout_s=270)
    assert code == 0, said
    counts = json.loads(out.read_text())
    said = end(predictor)
    assert "camera: /camera/image_raw (Image)" in said
    assert int(re.search(r"(\d+) frames received", said)[1]) > 30
    assert counts["answers"] >= 10
    end(overlay)
    assert counts["pictures"] > 1
    end(recorder)
    with open_bag(tmp_path / "bag") as bag:
        assert len(bag.read("/camera/image_raw")) > 30
        assert len(bag.read("/gaze")) > 30


def test_where_nothing_comes_the_error_names_the_super_client(client: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(ANSWERS)
    replayed = {"backend": "replay", "checkpoint": str(tmp_path / "answers.jsonl"), "camera_wait_s": 1.0}
    nodes = [
        start_node("predictor", replayed, client, tmp_path),
        start_node("recorder", {"bag": str(tmp_path / "bag"), "wait_s": 1.0}, client, tmp_path),
    ]
    for node in nodes:
        code, said = finish(node)
        assert code == 1
        assert f"ROS_DISCOVERY_SERVER is {client['ROS_DISCOVERY_SERVER']}" in said
        assert "super client (ROS_SUPER_CLIENT=TRUE)" in said


def test_what_a_node_sees_depends_on_its_environment() -> None:
    assert sees_all_topics({})
    assert sees_all_topics({"ROS_DISCOVERY_SERVER": ""})
    assert not sees_all_topics({"ROS_DISCOVERY_SERVER": "10.0.0.1:11811"})
    assert sees_all_topics({"ROS_DISCOVERY_SERVER": "10.0.0.1:11811", "ROS_SUPER_CLIENT": "true"})
    assert blindness_text({}) == ""
    assert blindness_text({"ROS_DISCOVERY_SERVER": "10.0.0.1:11811"}).startswith(
        "; ROS_DISCOVERY_SERVER is 10.0.0.1:11811"
    )
