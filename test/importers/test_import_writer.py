"""The bag itself: topics, sizes, rates, and that nothing stays of one that failed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from recordings import SIZE, UTC_NS, grey, write_mp4

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.writer import BagExists
from gaze_vlm_ros.importers import session_writer
from gaze_vlm_ros.importers.imported_session import CameraModel, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.session_writer import BadFrameSize, BadRate, BadStamps, thinned, write_session
from gaze_vlm_ros.importers.video import BadVideo, read_video
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import LabelTrack, load_session
from gaze_vlm_ros.session.span import NotOneSession

FRAMES = 30


@pytest.fixture
def session(tmp_path: Path) -> ImportedSession:
    write_mp4(tmp_path / "v.mp4", [grey(i) for i in range(FRAMES)])
    video = read_video(tmp_path / "v.mp4")
    stamps_ns = UTC_NS + np.array([-5_000_000, 100_000_000, 2_000_000_000])
    gaze = GazeTrack(
        stamps_ns,
        np.array([[1.5, 2.5], [-3.0, 4.0], [np.nan, np.nan]]),
        np.array([np.nan, 0.9, 0.1]),
        np.array([0, 2, 1], np.uint8),
        np.array([1, 2, 0], np.uint8),
        (64, 48),
    )
    return ImportedSession(
        metadata={"session": "s", "person": "p"},
        videos=[TimedVideo(video, UTC_NS + video.times_ns)],
        gaze=gaze,
        device_ns=stamps_ns - 7,
        labels=LabelTrack(np.array([UTC_NS, UTC_NS + 5]), ["open", ""], ["open", ""], ["door", ""]),
        camera=CameraModel(np.array([[60.0, 0, 31.5], [0, 61.0, 23.5], [0, 0, 1]]), np.arange(8) / 100),
    )


def test_messages_are_what_was_read(session: ImportedSession, tmp_path: Path) -> None:
    write_session(session, tmp_path / "bag", progress=False)
    with open_bag(tmp_path / "bag") as bag:
        topics = {name: (info.type_name, info.count) for name, info in bag.topics.items()}
        assert topics == {
            "/camera/image_raw/compressed": ("sensor_msgs/msg/CompressedImage", FRAMES),
            "/camera/camera_info": ("sensor_msgs/msg/CameraInfo", FRAMES),
            "/gaze": ("gaze_vlm_msgs/msg/GazeStamped", 3),
            "/label": ("gaze_vlm_msgs/msg/ActionLabel", 2),
        }
        assert bag.read("/gaze").stamps_ns.tolist() == session.gaze.stamps_ns.tolist()
        gaze = [bag.read("/gaze").message(i) for i in range(3)]
        assert [(m.x, m.y) for m in gaze[:2]] == [(1.5, 2.5), (-3.0, 4.0)]
        assert np.isnan([gaze[0].confidence, gaze[2].x, gaze[2].y]).all()
        assert [m.confidence for m in gaze[1:]] == pytest.approx([0.9, 0.1])
        assert [(m.worn, m.eye_state, m.image_width, m.image_height) for m in gaze] == [
            (0, 1, 64, 48), (2, 2, 64, 48), (1, 0, 64, 48),
        ]  # fmt: skip
        stamp = gaze[1].device_stamp
        assert stamp.sec * 10**9 + stamp.nanosec == UTC_NS + 100_000_000 - 7
        info = bag.read("/camera/camera_info").message(0)
        assert (info.width, info.height, info.distortion_model) == (64, 48, "rational_polynomial")
        assert info.k.tolist() == [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]
        assert info.d.tolist() == (np.arange(8) / 100).tolist()
    loaded = load_session(tmp_path / "bag")
    assert loaded.frames.stamps_ns.tolist() == session.videos[0].stamps_ns.tolist()
    assert all(abs(loaded.frames.rgb(i).mean() - grey(i)) < 6 for i in range(FRAMES))
    assert (loaded.name, loaded.person, loaded.labels.texts) == ("s", "p", ["open", ""])


def test_messages_lie_in_the_order_of_their_time(session: ImportedSession, tmp_path: Path) -> None:
    write_session(session, tmp_path / "bag", progress=False)
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        in_file = [m.log_time for _, _, m in make_reader(stream).iter_messages(log_time_order=False)]
    assert len(in_file) == 2 * FRAMES + 5
    assert in_file == sorted(in_file)


def test_shrunk_frames_keep_their_calibration_and_gaze_its_image(session: ImportedSession, tmp_path: Path) -> None:
    summary = write_session(session, tmp_path / "bag", size=(32, 12), progress=False)
    assert summary.size == (32, 12)
    with open_bag(tmp_path / "bag") as bag:
        info = bag.read("/camera/camera_info").message(0)
    # The principal point was the image's centre, half a pixel before the middle of 64x48, and stays there.
    assert info.k.tolist() == [30, 0, 15.5, 0, 15.25, 5.5, 0, 0, 1]
    loaded = load_session(tmp_path / "bag")
    assert loaded.frames.size == (32, 12)
    assert loaded.gaze is not None
    assert loaded.gaze.image_size == SIZE


def test_frames_are_thinned_out_and_counted(session: ImportedSession, tmp_path: Path) -> None:
    summary = write_session(session, tmp_path / "bag", max_rate_hz=10, progress=False)
    assert summary.frames == 10
    assert summary.left_out == {"frames above 10 Hz": 20}
    assert load_session(tmp_path / "bag").frames.stamps_ns.tolist() == session.videos[0].stamps_ns[::3].tolist()
    with open_bag(tmp_path / "bag") as bag:
        assert dict(bag.records)["gaze_vlm_import"] == {"frames above 10 Hz": "20"}


def test_thinning_keeps_the_rate_through_jitter_and_gaps() -> None:
    random = np.random.default_rng(1)
    stamps_ns = (np.arange(300) * 1e9 / 30 + random.uniform(-2e6, 2e6, 300)).astype(np.int64)
    kept = stamps_ns[thinned(stamps_ns, 10)]
    assert 98 <= len(kept) <= 100
    assert np.diff(kept).min() > 60e6
    with_gap = np.concatenate([stamps_ns, stamps_ns + 60_000_000_000])
    assert len(with_gap[thinned(with_gap, 10)]) <= 2 * 100
    assert thinned(stamps_ns, 0).all()
    assert thinned(stamps_ns, 1000).all()


def test_the_table_says_what_is_there_and_what_is_not(session: ImportedSession, tmp_path: Path) -> None:
    session.left_out["things of one kind"] = 4
    session.left_out["things that were none"] = 0
    table = write_session(session, tmp_path / "bag", progress=False).table()
    assert "frames    30, 64x48, 30.0 Hz, longest gap 0.033 s" in table
    assert (
        "gaze      3 samples, 33.3% valid (1 not worn, 1 unsure, 2 off the image or none, 1 blink or saccade); "
        "2 at times without video" in table
    )
    assert "labels    1 actions, 1 different" in table
    assert "imu       none" in table
    assert table.endswith("left out  4 things of one kind")
    again = write_session(
        replace(session, left_out=session.left_out - session.left_out), tmp_path / "2", progress=False
    )
    assert again.table().endswith("left out  nothing")


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"size": (128, 96)}, BadFrameSize, "is 128x96 px, expected more than 0 and at most the video's 64x48"),
        ({"size": (0, 10)}, BadFrameSize, "is 0x10 px"),
        ({"max_rate_hz": -1.0}, BadRate, r"is -1\.0 Hz, expected 0 \(keep all\) or more"),
    ],
)
def test_settings_that_cannot_be_write_nothing(
    session: ImportedSession, tmp_path: Path, options: dict[str, Any], error: type[Exception], line: str
) -> None:
    with pytest.raises(error, match=line):
        write_session(session, tmp_path / "bag", progress=False, **options)
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("shift_ns", [-2 * UTC_NS, 500_000_000 * 10**9])
def test_times_that_ros_has_not_are_refused(session: ImportedSession, tmp_path: Path, shift_ns: int) -> None:
    session.gaze.stamps_ns[:] += shift_ns
    with pytest.raises(BadStamps, match=r"the times of gaze run from -?\d+ to -?\d+ ns, expected ns since 1970"):
        write_session(session, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()


def test_nothing_is_overwritten(session: ImportedSession, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "mine").write_text("keep")
    with pytest.raises(BagExists, match="bags are never overwritten"):
        write_session(session, tmp_path / "bag", progress=False)
    assert (tmp_path / "bag" / "mine").read_text() == "keep"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_no_half_bag_stays(
    session: ImportedSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def failing(*_: object) -> Iterator[Any]:
        yield from ()
        raise error

    monkeypatch.setattr(session_writer, "_frames", failing)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else session_writer.BagNotWritable
    with pytest.raises(expected, match=None if expected is KeyboardInterrupt else "No space left on device; give"):
        write_session(session, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()


def test_a_video_without_a_good_frame_is_refused(session: ImportedSession, tmp_path: Path) -> None:
    path = session.videos[0].video.path
    data = bytearray(path.read_bytes())
    start, stop = data.index(b"mdat") + 4, data.index(b"moov") - 4  # samples, and the index after them
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with pytest.raises(BadVideo, match="none of its 30 frames decodes"):
        write_session(session, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("stream", ["frames", "gaze", "labels"])
def test_one_stamp_days_away_writes_nothing(session: ImportedSession, tmp_path: Path, stream: str) -> None:
    stamps_ns = {
        "frames": session.videos[0].stamps_ns, "gaze": session.gaze.stamps_ns, "labels": session.labels.starts_ns,
    }  # fmt: skip
    stamps_ns[stream][0] = 5
    with pytest.raises(NotOneSession, match=rf"the stamps of 1 of \d+ {stream} are wrong, such as 1970-01-01"):
        write_session(session, tmp_path / "bag", progress=False)
    assert not (tmp_path / "bag").exists()
