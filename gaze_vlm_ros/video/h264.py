"""Parse H.264 without decoding: NAL units of an mp4, and the frame size in an SPS."""

from __future__ import annotations

from typing import NamedTuple

# Profiles whose SPS carries the chroma format and bit depths (ITU-T H.264, 7.3.2.1.1).
HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


def split_nal_units(sample: bytes, length_bytes: int) -> list[bytes]:
    """Cut an mp4 sample into NAL units: each has its length in front, big endian (ISO/IEC 14496-15, 5.3.3).

    Raises ValueError when a length runs past the end of the sample.
    """
    units = []
    position = 0
    while position < len(sample):
        start = position + length_bytes
        position = start + int.from_bytes(sample[position:start], "big")
        if position > len(sample):
            raise ValueError(f"a NAL unit ends at byte {position} of a {len(sample)} byte sample")
        units.append(sample[start:position])
    return units


def parse_avcc(extradata: bytes) -> tuple[tuple[bytes, ...], int]:
    """Return SPS and PPS, and the bytes of a NAL unit's length, from an mp4's avcC box (ISO/IEC 14496-15, 5.3.3.1)."""
    length_bytes = (extradata[4] & 0b11) + 1
    parameter_sets = []
    position = 5
    for count_mask in (0x1F, 0xFF):  # the SPS count shares its byte with reserved bits
        count = extradata[position] & count_mask
        position += 1
        for _ in range(count):
            start = position + 2
            position = start + int.from_bytes(extradata[start - 2 : start], "big")
            parameter_sets.append(extradata[start:position])
    return tuple(parameter_sets), length_bytes


def frame_size(sps: bytes) -> tuple[int, int] | None:
    """Return (width, height) px of the cropped pictures (ITU-T H.264, 7.3.2.1.1); None with a custom scaling matrix.

    `sps` is the NAL unit without start code. Raises IndexError when it is cut short.
    """
    bits = Bits(without_emulation_prevention(sps[1:]))
    begin = read_sps_begin(bits)
    if begin is None:
        return None
    width = (bits.exp_golomb() + 1) * 16
    height_units = bits.exp_golomb() + 1
    frames_only = bits.unsigned(1)
    height = height_units * 16 * (2 - frames_only)
    if not frames_only:
        bits.unsigned(1)
    bits.unsigned(1)  # direct_8x8_inference_flag
    if bits.unsigned(1):
        left, right, top, bottom = (bits.exp_golomb() for _ in range(4))
        unit_x = 2 if begin.chroma_format in (1, 2) else 1
        unit_y = (2 if begin.chroma_format == 1 else 1) * (2 - frames_only)
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
    return width, height


class SpsBegin(NamedTuple):
    """Fields of an SPS before the frame size."""

    chroma_format: int  # 1 = 4:2:0
    separate_planes: bool  # of 4:4:4
    frame_num_bits: int
    frame_num_gaps_allowed: bool


def read_sps_begin(bits: Bits) -> SpsBegin | None:
    """Read an SPS from its second byte up to the frame size (7.3.2.1.1); None with a custom scaling matrix.

    Raises IndexError when it is cut short.
    """
    profile = bits.unsigned(8)
    bits.unsigned(16)  # constraint flags, level
    bits.exp_golomb()  # its id
    chroma_format, separate_planes = 1, False
    if profile in HIGH_PROFILES:
        chroma_format = bits.exp_golomb()
        if chroma_format == 3:
            separate_planes = bool(bits.unsigned(1))
        bits.exp_golomb()  # luma bit depth
        bits.exp_golomb()  # chroma bit depth
        bits.unsigned(1)
        if bits.unsigned(1):
            return None
    frame_num_bits = bits.exp_golomb() + 4
    order_type = bits.exp_golomb()
    if order_type == 0:
        bits.exp_golomb()
    elif order_type == 1:
        bits.unsigned(1)
        for _ in range(2):
            bits.exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.exp_golomb()
    bits.exp_golomb()  # max_num_ref_frames
    return SpsBegin(chroma_format, separate_planes, frame_num_bits, bool(bits.unsigned(1)))


def without_emulation_prevention(payload: bytes) -> bytes:
    """Return the bytes of a NAL unit with 00 00 03 turned back into 00 00 (7.4.1)."""
    return payload.replace(b"\0\0\3", b"\0\0")


class Bits:
    """Reads a byte string bit by bit, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def unsigned(self, count: int) -> int:
        """Read u(count): an unsigned number of so many bits. Raises IndexError at the end."""
        value = 0
        for _ in range(count):
            byte = self._data[self._position // 8]
            value = value << 1 | (byte >> (7 - self._position % 8)) & 1
            self._position += 1
        return value

    def exp_golomb(self) -> int:
        """Read ue(v): an unsigned Exp-Golomb number (9.1). Raises IndexError at the end."""
        zeros = 0
        while not self.unsigned(1):
            zeros += 1
        return (1 << zeros) - 1 + self.unsigned(zeros)
