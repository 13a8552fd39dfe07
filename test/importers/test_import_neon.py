"""Native recordings: made on the spot with parts and gaps, and the real one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from neon_fixtures import START_NS, Synthetic
from pupil_labs.neon_recording import NeonRecording
from recordings import write_cloud
from windows import answers

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.neon import DamagedRecording, NoSceneVideo, OtherFormat
from gaze_vlm_ros.neon.recording import NotANeonRecording
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import OutOfOrder


def copy(synthetic: Synthetic, tmp_path: Path, leaving_out: str = "") -> Path:
    return Path(shutil.copytree(synthetic.folder, tmp_path / "copy", ignore=shutil.ignore_patterns(leaving_out)))


def test_all_parts_with_the_gap_between_them(synthetic: Synthetic, tmp_path: Path) -> None:
    summary = import_recording("neon", synthetic.folder, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    assert session.frames.stamps_ns.tolist() == synthetic.frame_ns.tolist()
    assert session.frames.size == (162, 122)
    gaze = session.gaze
    assert gaze is not None
    assert gaze.stamps_ns.tolist() == synthetic.gaze_ns.tolist()
    assert np.array_equal(gaze.xy, synthetic.gaze_px.astype(float))
    assert gaze.worn.tolist() == np.where(synthetic.worn == 255, 2, 1).tolist()
    assert np.isnan(gaze.confidence).all()
    assert set(gaze.eye_state.tolist()) == {0}
    assert gaze.image_size == (162, 122)
    assert (session.name, session.metadata["tracker_serial"]) == ("recording", "123456")
    assert summary.longest_gap_s > 0.2
    assert summary.gaze_without_video > 0
    assert summary.left_out == {}
    with open_bag(tmp_path / "bag") as bag:
        assert bag.read("/imu").stamps_ns.tolist() == synthetic.imu_ns.tolist()
        first, later = bag.read("/imu").message(0), bag.read("/imu").message(59)
        info = bag.read("/camera/camera_info").message(0)
    assert first.orientation_covariance[0] == -1
    assert later.orientation_covariance[0] == 0
    assert later.angular_velocity.x == pytest.approx(np.pi / 2)
    assert info.k.tolist() == [150, 0, 81, 0, 151, 61, 0, 0, 1]
    assert info.d.tolist() == pytest.approx((np.arange(1, 9) / 100).tolist())


def test_frames_are_those_of_the_vendors_reader(synthetic: Synthetic, tmp_path: Path) -> None:
    import_recording("neon", synthetic.folder, tmp_path / "bag", progress=False)
    ours, theirs = load_session(tmp_path / "bag").frames, NeonRecording(synthetic.folder).scene
    assert len(theirs) == 20
    for index in (0, 11, 12, 19):
        own, other = ours.rgb(index).astype(int), theirs[index].bgr[:, :, ::-1].astype(int)
        assert np.abs(own - other).mean() < 12  # JPEG of noise


def test_eye_events_and_named_events(synthetic: Synthetic, tmp_path: Path) -> None:
    folder = copy(synthetic, tmp_path)
    (folder / "info.json").write_text(json.dumps({"app_version": "2.9.32-prod", "wearer_id": "w"}))
    stamps_ns = synthetic.gaze_ns
    columns = [("event_type", "<i4"), ("start", "<i8"), ("end", "<i8")] + [(f"f{i}", "<f4") for i in range(10)]
    events = np.zeros(2, columns)
    events["event_type"] = [1, 0]  # a fixation, a saccade
    events["start"], events["end"] = stamps_ns[[0, 5]], stamps_ns[[4, 6]]
    events.tofile(folder / "fixations ps1.raw")
    events["end"].astype("<i8").tofile(folder / "fixations ps1.time")
    stamps_ns[[10, 12]].astype("<i8").tofile(folder / "blinks ps1.raw")
    stamps_ns[[12]].astype("<i8").tofile(folder / "blinks ps1.time")
    (folder / "event.txt").write_text("recording.begin\nreach\nrecording.end\n")
    (START_NS + np.array([0, 620, 900]) * 1_000_000).astype("<i8").tofile(folder / "event.time")
    import_recording("neon", folder, tmp_path / "bag", events_as_labels=True, progress=False)
    session = load_session(tmp_path / "bag")
    assert session.gaze is not None
    assert session.gaze.eye_state[:14].tolist() == [1] * 5 + [2] * 2 + [0] * 3 + [3] * 3 + [0]
    assert session.labels is not None
    assert session.labels.texts == ["reach", ""]
    assert session.labels.starts_ns.tolist() == [START_NS + 620_000_000, START_NS + 900_000_000]
    assert session.person == "w"


@pytest.mark.parametrize(
    ("missing", "frames", "gaze", "left_out"),
    [
        ("Neon Scene Camera v1 ps2.*", 12, 80, {}),
        ("Neon Scene Camera v1 ps1.time", 8, 80,
         {"frames of Neon Scene Camera v1 ps1.mp4, because Neon Scene Camera v1 ps1.time is missing": 12}),
        ("gaze ps1.time", 20, 40, {"part of the recording: gaze ps1.raw: gaze ps1.time is missing": 1}),
        ("gaze ps*", 20, 0, {}),
        ("extimu ps*", 20, 80, {}),
        ("calibration.bin", 20, 80, {}),
    ],
)  # fmt: skip
def test_missing_parts(
    synthetic: Synthetic, tmp_path: Path, missing: str, frames: int, gaze: int, left_out: dict[str, int]
) -> None:
    summary = import_recording("neon", copy(synthetic, tmp_path, missing), tmp_path / "bag", progress=False)
    assert (summary.frames, summary.gaze.samples, summary.left_out) == (frames, gaze, left_out)


def test_cut_off_files_are_counted(synthetic: Synthetic, tmp_path: Path) -> None:
    folder = copy(synthetic, tmp_path)
    for name, keep in (("Neon Scene Camera v1 ps2.time", 5 * 8), ("gaze ps2.raw", 30 * 8)):
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    (folder / "Neon Scene Camera v1 ps3.mp4").write_bytes(b"cut off")
    summary = import_recording("neon", folder, tmp_path / "bag", progress=False)
    assert (summary.frames, summary.gaze.samples) == (17, 70)
    reasons = dict(summary.left_out)
    assert reasons.pop("frames of Neon Scene Camera v1 ps2.mp4 without a time") == 3
    assert reasons.pop("times of gaze without a sample") == 10
    ((reason, count),) = reasons.items()
    assert count == 1
    assert "Neon Scene Camera v1 ps3.mp4 cannot be read as a video" in reason


def test_bad_recordings_are_one_line(synthetic: Synthetic, tmp_path: Path) -> None:
    with pytest.raises(NotANeonRecording, match=r"it has no info\.json"):
        import_recording("neon", tmp_path, tmp_path / "bag")
    (tmp_path / "cloud").mkdir()
    write_cloud(tmp_path / "cloud", frames=3)
    with pytest.raises(OtherFormat, match=r"is a Pupil Cloud download .* import neon-cloud"):
        import_recording("neon", tmp_path / "cloud", tmp_path / "bag")
    folder = copy(synthetic, tmp_path)
    (folder / "extimu ps1.raw").write_bytes(b"\x09\x00no protobuf")
    with pytest.raises(DamagedRecording, match="error loading 'imu' stream"):
        import_recording("neon", folder, tmp_path / "bag")
    shutil.rmtree(folder)
    folder = copy(synthetic, tmp_path, "*.mp4")
    with pytest.raises(NoSceneVideo, match="has no frames of the scene camera"):
        import_recording("neon", folder, tmp_path / "bag")
    shutil.rmtree(folder)
    folder = copy(synthetic, tmp_path)
    (folder / "calibration.bin").write_bytes(b"short")
    with pytest.raises(DamagedRecording, match=r"calibration\.bin cannot be read"):
        import_recording("neon", folder, tmp_path / "bag")
    shutil.rmtree(folder)
    folder = copy(synthetic, tmp_path)
    synthetic.frame_ns[:12][::-1].astype("<i8").tofile(folder / "Neon Scene Camera v1 ps1.time")
    with pytest.raises(OutOfOrder, match=r"ps1\.time: time goes back from one frame to the next"):
        import_recording("neon", folder, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


def test_the_real_recording(neon_window: Path, tmp_path: Path) -> None:
    theirs = NeonRecording(neon_window)
    summary = import_recording(
        "neon", neon_window, tmp_path / "bag", size=(400, 300), max_rate_hz=10, events_as_labels=True, progress=False
    )
    session = load_session(tmp_path / "bag")
    assert np.isin(session.frames.stamps_ns, theirs.scene.time).all()
    assert 45 <= summary.frames <= 48
    assert summary.left_out["frames above 10 Hz"] == 144 - summary.frames
    gaze = session.gaze
    assert gaze is not None
    assert gaze.stamps_ns.tolist() == theirs.gaze.time.tolist()
    assert np.array_equal(gaze.xy, np.asarray(theirs.gaze.point, float))
    assert gaze.image_size == (1600, 1200)
    assert session.frames.size == (400, 300)
    assert set(gaze.worn.tolist()) == {2}
    # Parts whose video is not there: gaze in a gap and after it.
    assert summary.gaze_without_video == int((gaze.stamps_ns > theirs.scene.time[-1] + 33_000_000).sum()) > 2000
    assert summary.imu == 539
    pupils = theirs.pupil  # 200 Hz too, but only where the video is
    with open_bag(tmp_path / "bag") as bag:
        found = np.array(
            [
                (message.pupil_diameter_left, message.pupil_diameter_right, message.vergence_distance)
                for message in bag.read("/gaze").messages()
            ]
        )
    measured = np.isfinite(found[:, 0])
    assert measured.sum() == len(pupils) == 639
    assert np.abs(gaze.stamps_ns[measured] - pupils.time).max() <= 128
    np.testing.assert_allclose(found[measured, 0], pupils.diameter_left, rtol=1e-6)
    np.testing.assert_allclose(found[measured, 1], pupils.diameter_right, rtol=1e-6)
    assert 0.5 < np.nanmedian(found[:, 2]) < 3  # m
    assert session.labels is None  # only the recording's own beginning and end are named


def test_windows_of_the_real_recording(neon_window: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(neon_window, folder)
    folder.chmod(0o755)
    for name in ("event.txt", "event.time"):
        (folder / name).unlink()
    stamps_ns = NeonRecording(neon_window).scene.time
    (folder / "event.txt").write_text("look at the phone\n")
    (stamps_ns[:1] + 4_000_000_000).astype("<i8").tofile(folder / "event.time")
    import_recording(
        "neon", folder, tmp_path / "bag", size=(160, 120), max_rate_hz=5, events_as_labels=True, progress=False
    )
    ((at_s, answer),) = answers(tmp_path / "bag")
    assert answer == "look at the phone"
    assert 3.2 <= at_s <= 3.5
