import json
from pathlib import Path

import numpy as np
import pytest
from recordings import EGO4D_SAMPLE, SIZE, UID, grey, write_ego4d
from windows import answers

from gaze_vlm_ros.importers.ego4d import BadAnnotations, NoActions
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.importers.importing import import_recording
from gaze_vlm_ros.importers.video import VideoTooShort
from gaze_vlm_ros.session.session import LabelTrack, load_session
from gaze_vlm_ros.storage.tables import FileMissing, WrongColumns


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_ego4d(tmp_path / "v2")


def times_and_texts(labels: LabelTrack | None) -> list[tuple[float, str]]:
    assert labels is not None
    return [
        ((t - UNDATED_START_NS) / 1e9, text) for t, text in zip(labels.starts_ns.tolist(), labels.texts, strict=True)
    ]


def test_gaze_is_turned_over_and_frames_are_timed_by_the_container(video: Path, tmp_path: Path) -> None:
    import_recording("ego4d", video, tmp_path / "bag", progress=False)
    session = load_session(tmp_path / "bag")
    assert session.frames.stamps_ns.tolist() == [UNDATED_START_NS + round(i * 1e9 / 30) for i in range(150)]
    assert all(abs(session.frames.rgb(i).mean() - grey(i)) < 6 for i in range(0, 150, 7))
    gaze = session.gaze
    assert gaze is not None
    times_s = [t for t, _, _ in EGO4D_SAMPLE] + np.arange(0.5, 4.9, 0.25).round(6).tolist()
    assert gaze.stamps_ns.tolist() == [UNDATED_START_NS + round(t * 1e9) for t in times_s]
    assert gaze.xy[:3].tolist() == [[x * 64, 48 - y * 48] for _, x, y in EGO4D_SAMPLE]
    # Three quarters up from the bottom is a quarter down from the top.
    assert gaze.xy[3:].tolist() == [[16.0, 12.0]] * 18
    assert set(gaze.confidence.tolist()) == {1.0}
    assert set(gaze.worn.tolist()) == set(gaze.eye_state.tolist()) == {0}
    assert gaze.image_size == SIZE
    assert session.name == UID
    assert session.labels is None


def test_narrations_are_actions_of_the_wearer(video: Path, tmp_path: Path) -> None:
    labels = video.parents[1] / "annotations" / "narration.json"
    summary = import_recording("ego4d", video, tmp_path / "bag", labels=labels, progress=False)
    session = load_session(tmp_path / "bag")
    assert times_and_texts(session.labels) == [
        (3.5, "picks a cup from the table"), (4.2, "pours the tea"), (9.2, ""),
    ]  # fmt: skip
    assert summary.left_out == {
        "narrations that are not about the camera wearer": 1,
        "narrations marked as unsure": 1,
        "narrations at the same time as another": 1,
        "narrations of the second narrator, who describes the same video": 2,
    }
    assert answers(tmp_path / "bag") == [
        (pytest.approx(3.0), "picks a cup from the table"), (pytest.approx(3.7), "pours the tea"),
    ]  # fmt: skip


def test_a_long_pause_ends_a_narrated_action(video: Path, tmp_path: Path) -> None:
    path = video.parents[1] / "annotations" / "narration.json"
    narrations = [
        {"timestamp_sec": t, "narration_text": f"#C C {text}"} for t, text in ((-6.0, "a"), (0.5, "b"), (4.0, "c"))
    ]
    # As before version 2, and the first narrator silent.
    passes = {"narration_pass_1": {"narrations": []}, "narration_pass_2": {"narrations": narrations}}
    path.write_text(json.dumps({"other": {}, UID: passes}))
    import_recording("ego4d", video, tmp_path / "bag", labels=path, progress=False)
    labels = load_session(tmp_path / "bag").labels
    assert times_and_texts(labels) == [(-6, "a"), (-1, ""), (0.5, "b"), (4.0, "c"), (9.0, "")]


def test_anticipation_labels(video: Path, tmp_path: Path) -> None:
    labels = video.parents[1] / "annotations" / "fho_lta_train.json"
    import_recording("ego4d", video, tmp_path / "bag", labels=labels, progress=False)
    track = load_session(tmp_path / "bag").labels
    assert times_and_texts(track) == [(3.5, "put tape measure"), (4.0, "")]
    assert track is not None
    assert (track.verbs[0], track.object_classes[0]) == ("put", "tape measure")
    assert [answer for _, answer in answers(tmp_path / "bag")] == ["put tape measure"]


