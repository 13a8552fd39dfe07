"""The recorder over real DDS, in processes of its own; what it wrote is counted from the bag."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from recorder_runs import wait_for_gaze
from ros_processes import finish, isolated_environment, start, start_node, stop

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.session.session import load_session

SOURCE = str(Path(__file__).with_name("camera_and_gaze.py"))


@pytest.mark.parametrize("camera", ["compressed", "raw"])
def test_everything_published_is_in_the_bag(tmp_path: Path, camera: str) -> None:
    environment = isolated_environment()
    folder = tmp_path / "bag"
    parameters = {"bag": str(folder), "person": "p7", "task": "tidy", "scene": "s", "stop_when_silent_s": 4.0}
    if camera == "raw":
        parameters["camera_topic"] = "camera/image_raw"
    recorder = start_node("recorder", parameters, environment, tmp_path)
    source = start([sys.executable, SOURCE, "3", *(["--raw"] if camera == "raw" else [])], environment)
    code, output = finish(recorder)
    assert finish(source)[0] == 0
    assert code == 0, output
    session = load_session(folder)
    assert session.gaze is not None
    assert session.labels is not None
    np.testing.assert_array_equal(session.gaze.xy[:, 0], np.arange(600))
    assert len(session.frames) == 86
    assert session.frames.rgb(85).shape == (480, 640, 3)
    assert session.labels.texts == ["action 0", "action 1", "action 2"]
    assert (session.person, session.task, session.name) == ("p7", "tidy", "bag")
    assert session.gaze.stamps_ns[-1] == 1_700_000_000_000_000_000 + 599 * 5_000_000
    with open_bag(folder) as bag:
        totals = bag.totals["/gaze"]
        assert (totals.received, totals.written, totals.lost) == (600, 600, 0)
        # Arrival is kept beside acquisition: the source's stamps are years old.
        assert bag.read("/gaze").arrivals_ns[0] > bag.read("/gaze").stamps_ns[0] + 9 * 10**16
    assert "/gaze" in output
    assert "600" in output


def test_two_publishers_of_a_topic_lose_nothing_that_was_not_lost(tmp_path: Path) -> None:
    """Each numbers its own messages; where ROS does not distinguish them (Jazzy), none is said to be lost."""
    environment = isolated_environment()
    folder = tmp_path / "bag"
    recorder = start_node("recorder", {"bag": str(folder), "stop_when_silent_s": 4.0}, environment, tmp_path)
    first = start([sys.executable, SOURCE, "6"], environment)
    wait_for_gaze(recorder, 100)  # the numbers of the second lie far below those of the first
    second = start([sys.executable, SOURCE, "3"], environment)
    code, output = finish(recorder)
    assert finish(first)[0] == finish(second)[0] == 0
    assert code == 0, output
    assert "were lost" not in output
    with open_bag(folder) as bag:
        totals = bag.totals["/gaze"]
        assert (totals.written, totals.lost) == (len(bag.read("/gaze")), 0)
        assert totals.written > 1200
        assert totals.lost_is_known or "unknown of" in output


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_bag(tmp_path: Path, signal_number: int) -> None:
    environment = isolated_environment()
    folder = tmp_path / "bag"
    recorder = start_node("recorder", {"bag": str(folder)}, environment, tmp_path)
    source = start([sys.executable, SOURCE, "30"], environment)
    wait_for_gaze(recorder, 20)
    recorder.send_signal(signal_number)
    code, output = finish(recorder)
    stop(source)
    assert code == 0, output
    assert "closed" in output
    session = load_session(folder)
    assert session.gaze is not None
    numbers = session.gaze.xy[:, 0].astype(int)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))  # no hole up to the signal
    assert len(numbers) > 20


def refusal(tmp_path: Path, parameters: dict[str, object], *source_arguments: str) -> str:
    """What the recorder says when it refuses; one line, and no bag."""
    environment = isolated_environment()
    recorder = start_node("recorder", parameters, environment, tmp_path)
    source = start([sys.executable, SOURCE, *source_arguments], environment) if source_arguments else None
    code, output = finish(recorder)
    if source:
        stop(source)
    assert code == 1
    assert "Traceback" not in output
    errors = [line for line in output.splitlines() if "recorder: error:" in line]
    assert len(errors) == 1, output
    return errors[0]


def test_a_missing_topic_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    error = refusal(tmp_path, {"bag": str(folder), "wait_s": 1.0})
    assert "/camera/image_raw/compressed, /gaze" in error
    assert not folder.exists()


def test_topics_that_stay_silent_are_named(tmp_path: Path) -> None:
    """As a driver does that announces its topics and finds no device."""
    folder = tmp_path / "bag"
    error = refusal(tmp_path, {"bag": str(folder), "wait_s": 15.0}, "600", "--silent")
    assert "no message came on /camera/image_raw/compressed, /gaze within 15 s" in error
    assert not folder.exists()


def test_a_topic_that_is_no_camera_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    error = refusal(tmp_path, {"bag": str(folder)}, "5", "--wrong-type")
    assert "/camera/image_raw/compressed carries std_msgs/msg/String" in error
    assert "sensor_msgs/msg/CompressedImage" in error
    assert not folder.exists()


def test_points_of_another_tracker_are_gaze_once_they_are_explained(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    error = refusal(tmp_path, {"bag": str(folder)}, "2", "--points")
    assert "/gaze carries geometry_msgs/msg/PointStamped, and parameter gaze_coordinates is ''" in error
    assert "normalized_bottom_left" in error
    assert not folder.exists()
    environment = isolated_environment()
    parameters = {"bag": str(folder), "gaze_coordinates": "normalized_bottom_left", "stop_when_silent_s": 4.0}
    recorder = start_node("recorder", parameters, environment, tmp_path)
    source = start([sys.executable, SOURCE, "2", "--points"], environment)
    code, output = finish(recorder)
    assert finish(source)[0] == 0
    assert code == 0, output
    gaze = load_session(folder).gaze
    assert gaze is not None
    np.testing.assert_allclose(gaze.xy, np.stack([np.arange(400), np.full(400, 360.0)], axis=1))
    assert gaze.image_size == (640, 480)


def test_an_existing_bag_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    (folder / "precious.mcap").write_text("data")
    assert "exists already" in refusal(tmp_path, {"bag": str(folder)})
    assert (folder / "precious.mcap").read_text() == "data"
    assert [path.name for path in folder.iterdir()] == ["precious.mcap"]


def test_no_place_to_write_is_named(tmp_path: Path) -> None:
    assert "parameter bag is empty" in refusal(tmp_path, {})
