"""Frames from packets: whole ones only, with everything that was lost accounted for."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from gaze_vlm_ros.neon.h264_rtp import CodedFrame, FrameAssembler
from gaze_vlm_ros.neon.rtp import RtpPacket
from gaze_vlm_ros.neon.video_decoder import VideoDecoder
from gaze_vlm_ros.sim.neon_device.rtp import packetize_nal_unit
from gaze_vlm_ros.video.h264 import parse_avcc, split_nal_units

TICKS = 3000  # of a frame at 30 Hz
SPS, PPS, IDR, SLICE = (bytes((0x60 | kind, 0x88)) for kind in (7, 8, 5, 1))


def packets(frames: Iterable[list[bytes]], max_bytes: int = 1400, marker: bool = True) -> list[RtpPacket]:
    """One after the other, a frame each 33 ms."""
    made: list[RtpPacket] = []
    for number, units in enumerate(frames):
        payloads = [payload for unit in units for payload in packetize_nal_unit(unit, max_bytes)]
        for index, payload in enumerate(payloads):
            last = marker and index == len(payloads) - 1
            made.append(RtpPacket(len(made), number * TICKS, 1, 96, last, bytes(payload), number * 33_000_000))
    return made


def assemble(sent: list[RtpPacket], missing: set[int] = frozenset()) -> tuple[list[CodedFrame], FrameAssembler]:
    """The frames that arrive when some packets do not."""
    assembler = FrameAssembler()
    frames, lost = [], 0
    for packet in sent:
        if packet.sequence in missing:
            lost += 1
            continue
        frames.append(assembler.push(packet, lost))
        lost = 0
    frames.append(assembler.flush())
    return [frame for frame in frames if frame is not None], assembler


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[bytes]], list[np.ndarray]]:
    """NAL units of each of 60 frames, with parameter sets in front of each tenth; and the frames as decoded."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    random_pixels = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        options = {"profile": "baseline", "crf": "24", "preset": "ultrafast", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 10
        stream.codec_context.time_base = Fraction(1, 30)
        for _ in range(60):
            pixels = random_pixels.integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        sets, length_bytes = parse_avcc(container.streams.video[0].codec_context.extradata)
        coded = [
            [*(sets if packet.is_keyframe else ()), *split_nal_units(bytes(packet), length_bytes)]
            for packet in container.demux(video=0)
            if packet.size
        ]
    with av.open(str(path)) as container:
        return coded, [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_frames_come_whole_and_in_order(video: tuple[list[list[bytes]], list[np.ndarray]]) -> None:
    frames, assembler = assemble(packets(video[0]))
    assert [list(frame.units) for frame in frames] == video[0]
    assert all(frame.whole and not frame.frames_missing for frame in frames)
    assert [frame.after_gap for frame in frames] == [True] + [False] * 59
    assert [frame.is_key for frame in frames] == [number % 10 == 0 for number in range(60)]
    assert assembler.malformed == 0


def test_a_packet_lost_within_a_frame_damages_it_and_nothing_else() -> None:
    sent = packets([[SPS, PPS, IDR * 900], [SLICE * 900], [SLICE]], max_bytes=500)
    in_second = [packet.sequence for packet in sent if packet.timestamp == TICKS]
    for missing in in_second[1:-1]:
        frames, _ = assemble(sent, {missing})
        assert [frame.whole for frame in frames] == [True, False, True]
        assert [frame.after_gap for frame in frames] == [True, False, True]


def test_a_packet_lost_between_frames_is_laid_to_the_right_one() -> None:
    sent = packets([[SPS, PPS, IDR * 900], [SLICE * 900], [SLICE]], max_bytes=500)
    first_of_second = next(packet.sequence for packet in sent if packet.timestamp == TICKS)
    frames, _ = assemble(sent, {first_of_second})  # its fragment has no beginning; the first frame's end was marked
    assert [frame.whole for frame in frames] == [True, False, True]
    frames, _ = assemble(sent, {first_of_second - 1})  # the first frame's end
    assert [frame.whole for frame in frames] == [False, True, True]
    assert [frame.after_gap for frame in frames] == [True, True, False]
    unmarked = packets([[SPS, PPS, IDR], [SLICE], [SLICE]], marker=False)
    frames, _ = assemble(unmarked, {3})  # the second frame, as a whole: without marks nothing shows whose it was
    assert [frame.whole for frame in frames] == [False, False]


def test_frames_of_which_nothing_came_are_counted_by_time() -> None:
    sent = packets([[SPS, PPS, IDR], *([SLICE] for _ in range(12))])
    frames, _ = assemble(sent, {8, 9, 10})
    assert len(frames) == 10
    assert [frame.frames_missing for frame in frames if frame.frames_missing] == [3]


def test_parameter_sets_with_a_timestamp_of_their_own_belong_to_the_next_frame() -> None:
    frames, _ = assemble(packets([[SPS, PPS], [IDR], [SLICE]]))
    assert [list(frame.units) for frame in frames] == [[SPS, PPS, IDR], [SLICE]]


def test_the_last_frame_is_whole_only_where_its_end_was_marked() -> None:
    assert [frame.whole for frame in assemble(packets([[IDR], [SLICE]]))[0]] == [True, True]
    assert [frame.whole for frame in assemble(packets([[IDR], [SLICE]], marker=False))[0]] == [True, False]


def test_marks_that_are_not_at_the_end_alone_are_not_believed() -> None:
    """As of a sender that marks each slice: without its second slice the frame would look whole."""
    sent = packets([[SPS, PPS, IDR, IDR], [SLICE, SLICE], [SLICE, SLICE]])
    marked = [replace(packet, marker=packet.payload[0] & 0x1F not in (7, 8)) for packet in sent]
    frames, _ = assemble(marked, {5})  # the second frame's second slice
    assert [frame.whole for frame in frames] == [True, False, False]


def test_aggregated_units() -> None:
    payload = b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in (SPS, PPS))
    assembler = FrameAssembler()
    sent = [
        RtpPacket(0, 0, 1, 96, False, payload, 0),
        RtpPacket(1, 0, 1, 96, True, IDR, 0),
    ]
    for packet in sent:
        assembler.push(packet, 0)
    frame = assembler.flush()
    assert frame is not None
    assert frame.units == (SPS, PPS, IDR)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",  # type 0
        b"\xe5\x88",  # forbidden bit
        b"\x7d\x00",  # STAP-B
        b"\x78\x00",  # an aggregate that is cut off
        b"\x78\x00\x05ab",
        b"\x78\x00\x00",
        b"\x7c",  # a fragment without its header
        b"\x7c\xc5\x00",  # first and last at once
        b"\x7c\x05\x00",  # the middle of nothing
    ],
)
def test_payloads_that_are_no_h264(payload: bytes) -> None:
    assembler = FrameAssembler()
    assembler.push(RtpPacket(0, 0, 1, 96, False, IDR, 0), 0)
    assembler.push(RtpPacket(1, 0, 1, 96, True, payload, 0), 0)
    frame = assembler.flush()
    assert frame is not None
    assert not frame.whole
    assert assembler.malformed == 1


