"""Ten minutes of one recording: every sample is in the bag, and the recorder does not grow."""

import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from ros_processes import finish, isolated_environment, start, start_node, wait_for_bytes

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.session.session import load_session

pytestmark = pytest.mark.soak
SECONDS = round(600 * float(os.environ.get("SOAK_SCALE", "1")))
SOURCE = str(Path(__file__).parents[1] / "nodes" / "camera_and_gaze.py")


def test_ten_minutes_are_recorded_without_a_loss(tmp_path: Path) -> None:
    environment, folder = isolated_environment(), tmp_path / "bag"
    recorder = start_node("recorder", {"bag": str(folder), "stop_when_silent_s": 10.0}, environment, tmp_path)
    source = start([sys.executable, SOURCE, str(SECONDS)], environment)
    wait_for_bytes(folder / "bag_0.mcap", 2_000_000)
    before_mb = psutil.Process(recorder.pid).memory_info().rss / 1e6
    code, said = finish(source, SECONDS * 3 + 60)
    assert code == 0, said
    after_mb = psutil.Process(recorder.pid).memory_info().rss / 1e6
    code, output = finish(recorder, 120)
    assert code == 0, output
    gaze = load_session(folder).gaze
    assert gaze is not None
    np.testing.assert_array_equal(gaze.xy[:, 0], np.arange(SECONDS * 200))
    with open_bag(folder) as bag:
        lost = {topic: total.lost for topic, total in bag.totals.items()}
        assert set(lost.values()) == {0}, lost
        # An index entry per message is all that may be kept: 64 bytes each.
        allowed_mb = 10 + 64e-6 * sum(total.written for total in bag.totals.values())
    print(f"{SECONDS} s recorded; memory {before_mb:.1f} MB at the start, {after_mb:.1f} MB at the end")
    assert after_mb - before_mb < allowed_mb
