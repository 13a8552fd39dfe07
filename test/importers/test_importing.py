from pathlib import Path
from typing import Any

import pytest
from recordings import grey, write_cloud, write_ego4d, write_egtea, write_mp4

from gaze_vlm_ros.bags.writer import BagExists
from gaze_vlm_ros.importers.importing import OptionNotTaken, UnknownKind, import_recording, parse_size
from gaze_vlm_ros.importers.session_writer import BadFrameSize
from gaze_vlm_ros.importers.video import TurnedVideo
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import FileMissing


@pytest.mark.parametrize(
    ("kind", "options", "error", "line"),
    [
        (
            "tobii",
            {},
            UnknownKind,
            "no importer 'tobii', expected one of neon, neon-cloud, ego4d, egtea, aria, tobii-g3",
        ),
        ("neon", {"gaze": Path("g")}, OptionNotTaken, "neon takes no --gaze; leave it out"),
        ("ego4d", {"events_as_labels": True}, OptionNotTaken, "ego4d takes no --events-as-labels"),
        ("neon-cloud", {}, FileMissing, r"nowhere is missing: expected a recording's folder"),
        ("egtea", {}, FileMissing, r"nowhere is missing: expected a recording's video"),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path, kind: str, options: dict[str, Any], error: type[Exception], line: str
) -> None:
    with pytest.raises(error, match=line):
        import_recording(kind, tmp_path / "nowhere", tmp_path / "bag", **options)


def test_an_existing_output_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BagExists, match="exists already"):
        import_recording("neon", tmp_path / "nowhere", tmp_path)


def test_what_the_user_says_wins_over_what_the_recording_says(tmp_path: Path) -> None:
    video = write_egtea(tmp_path / "egtea")
    said = {"session": "a", "person": "b", "task": "c", "scene": "d"}
    import_recording("egtea", video, tmp_path / "bag", **said, progress=False)
    session = load_session(tmp_path / "bag")
    assert (session.name, session.person, session.task, session.scene) == ("a", "b", "c", "d")
    assert (session.metadata["source"], session.metadata["source_format"]) == (video.name, "egtea")


def test_a_progress_bar_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cloud").mkdir()
    import_recording("neon-cloud", write_cloud(tmp_path / "cloud", frames=30), tmp_path / "bag")
    assert "30/30" in capsys.readouterr().err


def test_sizes() -> None:
    assert parse_size("640x480") == (640, 480)
    for text in ("640", "640x", "640x480x3", "-1x2", "640 x 480"):
        with pytest.raises(BadFrameSize, match=f"the frame size is '{text}', expected WIDTHxHEIGHT"):
            parse_size(text)


@pytest.mark.parametrize("kind", ["neon-cloud", "ego4d", "egtea"])
def test_a_video_that_a_player_turns_is_refused_by_every_format(tmp_path: Path, kind: str) -> None:
    made = {
        "neon-cloud": lambda: next(write_cloud(tmp_path / "in").glob("*.mp4")),
        "ego4d": lambda: write_ego4d(tmp_path / "in"),
        "egtea": lambda: write_egtea(tmp_path / "in"),
    }
    video = made[kind]()
    write_mp4(video, [grey(i) for i in range(30)], turned=180)
    with pytest.raises(TurnedVideo, match="degrees for display"):
        import_recording(kind, video.parent if kind == "neon-cloud" else video, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()
