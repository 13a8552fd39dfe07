"""Project Aria: real recordings where they are beside the checkout, with their gaze in every layout."""

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from recordings import write_csv

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.importers.aria import OtherRecording, SeveralRecordings, WrongDistance
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.video import BadVideo
from gaze_vlm_ros.importers.vrs_video import NoAriaTools, NoCalibration
from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns

ARIA = Path(__file__).resolve().parents[3] / "shared" / "data" / "aria"
FIRST_US = 87_551_170_813  # of the pictures of digital_twin


@pytest.fixture
def aria() -> Path:
    pytest.importorskip("projectaria_tools")
    if not ARIA.is_dir():
        pytest.skip(f"the recordings of Project Aria are not at {ARIA}")
    return ARIA


@pytest.fixture
def twin(aria: Path, tmp_path: Path) -> Path:
    """A copy of a real recording, without gaze."""
    folder = tmp_path / "twin"
    folder.mkdir()
    shutil.copyfile(aria / "digital_twin" / "video.vrs", folder / "video.vrs")
    return folder


def put_gaze(source: Path, folder: Path, name: str = "general_eye_gaze.csv") -> Path:
    """Copy real gaze into a recording's folder, moved to its time."""
    lines = source.read_text().splitlines()
    first_us = int(lines[1].partition(",")[0])
    moved = [
        ",".join([str(int(time_us) - first_us + FIRST_US), rest])
        for time_us, _, rest in (line.partition(",") for line in lines[1:])
    ]
    path = folder / "mps" / "eye_gaze" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([lines[0], *moved]) + "\n")
    return path


def theirs(vrs: Path, gaze: Path, distance_m: float = 1.0) -> list[tuple[int, float, float]]:
    """Time, ns, and point on the upright picture: projected onto the stored one, then turned."""
    from projectaria_tools.core import data_provider, mps
    from projectaria_tools.core.mps.utils import get_gaze_vector_reprojection

    provider = data_provider.create_vrs_data_provider(str(vrs))
    device = provider.get_device_calibration()
    camera = device.get_camera_calib("camera-rgb")
    found = []
    for sample in mps.read_eyegaze(str(gaze)):
        point = get_gaze_vector_reprojection(sample, "camera-rgb", device, camera, sample.depth or distance_m)
        x, y = (np.nan, np.nan) if point is None else point  # the camera does not see it
        time_ns = sample.tracking_timestamp // timedelta(microseconds=1) * 1000
        found.append((time_ns, camera.get_image_size()[1] - 1 - y, x))
    return found


def imported(source: Path, out: Path, **options: object) -> Session:
    import_recording("aria", source, out, progress=False, **options)  # type: ignore[arg-type]
    return load_session(out)


def agrees(session: Session, expected: list[tuple[int, float, float]]) -> None:
    assert session.gaze is not None
    assert (session.gaze.stamps_ns - UNDATED_START_NS).tolist() == [time_ns for time_ns, _, _ in expected]
    np.testing.assert_allclose(session.gaze.xy, [point for _, *point in expected], atol=1e-3)
    assert np.isfinite(session.gaze.xy).any()
    assert session.gaze.image_size == (1408, 1408)


@pytest.mark.parametrize(("name", "vrs"), [("everyday_activities", "recording.vrs"), ("digital_twin", "video.vrs")])
def test_gaze_is_where_and_when_the_tools_have_it(aria: Path, tmp_path: Path, name: str, vrs: str) -> None:
    from projectaria_tools.core import data_provider

    session = imported(aria / name, tmp_path / "bag")
    agrees(session, theirs(aria / name / vrs, aria / name / "mps" / "eye_gaze" / "general_eye_gaze.csv"))
    provider = data_provider.create_vrs_data_provider(str(aria / name / vrs))
    stream = provider.get_stream_id_from_label("camera-rgb")
    assert len(session.frames) == provider.get_num_data(stream)
    for number, stamp_ns in enumerate(session.frames.stamps_ns.tolist()):
        data, record = provider.get_image_data_by_index(stream, number)
        assert stamp_ns - UNDATED_START_NS == record.capture_timestamp_ns
        upright = np.rot90(data.to_numpy_array(), -1).astype(int)
        assert np.abs(session.frames.rgb(number).astype(int) - upright).mean() < 4  # JPEG
    assert session.name == name
    assert session.metadata["tracker"] == "Project Aria Gen1"
    assert session.metadata["gaze_file"] == "general_eye_gaze.csv"
    assert session.metadata["camera_model"].startswith("FISHEYE624 of the stored picture: 6")
    assert "else 1 m" in session.metadata["gaze_distance"]
    with open_bag(tmp_path / "bag") as bag:
        stamp = bag.read("/gaze").message(0).device_stamp
    assert session.gaze is not None
    assert stamp.sec * 10**9 + stamp.nanosec == session.gaze.stamps_ns[0] - UNDATED_START_NS


@pytest.mark.parametrize(
    "name",
    [
        "digital_twin/eyegaze.csv", "gen1_eye_gaze/eyegaze.csv", "gen1_eye_gaze/generalized_eye_gaze.csv",
        "gen2_eye_gaze/general_eye_gaze.csv", "gen2_eye_gaze/personalized_eye_gaze.csv",
    ],
)  # fmt: skip
def test_every_layout_of_gaze_is_read(aria: Path, twin: Path, tmp_path: Path, name: str) -> None:
    gaze = put_gaze(aria / name, twin)
    agrees(imported(twin, tmp_path / "bag"), theirs(twin / "video.vrs", gaze))


