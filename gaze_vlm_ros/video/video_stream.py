"""Pictures of a bag's H.264 or H.265 topic, decoded at random. Memory does not grow with the recording's length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.roles import VIDEO_TYPES
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding
from gaze_vlm_ros.video.packets import H264, HEVC, FrameNumbers, codec_of, read_packet
from gaze_vlm_ros.video.picture_cache import PictureCache, shared_pictures
from gaze_vlm_ros.video.stills import LARGEST_PIXELS

# Stand for the keyframe's number where a message holds no picture that can be shown.
NO_PICTURE, NO_KEYFRAME, LOST, NOT_ANNEX_B = -1, -2, -3, -4
_WHY = {
    NO_PICTURE: "holds no picture, or the last one again",
    NO_KEYFRAME: "comes before the first keyframe with its parameter sets; recording began between two keyframes",
    LOST: "builds on a packet that is lost or damaged",
    NOT_ANNEX_B: "does not begin with a start code, expected H.264 or H.265 as Annex B",
}
# FFmpeg's H.265 decoder skips slices that it cannot read and shows the rest, unless it is set to fail. Its H.264
# decoder reports by is_corrupt what it has concealed, and with "explode" would refuse whole pictures for remarks (SEI)
# that some cameras write wrongly.
_DECODER_OPTIONS = {H264: {}, HEVC: {"err_detect": "explode"}}


class ReorderedVideo(UnknownEncoding):
    """Pictures are shown in another order than their packets came (B-frames), so their stamps are not known."""


class NoVideoDecoder(GazeVlmError):
    """The Python package that decodes video is not installed."""


def is_video(stream: TopicStream) -> bool:
    """Return whether a topic carries coded video, rather than independent pictures. Its first message decides."""
    if stream.type_name != "sensor_msgs/msg/CompressedImage":
        return stream.type_name in VIDEO_TYPES
    return len(stream) > 0 and codec_of(stream.message(0).format) is not None


class VideoStream:
    """Pictures of one topic by the number of their message, in the order of arrival.

    Every packet is inspected once, for keyframes and gaps. A picture is decoded from the keyframe before it, or onwards
    from the picture decoded last. Any order of reading gives the same bytes.

    cache: of decoded pictures; None = the one that all streams of the process share.
    Raises UnknownEncoding, ReorderedVideo, BagDamaged.
    """

    def __init__(self, stream: TopicStream, cache: PictureCache | None = None) -> None:
        self._stream = stream
        self._where = f"{stream.bag_path}: {stream.topic}"  # named in errors
        self._cache = shared_pictures() if cache is None else cache
        self._key = object()  # of this stream's pictures in the cache
        self._parameter_sets: dict[int, int] = {}  # keyframes without their own: the message that has them
        # (N,) number of the keyframe that each message's picture is decoded from, itself included; or why there is none
        self.keyframe_of = self._find_keyframes()
        self.has_picture = self.keyframe_of != NO_PICTURE  # (N,)
        self._keyframes = np.flatnonzero(self.keyframe_of == np.arange(len(stream)))
        self._pictures: Iterator[tuple[int, Any]] = iter(())  # of the keyframe that is being decoded
        self._decoding, self._reached = -1, -1  # that keyframe, and the last picture that came of it

    def _find_keyframes(self) -> NDArray[np.int64]:
        count, stamps_ns = len(self._stream), self._stream.stamps_ns
        keyframe_of = np.empty(count, np.int64)
        sequences = np.array([self._stream.sequence(number) for number in range(count)], np.int64)
        steps = np.diff(sequences, prepend=sequences[:1] - 1) % (1 << 32)
        # Other recorders write 0 throughout, or count the messages of all topics.
        is_numbered = count > 0 and np.median(steps) == 1
        numbers = FrameNumbers()
        codec, newest, sets_at, before = "", NO_KEYFRAME, -1, b""
        for number in range(count):
            message = self._stream.message(number)
            data = message.data.tobytes()
            if number and data == before and stamps_ns[number] == stamps_ns[number - 1]:
                keyframe_of[number] = NO_PICTURE  # sent twice; decoding it twice would spoil later pictures
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
            raise UnknownEncoding(f"{self._where} carries video as {description!r}, expected h264 or h265")
        return codec

    def rgb(self, number: int) -> RGB:
        """Return the picture in message `number` as (H, W, 3) uint8 RGB.

        Raises DamagedImage where the packet, or one that it builds on, is lost or damaged; ReorderedVideo;
        NoVideoDecoder.
        """
        frame = self._cache.get((self._key, number))
        if frame is None:
            frame = self._decode(number)
        # One thread: more would live as long as the frame is kept.
        return np.asarray(frame.reformat(format="rgb24", threads=1).to_ndarray(), np.uint8)

    def _decode(self, number: int) -> Any:
        keyframe = int(self.keyframe_of[number])
        if keyframe < 0:
            raise DamagedImage(f"{self._stream.bag_path}: message {number} on {self._stream.topic} {_WHY[keyframe]}")
        if keyframe != self._decoding or number <= self._reached:
            self._pictures, self._decoding, self._reached = self._decode_from(keyframe), keyframe, -1
        for reached, frame in self._pictures:
            self._reached = reached
            self._cache.put((self._key, reached), frame)
            if reached == number:
                return frame
        raise DamagedImage(
            f"{self._stream.bag_path}: message {number} on {self._stream.topic} does not decode, or builds on one that "
            "does not"
        )

    def _decode_from(self, keyframe: int) -> Iterator[tuple[int, Any]]:
        """Yield (number, av.VideoFrame) of a keyframe and what builds on it, up to the first damaged picture."""
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
        """Yield what a new decoder returns for these messages; `pts` is the message's number.

        A new decoder costs no time, and a used one, even flushed, still returned a picture from before an error.
        """
        codec = self._codec_of(self._stream.message(keyframe))
        try:
            import av
        except ImportError:
            raise NoVideoDecoder(
                f"{self._where} carries video, and the Python package av, which decodes it, is not "
                "installed; `pip install av`"
            ) from None
        decoder: Any = av.CodecContext.create(codec, "r")
        decoder.options = {**_DECODER_OPTIONS[codec], "max_pixels": str(LARGEST_PIXELS)}
        decoder.thread_count = 1  # a fit opens a hundred streams, and more threads delay the pictures
        for number in numbers:
            data = self._stream.message(number).data.tobytes()
            if number in self._parameter_sets:
                sets = self._stream.message(self._parameter_sets[number]).data.tobytes()
                data = read_packet(codec, sets).head + data
            packet = av.Packet(data)
            packet.pts = number
            try:
                yield from decoder.decode(packet)
            except av.FFmpegError:
                return
        try:
            yield from decoder.decode(None)  # some encoders signal a delay that they never use
        except av.FFmpegError:
            return

    def _reordered(self, number: int) -> str:
        return (
            f"{self._where} has B-frames (message {number}), which are not shown in the order "
            "of their packets; record with an encoder that makes none (x264: bframes=0, or tune=zerolatency)"
        )
