from pathlib import Path

import numpy as np
import pytest
from recordings import BEGAZE_SAMPLES, EGTEA_SESSION, grey, write_begaze, write_egtea
from windows import answers

from gaze_vlm_ros.importers.egtea import NoActions
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.video import VideoTooShort, WrongFrameRate
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns


def frame_ns(number: int) -> int:
    return round(number * 1e9 / 24)


@pytest.mark.parametrize("columns", [7, 26])
def test_both_layouts_are_the_same_gaze(tmp_path: Path, columns: int) -> None:
    video = write_egtea(tmp_path / "egtea", columns)
    summary = import_recording("egtea", video, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    assert (session.frames.stamps_ns - UNDATED_START_NS).tolist() == [frame_ns(i) for i in range(132)]
    assert all(abs(session.frames.rgb(i).mean() - grey(i)) < 6 for i in range(0, 132, 7))
    gaze = session.gaze
    assert gaze is not None
    # The second sample of frame 0 stays 33.333 ms after the first; all others start their frame.
    assert (gaze.stamps_ns - UNDATED_START_NS).tolist() == [0, 33_333_000, *map(frame_ns, (1, 2, 3, 60))]
    expected = np.array([(x, y) for _, _, x, y, _ in BEGAZE_SAMPLES])
    expected[3] = np.nan
    assert np.array_equal(gaze.xy, expected, equal_nan=True)
    assert gaze.eye_state.tolist() == [1, 1, 2, 3, 0, 1]
    assert gaze.image_size == (1280, 960)
    assert session.frames.size == (64, 48)
    assert np.isnan(gaze.confidence).all()
    assert set(gaze.worn.tolist()) == {0}
    assert (session.name, session.person, session.task) == (EGTEA_SESSION, "P26", "Cheeseburger")
    assert summary.left_out == {"rows of the gaze file that are not samples": 1}


def test_annotated_actions_are_labels(tmp_path: Path) -> None:
    video = write_egtea(tmp_path / "egtea")
    labels = tmp_path / "egtea" / "action_labels.csv"
    import_recording("egtea", video, tmp_path / "bag", labels=labels, task="lunch", progress=False)
    session = load_session(tmp_path / "bag")
    track = session.labels
    assert track is not None
    assert ((track.starts_ns - UNDATED_START_NS) / 1e9).tolist() == [3.2, 4.0, 5.0]
    assert track.texts == ["take eating utensil", "transfer cucumber, cutting board, bowl", ""]
    assert track.verbs == ["take", "transfer", ""]
    assert track.object_classes == ["eating utensil", "cucumber, cutting board, bowl", ""]
    assert session.task == "lunch"
    assert [(round(at_s, 3), text) for at_s, text in answers(tmp_path / "bag")] == [
        (round(int(2.7 * 24) / 24, 3), "take eating utensil"), (3.5, "transfer cucumber, cutting board, bowl"),
    ]  # fmt: skip


def test_gaze_of_frames_that_the_video_lacks(tmp_path: Path) -> None:
    video = write_egtea(tmp_path / "egtea", frames=48)  # 2 s; the last sample is of frame 60
    summary = import_recording("egtea", video, tmp_path / "bag", progress=False)
    assert summary.left_out["gaze samples before the video's first frame or after its last"] == 1
    samples = [*BEGAZE_SAMPLES, (9_000_000, 240, 1.0, 2.0, "Saccade")]
    write_begaze(tmp_path / "egtea" / "gaze_data" / f"{EGTEA_SESSION}.txt", 7, samples)
    with pytest.raises(VideoTooShort, match=r"ends at 2\.00 s but its gaze samples continue to 10\.00 s"):
        import_recording("egtea", video, tmp_path / "bag2", progress=False)
    summary = import_recording("egtea", video, tmp_path / "bag2", cut=True, progress=False)
    assert summary.gaze.samples == 5
    labels = tmp_path / "egtea" / "action_labels.csv"
    write_begaze(tmp_path / "egtea" / "gaze_data" / f"{EGTEA_SESSION}.txt", 7)
    with pytest.raises(VideoTooShort, match=r"its labels continue to 4\.00 s"):
        import_recording("egtea", video, tmp_path / "bag3", labels=labels, progress=False)


def test_frames_that_gaze_does_not_count_are_refused(tmp_path: Path) -> None:
    video = write_egtea(tmp_path / "egtea", rate=30)
    with pytest.raises(WrongFrameRate, match=r"has 30\.00 frames/s, expected 24: gaze counts frames by number"):
        import_recording("egtea", video, tmp_path / "bag", progress=False)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    video = write_egtea(tmp_path / "egtea")
    gaze = tmp_path / "egtea" / "gaze_data" / f"{EGTEA_SESSION}.txt"
    text = gaze.read_text()
    for changed, error, line in (
        (text.replace("B POR X [px]", "X").replace("L POR X [px]", "Y").replace("R POR X [px]", "Z"), WrongColumns,
         r"has no column 'B POR X \[px\]' or 'L POR X \[px\]' or 'R POR X \[px\]', expected a BeGaze raw data export"),
        (text.replace("Time\tType", "t\tType"), WrongColumns, "is not a BeGaze export: no line starts with 'Time'"),
        (text.replace("00:00:02:12", "00:00:02"), BadRow, r"line 41: time '4500000', frame '00:00:02', point '100\.0'"),
        (text[:-20], BadRow, r"line 41: 25 fields, expected 26; it is cut"),
    ):  # fmt: skip
        gaze.write_text(changed)
        with pytest.raises(error, match=line):
            import_recording("egtea", video, tmp_path / "bag", progress=False)
    gaze.unlink()
    with pytest.raises(FileMissing, match=rf"no gaze of .*expected {EGTEA_SESSION}\.txt in one of .*--gaze"):
        import_recording("egtea", video, tmp_path / "bag", progress=False)
    gaze.write_text(text)
    labels = tmp_path / "egtea" / "action_labels.csv"
    labels.write_text(labels.read_text().replace(EGTEA_SESSION, "P01-R01-Pizza"))
    with pytest.raises(
        NoActions, match=f"no action of session '{EGTEA_SESSION}' .it has P01-R01-Pizza, P07-R01-PastaSalad"
    ):
        import_recording("egtea", video, tmp_path / "bag", labels=labels, progress=False)
    labels.write_text(labels.read_text().replace("Verb Label", "Verb"))
    with pytest.raises(WrongColumns, match=r"is not action_labels\.csv of EGTEA Gaze\+: it has no column 'Verb Label'"):
        import_recording("egtea", video, tmp_path / "bag", labels=labels, progress=False)
    assert not (tmp_path / "bag").exists()
