"""Decode frames that are complete and whose reference frames were; refuse and count the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import av

from gaze_vlm_ros.neon.h264_rtp import PPS, SPS, CodedFrame

Tag = TypeVar("Tag")
MAX_HELD = 64  # frames that the decoder may hold back before it gives a picture; H.264 allows 16


@dataclass
class VideoDecoder(Generic[Tag]):
    """Decodes one H.264 stream. Each coded frame has a tag, which is returned with its picture.

    After an incomplete frame or a gap nothing can be trusted until the next key frame.
    """

    parameter_sets: Sequence[bytes] = ()  # of the stream's description; those in the stream replace them
    damaged: int = 0  # frames with packets missing, or that the decoder cannot read
    unreferenced: int = 0  # whole frames that build on a damaged or missing one, or come before the first key frame
    missing: int = 0  # frames of which nothing came, as far as can be estimated
    _codec: Any = None
    _intact: bool = False
    _keys_bring_sets: bool = False  # the last whole key frame did
    _tags: dict[int, Tag] = field(default_factory=dict)
    _count: int = 0

    def decode(self, frame: CodedFrame, tag: Tag) -> list[tuple[Any, Tag]]:
        """Return (av.VideoFrame, tag) of each picture that this frame completes, mostly its own."""
        self.missing += frame.frames_missing
        if not frame.whole or (frame.after_gap and frame.is_key and not self._has_its_head(frame)):
            self._intact = False
            self.damaged += 1
            return []
        if frame.is_key:
            self._intact, self._keys_bring_sets = True, frame.has_parameter_sets
        elif frame.after_gap:
            self._intact = False
        if not self._intact:
            self.unreferenced += 1
            return []
        units = frame.units
        if frame.has_parameter_sets:
            self.parameter_sets = [unit for unit in units if unit[0] & 0x1F in (SPS, PPS)]
        elif frame.is_key:
            units = (*self.parameter_sets, *units)
        return self._pictures(b"".join(b"\0\0\0\1" + unit for unit in units), tag)

    def break_off(self) -> None:
        """Note that frames were left out before the next one."""
        self._intact = False

    def flush(self) -> list[tuple[Any, Tag]]:
        """Return the pictures that the decoder still holds, at the end of a connection."""
        codec, self._codec, self._intact = self._codec, None, False
        try:
            return self._with_tags(codec.decode(None)) if codec is not None else []
        except av.FFmpegError:
            return []

    def _has_its_head(self, frame: CodedFrame) -> bool:
        return frame.has_its_head and (frame.has_parameter_sets or not self._keys_bring_sets)

    def _pictures(self, units: bytes, tag: Tag) -> list[tuple[Any, Tag]]:
        if self._codec is None:
            self._codec = av.CodecContext.create("h264", "r")
            # Otherwise FFmpeg conceals errors in the coded data.
            self._codec.options = {"err_detect": "explode"}
            self._codec.thread_count = 1  # several would delay the pictures
        packet = av.Packet(units)
        packet.pts = self._count
        self._tags[self._count] = tag
        if len(self._tags) > MAX_HELD:  # coded data without pictures
            del self._tags[min(self._tags)]
            self.damaged += 1
        self._count += 1
        try:
            return self._with_tags(self._codec.decode(packet))
        except av.FFmpegError:
            self._codec, self._intact = None, False
            self._tags.clear()
            self.damaged += 1
            return []

    def _with_tags(self, pictures: list[Any]) -> list[tuple[Any, Tag]]:
        found = []
        for picture in pictures:
            tag = self._tags.pop(picture.pts, None)
            if tag is None or picture.is_corrupt:
                self.damaged += 1
                continue
            self._tags = {index: other for index, other in self._tags.items() if index > picture.pts}
            found.append((picture, tag))
        return found
