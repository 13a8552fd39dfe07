from pathlib import Path

import numpy as np
import pytest
from recordings import grey, write_csv, write_egoexo4d, write_mp4

from gaze_vlm_ros.importers.egoexo4d import BadTakes
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.plausible import WrongUnit
from gaze_vlm_ros.importers.video import VideoTooShort, WrongFrameRate
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns

GENERAL = Path("eye_gaze", "general_eye_gaze_2d.csv")


@pytest.mark.parametrize("numbered", [True, False])
def test_each_sample_belongs_to_every_third_frame_and_none_is_repeated(tmp_path: Path, numbered: bool) -> None:
    folder = write_egoexo4d(tmp_path / "data", numbered=numbered)
    import_recording("egoexo4d", folder, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    gaze = session.gaze
    assert gaze is not None
    assert (gaze.stamps_ns - UNDATED_START_NS).tolist() == [round(n * 1e8) for n in range(49)]
    assert gaze.stamps_ns.tolist() == session.frames.stamps_ns[: 3 * 49 : 3].tolist()
    assert gaze.xy[[0, 48]].tolist() == [[700.5, 900.25], [748.5, 852.25]]
    assert np.isnan(gaze.xy[7]).all()
    assert gaze.image_size == (1408, 1408)
    assert session.frames.size == (64, 48)
    assert (session.name, session.person, session.task) == ("uniandes_cooking_1", "17", "Cooking Noodles")


def test_personalized_gaze_comes_before_general(tmp_path: Path) -> None:
    folder = write_egoexo4d(tmp_path / "data")
    write_csv(folder / "eye_gaze" / "personalized_eye_gaze_2d.csv", ["frame_num", "x", "y"], [[4, 10, 20]])
    import_recording("egoexo4d", folder, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    assert session.gaze is not None
    assert (session.gaze.stamps_ns - UNDATED_START_NS).tolist() == [400_000_000]
    assert session.metadata["gaze_file"] == "personalized_eye_gaze_2d.csv"


def test_gaze_of_frames_that_the_video_lacks(tmp_path: Path) -> None:
    folder = write_egoexo4d(tmp_path / "data", frames=140)
    summary = import_recording("egoexo4d", folder, tmp_path / "bag", progress=False)
    assert (summary.gaze.samples, summary.left_out) == (47, {"gaze samples after the video's end": 2})
    folder = write_egoexo4d(tmp_path / "thirty", samples=150)  # one a frame, which 10 Hz gaze cannot be
    with pytest.raises(VideoTooShort, match=r"ends at 5\.00 s but its gaze samples continue to 14\.90 s"):
        import_recording("egoexo4d", folder, tmp_path / "bag2", progress=False)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    folder = write_egoexo4d(tmp_path / "data")
    gaze, takes = folder / GENERAL, tmp_path / "data" / "takes.json"
    text = gaze.read_text()

    def refused(error: type[Exception], line: str) -> None:
        with pytest.raises(error, match=line) as raised:
            import_recording("egoexo4d", folder, tmp_path / "bag", progress=False)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "bag").exists()

    shares = [[n, 0.5, 0.25] for n in range(30)]
    write_csv(gaze, ["frame_num", "x", "y"], shares)
    refused(WrongUnit, r"from \(0\.5, 0\.25\) to \(0\.5, 0\.25\) px of a 1408x1408 picture, .* shares of it")
    write_csv(gaze, ["frame_num", "x", "y"], [[n, 2000 + n, 3000] for n in range(30)])
    refused(WrongUnit, "100% of it is off the 1408x1408 picture")
    for changed, error, line in (
        (text.replace("x,y", "u,v"), WrongColumns, r"it has no column 'x', 'y'"),
        (text[:-9], BadRow, "the file is cut short"),
        (text.replace("\n5,", "\n5.5,"), BadRow, "do not rise by whole numbers"),
        ("frame_num,x,y\n", BadRow, "frame_num of its 0 samples"),
    ):
        gaze.write_text(changed)
        refused(error, line)
    gaze.unlink()
    refused(FileMissing, r"has no eye_gaze/personalized_eye_gaze_2d\.csv or eye_gaze/general")
    gaze.write_text(text)
    takes.write_text("[")
    refused(BadTakes, r"takes\.json cannot be read \(JSONDecodeError")
    takes.unlink()
    video = next(folder.glob("frame_aligned_videos/downscaled/448/*.mp4"))
    write_mp4(video, [grey(i) for i in range(30)], rate=10)
    refused(WrongFrameRate, r"has 10\.00 frames/s, expected 30")
    video.unlink()
    refused(FileMissing, r"has no frame_aligned_videos/aria\*_214-1\.mp4")
