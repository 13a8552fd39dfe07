"""The recorder under kills, a full disk and rivals; what it wrote is counted from the bag by the samples' numbers."""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from recorder_runs import reported_written
from ros_processes import finish, isolated_environment, remove_leftovers, start, start_node, stop, wait_for_bytes

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.recover import recover
from gaze_vlm_ros.session.session import load_session

SOURCE = str(Path(__file__).with_name("camera_and_gaze.py"))


def gaze_numbers(bag: Path) -> np.ndarray:
    gaze = load_session(bag).gaze
    assert gaze is not None
    return gaze.xy[:, 0].astype(int)


def found_by_mcap(file: Path) -> int:
    """Gaze messages that mcap's own reader meets before the cut end stops it."""
    found = 0
    channel_id = None
    with file.open("rb") as stream, contextlib.suppress(McapError, struct.error):
        for record in StreamReader(stream).records:
            if isinstance(record, Channel) and record.topic == "/gaze":
                channel_id = record.id
            found += isinstance(record, Message) and record.channel_id == channel_id
    return found


def test_a_kill_at_any_moment_costs_what_was_not_flushed(tmp_path: Path) -> None:
    """kill -9 at 20 random moments: what is recovered has no hole, and all that was said to be written.

    The messages are so few and small that without flushes nothing would be written for ten seconds.
    """
    rng = random.Random(0)
    said, saved = [], []
    for first in range(0, 20, 4):
        # A killed node leaves a lock that the next node of its domain may wait for: each four have a domain of their
        # own, and all of them write before the first is killed.
        environment = isolated_environment()
        folders = [tmp_path / f"bag_{number:02d}" for number in range(first, first + 4)]
        source = start([sys.executable, SOURCE, "600", "--black"], environment)
        try:
            recorders = [
                start_node("recorder", {"bag": str(folder), "flush_s": 0.2}, environment, tmp_path)
                for folder in folders
            ]
            written = [next(filter(None, map(reported_written, recorder.stdout or ())), 0) for recorder in recorders]
            for folder, recorder, before in zip(folders, recorders, written, strict=True):
                time.sleep(rng.uniform(0.0, 1.2))
                recorder.kill()
                rest, _ = recorder.communicate()
                said.append(max([before, *map(reported_written, rest.splitlines())]))
                in_file = found_by_mcap(folder / f"{folder.name}_0.mcap")
                numbers = gaze_numbers(recover(folder).folder)
                np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
                saved.append(len(numbers))
                assert saved[-1] >= max(said[-1], in_file), (folder, said[-1], in_file)
        finally:
            stop(source)
            remove_leftovers(environment)
    assert len(saved) == 20
    assert min(said) > 0


def test_a_terminal_that_is_held_holds_up_nothing(tmp_path: Path) -> None:
    """As after Ctrl-S: nobody reads what it prints, and a pipe of 4 kB is full after some lines."""
    environment = isolated_environment()
    folder = tmp_path / "bag"
    parameters = {"bag": str(folder), "report_s": 0.1, "stop_when_silent_s": 4.0}
    recorder = start_node("recorder", parameters, environment, tmp_path)
    assert recorder.stdout is not None
    fcntl.fcntl(recorder.stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)
    source = start([sys.executable, SOURCE, "5"], environment)
    assert finish(source)[0] == 0
    assert recorder.wait(60) == 0
    assert recorder.stdout.buffer.raw.read(8192).count(b"\n") < 40  # of 90 reports: it was full indeed
    np.testing.assert_array_equal(gaze_numbers(folder), np.arange(1000))


def test_two_recorders_on_one_path(tmp_path: Path) -> None:
    environment = isolated_environment()
    folder = tmp_path / "bag"
    source = start([sys.executable, SOURCE, "60"], environment)
    rivals = [
        start_node("recorder", {"bag": str(folder), "stop_when_silent_s": 20.0}, environment, tmp_path)
        for _ in range(2)
    ]
    deadline = time.monotonic() + 200
    while all(rival.poll() is None for rival in rivals) and time.monotonic() < deadline:
        time.sleep(0.05)
    loser = next(rival for rival in rivals if rival.poll() is not None)
    (winner,) = (rival for rival in rivals if rival is not loser)
    code, output = finish(loser)
    assert code == 1
    assert "exists already, and bags are never overwritten" in output
    wait_for_bytes(folder / "bag_0.mcap", 500_000)
    winner.send_signal(signal.SIGINT)
    code, output = finish(winner)
    stop(source)
    assert code == 0, output
    numbers = gaze_numbers(folder)
    np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system takes root")
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def recorded_until_the_end(folder: Path, tmp_path: Path, **parameters: float) -> tuple[int, str]:
    """Exit code and output of a recorder that ends by itself; JPEG images fill 64 MB in some seconds."""
    environment = isolated_environment()
    recorder = start_node("recorder", {"bag": str(folder), **parameters}, environment, tmp_path)
    source = start([sys.executable, SOURCE, "60"], environment)
    code, output = finish(recorder)
    stop(source)
    assert "Traceback" not in output, output
    return code, output


def test_a_disk_that_runs_low_ends_the_recording_and_the_bag_is_whole(small_disk: Path, tmp_path: Path) -> None:
    folder = small_disk / "bag"
    # A look comes each 0.1 s; to fill the last 40 MB takes seconds.
    code, output = recorded_until_the_end(folder, tmp_path, min_free_mb=40.0, report_s=0.1)
    assert code == 1
    (error,) = [line for line in output.splitlines() if "recorder: error:" in line]
    assert "less than min_free_mb, 40; recording ends here, and what was recorded is whole" in error
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
