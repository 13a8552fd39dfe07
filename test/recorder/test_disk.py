from pathlib import Path

import pytest

from gaze_vlm_ros.recorder.disk import DiskFull, free_disk_bytes, require_free_disk


def test_a_folder_that_is_not_there_yet_has_the_room_of_its_disk(tmp_path: Path) -> None:
    assert free_disk_bytes(tmp_path / "a/b/c") > 0


def test_too_little_room_is_refused(tmp_path: Path) -> None:
    require_free_disk(tmp_path / "bag", 1.0)
    with pytest.raises(DiskFull, match=r"MB are free where .*bag is to be written, expected at least 1000000000000 "):
        require_free_disk(tmp_path / "bag", 1e18)
