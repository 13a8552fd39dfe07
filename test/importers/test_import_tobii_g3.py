import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from recordings import SIZE, TOBII_CREATED_NS, grey, write_mp4, write_tobii_g3

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.plausible import WrongUnit
from gaze_vlm_ros.importers.tobii_g3 import BadRecording, OtherSize
from gaze_vlm_ros.importers.video import BadVideo, TurnedVideo, VideoTooShort
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "20260517T141248Z").mkdir()
    return write_tobii_g3(tmp_path / "20260517T141248Z")


def test_all_of_a_recording(folder: Path, tmp_path: Path) -> None:
    summary = import_recording("tobii-g3", folder, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    gaze = session.gaze
    assert gaze is not None
    assert (gaze.stamps_ns - TOBII_CREATED_NS).tolist() == [round((0.0123 + n / 50) * 1e9) for n in range(145)]
    assert (session.frames.stamps_ns - TOBII_CREATED_NS).tolist() == [n * 40_000_000 for n in range(75)]
    expected = np.array([((0.25 + n / 1000) * SIZE[0], 0.75 * SIZE[1]) for n in range(145)])
    expected[10] = np.nan
    np.testing.assert_allclose(gaze.xy, expected)
    assert gaze.image_size == SIZE
    assert (session.name, session.person) == ("kitchen 1", "Ada")
    assert (session.metadata["tracker"], session.metadata["tracker_serial"]) == ("Tobii Pro Glasses 3", "TG03B-1")
    with open_bag(tmp_path / "bag") as bag:
        messages = list(bag.read("/gaze").messages())
        info = bag.read("/camera/camera_info").message(0)
    assert (messages[0].pupil_diameter_left, messages[0].pupil_diameter_right) == (3.0, 2.5)
    assert messages[40].vergence_distance == pytest.approx(0.64)
    assert np.isnan([messages[10].pupil_diameter_left, messages[20].pupil_diameter_right]).all()
    assert np.isnan(messages[20].vergence_distance)
    assert messages[0].device_stamp.nanosec == 12_300_000
    assert info.k.tolist() == [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]
    assert info.d.tolist() == [-0.1, 0.2, 0.01, 0.02, 0.3]
    assert summary.left_out == {"rows of gazedata.gz that are no gaze": 1}


def test_bad_recordings_are_one_line(folder: Path, tmp_path: Path) -> None:
    gaze, about = folder / "gazedata.gz", folder / "recording.g3"
    whole, described = gaze.read_bytes(), about.read_text()

    def refused(error: type[Exception], line: str) -> None:
        with pytest.raises(error, match=line) as raised:
            import_recording("tobii-g3", folder, tmp_path / "bag", progress=False)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "bag").exists()

    def gaze_of(change: object) -> None:
        text = gzip.decompress(whole).decode()
        gaze.write_bytes(gzip.compress(change(text).encode()))  # type: ignore[operator]

    gaze.write_bytes(whole[:-200])
    refused(BadRow, "is cut or damaged after line")
    gaze.write_bytes(b"")
    refused(BadRow, "holds no gaze sample")
    gaze_of(lambda text: "")
    refused(BadRow, "holds no gaze sample")
    gaze_of(lambda text: text.replace('"timestamp"', '"ts"'))
    refused(BadRow, r"line 1: KeyError: 'timestamp'; expected one JSON object a line")
    gaze_of(lambda text: text[:-40])
    refused(BadRow, r"line 146: JSONDecodeError")
    gaze_of(lambda text: text.replace('"gaze2d": [0.', '"gaze2d": [900.'))
    refused(WrongUnit, "is off the 64x48 picture")
    gaze.unlink()
    refused(FileMissing, r"gazedata\.gz is missing: expected gaze of the recording")
    gaze.write_bytes(whole)
    for change, error, line in (
        (lambda entry: entry.pop("scenecamera"), BadRecording, "has no scenecamera"),
        (lambda entry: entry.update(created="yesterday"), BadRecording, "created is 'yesterday'"),
        (lambda entry: entry["scenecamera"]["camera-calibration"].update(resolution=[1920, 1080]), OtherSize,
         "is of 1920x1080 px, the video of 64x48"),
        (lambda entry: entry["scenecamera"]["camera-calibration"].pop("focal-length"), BadRecording,
         "camera-calibration cannot be read"),
    ):  # fmt: skip
        entry = json.loads(described)
        change(entry)
        about.write_text(json.dumps(entry))
        refused(error, line)
    about.write_text("{")
    refused(BadRecording, "cannot be read as JSON")
    about.unlink()
    refused(FileMissing, r"recording\.g3 is missing")
    about.write_text(described)
    write_mp4(folder / "scenevideo.mp4", [grey(i) for i in range(10)], rate=25)
    refused(VideoTooShort, "its gaze samples continue to 2.")
    write_mp4(folder / "scenevideo.mp4", [grey(i) for i in range(75)], rate=25, turned=90)
    refused(TurnedVideo, "degrees for display")
    (folder / "scenevideo.mp4").write_bytes(b"no video")
    refused(BadVideo, "cannot be read as a video")


def test_a_recording_without_calibration_has_no_camera_info_and_says_so(folder: Path, tmp_path: Path) -> None:
    entry = json.loads((folder / "recording.g3").read_text())
    del entry["scenecamera"]["camera-calibration"], entry["created"]
    (folder / "recording.g3").write_text(json.dumps(entry))
    summary = import_recording("tobii-g3", folder, tmp_path / "bag", progress=False)
    assert summary.left_out["calibration of the scene camera: recording.g3 has none"] == 1
    with open_bag(tmp_path / "bag") as bag:
        assert "/camera/camera_info" not in bag.topics
    assert load_session(tmp_path / "bag").frames.stamps_ns[0] == 86_400 * 10**9
