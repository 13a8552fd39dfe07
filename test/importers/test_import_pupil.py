import json
import sys
from pathlib import Path

import numpy as np
import pytest
from recordings import SIZE, grey, write_cloud, write_mp4, write_pupil, write_pupil_export

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.plausible import WrongUnit
from gaze_vlm_ros.importers.pupil import BadRecording, FramesDiffer, NoMsgpack
from gaze_vlm_ros.importers.video import TurnedVideo
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, OutOfOrder, WrongColumns

pytest.importorskip("msgpack")
ZERO_NS = 1_779_000_000_500_000_000  # Unix time of 5000 s of the recording's clock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "000").mkdir()
    return write_pupil(tmp_path / "000")


def test_all_of_a_recording(folder: Path, tmp_path: Path) -> None:
    summary = import_recording("pupil", folder, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    gaze = session.gaze
    assert gaze is not None
    assert np.abs(gaze.stamps_ns - ZERO_NS - np.round((0.3 + np.arange(100) / 40) * 1e9)).max() <= 1000
    assert np.abs(session.frames.stamps_ns - ZERO_NS - np.round((0.25 + np.arange(90) / 30) * 1e9)).max() <= 1000
    # norm_pos is measured from the bottom.
    expected = [(0.25 * SIZE[0], (0.25 + n / 1000) * SIZE[1]) for n in range(100)]
    np.testing.assert_allclose(gaze.xy, expected)
    assert gaze.confidence[[4, 5]].tolist() == pytest.approx([0.9, 0.1])
    with open_bag(tmp_path / "bag") as bag:
        messages = list(bag.read("/gaze").messages())
        info = bag.read("/camera/camera_info").message(0)
    assert (messages[0].pupil_diameter_left, messages[0].pupil_diameter_right) == (4.0, 3.0)  # eye 0 is the right one
    assert np.isnan(messages[7].pupil_diameter_left)
    assert (messages[0].device_stamp.sec, messages[0].device_stamp.nanosec) == (5000, pytest.approx(3e8, abs=1000))
    assert info.d.tolist() == [-0.1, 0.2, 0.01, 0.02, 0.3]
    assert (session.name, session.metadata["tracker"]) == ("2026_05_17", "Pupil Core")
    assert summary.left_out == {}


def test_an_export_is_the_same_gaze(folder: Path, tmp_path: Path) -> None:
    import_recording("pupil", folder, tmp_path / "bag", progress=False)
    import_recording("pupil", write_pupil_export(folder), tmp_path / "exported", progress=False)
    recorded, exported = (load_session(tmp_path / name).gaze for name in ("bag", "exported"))
    assert recorded is not None
    assert exported is not None
    assert np.abs(recorded.stamps_ns - exported.stamps_ns).max() <= 1000
    np.testing.assert_allclose(recorded.xy, exported.xy)
    (folder / "info.player.json").unlink()
    import_recording("pupil", folder / "exports" / "000", tmp_path / "undated", progress=False)
    assert load_session(tmp_path / "undated").frames.stamps_ns[0] == 86_400 * 10**9


def test_pupil_invisible_is_a_cloud_download(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_cloud(folder)
    about = {"wearer_id": "w-1", "glasses_serial_number": "abcde", "scene_camera_serial_number": "fghij"}
    (folder / "info.json").write_text(json.dumps(about))
    import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    metadata = load_session(tmp_path / "bag").metadata
    assert (metadata["tracker"], metadata["tracker_serial"]) == ("Pupil Invisible", "abcde")


def test_bad_recordings_are_one_line(folder: Path, tmp_path: Path) -> None:
    def refused(error: type[Exception], line: str, source: Path = folder) -> None:
        with pytest.raises(error, match=line) as raised:
            import_recording("pupil", source, tmp_path / "bag", progress=False)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "bag").exists()

    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def restore() -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)

    for name, change, error, line in (
        ("gaze.pldata", lambda whole: whole[:-300], BadRecording, "is cut: copy the recording again|cannot be read"),
        ("gaze.pldata", lambda whole: b"\xc1" + whole, BadRecording, "sample 1 cannot be read"),
        ("gaze.pldata", lambda whole: b"", BadRecording, "holds 0 samples and gaze_timestamps.npy 100"),
        ("gaze_timestamps.npy", lambda whole: whole[:50], BadRecording, "cannot be read as an array"),
        ("world_timestamps.npy", lambda whole: b"", BadRecording, "cannot be read as an array"),
        ("world.intrinsics", lambda whole: b"\xc1", BadRecording, "world.intrinsics cannot be read"),
        ("info.player.json", lambda whole: b"{}", BadRecording, "has no start_time_synced_s"),
    ):
        (folder / name).write_bytes(change(files[name]))
        refused(error, line)
        restore()
    np.save(folder / "world_timestamps.npy", 5000 + np.arange(30) / 30)
    refused(FramesDiffer, "has 90 frames and its times are 30")
    np.save(folder / "world_timestamps.npy", 5000 - np.arange(90) / 30)
    refused(OutOfOrder, "do not rise")
    restore()
    write_mp4(folder / "world.mp4", [grey(i) for i in range(90)], turned=180)
    refused(TurnedVideo, "degrees for display")
    (folder / "world.mp4").unlink()
    refused(FileMissing, r"has no world\.mp4")
    restore()
    export = write_pupil_export(folder)
    table = (export / "gaze_positions.csv").read_text()
    for text, error, line in (
        (table.replace("norm_pos_x", "x"), WrongColumns, "no column 'norm_pos_x'"),
        (table.partition("\n")[0] + "\n", BadRow, "holds no sample"),
        (table.replace(",0.25,", ",900.0,"), WrongUnit, "off the 64x48 picture"),
    ):
        (export / "gaze_positions.csv").write_text(text)
        refused(error, line, export)
    (tmp_path / "empty").mkdir()
    refused(FileMissing, r"has neither gaze\.pldata nor gaze_positions\.csv", tmp_path / "empty")


def test_a_calibration_of_another_size_or_lens_is_left_out_and_said(folder: Path, tmp_path: Path) -> None:
    import msgpack

    (folder / "world.intrinsics").write_bytes(msgpack.packb({"version": 1, "(1280, 720)": {}}))
    summary = import_recording("pupil", folder, tmp_path / "bag", progress=False)
    assert "calibration of the scene camera: world.intrinsics has none of 64x48 px" in summary.left_out


def test_without_msgpack_one_line_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(NoMsgpack, match="pip install msgpack"):
        import_recording("pupil", folder, tmp_path / "bag", progress=False)
