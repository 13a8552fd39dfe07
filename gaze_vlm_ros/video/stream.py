"""Frames of a bag's H.264 or H.265 topic, decoded at random; memory does not grow with the recording's length."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.bags.roles import VIDEO_TYPES
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding
from gaze_vlm_ros.video.packets import H264, HEVC, FrameNumbers, codec_of, read_packet

# Of all streams together: a fit opens a hundred bags, and reads them one after the other. 90 frames of 1600x1200: the
# 3 s of an observation at 30 Hz, which the next window goes back over.
KEPT_BYTES = 256 << 20

# In place of a keyframe's number, where a message holds no picture that can be shown.
NO_PICTURE, NO_KEYFRAME, LOST, NOT_ANNEX_B = -1, -2, -3, -4
_WHY = {
    NO_PICTURE: "holds no picture, or the last one again",
    NO_KEYFRAME: "comes before the first keyframe with its parameter sets; recording began between two keyframes",
    LOST: "builds on a packet that is lost or damaged",
    NOT_ANNEX_B: "does not begin with a start code, expected H.264 or H.265 as Annex B",
}
# H.265's decoder would pass over slices that it cannot read and show the rest. H.264's tells by is_corrupt what it has
# painted over, and with "explode" would refuse whole pictures for remarks (SEI) that some cameras write wrongly.
_DECODER_OPTIONS = {H264: {}, HEVC: {"err_detect": "explode"}}


class ReorderedVideo(UnknownEncoding):
    """Pictures are shown in another order than their packets came (B-frames): their stamps cannot be told."""


class NoVideoDecoder(GazeVlmError):
    """The Python package that decodes video is not installed."""


def is_video(bag: Bag, topic: str) -> bool:
    """Does the topic carry coded video rather than pictures that stand alone? A topic is what its first message is."""
    info = bag.topics[topic]
    if info.type_name != "sensor_msgs/msg/CompressedImage":
        return info.type_name in VIDEO_TYPES
    return info.count > 0 and codec_of(bag.message(topic, 0).format) is not None


class VideoStream:
    """Pictures of one topic by the number of their message, in the order of arrival.

    Every packet is looked at once, for keyframes and gaps; a picture is decoded from the keyframe before it, or from
    the one decoded last. Any order of reading gives the same bytes.

    stamps_ns: (N,) acquisition times of the topic's messages. Raises UnknownEncoding, ReorderedVideo.
    """

    def __init__(self, bag: Bag, topic: str, stamps_ns: NDArray[np.int64]) -> None:
        self._bag, self._topic = bag, topic
        self._parameter_sets: dict[int, int] = {}  # keyframes without their own: the message that has them
        # (N,) number of the keyframe that each message's picture is decoded from, itself included; or why there is none
        self.keyframe_of = self._find_keyframes(stamps_ns)
        self.has_picture = self.keyframe_of != NO_PICTURE
        self._keyframes = np.flatnonzero(self.keyframe_of == np.arange(len(stamps_ns)))
        self._id = next(_STREAM_IDS)
        self._pictures: Iterator[tuple[int, Any]] = iter(())  # being decoded
        self._decoding, self._reached = -1, -1  # their keyframe, and the last that came of it

    def _find_keyframes(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        count = len(stamps_ns)
        keyframe_of = np.empty(count, np.int64)
        sequences = np.array([self._bag.sequence(self._topic, number) for number in range(count)], np.int64)
        steps = np.diff(sequences, prepend=sequences[:1] - 1) % (1 << 32)
        # Other recorders write 0 throughout, or count the messages of all topics.
        is_numbered = count > 0 and np.median(steps) == 1
        numbers = FrameNumbers()
        codec, newest, sets_at, before = "", NO_KEYFRAME, -1, b""
        for number in range(count):
            message = self._bag.message(self._topic, number)
            data = message.data.tobytes()
            if number and data == before and stamps_ns[number] == stamps_ns[number - 1]:
                keyframe_of[number] = NO_PICTURE  # sent twice; decoded twice it would spoil what follows
                continue
            before = data
            is_next = not is_numbered or steps[number] == 1
            found = self._codec_of(message)
            if found != codec:
                codec, sets_at, numbers, is_next = found, -1, FrameNumbers(), False
            packet = read_packet(codec, data)
            if not packet.is_annex_b:
                keyframe_of[number] = NOT_ANNEX_B
                newest = LOST if newest >= 0 else newest
                continue
            if packet.is_reordered:
                raise ReorderedVideo(self._reordered(number))
            if codec == H264:
                is_next &= numbers.follows(packet)
            if packet.sps:
                sets_at = number
            if packet.is_keyframe and sets_at >= 0:
                newest = number
                if sets_at != number:
                    self._parameter_sets[number] = sets_at
            elif not is_next and newest >= 0:
                newest = LOST
            keyframe_of[number] = newest if packet.has_picture else NO_PICTURE
        return keyframe_of

    def _codec_of(self, message: Any) -> str:
        description = message.encoding if hasattr(message, "encoding") else message.format
        codec = codec_of(description)
        if codec is None:
            raise UnknownEncoding(
                f"{self._bag.path}: {self._topic} carries video as {description!r}, expected h264 or h265"
            )
        return codec

    def rgb(self, number: int) -> RGB:
        """(H, W, 3) uint8 RGB of the picture in message `number`.

        Raises DamagedImage where the packet, or one that it builds on, is lost or damaged; ReorderedVideo;
        NoVideoDecoder.
        """
        frame = _KEPT.get((self._id, number))
        if frame is None:
            frame = self._decode(number)
        # One thread: others would live as long as the frame is kept.
        return np.asarray(frame.reformat(format="rgb24", threads=1).to_ndarray(), np.uint8)

    def _decode(self, number: int) -> Any:
        keyframe = int(self.keyframe_of[number])
        if keyframe < 0:
            raise DamagedImage(f"{self._bag.path}: message {number} on {self._topic} {_WHY[keyframe]}")
        if keyframe != self._decoding or number <= self._reached:
            self._pictures, self._decoding, self._reached = self._decode_from(keyframe), keyframe, -1
        for reached, frame in self._pictures:
            self._reached = reached
            _KEPT.put((self._id, reached), frame)
            if reached == number:
                return frame
        raise DamagedImage(
            f"{self._bag.path}: message {number} on {self._topic} does not decode, or builds on one that does not"
        )

    def _decode_from(self, keyframe: int) -> Iterator[tuple[int, Any]]:
        """A keyframe and what builds on it, in order: (number, av.VideoFrame). Ends before the first damaged one."""
        stop = np.searchsorted(self._keyframes, keyframe, side="right")
        end = int(self._keyframes[stop]) if stop < len(self._keyframes) else len(self.keyframe_of)
        numbers = (keyframe + np.flatnonzero(self.keyframe_of[keyframe:end] == keyframe)).tolist()
        frames = self._decoded(keyframe, numbers)
        for number, frame in zip(numbers, frames, strict=False):
            if frame.pts != number:
                if any(later.pts == number for later in frames):
                    raise ReorderedVideo(self._reordered(number))
                return
            if frame.is_corrupt:
                return
            yield number, frame

    def _decoded(self, keyframe: int, numbers: list[int]) -> Iterator[Any]:
        """What a decoder of their own makes of these messages, as it comes out; `pts` is the message's number.

        Decoders are made in no time, and a used one, flushed, still had a picture of what came before an error.
        """
        codec = self._codec_of(self._bag.message(self._topic, keyframe))
        try:
            import av
        except ImportError:
            raise NoVideoDecoder(
                f"{self._bag.path}: {self._topic} carries video, and the Python package av, which decodes it, is not "
                "installed; `pip install av`"
            ) from None
        decoder: Any = av.CodecContext.create(codec, "r")
        decoder.options = dict(_DECODER_OPTIONS[codec])
        decoder.thread_count = 1  # a fit opens a hundred streams, and others delay the pictures
        for number in numbers:
            data = self._bag.message(self._topic, number).data.tobytes()
            if number in self._parameter_sets:
                sets = self._bag.message(self._topic, self._parameter_sets[number]).data.tobytes()
                data = read_packet(codec, sets).head + data
            packet = av.Packet(data)
            packet.pts = number
            try:
                yield from decoder.decode(packet)
            except av.FFmpegError:
                return
        try:
            yield from decoder.decode(None)  # some encoders announce a delay that they never use
        except av.FFmpegError:
            return

    def _reordered(self, number: int) -> str:
        return (
            f"{self._bag.path}: {self._topic} has B-frames (message {number}), which are not shown in the order "
            "of their packets; record with an encoder that is set to none (x264: bframes=0, or tune=zerolatency)"
        )


class _KeptFrames:
    """The pictures decoded last, of all streams together. Thread-safe, as streams of two threads share it."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._frames: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int]) -> Any:
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
            return self._frames.get(key)

    def put(self, key: tuple[int, int], frame: Any) -> None:
        with self._lock:
            if key in self._frames:
                self.bytes -= _size(self._frames.pop(key))
            self._frames[key] = frame
            self.bytes += _size(frame)
            while self.bytes > self.limit_bytes:
                self.bytes -= _size(self._frames.popitem(last=False)[1])


def _size(frame: Any) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


_STREAM_IDS = itertools.count()
_KEPT = _KeptFrames(KEPT_BYTES)
