"""Thirty minutes of one predictor: fresh answers throughout, and neither memory nor threads grow."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest
from ros_processes import finish, isolated_environment, start, start_node
from small_bags import TAKE_S, write_small_bag

pytestmark = pytest.mark.soak
SECONDS = round(1800 * float(os.environ.get("SOAK_SCALE", "1")))
SOURCE = str(Path(__file__).parents[1] / "nodes" / "camera_and_planner.py")
OK, ABSTAIN = 0, 1


def test_half_an_hour_of_predictions(small_checkpoint: Path, tmp_path: Path) -> None:
    bag = write_small_bag(tmp_path / "bag", 3, takes=round(SECONDS / TAKE_S) + 1)
    environment = isolated_environment()
    predictor = start_node("predictor", {"checkpoint": str(small_checkpoint), "rate_hz": 5.0}, environment, tmp_path)
    phases = json.dumps([("show", float(SECONDS))])
    planner = start([sys.executable, SOURCE, str(bag), str(tmp_path / "noted.json"), phases], environment)
    process, memory_mb, threads = psutil.Process(predictor.pid), [], []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(max(1.0, SECONDS / 180)):
            memory_mb.append(process.memory_info().rss / 1e6)
            threads.append(process.num_threads())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        code, said = finish(planner, SECONDS * 3 + 120)
    finally:
        ended.set()
        watcher.join()
    assert code == 0, said
    predictor.send_signal(signal.SIGINT)
    code, output = finish(predictor)
    assert code == 0, output
    predictions = json.loads((tmp_path / "noted.json").read_text())["predictions"]
    first = next(number for number, each in enumerate(predictions) if each["status"] == OK)
    assert {each["status"] for each in predictions[first:]} <= {OK, ABSTAIN}
    assert all(each["received_ns"] <= each["valid_until_ns"] for each in predictions[first:])
    stamps = [each["stamp_ns"] for each in predictions[first:]]
    assert stamps == sorted(stamps)
    # The first third fills caches.
    third = len(memory_mb) // 3
    print(f"{len(predictions)} predictions in {SECONDS} s; memory {memory_mb[third]:.1f} to {memory_mb[-1]:.1f} MB")
    assert memory_mb[-1] - memory_mb[third] < 10, memory_mb
    assert threads[-1] <= max(threads[: third + 1])
