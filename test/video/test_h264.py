"""NAL units and frame sizes against streams that libx264 wrote."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gaze_vlm_ros.video.h264 import frame_size, parse_avcc, split_nal_units


def encode(path: Path, width: int, height: int, profile: str, extra: dict[str, str] | None = None) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"profile": profile, **(extra or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        for level in (0, 128):
            pixels = np.full((height, width, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
@pytest.mark.parametrize("size", [(64, 48), (162, 122), (1600, 1200), (1088, 1080)])
def test_frame_size_is_what_the_decoder_finds(tmp_path: Path, profile: str, size: tuple[int, int]) -> None:
    encode(tmp_path / "v.mp4", *size, profile)
    with av.open(str(tmp_path / "v.mp4")) as container:
        parameter_sets, length_bytes = parse_avcc(container.streams.video[0].codec_context.extradata)
    assert [unit[0] & 0x1F for unit in parameter_sets] == [7, 8]  # SPS, PPS
    assert length_bytes == 4
    assert frame_size(parameter_sets[0]) == size


def test_frame_size_of_an_interlaced_stream(tmp_path: Path) -> None:
    encode(tmp_path / "v.mp4", 160, 120, "main", {"x264-params": "interlaced=1"})
    with av.open(str(tmp_path / "v.mp4")) as container:
        parameter_sets, _ = parse_avcc(container.streams.video[0].codec_context.extradata)
    assert frame_size(parameter_sets[0]) == (160, 120)


def test_units_of_a_sample_are_those_of_the_annex_b_filter(tmp_path: Path) -> None:
    encode(tmp_path / "v.mp4", 64, 48, "baseline")
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        _, length_bytes = parse_avcc(stream.codec_context.extradata)
        for packet in container.demux(stream):
            if not packet.size:
                continue
            sample = bytes(packet)  # the filter takes it out of the packet
            units = split_nal_units(sample, length_bytes)
            assert sum(length_bytes + len(unit) for unit in units) == len(sample)
            assert bytes(annex_b.filter(packet)[0]).endswith(units[-1])


def test_a_length_past_the_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="ends at byte 9 of a 6 byte sample"):
        split_nal_units(b"\0\0\0\5ab", 4)
