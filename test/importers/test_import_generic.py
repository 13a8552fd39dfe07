from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import grey, write_csv, write_mp4

from gaze_vlm_ros.cli import main
from gaze_vlm_ros.importers.generic import BadMapping
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.plausible import HeldSamples, WrongUnit
from gaze_vlm_ros.importers.video import TurnedVideo, VideoTooShort
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns

SAID = {"time": "t", "x": "gx", "y": "gy", "unit": "px", "origin": "top_left", "time_unit": "s"}
ROWS = [[0.1 + n / 20, 20 + n / 4, 30 - n / 8] for n in range(50)]


def write_any(folder: Path, rows: object = None, header: tuple[str, ...] = ("t", "gx", "gy"), **said: object) -> Path:
    folder.mkdir(exist_ok=True)
    write_mp4(folder / "walk.mp4", [grey(i) for i in range(90)])
    write_csv(folder / "walk.csv", header, ROWS if rows is None else rows)  # type: ignore[arg-type]
    (folder / "map.yaml").write_text("".join(f"{name}: {value}\n" for name, value in (SAID | said).items()))
    return folder / "walk.mp4"


def imported(video: Path, out: Path, **options: object) -> GazeTrack:
    import_recording("generic", video, out, mapping=video.parent / "map.yaml", progress=False, **options)  # type: ignore[arg-type]
    gaze = load_session(out).gaze
    assert gaze is not None
    return gaze


def test_a_table_of_pixels_on_the_video_s_clock(tmp_path: Path) -> None:
    gaze = imported(write_any(tmp_path / "in"), tmp_path / "bag")
    assert (gaze.stamps_ns - UNDATED_START_NS).tolist() == [round(t * 1e9) for t, _, _ in ROWS]
    np.testing.assert_allclose(gaze.xy, [place for _, *place in ROWS])
    assert load_session(tmp_path / "bag").metadata["mapping"] == "map.yaml"


def test_shares_from_the_bottom_on_a_clock_of_1970_in_whole_ns(tmp_path: Path) -> None:
    start_ns = 1_779_000_000_123_456_789
    rows = [[start_ns + n * 50_000_001, 0.5, 0.25 + n / 100, 0.9, 3.5] for n in range(30)]
    video = write_any(
        tmp_path / "in", rows, ("t", "gx", "gy", "sure", "pupil"), unit="normalized", origin="bottom_left",
        time_unit="ns", clock="unix", first_frame=start_ns - 7, confidence="sure", pupil_left="pupil",
    )  # fmt: skip
    gaze = imported(video, tmp_path / "bag")
    assert gaze.stamps_ns.tolist() == [start_ns + n * 50_000_001 for n in range(30)]
    assert load_session(tmp_path / "bag").frames.stamps_ns[0] == start_ns - 7
    np.testing.assert_allclose(gaze.xy, [(32, (0.75 - n / 100) * 48) for n in range(30)])
    assert gaze.confidence.tolist() == pytest.approx([0.9] * 30)


def test_frame_numbers_placeholders_and_another_picture_size(tmp_path: Path) -> None:
    rows = [[100 + 3 * n, 640 + n, 360] for n in range(30)]
    rows[4][1:] = [0, 0]
    video = write_any(
        tmp_path / "in", rows, time_unit="frame", first_frame=100, image_size="[1280, 720]", no_sample="[[0, 0]]"
    )
    gaze = imported(video, tmp_path / "bag")
    assert gaze.stamps_ns.tolist() == load_session(tmp_path / "bag").frames.stamps_ns[::3].tolist()
    assert np.isnan(gaze.xy[4]).all()
    assert gaze.image_size == (1280, 720)


