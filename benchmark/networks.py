"""Count frames and predictions between our predictor and a robot's peer: `python benchmark/networks.py`.

The peer has a camera and listens to predictions. It runs on the predictor's machine, on another one (network namespaces
with a /dev/shm of their own each), and on another one with a discovery server in place of multicast; with Fast DDS's
default transports, with our profile and with LARGE_DATA. Prints a table; docs/networks.md holds one. Needs ROS
(`make setup`), and for other machines root or a kernel that lets users make namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from discovery_server import discovery_server
from two_machines import two_machines

from gaze_vlm_ros.nodes.dds_transport import use_tested_transport

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("one machine", "two machines", "two machines, discovery server")
PORT = 11811
WAIT_S = 40.0  # for the camera's reader; where there is none by then, peers do not see each other
ANSWERS = """{"labels": ["take the red mug"], "horizon_s": 2.0}
{"t_s": 0.0, "candidates": [{"text": "take the red mug", "probability": 0.9}]}
"""


def peers(plain: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the environment of each kind of peer. plain: one without any setting of DDS."""
    ours = dict(plain)
    use_tested_transport(ours)
    return {
        "default": dict(plain),
        "our profile": ours,
        "LARGE_DATA": {**plain, "FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"},
    }


def measure(place: str, peer: str, images: int, best_effort: bool) -> tuple[int, int, int]:
    """Return images received by the predictor, predictions received by the peer, and those of them with an answer."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FAST", "ROS_", "RMW"))}
    if Path(sys.prefix, "share", "ament_index").is_dir():
        plain["AMENT_PREFIX_PATH"] = sys.prefix
    plain |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        robot, other = stack.enter_context(two_machines())
        if place == PLACES[0]:
            other = robot
        if place == PLACES[2]:
            stack.enter_context(discovery_server(robot.address, PORT, robot.command()))
            plain["ROS_DISCOVERY_SERVER"] = f"{robot.address}:{PORT}"
        (folder / "answers.jsonl").write_text(ANSWERS)
        parameters = [
            "backend:=replay", f"checkpoint:={folder / 'answers.jsonl'}", "camera_wait_s:=0.0", "stale_after_s:=60.0",
        ]  # fmt: skip
        values = [word for parameter in parameters for word in ("-p", parameter)]
        command = robot.command(sys.executable, "-m", "gaze_vlm_ros.nodes.predictor", "--ros-args", *values)
        predictor = subprocess.Popen(command, env=plain, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        words = [sys.executable, str(ROOT / "benchmark/network_peer.py"), str(folder / "counts.json")]
        words += ["--images", str(images), "--wait", str(WAIT_S), *(["--best-effort"] if best_effort else [])]
        try:
            subprocess.run(other.command(*words), env=peers(plain)[peer], check=True, stderr=subprocess.DEVNULL)
        finally:
            predictor.send_signal(signal.SIGINT)
            said, _ = predictor.communicate()
        counts = json.loads((folder / "counts.json").read_text())
    match = re.search(r"(\d+) frames received", said)
    return int(match[1]) if match else 0, counts["predictions"], counts["answers"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50, help="raw 640x480 images of each run (default: %(default)s)")
    parser.add_argument("--best-effort", action="store_true", help="images as sensor drivers publish them")
    arguments = parser.parse_args()
    print("| where | transports of the peer | images received | predictions received | answers among them |")
    print("|---|---|---|---|---|")
    for place in PLACES:
        for peer in peers({}):
            images, predictions, answers = measure(place, peer, arguments.images, arguments.best_effort)
            print(f"| {place} | {peer} | {images} of {arguments.images} | {predictions} | {answers} |", flush=True)


if __name__ == "__main__":
    main()
