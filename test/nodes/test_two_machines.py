"""Our nodes and peers with default settings on two machines: network namespaces with a /dev/shm of their own each."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ros_processes import finish, start

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.nodes.dds_transport import use_tested_transport

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from two_machines import Machine, NoNamespaces, two_machines  # noqa: E402

PEER = str(ROOT / "benchmark" / "network_peer.py")
ANSWERS = """{"labels": ["take the red mug", "take the jar"], "horizon_s": 2.0}
{"t_s": 0.0, "candidates": [{"text": "take the red mug", "probability": 0.9}]}
"""


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    try:
        with two_machines() as both:
            yield both
    except NoNamespaces as error:
        pytest.skip(str(error))


def default_environment() -> dict[str, str]:
    """As on a robot's other machines: no setting of DDS, and discovery as it comes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FASTDDS", "ROS_", "RMW"))}
    use_tested_transport(environment)
    return {name: value for name, value in environment.items() if not name.startswith(("FASTDDS", "FASTRTPS"))} | {
        "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def our_node(
    machine: Machine, module: str, environment: Mapping[str, str], **parameters: object
) -> "subprocess.Popen[str]":
    """A node as a user starts it: it sets its own transports."""
    values = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", f"gaze_vlm_ros.nodes.{module}", "--ros-args", *values]
    return start(machine.command(*command), environment)


def end(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code == 0, said
    return said


def run_peer(machine: Machine, folder: Path, environment: Mapping[str, str], *arguments: str) -> dict[str, int]:
    out = folder / "counts.json"
    code, said = finish(start(machine.command(sys.executable, PEER, str(out), *arguments), environment))
    assert code == 0, said
    return json.loads(out.read_text())


def test_a_default_peer_on_another_machine_is_heard_and_hears_us(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    robot, laptop = machines
    environment = default_environment()
    answers = tmp_path / "answers.jsonl"
    answers.write_text(ANSWERS)
    predictor = our_node(
        robot, "predictor", environment, backend="replay", checkpoint=answers, stale_after_s=60.0, camera_wait_s=0.0
    )
    overlay = our_node(robot, "overlay", environment)
    recorder = our_node(
        robot, "recorder", environment, bag=tmp_path / "bag", camera_topic="camera/image_raw", wait_s=200.0
    )
    counts = run_peer(laptop, tmp_path, environment, "--readers", "3", "--wait", "150", "--images", "40")
    said = end(predictor)
    assert "transports: shared memory (70.3 MB), UDP, TCP" in said
    assert counts["published"] == 40
    assert int(re.search(r"(\d+) frames received", said)[1]) == 40
    assert counts["answers"] > 0
    end(overlay)
    assert counts["pictures"] > 0
    end(recorder)

    with open_bag(tmp_path / "bag") as opened:
        assert len(opened.read("/camera/image_raw")) == 40
        assert len(opened.read("/gaze")) > 30
