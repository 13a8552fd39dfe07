"""The recorder under kills, a full disk and rivals; what it wrote is counted from the bag by the samples' numbers."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ros_processes import finish, isolated_environment, remove_leftovers, start, start_node, stop

from gaze_vlm_ros.bag_reader import open_bag
from gaze_vlm_ros.bag_recover import recover
from gaze_vlm_ros.session import load_session

SOURCE = str(Path(__file__).with_name("camera_and_gaze.py"))
FLUSH_S = 0.2


def gaze_numbers(bag: Path) -> np.ndarray:
    gaze = load_session(bag).gaze
    assert gaze is not None
    return gaze.xy[:, 0].astype(int)


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying {text!r}")


def test_a_kill_at_any_moment_costs_what_was_not_flushed(tmp_path: Path) -> None:
    """kill -9 at 20 random moments: what is recovered has no hole, and ends with what the last flush had."""
    rng = random.Random(0)
    environment = isolated_environment()
    source = start([sys.executable, SOURCE, "600"], environment)
    lost_s = []
    try:
        for first in range(0, 20, 4):
            folders = [tmp_path / f"bag_{number:02d}" for number in range(first, first + 4)]
            recorders = [
                start_node("recorder", {"bag": str(folder), "flush_s": FLUSH_S}, environment, tmp_path)
                for folder in folders
            ]
            for folder, recorder in zip(folders, recorders, strict=True):
                wait_for_line(recorder, " Hz, ")  # the first second with messages
                time.sleep(rng.uniform(0.0, 0.7))
                recorder.kill()
                recorder.wait()
                killed_s = time.time()
                recovered = recover(folder).folder
                numbers = gaze_numbers(recovered)
                np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
                with open_bag(recovered) as bag:
                    lost_s.append(killed_s - max(bag.log_times_ns("/gaze")) / 1e9)
    finally:
        stop(source)
        remove_leftovers(environment)
    assert len(lost_s) == 20
    # On top of the flush period: the flush itself, and the time between the kill and its note on a busy machine.
    assert max(lost_s) < FLUSH_S + 0.8, lost_s


def test_two_recorders_on_one_path(tmp_path: Path) -> None:
    environment = isolated_environment()
    folder = tmp_path / "bag"
    source = start([sys.executable, SOURCE, "60"], environment)
    rivals = [
        start_node("recorder", {"bag": str(folder), "stop_when_silent_s": 2.0}, environment, tmp_path) for _ in range(2)
    ]
    deadline = time.monotonic() + 30
    while all(rival.poll() is None for rival in rivals) and time.monotonic() < deadline:
        time.sleep(0.05)
    loser = next(rival for rival in rivals if rival.poll() is not None)
    (winner,) = (rival for rival in rivals if rival is not loser)
    code, output = finish(loser)
    assert code == 1
    assert "exists already, and bags are never overwritten" in output
    time.sleep(1.0)
    winner.send_signal(signal.SIGINT)
    code, output = finish(winner, 20)
    stop(source)
    assert code == 0, output
    numbers = gaze_numbers(folder)
    np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system takes root")
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def recorded_until_the_end(folder: Path, tmp_path: Path, **parameters: float) -> tuple[int, str]:
    """Exit code and output of a recorder that ends by itself; raw images fill 24 MB in a second."""
    environment = isolated_environment()
    recorder = start_node(
        "recorder", {"bag": str(folder), "camera_topic": "camera/image_raw", **parameters}, environment, tmp_path
    )
    source = start([sys.executable, SOURCE, "60", "--raw"], environment)
    code, output = finish(recorder, 40)
    stop(source)
    assert "Traceback" not in output, output
    return code, output


def test_a_disk_that_runs_low_ends_the_recording_and_the_bag_is_whole(small_disk: Path, tmp_path: Path) -> None:
    folder = small_disk / "bag"
    # With 0.1 s between looks, and 28 MB/s, a look comes while there are still some of the last 12 MB.
    code, output = recorded_until_the_end(folder, tmp_path, min_free_mb=12.0, report_s=0.1)
    assert code == 1
    (error,) = [line for line in output.splitlines() if "recorder: error:" in line]
    assert "less than min_free_mb, 12; recording ends here, and what was recorded is whole" in error
    numbers = gaze_numbers(folder)
    np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
    with open_bag(folder) as bag:
        assert bag.totals["/gaze"].written == len(numbers)
        assert bag.totals["/gaze"].lost == 0
    assert (folder / "metadata.yaml").is_file()


def test_too_little_room_to_begin_leaves_nothing_behind(small_disk: Path, tmp_path: Path) -> None:
    code, output = recorded_until_the_end(small_disk / "bag", tmp_path, min_free_mb=100.0)
    assert code == 1
    (error,) = [line for line in output.splitlines() if "recorder: error:" in line]
    assert "MB are free where" in error
    assert "expected at least 100 (min_free_mb)" in error
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_is_full_all_at_once_is_an_error_and_the_bag_recovers(small_disk: Path, tmp_path: Path) -> None:
    folder = small_disk / "bag"
    code, output = recorded_until_the_end(folder, tmp_path, min_free_mb=0.0)
    assert code == 1
    assert any("No space left on device" in line for line in output.splitlines()), output
    recovered = recover(folder, tmp_path / "recovered").folder
    numbers = gaze_numbers(recovered)
    np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 50
