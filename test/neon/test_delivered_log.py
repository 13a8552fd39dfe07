"""The account of delivered samples, in memory and in its file."""

import json
from pathlib import Path

from gaze_vlm_ros.neon.delivered_log import DeliveredLog


def test_stamps_and_counts_are_written(tmp_path: Path) -> None:
    log = DeliveredLog(("gaze", "imu"), str(tmp_path / "log.json"))
    log.add("gaze", 10, 110)
    log.add("gaze", 15, 115)
    log.write(refused=3, dropped=2, losses={"gaze": {"packets lost": 1}})
    assert log.counts == {"gaze": 2, "imu": 0}
    assert json.loads((tmp_path / "log.json").read_text()) == {
        "streams": {
            "gaze": {"device_ns": [10, 15], "header_ns": [110, 115]},
            "imu": {"device_ns": [], "header_ns": []},
        },
        "refused": 3,
        "dropped": 2,
        "losses": {"gaze": {"packets lost": 1}},
    }


def test_without_a_file_it_only_counts() -> None:
    log = DeliveredLog(("gaze",))
    log.add("gaze", 10, 110)
    log.write(refused=0, dropped=0, losses={})
    assert log.counts == {"gaze": 1}