def test_gaze_without_a_distance_is_put_at_the_one_given(aria: Path, twin: Path, tmp_path: Path) -> None:
    gaze = put_gaze(aria / "digital_twin" / "eyegaze.csv", twin)  # its first sample has the distance 0: unknown
    far = imported(twin, tmp_path / "far", distance_m=3.0)
    agrees(far, theirs(twin / "video.vrs", gaze, 3.0))
    with open_bag(tmp_path / "far") as bag:
        distances = [message.vergence_distance for message in bag.read("/gaze").messages()]
    assert np.isnan(distances[0])
    assert distances[1] == pytest.approx(0.511755)
    assert far.metadata["gaze_distance"] == "measured for 5 of 6 samples, else 3 m"
    near = imported(twin, tmp_path / "near", distance_m=0.4)
    assert near.gaze is not None
    assert far.gaze is not None
    moved = np.abs(near.gaze.xy - far.gaze.xy).max(axis=1)
    assert moved[0] > 20
    assert moved[1:].max() == 0
    with pytest.raises(WrongDistance, match="is 0 m, expected more than 0"):
        imported(twin, tmp_path / "none", distance_m=0.0)


def test_personalized_gaze_comes_before_general(aria: Path, twin: Path, tmp_path: Path) -> None:
    put_gaze(aria / "gen2_eye_gaze" / "general_eye_gaze.csv", twin)
    gaze = put_gaze(aria / "gen2_eye_gaze" / "personalized_eye_gaze.csv", twin, "personalized_eye_gaze.csv")
    session = imported(twin / "video.vrs", tmp_path / "bag")
    agrees(session, theirs(twin / "video.vrs", gaze))
    assert session.metadata["gaze_file"] == "personalized_eye_gaze.csv"
    general = imported(twin, tmp_path / "general", gaze=gaze.with_name("general_eye_gaze.csv"))
    assert general.metadata["gaze_file"] == "general_eye_gaze.csv"


@pytest.mark.parametrize(
    ("change", "error", "line"),
    [
        (lambda text: text.replace("pitch_rads_cpf", "pitch"), WrongColumns, "it has no column 'pitch_rads_cpf'"),
        (
            lambda text: text.replace(",yaw_rads_cpf", ",yaw"), WrongColumns,
            "neither column 'yaw_rads_cpf' nor 'left_yaw_rads_cpf' and 'right_yaw_rads_cpf'",
        ),
        (lambda text: text[: text.rindex(",") - 60], BadRow, "the file is cut short"),
        (lambda text: text.replace("0.124681", "nan"), BadRow, "projectaria-tools reads 1 of its 3 samples"),
        (lambda text: text.splitlines()[0] + "\n", BadRow, "holds no sample; request the gaze again"),
        (lambda text: "", WrongColumns, "its columns are none"),
        (lambda text: text.replace("87551", "17551"), OtherRecording,
         r"and the pictures of video\.vrs from 87551\.171 to 87551\.237 s .* give the gaze of this recording"),
    ],
)  # fmt: skip
def test_bad_gaze_is_one_line(
    aria: Path, twin: Path, tmp_path: Path, change: object, error: type[Exception], line: str
) -> None:
    gaze = put_gaze(aria / "digital_twin" / "mps" / "eye_gaze" / "general_eye_gaze.csv", twin)
    lines = gaze.read_text().splitlines()
    gaze.write_text(change("\n".join(lines[:4]) + "\n"))  # type: ignore[operator]
    with pytest.raises(error, match=line) as raised:
        imported(twin, tmp_path / "bag")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "bag").exists()


def test_bad_recordings_are_one_line(
    aria: Path, twin: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(error: type[Exception], line: str, source: Path = twin) -> None:
        with pytest.raises(error, match=line) as raised:
            imported(source, tmp_path / "bag")
        assert "\n" not in str(raised.value)

    refused(
        FileMissing, r"no gaze of .*video\.vrs: expected personalized_eye_gaze\.csv or general_eye_gaze\.csv in one"
    )
    put_gaze(aria / "digital_twin" / "eyegaze.csv", twin)
    whole = (twin / "video.vrs").read_bytes()
    (twin / "video.vrs").write_bytes(whole[:200])
    refused(BadVideo, "cannot be read as a VRS recording")
    (twin / "video.vrs").write_bytes(b"")
    refused(BadVideo, "cannot be read as a VRS recording")
    (twin / "video.vrs").write_bytes(whole.replace(b'"CameraCalibrations"', b'"CameraCalibrationx"'))
    refused(NoCalibration, "no calibration of camera-rgb")
    (twin / "second.vrs").write_bytes(whole)
    refused(SeveralRecordings, r"holds 2 recordings \(second\.vrs, video\.vrs\); give one")
    (tmp_path / "empty").mkdir()
    refused(FileMissing, r"holds no \.vrs", tmp_path / "empty")
    assert capfd.readouterr() == ("", "")


def test_pictures_beyond_a_cut_are_left_out(aria: Path, twin: Path, tmp_path: Path) -> None:
    put_gaze(aria / "digital_twin" / "eyegaze.csv", twin)
    whole = (twin / "video.vrs").read_bytes()
    (twin / "video.vrs").write_bytes(whole[:800_000])
    assert len(imported(twin, tmp_path / "bag").frames) == 1


def test_without_the_tools_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.vrs").write_bytes(b"")
    write_csv(tmp_path / "general_eye_gaze.csv", ["tracking_timestamp_us"], [])
    monkeypatch.setitem(sys.modules, "projectaria_tools.core", None)
    monkeypatch.setitem(sys.modules, "projectaria_tools", None)
    with pytest.raises(NoAriaTools, match="pip install --no-deps projectaria-tools"):
        imported(tmp_path / "a.vrs", tmp_path / "bag")
