"""Coded video over real DDS into a bag, byte for byte."""

import sys
from pathlib import Path

import numpy as np
import pytest
from foxglove_package import build_foxglove_msgs, with_package
from ros_processes import finish, isolated_environment, start, start_node, stop
from video_bags import VIDEO, decode, encode, pictures

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.session.session import load_session

SOURCE = str(Path(__file__).with_name("video_camera.py"))


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_foxglove_msgs(tmp_path_factory.mktemp("foxglove_msgs"))


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    return encode(pictures(60, (640, 480)), gop=15)


def start_camera(packets: list[bytes], environment: dict[str, str], folder: Path):
    np.savez(folder / "packets.npz", *(np.frombuffer(packet, np.uint8) for packet in packets))
    return start([sys.executable, SOURCE, str(folder / "packets.npz")], environment)


def test_video_is_recorded_undecoded_and_read_back(tmp_path: Path, install: Path, packets: list[bytes]) -> None:
    environment = with_package(isolated_environment(), install)
    parameters = {
        "bag": str(tmp_path / "bag"), "camera_topic": "camera/video", "gaze_topic": "", "stop_when_silent_s": 4.0
    }  # fmt: skip
    recorder = start_node("recorder", parameters, environment, tmp_path)
    camera = start_camera(packets, environment, tmp_path)
    code, output = finish(recorder)
    assert finish(camera)[0] == 0
    assert code == 0, output
    with open_bag(tmp_path / "bag") as bag:
        assert bag.topics["/camera/video"].type_name == VIDEO
        assert [bag.read("/camera/video").message(i).data.tobytes() for i in range(60)] == packets
        assert bag.totals["/camera/video"].lost == 0
    session = load_session(tmp_path / "bag")
    np.testing.assert_array_equal(session.frames.stamps_ns, 1_700_000_000_000_000_000 + np.arange(60) * 33_000_000)
    for index, expected in enumerate(decode(packets)):
        np.testing.assert_array_equal(session.frames.rgb(index), expected)
    (row,) = [line for line in output.splitlines() if line.startswith("/camera/video ")]
    assert row.split()[1:] == ["60", "60", "0", "0.033", "s"]  # the longest gap is that of its stamps


def test_a_type_that_is_not_installed_is_one_line(tmp_path: Path, install: Path, packets: list[bytes]) -> None:
    environment = isolated_environment()
    recorder = start_node(
        "recorder",
        {"bag": str(tmp_path / "bag"), "camera_topic": "camera/video", "gaze_topic": ""},
        environment,
        tmp_path,
    )
    camera = start_camera(packets, with_package(environment, install), tmp_path)
    code, output = finish(recorder)
    stop(camera)
    assert code == 1
    errors = [line for line in output.splitlines() if "error" in line]
    assert len(errors) == 1, output
    assert f"message type {VIDEO} is not known" in errors[0]
    assert "source the workspace that has it" in errors[0]
    assert not (tmp_path / "bag").exists()
