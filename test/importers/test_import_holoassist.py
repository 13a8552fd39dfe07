from pathlib import Path

import numpy as np
import pytest
from recordings import HOLO_START_NS, SIZE, grey, write_holoassist, write_mp4

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.importers.holoassist import BadAnnotations, OtherSize, WrongDistance
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.plausible import WrongUnit
from gaze_vlm_ros.importers.video import TurnedVideo, VideoTooShort
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import BadRow, FileMissing


def test_a_ray_of_the_world_is_put_onto_the_picture_of_its_moment(tmp_path: Path) -> None:
    folder = write_holoassist(tmp_path)
    summary = import_recording("holoassist", folder, tmp_path / "bag", labels=tmp_path / "labels.json", progress=False)
    session = load_session(tmp_path / "bag")
    gaze = session.gaze
    assert gaze is not None
    rows = [i for i in range(90) if i % 3 != 2]  # the third repeats the second
    assert (gaze.stamps_ns - HOLO_START_NS).tolist() == [i * 33_333_300 + 5_000_000 for i in rows]
    # The head turns left, so a point of the world moves to the right of the picture; the pose is that of row i.
    expected = np.array([(60 * np.tan(np.radians(0.2 * i)) + 31.5, 23.5) for i in rows])
    expected[rows.index(10)] = np.nan
    np.testing.assert_allclose(gaze.xy, expected, atol=1e-6)
    assert gaze.image_size == SIZE
    assert session.frames.stamps_ns[0] == HOLO_START_NS
    assert summary.left_out["rows of Eyes_sync.txt that repeat the sample before"] == 30
    labels = session.labels
    assert labels is not None
    assert labels.texts == ["open battery door", "", "close small battery door (mistake)", ""]
    assert (labels.verbs[0], labels.object_classes[2]) == ("open", "battery door")
    assert ((labels.starts_ns - HOLO_START_NS) / 1e9).tolist() == [0.5, 1.0, 1.5, 2.0]
    assert (session.name, session.task) == ("R007-7July-DSLR", "DSLR")
    assert session.metadata["gaze_distance"] == "0.5 m for every sample"
    with open_bag(tmp_path / "bag") as bag:
        assert bag.read("/camera/camera_info").message(0).k.tolist() == [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]


def test_the_distance_matters_where_the_eyes_are_beside_the_camera(tmp_path: Path) -> None:
    folder = write_holoassist(tmp_path)
    eyes = folder / "Export_py" / "Eyes" / "Eyes_sync.txt"
    eyes.write_text(eyes.read_text().replace("\t0.1\t0.2\t1.5\t", "\t0.1\t0.25\t1.5\t"))  # 5 cm to the left
    import_recording("holoassist", folder, tmp_path / "near", progress=False)
    import_recording("holoassist", folder, tmp_path / "far", distance_m=5.0, progress=False)
    near, far = (load_session(tmp_path / name).gaze for name in ("near", "far"))
    assert near is not None
    assert far is not None
    assert near.xy[0, 0] == pytest.approx(31.5 - 60 * 0.05 / 0.5)
    assert far.xy[0, 0] == pytest.approx(31.5 - 60 * 0.05 / 5)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    folder = write_holoassist(tmp_path)
    export, labels = folder / "Export_py", tmp_path / "labels.json"

    def refused(error: type[Exception], line: str, **options: object) -> None:
        with pytest.raises(error, match=line) as raised:
            import_recording("holoassist", folder, tmp_path / "bag", progress=False, **options)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "bag").exists()

    refused(WrongDistance, "is -1 m, expected more than 0", distance_m=-1.0)
    for name, change, error, line in (
        ("Eyes/Eyes_sync.txt", lambda text: text[:-20], BadRow, "line 90: .* numbers, expected 9 numbers"),
        ("Eyes/Eyes_sync.txt", lambda text: "", BadRow, "is empty"),
        (
            "Eyes/Eyes_sync.txt",
            lambda text: text.replace("2.0\t0.0\t0.0", "0.3\t2.0\t0.0"),
            WrongUnit,
            "is off the 64x48",
        ),
        ("Video/Pose_sync.txt", lambda text: text.replace("\t1.5\t", "\tx\t"), BadRow, "could not convert"),
        ("Video/Intrinsics.txt", lambda text: "60 0 31", BadRow, "3 numbers, expected the matrix"),
        ("Video/Intrinsics.txt", lambda text: text.replace("\t48", "\t64"), OtherSize, "is of 64x64 px"),
        ("Video/VideoMp4Timing.txt", lambda text: "", BadRow, "is empty"),
    ):
        path = export / name
        whole = path.read_text()
        path.write_text(change(whole))
        refused(error, line)
        path.unlink()
        refused(FileMissing, "is missing")
        path.write_text(whole)
    whole = labels.read_text()
    for text, line in (
        (whole.replace("R007", "R008"), "nothing of session"),
        (whole[:-5], "is not the annotation file"),
    ):
        labels.write_text(text)
        refused(BadAnnotations, line, labels=labels)
    write_mp4(export / "Video_pitchshift.mp4", [grey(i) for i in range(30)])
    refused(VideoTooShort, "its gaze samples continue to")
    write_mp4(export / "Video_pitchshift.mp4", [grey(i) for i in range(90)], turned=180)
    refused(TurnedVideo, "degrees for display")
    (export / "Video_pitchshift.mp4").unlink()
    refused(FileMissing, r"has no Video_pitchshift\.mp4")
