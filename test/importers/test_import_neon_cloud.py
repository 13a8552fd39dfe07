import json
from pathlib import Path

import numpy as np
import pytest
from recordings import SIZE, UTC_NS, grey, write_cloud, write_csv, write_mp4
from windows import answers

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.neon_cloud import BadJson, FramesDiffer, UnclearVideo
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import FileMissing, OutOfOrder, WrongColumns


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "2023-11-14_kitchen-11112222"
    folder.mkdir()
    return write_cloud(folder)


def test_all_of_a_download(folder: Path, tmp_path: Path) -> None:
    summary = import_recording("neon-cloud", folder, tmp_path / "bag", events_as_labels=True, progress=False)
    session = load_session(tmp_path / "bag")
    assert session.frames.stamps_ns.tolist() == [UTC_NS + i * 33_333_000 + i % 3 for i in range(150)]
    assert all(abs(session.frames.rgb(i).mean() - grey(i)) < 6 for i in range(0, 150, 7))
    gaze = session.gaze
    assert gaze is not None
    assert gaze.stamps_ns.tolist() == [UTC_NS + 1_000_000_000 + i * 50_000_001 for i in range(60)]
    expected = np.array([[i + 0.25, 40 - i / 2] for i in range(60)])
    expected[30] = np.nan
    assert np.array_equal(gaze.xy, expected, equal_nan=True)
    assert gaze.image_size == SIZE
    assert np.isnan(gaze.confidence).all()
    assert gaze.worn.tolist() == [2] * 50 + [1] * 10
    assert gaze.eye_state.tolist() == [1] * 10 + [2] * 2 + [0] * 8 + [3] * 3 + [0] * 37
    assert (session.name, session.person) == ("2023-11-14_kitchen-11112222", "w-1")
    assert session.metadata["tracker_serial"] == ""
    labels = session.labels
    assert labels is not None
    assert labels.texts == ["pour", "", "drink", ""]
    assert (labels.starts_ns - UTC_NS).tolist() == [3_500_000_000, 4_000_000_000, 4_500_000_000, 5_000_000_000]
    assert [text for _, text in answers(tmp_path / "bag")] == ["pour", "drink"]
    assert summary.left_out == {}
    assert (summary.frames, summary.actions, summary.imu, summary.gaze.valid) == (150, 2, 20, 60 - 2 - 3 - 1 - 10)


def test_imu_and_calibration_are_in_the_units_of_ros(folder: Path, tmp_path: Path) -> None:
    import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    with open_bag(tmp_path / "bag") as bag:
        imu = bag.read("/imu").message(3)
        info = bag.read("/camera/camera_info").message(0)
        assert bag.read("/imu").stamps_ns[3] == UTC_NS + 27_000_000
    assert imu.angular_velocity.x == pytest.approx(np.pi / 2)
    assert imu.linear_acceleration.z == pytest.approx(9.80665)
    assert [imu.orientation.w, imu.orientation.x, imu.orientation.z] == pytest.approx([0.6, 0.0, 0.8])
    assert info.distortion_model == "rational_polynomial"
    assert info.d.tolist() == [-0.1, 0.1, 0.0, 0.0, 0.0, 0.2, 0.05, 0.03]


def test_pupils_and_vergence_belong_to_the_sample_of_their_stamp(folder: Path, tmp_path: Path) -> None:
    gaze_ns = [UTC_NS + 1_000_000_000 + i * 50_000_001 for i in range(60)]
    eyes = [
        f"{part} {eye} {axis}{unit}"
        for eye in ("left", "right")
        for part, unit in (("eyeball center", " [mm]"), ("optical axis", ""))
        for axis in "xyz"
    ]
    header = ["timestamp [ns]", "pupil diameter left [mm]", "pupil diameter right [mm]", *eyes]
    looking = [-32, 0, 0, 32, 0, 600, 32, 0, 0, -32, 0, 600]  # at 0.6 m
    rows = [[t, 3 + i / 100, "", *looking] for i, t in enumerate(gaze_ns[:50])] + [[gaze_ns[55] + 1, 9, 9, *looking]]
    write_csv(folder / "3d_eye_states.csv", header, rows)
    import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    with open_bag(tmp_path / "bag") as bag:
        gaze = list(bag.read("/gaze").messages())
    assert [message.pupil_diameter_left for message in gaze[:50]] == pytest.approx([3 + i / 100 for i in range(50)])
    assert gaze[7].vergence_distance == pytest.approx(0.6)
    assert np.isnan([message.pupil_diameter_right for message in gaze]).all()
    assert np.isnan([message.vergence_distance for message in gaze[50:]]).all()


def test_the_least_that_is_a_recording(folder: Path, tmp_path: Path) -> None:
    """An old download: no saccades, no worn and no ids in gaze.csv, and the newer name of the distortion."""
    for name in ("saccades", "fixations", "imu", "events"):
        (folder / f"{name}.csv").unlink()
    (folder / "info.json").unlink()
    rows = [[UTC_NS + 1_000_000_000 + i * 50_000_001, 1.0, 2.0] for i in range(60)]
    write_csv(folder / "gaze.csv", ["timestamp [ns]", "gaze x [px]", "gaze y [px]"], rows)
    camera = json.loads((folder / "scene_camera.json").read_text())
    camera["distortion_coefficients"] = camera.pop("dist_coefs")
    (folder / "scene_camera.json").write_text(json.dumps(camera))
    summary = import_recording("neon-cloud", folder, tmp_path / "bag", person="anna", progress=False)
    session = load_session(tmp_path / "bag")
    assert session.gaze is not None
    assert set(session.gaze.worn.tolist()) == {0}
    assert session.gaze.eye_state.tolist() == [0] * 20 + [3] * 3 + [0] * 37
    assert session.person == "anna"
    assert session.labels is None
    assert summary.imu == 0


