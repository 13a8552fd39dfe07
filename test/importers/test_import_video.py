from pathlib import Path

import numpy as np
import pytest
from recordings import grey, write_mp4

from gaze_vlm_ros.importers.video import BadVideo, TurnedVideo, Video, VideoTooShort, read_video, within_video
from gaze_vlm_ros.storage.tables import FileMissing


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    write_mp4(path, [grey(i) for i in range(40)], rate=24)
    return path


def levels(video: Video, chosen: np.ndarray, size: tuple[int, int] | None = None) -> dict[int, float]:
    return {number: rgb.mean() for number, rgb in video.frames(chosen, size or video.size)}


def test_frames_come_in_the_order_they_are_shown_with_their_times(path: Path) -> None:
    video = read_video(path)
    assert video.size == (64, 48)
    assert video.times_ns.tolist() == [round(i * 1e9 / 24) for i in range(40)]
    seen = levels(video, np.ones(40, bool))
    assert list(seen) == list(range(40))
    assert all(abs(level - grey(number)) < 4 for number, level in seen.items())


def test_only_wanted_frames_are_scaled(path: Path) -> None:
    video = read_video(path)
    frames = list(video.frames(np.arange(40) % 7 == 3, (32, 20)))
    assert [number for number, _ in frames] == [3, 10, 17, 24, 31, 38]
    assert all(rgb.shape == (20, 32, 3) for _, rgb in frames)
    assert all(abs(rgb.mean() - grey(number)) < 4 for number, rgb in frames)


def test_after_damage_frames_keep_their_number(tmp_path: Path) -> None:
    """A frame that does not decode must not shift the times of those after it."""
    import av

    write_mp4(tmp_path / "v.mp4", [grey(i) for i in range(48)])
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    with av.open(str(tmp_path / "v.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keyframe = [packet for packet in packets if packet.is_keyframe][1]
    data[keyframe.pos : keyframe.pos + keyframe.size] = bytes(keyframe.size)
    (tmp_path / "damaged.mp4").write_bytes(data)
    video = read_video(tmp_path / "damaged.mp4")
    seen = levels(video, np.ones(48, bool))
    assert len(video) == 48
    assert 30 < len(seen) < 48
    assert all(abs(seen[number] - grey(number)) < 4 for number in range(36, 48))  # after the next keyframe


def test_what_is_no_video_is_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"none\.mp4 is missing: expected a video"):
        read_video(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(BadVideo, match=r"text\.mp4 cannot be read as a video .*download it again"):
        read_video(tmp_path / "text.mp4")
    (tmp_path / "cut.mp4").write_bytes(path.read_bytes()[:500])
    with pytest.raises(BadVideo, match="cannot be read as a video"):
        read_video(tmp_path / "cut.mp4")


def test_what_goes_on_after_the_video_is_refused_or_cut(path: Path) -> None:
    video = read_video(path)  # 1.667 s
    second = 1_000_000_000
    times_ns = np.array([-1, 0, second, 2 * second])
    assert within_video(video, times_ns, "gaze samples", cut=False).tolist() == [True, True, True, False]
    times_ns = np.append(times_ns, 3 * second)
    with pytest.raises(VideoTooShort, match=r"ends at 1\.67 s but its gaze samples continue to 3\.00 s; give .* --cut"):
        within_video(video, times_ns, "gaze samples", cut=False)
    assert within_video(video, times_ns, "gaze samples", cut=True).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("turned", "mirrored", "says"),
    [
        (90, False, "turned by 90 degrees"),
        (180, False, "turned by"),
        (270, False, "turned by -90"),
        (0, True, "mirrored"),
    ],
)
def test_a_video_that_a_player_turns_is_refused(tmp_path: Path, turned: int, mirrored: bool, says: str) -> None:
    write_mp4(tmp_path / "v.mp4", [grey(i) for i in range(10)], turned=turned, mirrored=mirrored)
    with pytest.raises(TurnedVideo, match=rf"v\.mp4 is {says}.* for display.*`ffmpeg -display_rotation 0 -i v\.mp4 "):
        read_video(tmp_path / "v.mp4")
