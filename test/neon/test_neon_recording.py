"""Native recordings, whole and in pieces."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from neon_fixtures import Synthetic
from pupil_labs.neon_recording import NeonRecording
from recordings import grey, write_mp4

from gaze_vlm_ros.neon.recording import NotANeonRecording, read_recording
from gaze_vlm_ros.video.video_file import TurnedVideo


def test_parts_are_joined_in_order(synthetic: Synthetic) -> None:
    recording = read_recording(synthetic.folder)
    assert np.array_equal(recording.frame_stamps_ns, synthetic.frame_ns)
    assert np.array_equal(recording.gaze.stamps_ns, synthetic.gaze_ns)
    assert np.array_equal(recording.gaze.xy_px, synthetic.gaze_px)
    assert np.array_equal(recording.gaze.worn, synthetic.worn == 255)
    assert np.array_equal(recording.imu.stamps_ns, synthetic.imu_ns)
    assert recording.span_ns[0] == min(synthetic.frame_ns[0], synthetic.imu_ns[0])


def test_access_units_decode_to_the_video(synthetic: Synthetic) -> None:
    part = read_recording(synthetic.folder).video[1]
    codec = av.CodecContext.create("h264", "r")
    frames = []
    for _, is_keyframe, units in part.access_units():
        units = [*part.parameter_sets, *units] if is_keyframe else units
        frames += codec.decode(av.Packet(b"".join(b"\0\0\0\1" + unit for unit in units)))
    frames += codec.decode(None)
    with av.open(str(part.path)) as container:
        expected = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert len(frames) == len(expected) == 8
    assert all(np.array_equal(frame.to_ndarray(), other) for frame, other in zip(frames, expected, strict=True))


def copy(synthetic: Synthetic, to: Path, leaving_out: str) -> Path:
    return Path(shutil.copytree(synthetic.folder, to / "part", ignore=shutil.ignore_patterns(leaving_out)))


def test_gaze_of_a_part_without_video_stays(synthetic: Synthetic, tmp_path: Path) -> None:
    recording = read_recording(copy(synthetic, tmp_path, "Neon Scene Camera v1 ps2.*"))
    assert len(recording.frame_stamps_ns) == 12
    assert len(recording.gaze.stamps_ns) == 80


def test_streams_that_are_not_there_are_empty(synthetic: Synthetic, tmp_path: Path) -> None:
    recording = read_recording(copy(synthetic, tmp_path, "extimu*"))
    assert recording.imu.stamps_ns.size == 0


def test_video_cut_off_while_writing_is_left_out(
    synthetic: Synthetic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy(synthetic, tmp_path, "nothing")
    video = folder / "Neon Scene Camera v1 ps2.mp4"
    video.write_bytes(video.read_bytes()[:1000])  # the index is at the end
    assert len(read_recording(folder).video) == 1
    assert "leaving out Neon Scene Camera v1 ps2.mp4" in caplog.text


def test_scene_video_that_a_player_turns_is_refused(synthetic: Synthetic, tmp_path: Path) -> None:
    folder = copy(synthetic, tmp_path, "nothing")
    write_mp4(folder / "Neon Scene Camera v1 ps2.mp4", [grey(number) for number in range(8)], turned=90)
    name = r"Neon Scene Camera v1 ps2\.mp4"
    with pytest.raises(TurnedVideo, match=rf"{name} is turned by .* degrees for display.* -i '{name}' -c copy"):
        read_recording(folder)


def test_later_200_hz_gaze_where_there_is_no_other(synthetic: Synthetic, tmp_path: Path) -> None:
    folder = copy(synthetic, tmp_path, "gaze ps*")
    synthetic.gaze_ns.astype("<i8").tofile(folder / "gaze_200hz.time")
    synthetic.gaze_px.astype("<f4").tofile(folder / "gaze_200hz.raw")
    synthetic.worn.tofile(folder / "worn_200hz.raw")
    gaze = read_recording(folder).gaze
    assert np.array_equal(gaze.xy_px, synthetic.gaze_px)
    assert np.array_equal(gaze.worn, synthetic.worn == 255)


def test_what_is_no_recording_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotANeonRecording, match=r"no info\.json"):
        read_recording(tmp_path)
    (tmp_path / "info.json").write_text("{}")
    with pytest.raises(NotANeonRecording, match="neither"):
        read_recording(tmp_path)
    (tmp_path / "info.json").write_text("{")
    with pytest.raises(NotANeonRecording, match="cannot be read as JSON"):
        read_recording(tmp_path)


def test_real_recording_agrees_with_the_vendors_reader(neon_window: Path) -> None:
    ours, theirs = read_recording(neon_window), NeonRecording(neon_window)
    assert len(ours.frame_stamps_ns) == 144
    assert np.array_equal(ours.frame_stamps_ns, theirs.scene.time)
    assert len(ours.gaze.stamps_ns) == len(ours.gaze.eye_state) == 639
    # The vendor's reader prefers the gaze that was computed later; it has the same samples, rounded.
    assert np.abs(ours.gaze.stamps_ns - theirs.gaze.time[:639]).max() <= 128
    assert np.abs(ours.gaze.xy_px - theirs.gaze.point[:639]).max() < 0.002
    assert ours.gaze.worn.all()
    assert (ours.gaze.stamps_ns[0] - ours.frame_stamps_ns[0]) / 1e9 == pytest.approx(1.059, abs=0.001)
