"""SIGINT more than once, as `ros2 launch` without a terminal sends it: what is being closed is closed."""

import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from recorder_runs import reported_written
from ros_processes import finish, isolated_environment, start, start_node, stop

from gaze_vlm_ros.bags.reader import open_bag

pytest.importorskip("rclpy", reason="the node needs rclpy")
SOURCE = str(Path(__file__).with_name("camera_and_gaze.py"))
RECORDERS = 16


def interrupt_again_and_again(process: subprocess.Popen[str], rng: random.Random) -> None:
    """At random moments until it has ended; at most for 20 s, since a signal is no way to end a process that hangs."""
    until_s = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until_s:
        process.send_signal(signal.SIGINT)
        time.sleep(rng.expovariate(1 / 0.03))


def test_a_bag_is_closed_however_often_it_is_interrupted(tmp_path: Path) -> None:
    rng = random.Random(0)
    environment = isolated_environment()
    source = start([sys.executable, SOURCE, "600", "--black"], environment)
    try:
        for first in range(0, RECORDERS, 4):
            folders = [tmp_path / f"bag_{number:02d}" for number in range(first, first + 4)]
            recorders = [start_node("recorder", {"bag": str(folder)}, environment, tmp_path) for folder in folders]
            for recorder in recorders:
                assert next(filter(None, map(reported_written, recorder.stdout or ())), 0)
            for folder, recorder in zip(folders, recorders, strict=True):
                interrupt_again_and_again(recorder, rng)
                code, output = finish(recorder)
                assert code == 0, output
                assert f"closed {folder}" in output
                assert "Traceback" not in output
                bag = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
                with open_bag(folder) as read:
                    assert bag["message_count"] == sum(len(topic) for topic in read.topics.values()) > 0
                    assert {name: totals.written for name, totals in read.totals.items()} == {
                        topic["topic_metadata"]["name"]: topic["message_count"]
                        for topic in bag["topics_with_message_count"]
                    }
    finally:
        stop(source)


def test_a_node_that_is_being_made_may_be_asked_to_end() -> None:
    """The signal shuts the context down, and whatever rclpy is doing then fails."""
    program = (
        "import sys, rclpy\n"
        "from rclpy.node import Node\n"
        "from gaze_vlm_ros.nodes.running import run_node\n"
        "def make():\n"
        "    rclpy.shutdown()\n"
        "    return Node('late')\n"
        "sys.exit(run_node('late', make, args=[]))\n"
    )
    code, output = finish(start([sys.executable, "-c", program], isolated_environment()))
    assert code == 0, output
    assert "error" not in output
    assert "Traceback" not in output


def test_a_thread_that_publishes_may_meet_the_shutdown() -> None:
    program = (
        "import sys, rclpy\n"
        "from gaze_vlm_ros.nodes import simulator\n"
        "simulator.Simulator._wait_for_subscribers = lambda self: rclpy.shutdown()\n"
        "sys.exit(simulator.main())\n"
    )
    code, output = finish(start([sys.executable, "-c", program], isolated_environment()))
    assert code == 0, output
    assert "Traceback" not in output


def test_errors_count_until_the_shutdown() -> None:
    from gaze_vlm_ros.nodes.running import until_shutdown

    for runs in (True, False):
        node: Any = SimpleNamespace(context=SimpleNamespace(ok=lambda runs=runs: runs))
        with pytest.raises(RuntimeError) if runs else nullcontext(), until_shutdown(node):
            raise RuntimeError("the publisher's context is invalid")