def test_ids_in_the_gaze_file_are_enough_for_eye_states(folder: Path, tmp_path: Path) -> None:
    for name in ("fixations", "saccades", "blinks"):
        (folder / f"{name}.csv").unlink()
    import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    gaze = load_session(tmp_path / "bag").gaze
    assert gaze is not None
    assert gaze.eye_state.tolist() == [1] * 10 + [0] * 10 + [3] * 3 + [0] * 37


def test_each_section_has_its_video(folder: Path, tmp_path: Path) -> None:
    write_mp4(folder / "b7bd6c34_0.0-1.0.mp4", [200] * 30)
    lines = (folder / "world_timestamps.csv").read_text().splitlines()
    lines += [f"b7bd6c34-x,r,{UTC_NS + 9_000_000_000 + i * 33_000_000}" for i in range(30)]
    lines += [f"0ddba115-x,r,{UTC_NS + 20_000_000_000}"]
    (folder / "world_timestamps.csv").write_text("\n".join(lines))
    summary = import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    assert len(session.frames) == 180
    assert session.frames.stamps_ns[150] == UTC_NS + 9_000_000_000
    assert abs(session.frames.rgb(150).mean() - 200) < 6
    assert summary.left_out == {"frames of sections without a video": 1}
    (folder / "b7bd6c34_0.0-1.0.mp4").rename(folder / "other.mp4")
    with pytest.raises(UnclearVideo, match=r"other\.mp4 does not belong to one section"):
        import_recording("neon-cloud", folder, tmp_path / "bag2", progress=False)


def test_a_few_frames_more_than_timestamps_are_counted_and_many_refused(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "world_timestamps.csv").read_text().splitlines()
    (folder / "world_timestamps.csv").write_text("\n".join(lines[:-5]) + "\n")
    summary = import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    assert (summary.frames, summary.left_out) == (145, {"frames without a timestamp": 5})
    (folder / "world_timestamps.csv").write_text("\n".join(lines[:61]) + "\n")
    with pytest.raises(FramesDiffer, match=r"has 150 frames and world_timestamps\.csv 60 timestamps, expected equal"):
        import_recording("neon-cloud", folder, tmp_path / "bag2", progress=False)
    summary = import_recording("neon-cloud", folder, tmp_path / "bag2", cut=True, progress=False)
    assert (summary.frames, summary.left_out) == (60, {"frames without a timestamp": 90})


def remove(name: str) -> object:
    return lambda folder: (folder / name).unlink()


def replace(name: str, old: str, new: str) -> object:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "error", "line"),
    [
        (remove("gaze.csv"), FileMissing, r"gaze\.csv is missing: expected gaze\.csv of a Pupil Cloud download"),
        (remove("world_timestamps.csv"), FileMissing, r"world_timestamps\.csv is missing"),
        (remove("e0b2c246_0.0-5.0.mp4"), FileMissing, r'no \.mp4: .* download "Timeseries Data \+ Scene Video"'),
        (
            replace("gaze.csv", "gaze x [px]", "x"),
            WrongColumns,
            r"no column 'gaze x \[px\]'; its columns are section id",
        ),
        (replace("blinks.csv", "end ", "stop "), WrongColumns, r"blinks\.csv .* no column 'end timestamp \[ns\]'"),
        (
            replace("gaze.csv", f"{UTC_NS + 1_000_000_000},", f"{UTC_NS + 10**11},"),
            OutOfOrder,
            r"goes back by 98\.950 s",
        ),
        (replace("scene_camera.json", "camera_matrix", "matrix"), BadJson, r"no camera_matrix \(3x3\) with dist_coefs"),
        (replace("info.json", "{", "["), BadJson, r"info\.json cannot be read as JSON"),
    ],
)
def test_bad_downloads_are_one_line(
    folder: Path, tmp_path: Path, damage: object, error: type[Exception], line: str
) -> None:
    damage(folder)
    with pytest.raises(error, match=line) as raised:
        import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "bag").exists()


def test_frames_out_of_order_are_refused(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "world_timestamps.csv").read_text().splitlines()
    lines[3], lines[4] = lines[4], lines[3]
    (folder / "world_timestamps.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(OutOfOrder, match=r"world_timestamps\.csv: time goes back after frame 3"):
        import_recording("neon-cloud", folder, tmp_path / "bag", progress=False)


def test_files_that_a_mac_wrote_beside_others_are_no_video(folder: Path, tmp_path: Path) -> None:
    video = next(folder.glob("*.mp4"))
    (folder / f"._{video.name}").write_bytes(b"\x00\x05\x16\x07attributes")
    assert import_recording("neon-cloud", folder, tmp_path / "bag", progress=False).frames == 150
