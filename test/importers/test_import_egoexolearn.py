from pathlib import Path

import numpy as np
import pytest
from recordings import SIZE, grey, write_egoexolearn, write_mp4

from gaze_vlm_ros.importers.egoexolearn import NoActions
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.plausible import NO_SAMPLE, HeldSamples, WrongUnit
from gaze_vlm_ros.importers.video import TurnedVideo, VideoTooShort, WrongFrameRate
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns


def test_each_frame_has_its_gaze_and_placeholders_are_none(tmp_path: Path) -> None:
    video = write_egoexolearn(tmp_path)
    labels = tmp_path / "fine_annotation_trainval_en.csv"
    summary = import_recording("egoexolearn", video, tmp_path / "bag", labels=labels, progress=False)
    session = load_session(tmp_path / "bag")
    gaze, track = session.gaze, session.labels
    assert gaze is not None
    assert track is not None
    assert gaze.stamps_ns.tolist() == session.frames.stamps_ns.tolist()
    expected = np.array([((0.25 + n / 400) * SIZE[0], 0.75 * SIZE[1]) for n in range(90)])
    expected[5:8] = np.nan
    np.testing.assert_allclose(gaze.xy, expected)
    assert summary.left_out[NO_SAMPLE] == 2
    assert track.texts == ["Takes a pipette", ""]
    assert ((track.starts_ns - UNDATED_START_NS) / 1e9).tolist() == [0.5, 1.25]
    assert (session.name, session.scene) == (video.stem, "lab")


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    video = write_egoexolearn(tmp_path)
    gaze = video.parent / "gazes_30fps_npy" / f"{video.stem}.npy"
    labels = tmp_path / "fine_annotation_trainval_en.csv"
    whole, said = gaze.read_bytes(), labels.read_text()

    def refused(error: type[Exception], line: str, **options: object) -> None:
        with pytest.raises(error, match=line) as raised:
            import_recording("egoexolearn", video, tmp_path / "bag", progress=False, **options)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "bag").exists()

    for table, error, line in (
        (np.full((90, 2), 300.0), WrongUnit, "gaze is up to 300, expected shares"),
        (np.repeat(np.linspace(0.1, 0.9, 15), 6)[:, None].repeat(2, axis=1), HeldSamples, "83% of the gaze samples"),
        (np.linspace(1.1, 3, 180).reshape(90, 2), WrongUnit, "100% of it is off the 64x48 picture"),
        (np.zeros((90, 5)), BadRow, r"shape \(90, 5\), expected \(frames, 2 or 3\)"),
        (np.zeros((0, 2)), BadRow, r"shape \(0, 2\)"),
        (np.linspace(0.1, 0.9, 400).reshape(200, 2), VideoTooShort, r"its gaze samples continue to 6\.63 s"),
    ):
        np.save(gaze, table)
        refused(error, line)
    gaze.write_bytes(whole[:100])
    refused(BadRow, "cannot be read as an array")
    gaze.unlink()
    refused(FileMissing, "no gaze of .*videos of other views have none")
    gaze.write_bytes(whole)
    labels.write_text(said.replace(video.stem, "x"))
    refused(NoActions, "has no action of video", labels=labels)
    labels.write_text(said.replace("start_sec", "begin"))
    refused(WrongColumns, "no column 'start_sec'", labels=labels)
    write_mp4(video, [grey(i) for i in range(90)], rate=25)
    refused(WrongFrameRate, r"has 25\.00 frames/s, expected 30")
    write_mp4(video, [grey(i) for i in range(90)], turned=90)
    refused(TurnedVideo, "degrees for display")