def test_repeats_are_refused_unless_the_mapping_says_what_to_do(tmp_path: Path) -> None:
    rows = [[n / 30, 20 + n // 6, 30] for n in range(60)]  # 5 Hz held over six frames
    video = write_any(tmp_path / "in", rows)
    with pytest.raises(HeldSamples, match="83% of the gaze samples are exactly equal to the one before"):
        imported(video, tmp_path / "bag")
    gaze = imported(write_any(tmp_path / "drop", rows, repeats="drop"), tmp_path / "dropped")
    assert (gaze.stamps_ns - UNDATED_START_NS).tolist() == [round(n / 30 * 1e9) for n in range(0, 60, 6)]
    assert len(imported(write_any(tmp_path / "keep", rows, repeats="keep"), tmp_path / "kept")) == 60


def test_a_dry_run_says_what_it_understood_and_writes_no_bag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_any(tmp_path / "in")
    command = ["import", "generic", str(video), "--mapping", str(tmp_path / "in" / "map.yaml")]
    assert main([*command, "--dry-run", str(tmp_path / "look")]) == 0
    printed = capsys.readouterr().out
    assert "frames    90 of 64x48 px, 30.00 Hz, from 1970-01-02 00:00:00" in printed
    assert "gaze      50 samples from 0.100 to 2.550 s after the first frame, 20.0 Hz" in printed
    assert "points    50, 100.0% of them on the 64x48 picture; 0 equal to the one before" in printed
    assert "range     x 20.0 to 32.2 px, y 23.9 to 30.0 px" in printed
    pictures = sorted((tmp_path / "look").iterdir())
    assert len(pictures) == 10
    shown = cv2.imread(str(pictures[3]))  # frame 30, at 0.989 s: gaze near (24, 28)
    green = (shown[..., 1].astype(int) - shown[..., 0] > 80).nonzero()
    assert np.hypot(green[1].mean() - 24, green[0].mean() - 28) < 3
    assert list(tmp_path.glob("*bag*")) == []
    assert main([*command, "--dry-run", str(tmp_path / "look")]) == 1
    assert "give a new folder for the pictures" in capsys.readouterr().err
    assert main(command) == 1
    assert "give either --out FOLDER for the bag, or --dry-run FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "rows", "error", "line"),
    [
        ({"unit": "cm"}, None, BadMapping, "unit is 'cm', expected one of px, normalized"),
        ({"origin": "centre"}, None, BadMapping, "origin is 'centre', expected one of top_left, bottom_left"),
        ({"time_unit": "min"}, None, BadMapping, "time_unit is 'min'"),
        ({"colour": "red"}, None, BadMapping, "colour"),
        ({"clock": "unix"}, None, BadMapping, "clock unix needs first_frame"),
        ({"image_size": "[3]"}, None, BadMapping, r"image_size is \[3\], expected \[width, height\]"),
        ({"x": "nowhere"}, None, WrongColumns, "no column 'nowhere'"),
        ({"unit": "normalized"}, None, WrongUnit, "100% of it is off the 64x48 picture"),
        ({}, [[n / 20, 0.5, 0.25] for n in range(50)], WrongUnit, "which is its corner: it may be in shares of it"),
        ({"time_unit": "ms"}, [[n * 50, 20 + n % 7, 30] for n in range(50)], None, ""),
        ({}, [[n * 50, 20 + n % 7, 30] for n in range(50)], VideoTooShort, "its gaze samples continue to 2450.00 s"),
        ({"first_frame": -60}, None, VideoTooShort, "its gaze samples continue to 62.55 s"),
        ({}, [[0.1, "left", 3]], BadRow, "'gx' is 'left', expected a number"),
        ({}, [[0.1, 3]], BadRow, "the file is cut short"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, said: dict[str, object], rows: object, error: type[Exception] | None, line: str
) -> None:
    video = write_any(tmp_path / "in", rows, **said)
    if error is None:
        assert len(imported(video, tmp_path / "bag")) == 50
        return
    with pytest.raises(error, match=line) as raised:
        imported(video, tmp_path / "bag")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "bag").exists()


def test_missing_files_and_turned_videos_are_one_line(tmp_path: Path) -> None:
    video = write_any(tmp_path / "in")
    with pytest.raises(BadMapping, match="needs --mapping FILE"):
        import_recording("generic", video, tmp_path / "bag", progress=False)
    (tmp_path / "in" / "walk.csv").unlink()
    with pytest.raises(FileMissing, match="no gaze of"):
        imported(video, tmp_path / "bag")
    write_any(tmp_path / "in")
    write_mp4(video, [grey(i) for i in range(90)], turned=90)
    with pytest.raises(TurnedVideo, match="degrees for display"):
        imported(video, tmp_path / "bag")
