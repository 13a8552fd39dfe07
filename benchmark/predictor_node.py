"""Measure the predictor as a planner sees it, over DDS: latency from camera stamp to prediction received.

python benchmark/predictor_node.py [--checkpoint FOLDER] [--seconds 30] [--minutes 30] [--json FILE]

First a 30 Hz camera and a node that predicts as often as it can: ours and the plain one (processor and `generate` in
the callback, queue of 10) in turn, with the same model. Then a camera of half the rate that was reached, which shows
what the node adds to the model's own time. With --minutes, overload: a 30 Hz camera, and twice the rate that was
reached; prints the age of what is published and the memory of the process.

Without --checkpoint the model is `medium` of prediction.py, with random weights. Needs ROS (`make setup`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from prediction import FRAME_PX, FRAMES, LABELS, QUESTION, SIZES, labels

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.labels.label_set import label_set_id
from gaze_vlm_ros.nodes.child_processes import private_ros_environment
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, write_checkpoint_metadata
from gaze_vlm_ros.vlm.loading import load_vlm

HERE = Path(__file__).resolve().parent
CAMERA_HZ = 30.0
OBSERVATION_S = 3.0  # fit.py's default
PERCENTILES = (50, 95, 99)
OK = 0


def random_checkpoint(folder: Path, size: str = "medium") -> Path:
    """Write a checkpoint with random weights of a model of prediction.py."""
    texts = tuple(labels(LABELS))
    model, processor = load_vlm("tiny:smolvlm", texts=[QUESTION, *texts], seed=0, **SIZES[size])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    metadata = CheckpointMetadata(
        question=QUESTION, labels=texts, verbs=("",) * LABELS, object_classes=("",) * LABELS,
        label_set_id=label_set_id(texts), task="future", frames=FRAMES, observation_s=OBSERVATION_S, horizon_s=2.0,
        frame_size=FRAME_PX, base_model="tiny:smolvlm", model_id="random", revision="", data_hash="", gaze_use="none",
        score_kind="uncalibrated", temperature=1.0, trained_on=(),
    )  # fmt: skip
    write_checkpoint_metadata(folder, metadata)
    return folder


def run(node: str, checkpoint: Path, camera_hz: float, rate_hz: float, seconds: float, threads: int) -> dict[str, Any]:
    """Run a node, "ours" or "plain". Return what a planner received, and the node's memory each second (MB)."""
    environment = private_ros_environment(threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if node == "ours":
            parameters = {"checkpoint": str(checkpoint), "rate_hz": rate_hz, "threads": threads, "device": "cpu"}
            file = folder / "parameters.yaml"
            file.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
            command = [sys.executable, "-m", "gaze_vlm_ros.nodes.predictor", "--ros-args", "--params-file", str(file)]
        else:
            command = [sys.executable, str(HERE / "plain_predictor.py"), str(checkpoint)]
        log = (folder / "log.txt").open("w")
        predictor = subprocess.Popen(
            command, env=environment | {"PYTHONPATH": str(HERE.parent)}, stdout=log, stderr=subprocess.STDOUT
        )
        out = folder / "noted.json"
        arguments = [str(HERE / "robot_load.py"), str(camera_hz), str(seconds), str(out)]
        robot = subprocess.Popen([sys.executable, *arguments], env=environment | {"PYTHONPATH": str(HERE.parent)})
        memory_mb = []
        while robot.poll() is None:
            if predictor.poll() is not None:
                robot.kill()
                sys.exit(f"the {node} node ended: {(folder / 'log.txt').read_text()[-500:]}")
            pages = int(Path(f"/proc/{predictor.pid}/statm").read_text().split()[1])
            memory_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
            time.sleep(1.0)
        predictor.send_signal(signal.SIGINT)
        predictor.wait()
        if robot.returncode:
            sys.exit("the camera of this benchmark ended with an error, see above")
        return json.loads(out.read_text()) | {"memory_mb": memory_mb}


def first_messages(noted: dict[str, Any]) -> list[dict[str, Any]]:
    """The first message of each answer, without those that repeat it."""
    seen: dict[str, dict[str, Any]] = {}
    for message in noted["predictions"]:
        if message["status"] == OK:
            seen.setdefault(message["id"], message)
    return list(seen.values())


def age_ms(messages: Sequence[dict[str, Any]]) -> np.ndarray:
    """(N,) time from the stamp of the last frame to the arrival of the message, ms."""
    return np.array([message["received_ns"] - message["stamp_ns"] for message in messages]) / 1e6


def inference_ms(messages: Sequence[dict[str, Any]]) -> np.ndarray:
    """(N,) inference time of each message, ms."""
    return 1e3 * np.array([message["inference_s"] for message in messages])


def percentiles(values: np.ndarray) -> str:
    """Format p50 / p95 / p99."""
    return " / ".join(f"{value:.1f}" for value in np.percentile(values, PERCENTILES))


def overload(checkpoint: Path, minutes: float, reached_hz: float, threads: int) -> dict[str, Any]:
    """Print the age of answers and the memory over a long run at twice the rate that was reached."""
    noted = run("ours", checkpoint, CAMERA_HZ, 2 * reached_hz, 60 * minutes, threads)
    fresh = first_messages(noted)
    everything = [message for message in noted["predictions"] if message["status"] == OK]
    statuses = [status for status, _ in itertools.groupby(message["status"] for message in noted["predictions"])]
    median_ms = float(np.median(inference_ms(fresh)))
    print(f"\n{minutes:g} minutes at a requested rate of {2 * reached_hz:.1f} Hz, camera of {CAMERA_HZ:g} Hz")
    print(f"  {len(fresh)} answers, {len(everything) - len(fresh)} messages that repeat one; statuses {statuses}")
    print(f"  inference ms p50 / p95 / p99: {percentiles(inference_ms(fresh))}")
    for name, messages in (("answers", fresh), ("all messages", everything)):
        ages = age_ms(messages)
        p99 = float(np.percentile(ages, 99))
        print(
            f"  age of {name}, ms p50 / p95 / p99: {percentiles(ages)}; p99 is {p99 / median_ms:.2f} median inferences"
        )
    memory = noted["memory_mb"]
    tenths = [memory[len(memory) * n // 10] for n in range(1, 10)]
    print("  memory, MB, at each tenth of the time: " + ", ".join(f"{used:.0f}" for used in tenths))
    return {"age_ms": age_ms(fresh).tolist(), "inference_ms": inference_ms(fresh).tolist(), "memory_mb": memory}


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="folder written by training/fit.py (default: random weights)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement, s (default: 30)")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="length of the overload run, min (default: no such run)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the camera needs a core (default: 1)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = options.checkpoint or random_checkpoint(Path(temporary))
        print(f"camera {CAMERA_HZ:g} Hz, as many answers as possible; latency from camera stamp to message received")
        print(f"{'':>8}{'answers per second':>18}   latency ms p50 / p95 / p99   model ms p50 / p95 / p99")
        rates: dict[str, float] = {}
        for node in ("plain", "ours"):
            noted = run(node, checkpoint, CAMERA_HZ, 100.0, options.seconds, options.threads)
            answers = first_messages(noted)
            rates[node] = len(answers) / options.seconds
            latencies, model = percentiles(age_ms(answers)), percentiles(inference_ms(answers))
            print(f"{node:>8}{rates[node]:>18.1f}   {latencies:<26}   {model}", flush=True)
            figures[node] = {"age_ms": age_ms(answers).tolist(), "inference_ms": inference_ms(answers).tolist()}
        print(f"ours answers {rates['ours'] / rates['plain']:.1f} times as often")
        slow_hz = rates["ours"] / 2
        answers = first_messages(run("ours", checkpoint, slow_hz, 100.0, options.seconds, options.threads))
        added = age_ms(answers) - inference_ms(answers)
        print(
            f"camera {slow_hz:.1f} Hz: latency ms {percentiles(age_ms(answers))}, the node's part {percentiles(added)}"
        )
        figures["added_ms"] = added.tolist()
        if options.minutes:
            figures["overload"] = overload(checkpoint, options.minutes, rates["ours"], options.threads)
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
