"""LeRobot's own reader on what we write; only where LeRobot 0.6 or newer is installed (it needs CPython 3.12)."""

from pathlib import Path

import numpy as np
import pytest
from small_bags import write_small_bag

from gaze_vlm_ros.exporters.lerobot import export_lerobot


def test_the_release_loads_pictures_gaze_and_subtasks(tmp_path: Path) -> None:
    pytest.importorskip("lerobot", minversion="0.6")
    from lerobot.datasets.language_render import active_at
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    bags = [write_small_bag(tmp_path / f"s{seed}", seed, takes=3) for seed in range(2)]
    export_lerobot(bags, tmp_path / "set")
    dataset = LeRobotDataset("local/bench", root=tmp_path / "set", video_backend="pyav")
    assert (len(dataset), dataset.num_episodes) == (180, 2)
    assert dataset.meta.has_language_columns
    for index in range(len(dataset)):
        row = dataset[index]
        active = active_at(float(row["timestamp"]), persistent=row["language_persistent"], style="subtask")
        assert active["content"] == row["task"]
        assert row["observation.images.scene"].shape == (3, 64, 96)
        assert np.isfinite(np.asarray(row["observation.gaze"])).all()
