"""Measure how much memory the predictor takes beside a camera of raw frames.

python benchmark/predictor_memory.py [--sizes 1920x1080 3840x2160] [--rate 30] [--seconds 20] [--root CHECKOUT]

A node with a small model of random weights, trained on 640x480, as a process of its own; the camera is another. Prints
the node's memory when it is ready and its median over the second half of the run, and, from a buffer in this process
without DDS, what the frames alone take when none is lost. --root measures the code of another checkout. Needs ROS.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import yaml

HERE = Path(__file__).resolve().parent
QUERY_EVERY = 6  # frames: 5 Hz of a 30 Hz camera


def held_mb(checkpoint: Path, size: tuple[int, int], rate_hz: float) -> float:
    """Memory, MB, of the frames that a buffer holds after 6 s of a camera that loses nothing, most of the last 3 s."""
    from gaze_vlm_ros.nodes import predictor_parameters
    from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata

    # The node's own settings, without a node.
    settings = SimpleNamespace(number=lambda name: {"frame_slack": 0.33}[name])
    buffer = predictor_parameters.PredictorParameters.frame_buffer(settings, read_checkpoint_metadata(checkpoint))
    width, height = size
    before, most = psutil.Process().memory_info().rss, 0
    for number in range(int(6 * rate_hz)):
        data = np.full(3 * width * height, number % 256, np.uint8)
        message = SimpleNamespace(
            encoding="rgb8", height=height, width=width, step=3 * width, is_bigendian=0, data=data.data
        )
        buffer.add(round(number * 1e9 / rate_hz), message)
        if number % QUERY_EVERY == 0:
            buffer.observation()
        if number > 3 * rate_hz:
            most = max(most, psutil.Process().memory_info().rss - before)
    return most / 1e6


def node_mb(checkpoint: Path, size: str, rate_hz: float, seconds: float, root: Path) -> tuple[float, float, str]:
    """Memory, MB, of a node before the first frame and with the camera, and what the node counted."""
    from gaze_vlm_ros.nodes.child_processes import private_ros_environment

    environment = private_ros_environment(1) | {"PYTHONPATH": str(root)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "parameters.yaml"
        parameters = {"checkpoint": str(checkpoint), "device": "cpu", "threads": 1, "camera_wait_s": 0.0}
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
        command = [sys.executable, "-m", "gaze_vlm_ros.nodes.predictor", "--ros-args", "--params-file", str(file)]
        node = subprocess.Popen(  # -m looks into the present folder first
            command, env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert node.stdout is not None
        while "predictor is ready" not in (line := node.stdout.readline()):
            if not line:
                sys.exit("the predictor ended before it was ready")
        memory = psutil.Process(node.pid).memory_info
        before_mb = memory().rss / 1e6
        load = [sys.executable, str(HERE / "camera_load.py"), "raw", str(rate_hz), str(seconds), size]
        camera = subprocess.Popen(load, env=environment | {"PYTHONPATH": str(HERE.parent)})
        used_mb = []
        while camera.poll() is None:
            used_mb.append(memory().rss / 1e6)
            time.sleep(0.1)
        node.send_signal(signal.SIGINT)
        counts = node.communicate()[0].strip().splitlines()[-1]
        if camera.returncode:
            sys.exit("the camera of this benchmark ended with an error, see above")
        return before_mb, float(np.median(used_mb[len(used_mb) // 2 :])), counts


def main() -> None:
    """Print one row per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["1920x1080", "3840x2160"], help="of the camera's frames, px")
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera, Hz (default: 30)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run with a node; 0 = only the buffer")
    parser.add_argument("--root", type=Path, default=HERE.parent, help="checkout whose code is measured")
    options = parser.parse_args()
    sys.path.insert(0, str(options.root.resolve()))
    import gaze_vlm_ros.faces  # noqa: F401, I001  # from there, before a benchmark takes it from beside itself
    from predictor_node import random_checkpoint

    print(f"{'frames':>10}{'buffer':>10}{'node, ready':>14}{'with camera':>14}   the node's counts")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_checkpoint(Path(folder), "small")
        for size in options.sizes:
            width, height = map(int, size.split("x"))
            buffer_mb = held_mb(checkpoint, (width, height), options.rate)
            row = f"{size:>10}{buffer_mb:>7.0f} MB"
            if options.seconds:
                ready_mb, used_mb, counts = node_mb(
                    checkpoint, size, options.rate, options.seconds, options.root.resolve()
                )
                row += f"{ready_mb:>11.0f} MB{used_mb:>11.0f} MB   {counts}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
