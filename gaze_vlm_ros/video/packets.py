"""Inspect packets of H.264 or H.265 without decoding them. Annex B: NAL units, each after a start code."""

from __future__ import annotations

from typing import NamedTuple

from gaze_vlm_ros.video.h264 import Bits, read_sps_begin, without_emulation_prevention

H264, HEVC = "h264", "hevc"  # FFmpeg's names
START_CODE = b"\0\0\1"
# NAL unit types of slices, ITU-T H.264 table 7-1 and H.265 table 7-1.
_H264_SLICE, _H264_IDR, _H264_SPS = 1, 5, 7
_HEVC_SLICES, _HEVC_IRAP, _HEVC_LEADING, _HEVC_SPS = {*range(10), *range(16, 22)}, range(16, 22), range(6, 10), 33
_SLICE_HEADER_BYTES = 32  # more than its first four fields take, with the bytes that prevent emulated start codes


class Packet(NamedTuple):
    """Facts about one message's data, up to its first slice."""

    is_annex_b: bool  # it begins with a start code
    has_picture: bool  # otherwise it holds only parameter sets, or remarks to the decoder
    is_keyframe: bool  # IDR (H.264) or IRAP (H.265): no later picture refers to anything before it
    is_reordered: bool  # shown before a picture that comes earlier: a B slice (H.264), a leading picture (H.265)
    sps: bytes  # sequence parameter set before the first slice; empty = none
    head: bytes  # everything before the first slice
    slice_header: bytes  # beginning of the first slice, from its NAL unit's header on; H.264 only


def codec_of(description: str) -> str | None:
    """Return the codec of a message's `format` or `encoding`, e.g. "libx264;yuv420p;..."; None = another codec."""
    name = description.partition(";")[0].lower()
    if "264" in name:
        return H264
    return HEVC if "265" in name or "hevc" in name else None


def read_packet(codec: str, data: bytes) -> Packet:
    """Inspect a packet up to its first slice."""
    sps = b""
    start = data.find(START_CODE)
    is_annex_b = start >= 0 and not data[:start].strip(b"\0")
    while is_annex_b and 0 <= start < len(data) - len(START_CODE):
        begin = start + len(START_CODE)
        kind = data[begin] & 0x1F if codec == H264 else data[begin] >> 1 & 0x3F
        if kind in (_H264_SLICE, _H264_IDR) if codec == H264 else kind in _HEVC_SLICES:
            head, slice_header = data[:start], data[begin : begin + _SLICE_HEADER_BYTES]
            if codec == H264:
                return Packet(True, True, kind == _H264_IDR, _is_b_slice(slice_header), sps, head, slice_header)
            return Packet(True, True, kind in _HEVC_IRAP, kind in _HEVC_LEADING, sps, head, b"")
        start = data.find(START_CODE, begin)
        if kind == (_H264_SPS if codec == H264 else _HEVC_SPS):
            sps = data[begin : start if start >= 0 else len(data)]
    return Packet(is_annex_b, False, False, False, sps, data, b"")


def _slice_bits(slice_header: bytes) -> Bits:
    return Bits(without_emulation_prevention(slice_header[1:]))


def _is_b_slice(slice_header: bytes) -> bool:
    bits = _slice_bits(slice_header)
    try:
        bits.exp_golomb()  # first_mb_in_slice
        return bits.exp_golomb() % 5 == 1  # slice_type, table 7-6
    except IndexError:
        return False  # cut off; the decoder reports it


class FrameNumbers:
    """Finds missing pictures of an H.264 stream: those that others may refer to are numbered (7.4.3, frame_num)."""

    def __init__(self) -> None:
        self._bits: int | None = None  # of a number, by the newest SPS; None = numbers are of no use
        self._newest = 0

    def follows(self, packet: Packet) -> bool:
        """Register the next packet; return False if a picture is missing before it."""
        if packet.sps:
            self._bits = _frame_num_bits(packet.sps)
        if not packet.has_picture:
            return True
        if packet.is_keyframe:
            self._newest = 0
            return True
        number = self._number(packet.slice_header)
        if number is None or self._bits is None:
            return True
        expected = (self._newest + 1) % (1 << self._bits)
        if packet.slice_header[0] >> 5 & 0b11:  # nal_ref_idc: others may refer to it
            self._newest = number
        return number == expected

    def _number(self, slice_header: bytes) -> int | None:
        bits = _slice_bits(slice_header)
        try:
            for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
                bits.exp_golomb()
            return bits.unsigned(self._bits) if self._bits else None
        except IndexError:
            return None


def _frame_num_bits(sps: bytes) -> int | None:
    """Return the bits of frame_num (7.3.2.1.1); None if the encoder may skip numbers, or they are elsewhere."""
    try:
        begin = read_sps_begin(Bits(without_emulation_prevention(sps[1:])))
    except IndexError:
        return None
    if begin is None or begin.separate_planes or begin.frame_num_gaps_allowed:
        return None
    return begin.frame_num_bits