def test_no_loss_lets_a_wrong_picture_through(video: tuple[list[list[bytes]], list[np.ndarray]]) -> None:
    """At every rate of loss: each picture is exactly the true one, and every frame is accounted for."""
    coded, truth = video
    sent = packets(coded, max_bytes=600)
    draw = random.Random(17)
    shown = inputs = 0
    for share in (0.001, 0.01, 0.05, 0.2, 0.5) * 4:
        missing = {packet.sequence for packet in sent if draw.random() < share}
        frames, _ = assemble(sent, missing)
        decoder: VideoDecoder[int] = VideoDecoder()
        pictures = [shown for frame in frames for shown in decoder.decode(frame, frame.timestamp // TICKS)]
        for picture, number in pictures:
            assert np.array_equal(picture.to_ndarray(format="rgb24"), truth[number])
        assert decoder.damaged + decoder.unreferenced + len(pictures) == len(frames)
        assert len(frames) + decoder.missing <= 60
        shown += len(pictures)
        inputs += len(sent) - len(missing)
    assert shown > 300
    print(f"{inputs} packets of 20 losses: {shown} of 1200 pictures shown, all of them right")


def test_a_key_frame_behind_a_gap_needs_its_head(video: tuple[list[list[bytes]], list[np.ndarray]]) -> None:
    """Its parameter sets may be among what is missing, though the slice itself is whole."""
    coded, truth = video
    sent = packets(coded[8:12], max_bytes=1 << 20)
    sets = [packet.sequence for packet in sent if packet.payload[0] & 0x1F in (7, 8)]
    decoder: VideoDecoder[int] = VideoDecoder(coded[0][:2])
    first = decoder.decode(CodedFrame(0, 0, tuple(coded[0]), True, True), 0)
    assert np.array_equal(first[0][0].to_ndarray(format="rgb24"), truth[0])
    frames, _ = assemble(sent, {sets[0]})
    assert not any(decoder.decode(frame, 0) for frame in frames)
    assert decoder.damaged == 1


def test_a_stream_that_has_its_parameter_sets_in_the_description_alone(
    video: tuple[list[list[bytes]], list[np.ndarray]],
) -> None:
    coded, truth = video
    decoder: VideoDecoder[int] = VideoDecoder(coded[0][:2])
    bare = [[unit for unit in units if unit[0] & 0x1F not in (7, 8)] for units in coded[:20]]
    frames, _ = assemble(packets(bare), {3})
    pictures = [shown for frame in frames for shown in decoder.decode(frame, frame.timestamp // TICKS)]
    assert len(pictures) >= 10
    for picture, number in pictures:
        assert np.array_equal(picture.to_ndarray(format="rgb24"), truth[number])


@pytest.fixture
def decoder_errors() -> Iterator[None]:
    """FFmpeg says what it finds, each time."""
    level, skipped = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    yield
    av.logging.set_level(level)
    av.logging.set_skip_repeated(skipped)


@pytest.mark.usefixtures("decoder_errors")
def test_damage_within_the_coded_data_is_not_painted_over(video: tuple[list[list[bytes]], list[np.ndarray]]) -> None:
    """Where the decoder can tell, it would show a picture all the same; here none comes until the next key frame."""
    coded, truth = video
    draw = random.Random(2)
    noticed = 0
    for _ in range(60):
        decoder: VideoDecoder[int] = VideoDecoder()
        spoilt = bytearray(coded[3][-1])
        start = draw.randrange(20, len(spoilt) - 40)
        spoilt[start : start + 32] = draw.randbytes(32)
        frames = [*coded[:3], [bytes(spoilt)], *coded[4:11]]
        with av.logging.Capture() as logged:
            pictures = [
                shown
                for number, units in enumerate(frames)
                for shown in decoder.decode(CodedFrame(number, 0, tuple(units), True, number == 0), number)
            ]
        assert bool(decoder.damaged) == any("error while decoding" in text for _, _, text in logged)
        if decoder.damaged:
            noticed += 1
            assert [number for _, number in pictures] == [0, 1, 2, 10]
            assert np.array_equal(pictures[-1][0].to_ndarray(format="rgb24"), truth[10])
    # The others still are valid syntax, which nothing but the checksums of UDP and TCP can tell.
    assert noticed
    print(f"60 spoilt slices: {noticed} refused by the decoder")
