"""Coded video in bags: any order of reading gives what a plain decoder gives, and nothing that is broken is shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from small_bags import COLOURS, FRAME_NS, write_small_bag
from video_bags import (
    COMPRESSED_IMAGE,
    FFMPEG,
    TOPIC,
    VIDEO,
    decode,
    encode,
    packet_of,
    pictures,
    types_of,
    units,
    video_bag,
    write_video_bag,
)

from gaze_vlm_ros.bags.message_types import UnknownMessageType, known_types, message_class, serialize
from gaze_vlm_ros.bags.reader import Bag, open_bag
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.inspection.info import describe, summarize
from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.video import video_stream
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding
from gaze_vlm_ros.video.packets import FrameNumbers, Packet, codec_of, read_packet
from gaze_vlm_ros.video.picture_cache import PictureCache
from gaze_vlm_ros.video.video_stream import NoVideoDecoder, ReorderedVideo, VideoStream
from gaze_vlm_ros.vlm.tiny import build_tiny
from training.data.preparation import prepare
from training.data.recordings import load_recording
from training.settings import Settings

BOTH = pytest.mark.parametrize("codec", ["h264", "hevc"])


def read(stream: FrameStream, index: int) -> RGB | None:
    """The frame; None where it is damaged."""
    try:
        return stream.rgb(index)
    except DamagedImage:
        return None


def damaged(bag: Bag, expected: Sequence[RGB], order: Sequence[int] | None = None) -> list[int]:
    """Numbers of the frames that are not shown; those that are must be as expected."""
    stream = FrameStream(bag.read(TOPIC))
    assert len(stream) == len(expected)
    missing = set()
    for index in order if order is not None else range(len(stream)):
        frame = read(stream, index)
        if frame is None:
            missing.add(index)
        else:
            np.testing.assert_array_equal(frame, expected[index])
    return sorted(missing)


@BOTH
@pytest.mark.parametrize("gop", [1, 7, 100])
def test_any_order_of_reading_gives_what_a_plain_decoder_gives(tmp_path: Path, codec: str, gop: int) -> None:
    shown = pictures(40)
    packets = encode(shown, codec, gop)
    expected = decode(packets, codec)
    assert len(expected) == len(packets) == 40
    assert np.abs(np.subtract(expected, shown, dtype=float)).mean() < 8  # the right picture in the right colours
    bag = video_bag(tmp_path / "bag", packets, codec)
    generator = np.random.default_rng(gop)
    for order in (range(40), range(39, -1, -1), generator.permutation(40), generator.integers(0, 40, 80)):
        assert damaged(bag, expected, order) == []
    stream = FrameStream(bag.read(TOPIC))
    np.testing.assert_array_equal(np.flatnonzero(stream.is_keyframe), range(0, 40, gop))


def test_reading_in_order_decodes_each_packet_once_and_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = encode(pictures(60), gop=20)
    expected = decode(packets)
    fed: list[bytes] = []
    whole = av.Packet
    monkeypatch.setattr(av, "Packet", lambda data: fed.append(data) or whole(data))
    frame_bytes = 128 * 96 * 3 // 2
    kept = PictureCache(3 * frame_bytes)
    bag = video_bag(tmp_path / "bag", packets)
    stream = VideoStream(bag.read(TOPIC), kept)
    for index in range(60):
        np.testing.assert_array_equal(stream.rgb(index), expected[index])
        assert kept.bytes <= 3 * frame_bytes
    assert fed == packets
    assert kept.bytes == 3 * frame_bytes
    fed.clear()
    for index in (59, 58, 57):
        stream.rgb(index)
    assert fed == []  # still there
    np.testing.assert_array_equal(stream.rgb(31), expected[31])
    assert fed == packets[20:32]
    np.testing.assert_array_equal(stream.rgb(33), expected[33])
    assert fed == packets[20:34]  # on from where it was
    fed.clear()
    np.testing.assert_array_equal(stream.rgb(23), expected[23])  # fallen out of memory
    assert fed == packets[20:24]
    for index in (24, 21, 24, 22, 24, 23, 24, 25):  # 24 stays, and is decoded once more on the way to 25
        np.testing.assert_array_equal(stream.rgb(index), expected[index])
    assert (kept.bytes, len(kept)) == (3 * frame_bytes, 3)


@BOTH
def test_a_gap_in_the_sequence_numbers_costs_the_frames_up_to_the_next_keyframe(tmp_path: Path, codec: str) -> None:
    packets = encode(pictures(40), codec, gop=10)
    expected = decode(packets, codec)
    for lost, broken in ((14, range(14, 19)), (20, range(20, 29)), (19, range(0))):
        kept = [i for i in range(40) if i != lost]
        bag = video_bag(tmp_path / f"bag_{lost}", [packets[i] for i in kept], codec, sequences=kept)
        left = [expected[i] for i in kept]
        assert damaged(bag, left) == damaged(bag, left, range(38, -1, -1)) == list(broken)
        np.testing.assert_array_equal(np.flatnonzero(FrameStream(bag.read(TOPIC)).is_lost), broken)


@BOTH
def test_a_loss_before_the_publisher_is_found_in_the_stream_itself(tmp_path: Path, codec: str) -> None:
    packets = encode(pictures(40), codec, gop=20)
    expected = decode(packets, codec)
    for lost, broken in ((10, range(10, 19)), (20, range(20, 39))):
        kept = [i for i in range(40) if i != lost]
        # Numbered behind the loss; not numbered; numbered over all topics.
        for name, sequences in {"late": None, "none": [0] * 39, "all": range(0, 117, 3)}.items():
            bag = video_bag(tmp_path / f"{lost}_{name}", [packets[i] for i in kept], codec, sequences=sequences)
            left = [expected[i] for i in kept]
            assert damaged(bag, left) == damaged(bag, left, range(38, -1, -1)) == list(broken)


def test_picture_numbers_wrap_and_pictures_that_nothing_refers_to_have_none_of_their_own() -> None:
    packets = [read_packet("h264", packet) for packet in encode(pictures(40), gop=40)]
    numbers = FrameNumbers()
    assert all(numbers.follows(packet) for packet in packets)  # x264 numbers to 16
    assert not numbers.follows(packets[36])

    def keyframe(gaps_allowed: int) -> Packet:
        # Baseline, level 3. ue(v): id 0, four bits of frame_num, picture order type 2, 1 reference; a flag; the rest.
        sps = bytes([0x67, 66, 0, 30, 0b1_1_011_010, gaps_allowed << 7 | 0x55, 0x55])
        return read_packet("h264", packet_of([sps, b"\x68\xce", b"\x65\xb8\x40"]))

    def slice_packet(number: int, is_reference: bool) -> Packet:
        # first_mb_in_slice, slice_type P and pic_parameter_set_id are ue(v) 0: a bit each; frame_num has four.
        header = bytes([0x41 if is_reference else 0x01, 0b1110_0000 | number << 1, 0xFF])
        return read_packet("h264", packet_of([header]))

    numbers = FrameNumbers()
    assert numbers.follows(keyframe(0))
    sequence = [(1, True), (2, False), (2, False), (2, True), (3, True), (5, True), (6, True), (9, False), (7, True)]
    assert [numbers.follows(slice_packet(*item)) for item in sequence] == [
        True, True, True, True, True, False, True, False, True,
    ]  # fmt: skip
    assert numbers.follows(keyframe(1))
    assert [numbers.follows(slice_packet(*item)) for item in sequence] == [True] * 9  # numbers that say nothing


@BOTH
def test_frames_before_the_first_keyframe_are_damaged(tmp_path: Path, codec: str) -> None:
    packets = encode(pictures(30), codec, gop=10)
    bag = video_bag(tmp_path / "bag", packets[4:], codec)
    assert damaged(bag, decode(packets, codec)[4:]) == list(range(6))
    stream = FrameStream(bag.read(TOPIC))
    assert stream.size == (128, 96)
    with pytest.raises(DamagedImage, match="message 3 on /camera/video comes before the first keyframe"):
        stream.rgb(3)


@BOTH
def test_data_that_the_decoder_cannot_read_costs_what_builds_on_it(tmp_path: Path, codec: str) -> None:
    packets = encode(pictures(30), codec, gop=10, slices=1 if codec == "hevc" else 2)
    expected = decode(packets, codec)
    spoilt_packets = {"other data": b"no video", "no data": b"", "a header alone": packets[13][:8]}
    if codec == "h264":
        spoilt_packets["a slice is missing"] = packet_of(units(packets[13])[:1])
    else:  # whose decoder would not notice that
        spoilt_packets["a slice is cut off"] = packets[13] + packet_of([packets[13][4:6] + b"\x01"])
    for name, spoilt in spoilt_packets.items():
        bag = video_bag(tmp_path / name, [*packets[:13], spoilt, *packets[14:]], codec)
        assert damaged(bag, expected) == damaged(bag, expected, range(29, -1, -1)) == list(range(13, 20)), name
    np.testing.assert_array_equal(
        np.flatnonzero(FrameStream(open_bag(tmp_path / "no data").read(TOPIC)).is_lost), range(13, 20)
    )


def test_a_stream_that_goes_on_in_another_codec(tmp_path: Path) -> None:
    first, second = encode(pictures(15), "h264", 10), encode(pictures(20, seed=1), "hevc", 10)
    packets = [*first, *second[5:]]
    expected = [*decode(first), *decode(second, "hevc")[5:]]
    bag = video_bag(tmp_path / "bag", packets, ["h264"] * 15 + ["h265"] * 15)
    assert damaged(bag, expected, range(29, -1, -1)) == list(range(15, 20))
    np.testing.assert_array_equal(np.flatnonzero(FrameStream(bag.read(TOPIC)).is_lost), range(15, 20))


@pytest.mark.parametrize("gop", [10, 11])
@BOTH
def test_b_frames_are_refused(tmp_path: Path, codec: str, gop: int) -> None:
    packets = encode(pictures(30), codec, gop, b_frames=2, b_adapt=0)
    bag = video_bag(tmp_path / "bag", packets, codec)
    with pytest.raises(
        ReorderedVideo, match=r"/camera/video has B-frames \(message \d+\).* tune=zerolatency"
    ) as raised:
        [stream.rgb(index) for stream in [FrameStream(bag.read(TOPIC))] for index in range(30)]
    assert "\n" not in str(raised.value)
    if codec == "h264" or gop == 11:  # known at once; of H.265, B-frames around a keyframe alone
        assert "has B-frames" in describe(bag.path)


def test_another_resolution_in_the_middle(tmp_path: Path) -> None:
    packets = encode(pictures(25), gop=10) + encode(pictures(25, (96, 64), seed=1), gop=10)
    expected = decode(packets)
    assert {frame.shape for frame in expected} == {(96, 128, 3), (64, 96, 3)}
    bag = video_bag(tmp_path / "bag", packets)
    assert damaged(bag, expected, np.random.default_rng(0).permutation(50)) == []
    assert damaged(bag, expected) == []


@BOTH
def test_parameter_sets_sent_once_or_in_a_message_of_their_own(tmp_path: Path, codec: str) -> None:
    packets = encode(pictures(40), codec, gop=10)
    expected = decode(packets, codec)
    sets = 3 if codec == "hevc" else 2
    bare = [packet_of(units(packet)[sets:]) if i and i % 10 == 0 else packet for i, packet in enumerate(packets)]
    assert damaged(video_bag(tmp_path / "once", bare, codec), expected, range(39, -1, -1)) == []
    alone = [packet_of(units(packets[0])[:sets]), packet_of(units(packets[0])[sets:]), *bare[1:]]
    bag = video_bag(tmp_path / "alone", alone, codec)
    assert damaged(bag, expected, range(39, -1, -1)) == []  # the first message holds no picture, and makes no frame
    assert FrameStream(bag.read(TOPIC)).stamps_ns[0] == bag.read(TOPIC).stamps_ns[1]
    never = video_bag(tmp_path / "never", [packet_of(units(packets[0])[sets:]), *bare[1:]], codec)
    with pytest.raises(DamagedImage, match=r"no frame of /camera/video decodes \(.* parameter sets") as raised:
        _ = FrameStream(never.read(TOPIC)).size
    assert "\n" not in str(raised.value)


def test_scene_video_of_real_glasses(tmp_path: Path) -> None:
    file = Path(__file__).resolve().parents[3] / "shared/data/neon_window/Neon Scene Camera v1 ps1.mp4"
    if not file.is_file():
        pytest.skip(f"no {file}")
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [bytes(out) for packet in container.demux(stream) for out in to_annex_b.filter(packet) if out.size]
    bag = video_bag(tmp_path / "bag", packets, sequences=[0] * len(packets))  # the stream alone must tell
    frames = FrameStream(bag.read(TOPIC))
    np.testing.assert_array_equal(np.flatnonzero(frames.is_keyframe), [0, 60, 120])
    assert len(frames) == 144
    assert not frames.is_lost.any()
    expected = decode(packets[:20])
    for index in (19, 3, 11):
        np.testing.assert_array_equal(frames.rgb(index), expected[index])
    without = video_bag(tmp_path / "lost", packets[:70] + packets[71:], sequences=[0] * 143)
    np.testing.assert_array_equal(np.flatnonzero(FrameStream(without.read(TOPIC)).is_lost), range(70, 119))


def test_a_packet_sent_twice_is_one_frame(tmp_path: Path) -> None:
    packets = encode(pictures(20), gop=10)
    twice = [i for i in range(20) for _ in range(1 + (i == 5))]
    stamps_ns = [10**18 + i * FRAME_NS for i in twice]
    bag = video_bag(tmp_path / "bag", [packets[i] for i in twice], stamps_ns=stamps_ns)
    assert damaged(bag, decode(packets)) == []


def test_packets_of_an_mp4_are_named(tmp_path: Path) -> None:
    packets = encode(pictures(5))
    lengths = [b"".join(len(unit).to_bytes(4, "big") + unit for unit in units(packet)) for packet in packets]
    with pytest.raises(DamagedImage, match=r"does not begin with a start code, expected H[.]264 or H[.]265 as Annex B"):
        _ = FrameStream(video_bag(tmp_path / "bag", lengths).read(TOPIC)).size
    assert not read_packet("h264", bytes.fromhex("00000002 09f0 0000012c 419a")).is_annex_b  # 012c: a length


@pytest.mark.parametrize(("type_name", "format_"), [(VIDEO, "vp9"), (FFMPEG, "mjpeg;yuv420p"), (VIDEO, "")])
def test_other_codecs_are_named(tmp_path: Path, type_name: str, format_: str) -> None:
    folder = write_video_bag(tmp_path / "bag", [b"\0\0\1 something"], format_, type_name)
    with pytest.raises(UnknownEncoding, match=f"carries video as '{format_}', expected h264 or h265"):
        load_session(folder)
    assert f"none: {folder}: {TOPIC} carries video as {format_!r}" in describe(folder)


@pytest.mark.parametrize(
    ("description", "codec"),
    [
        ("h264", "h264"), ("H264", "h264"), ("libx264", "h264"), ("libx264;yuv420p;bgr8;bgr8", "h264"),
        ("h264_nvenc", "h264"), ("h265", "hevc"), ("hevc", "hevc"), ("hevc_vaapi;nv12;bgr8;rgb8", "hevc"),
        ("libx265", "hevc"), ("jpeg", None), ("bgr8; jpeg compressed bgr8", None), ("av1", None), ("", None),
        ("16UC1; compressedDepth", None),
    ],
)  # fmt: skip
def test_names_of_codecs(description: str, codec: str | None) -> None:
    assert codec_of(description) == codec


@pytest.mark.parametrize(
    ("type_name", "format_"),
    [
        (VIDEO, "h264"),
        (VIDEO, "h265"),
        (FFMPEG, "libx264;yuv420p;bgr8;bgr8"),
        (FFMPEG, "hevc"),
        (COMPRESSED_IMAGE, "h265"),
    ],
)
def test_types_that_are_not_installed_are_read_by_the_bag_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_name: str, format_: str
) -> None:
    codec = codec_of(format_)
    packets = encode(pictures(12), codec, gop=5)
    folder = write_video_bag(tmp_path / "bag", packets[1:], format_, type_name)
    monkeypatch.setenv("AMENT_PREFIX_PATH", "")
    known_types.cache_clear()
    if type_name != COMPRESSED_IMAGE:
        with pytest.raises(UnknownMessageType):
            message_class(type_name)
    bag = open_bag(folder)
    assert damaged(bag, decode(packets, codec)[1:]) == [0, 1, 2, 3]
    assert bag.read(TOPIC).is_stamped
    np.testing.assert_array_equal(load_session(folder).frames.stamps_ns, bag.read(TOPIC).arrivals_ns)
    summary = summarize(folder)
    assert summary.camera is not None
    assert (summary.camera.width, summary.camera.height, summary.camera.format) == (128, 96, format_)
    assert (summary.camera.lost_frames, summary.topics[0].stamped) == (4, True)
    assert summary.camera.keyframe_s == pytest.approx(5 / 30, rel=1e-6)
    assert f"{TOPIC}: 128x96, {format_}, a keyframe every 0.17 s; 4 frames without their keyframe" in describe(folder)


def test_two_versions_of_one_type_in_one_process(tmp_path: Path) -> None:
    """foxglove_msgs/CompressedVideo has gained fields."""
    packets = encode(pictures(3))
    expected = decode(packets)
    known_types.cache_clear()
    for number, more in enumerate(((), ("string uuid",), ())):
        bag = video_bag(tmp_path / f"bag_{number}", packets, type_name=VIDEO, more=more)
        assert damaged(bag, expected) == []
        assert hasattr(bag.read(TOPIC).message(0), "uuid") == bool(more)


def test_big_endian_stamps(tmp_path: Path) -> None:
    bag = video_bag(tmp_path / "bag", encode(pictures(2)), type_name=VIDEO)
    message = bag.read(TOPIC).message(0)
    swapped = bytes(bag.read(TOPIC)._types.serialize_cdr(message, VIDEO, little_endian=False))
    writer = BagWriter(tmp_path / "swapped", {})
    writer.add_topic(TOPIC, VIDEO, description=types_of(VIDEO)[1])
    writer.write(TOPIC, swapped, 0)
    writer.close()
    with open_bag(tmp_path / "swapped") as swapped_bag:
        np.testing.assert_array_equal(swapped_bag.read(TOPIC).stamps_ns, bag.read(TOPIC).stamps_ns[:1])


def test_without_a_decoder_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = video_bag(tmp_path / "bag", encode(pictures(2)))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(NoVideoDecoder, match=r"/camera/video carries video, .* `pip install av`"):
        FrameStream(bag.read(TOPIC)).rgb(0)


@pytest.mark.parametrize("transport", ["ffmpeg", "foxglove"])
def test_a_camera_recorded_raw_and_as_video_is_one_camera(tmp_path: Path, transport: str) -> None:
    packets = encode(pictures(3))
    known_types.cache_clear()
    with video_bag(tmp_path / "video", packets, type_name=VIDEO) as bag:
        video = bytes(bag.read(TOPIC).raw(0))
        writer = BagWriter(tmp_path / "both", {})
        raw = message_class("sensor_msgs/msg/Image")(
            message_class("std_msgs/msg/Header")(message_class("builtin_interfaces/msg/Time")(1, 0), ""),
            2, 2, "mono8", 0, 2, np.zeros(4, np.uint8),
        )  # fmt: skip
        writer.add_topic("/camera/image_raw", "sensor_msgs/msg/Image")
        writer.write("/camera/image_raw", serialize(raw, "sensor_msgs/msg/Image"), 0)
        writer.add_topic(f"/camera/image_raw/{transport}", VIDEO, description=types_of(VIDEO)[1])
        writer.write(f"/camera/image_raw/{transport}", video, 0)
        writer.close()
    assert load_session(tmp_path / "both").frames.topic == f"/camera/image_raw/{transport}"


def as_video(source: Path, folder: Path) -> Path:
    """The same session with its pictures coded as H.264."""
    with open_bag(source) as bag:
        (stream,) = bag.streams_of(COMPRESSED_IMAGE)
        camera, frames = stream.topic, FrameStream(stream)
        packets = encode([frames.rgb(i) for i in range(len(frames))], gop=12, qp=4)
        writer = BagWriter(folder, bag.metadata)
        for name, info in bag.topics.items():
            writer.add_topic(name, info.type_name)
        numbers = dict.fromkeys(bag.topics, 0)
        for topic, message, log_ns in bag.messages():
            if topic == camera:
                message.format, message.data = "h264", np.frombuffer(packets[numbers[topic]], np.uint8)
            numbers[topic] += 1
            writer.write_message(topic, message, log_ns)
        writer.close()
    return folder


def test_a_trainer_sees_no_difference(tmp_path: Path) -> None:
    settings = Settings(frames=2, observation_s=1.0, leads_s=(0.4, 1.0), gaze_window_s=0.1, gaze_flow=False)
    tiny = build_tiny("tiny:smolvlm", [settings.question, *COLOURS], image_size=32, hidden=32)
    labels = collect_labels((text, "take", "") for text in COLOURS)
    stills = write_small_bag(tmp_path / "stills", 0, takes=4)
    video = as_video(stills, tmp_path / "video")
    of_stills, of_video = (prepare([load_recording(bag, settings)], labels, settings, *tiny) for bag in (stills, video))
    assert len(of_video.windows) == 8
    assert of_video.windows == of_stills.windows
    assert of_video.dropped == of_stills.dropped
    rows = np.arange(8)
    np.testing.assert_array_equal(of_video.gaze[rows], of_stills.gaze[rows])
    expected, found = (data.questions(rows, "cpu")["pixel_values"] for data in (of_stills, of_video))
    assert expected.shape == found.shape
    assert float((expected - found).abs().mean()) < 0.05  # of -1 to 1: coded once more


@BOTH
def test_video_that_states_too_many_pixels_is_damaged(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = pictures(3)
    with open_bag(write_video_bag(tmp_path / "bag", encode(shown, codec), codec)) as bag:
        assert damaged(bag, decode(encode(shown, codec), codec)) == []
    monkeypatch.setattr(video_stream, "LARGEST_PIXELS", 128 * 96 - 1)
    with open_bag(tmp_path / "bag") as bag:
        assert damaged(bag, shown) == [0, 1, 2]