def test_only_this_videos_narrations_are_parsed(video: Path, tmp_path: Path) -> None:
    """The real file is almost a gigabyte; anything may follow this video's object."""
    path = video.parents[1] / "annotations" / "narration.json"
    long = {"narration_pass_1": {"narrations": [{"timestamp_sec": 1, "narration_text": "#C C ä" + "x" * 3_000_000}]}}
    path.write_text(
        f'{{"videos": {{"a": {{"video_uid": "{UID}"}}, "{UID}" : {json.dumps(long)}, broken', encoding="utf-8"
    )
    import_recording("ego4d", video, tmp_path / "bag", labels=path, progress=False)
    labels = load_session(tmp_path / "bag").labels
    assert labels is not None
    assert len(labels.texts[0]) == 3_000_001


def test_gaze_longer_than_the_video(tmp_path: Path) -> None:
    video = write_ego4d(tmp_path / "v2", frames=60)  # 2 s; gaze until 4.75 s
    with pytest.raises(VideoTooShort, match=r"ends at 2\.00 s but its gaze samples continue to 4\.75 s"):
        import_recording("ego4d", video, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()
    summary = import_recording("ego4d", video, tmp_path / "bag", cut=True, progress=False)
    assert summary.left_out == {"gaze samples after the video's end": 12}
    assert summary.gaze.samples == 9


def test_labels_longer_than_the_video(tmp_path: Path) -> None:
    video = write_ego4d(tmp_path / "v2", frames=60, gaze_s=1.0)
    labels = video.parents[1] / "annotations" / "fho_lta_train.json"
    with pytest.raises(VideoTooShort, match=r"ends at 2\.00 s but its labels continue to 3\.50 s"):
        import_recording("ego4d", video, tmp_path / "bag", labels=labels, progress=False)
    summary = import_recording("ego4d", video, tmp_path / "bag", labels=labels, cut=True, progress=False)
    assert (summary.actions, summary.left_out) == (0, {"actions after the video's end": 1})


def test_a_sample_without_gaze_stays_without(video: Path, tmp_path: Path) -> None:
    path = video.parents[1] / "gaze" / f"{UID}.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("0.4422956915462719,0.440328527379919", ",")
    lines[2] = lines[2].replace("0.004056999999988875,0.004056999999988875", "0.004,")
    path.write_text("\n".join(lines) + "\n")
    summary = import_recording("ego4d", video, tmp_path / "bag", progress=False)
    gaze = load_session(tmp_path / "bag").gaze
    assert gaze is not None
    assert np.isnan(gaze.xy[0]).all()
    assert summary.left_out == {"gaze samples without a time": 1}
    assert len(gaze) == 20


def test_bad_input_is_one_line(video: Path, tmp_path: Path) -> None:
    annotations = video.parents[1] / "annotations"
    (annotations / "nlq.json").write_text('{"clips": [{"a": 1}]}')
    (annotations / "empty.json").write_text("")
    (annotations / "other.json").write_text('{"videos": {}}')
    for labels, error, line in (
        (annotations / "none.json", FileMissing, r"none\.json is missing: expected narration\.json or fho_lta"),
        (
            annotations / "nlq.json",
            BadAnnotations,
            r"neither narration\.json nor fho_lta_<set>\.json .*KeyError: 'video_uid'",
        ),
        (annotations / "empty.json", BadAnnotations, "or it is damaged"),
        (annotations / "other.json", NoActions, f"has no action of video {UID}"),
    ):
        with pytest.raises(error, match=line):
            import_recording("ego4d", video, tmp_path / "bag", labels=labels, progress=False)
    with pytest.raises(WrongColumns, match="is not a gaze CSV of Ego4D: it has no column 'canonical_timestamp_s'"):
        import_recording("ego4d", video, tmp_path / "bag", gaze=annotations / "other.json", progress=False)
    (video.parents[1] / "gaze" / f"{UID}.csv").unlink()
    with pytest.raises(FileMissing, match=rf"no gaze of .*{UID}\.mp4: expected .*--gaze"):
        import_recording("ego4d", video, tmp_path / "bag", progress=False)
    with pytest.raises(FileMissing, match="is a folder: expected a canonical video of Ego4D"):
        import_recording("ego4d", video.parent, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()
