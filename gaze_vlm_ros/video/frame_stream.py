"""Camera frames of a bag by acquisition time, decoded when they are used."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.video.images import RGB, DamagedImage, of_size, small_grey, to_rgb, to_small_grey
from gaze_vlm_ros.video.picture_cache import PictureCache
from gaze_vlm_ros.video.video_stream import VideoStream, is_video

# Consecutive windows share frames. 8 full-HD frames are 50 MB.
DECODED_FRAMES_KEPT = 8
SMALL_FRAMES_KEPT = 32  # for optical flow: 0.5 s of a 60 Hz camera, 1 MB


class FrameStream:
    """Camera frames in the order of their acquisition, decoded when they are used.

    stream: messages of any of bags.roles.CAMERA_TYPES. Two messages with one stamp are one frame, sent twice.
    cache: of decoded video pictures; None = the one that all streams of the process share.
    Raises UnknownEncoding for video of another codec than H.264 and H.265, ReorderedVideo for video with B-frames.
    """

    def __init__(self, stream: TopicStream, cache: PictureCache | None = None) -> None:
        self._stream = stream
        self._video = VideoStream(stream, cache) if is_video(stream) else None
        pictures = np.flatnonzero(self._video.has_picture) if self._video else np.arange(len(stream))
        # (N,) acquisition times, ns, ascending; the first message of each
        self.stamps_ns, first = np.unique(stream.stamps_ns[pictures], return_index=True)
        self._message_of = pictures[first]  # (N,) number of the message that each frame came in
        keyframe_of = self._video.keyframe_of[self._message_of] if self._video else self._message_of
        self.is_keyframe = keyframe_of == self._message_of  # (N,) decodes on its own; every still picture does
        self.is_lost = keyframe_of < 0  # (N,) cannot be decoded, by its and other packets; never for still pictures
        self._decoded: OrderedDict[int, RGB] = OrderedDict()
        self._small: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()  # by index and width
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._stream.topic

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px of the first frame that decodes. Raises DamagedImage where none does."""
        if self._size is None:
            self._size = self._first_size()
        return self._size

    def _first_size(self) -> tuple[int, int]:
        why = "it has none"
        for index in range(len(self)):
            try:
                height, width, _ = self.rgb(index).shape
            except DamagedImage as error:
                why = str(error)
            else:
                return width, height
        raise DamagedImage(f"{self._stream.bag_path}: no frame of {self.topic} decodes ({why}); record again")

    def message(self, index: int) -> Any:
        """Return the message that frame `index` came in, decoded (not its picture)."""
        return self._stream.message(int(self._message_of[index]))

    def serialized(self, index: int) -> bytes:
        """Return the message that frame `index` came in, as it is in the bag (CDR)."""
        return bytes(self._stream.raw(int(self._message_of[index])))

    @property
    def arrivals_ns(self) -> NDArray[np.int64]:
        """(N,) times at which the frames reached the recorder, ns."""
        return self._stream.arrivals_ns[self._message_of]

    def rgb(self, index: int) -> RGB:
        """Return frame `index` as (H, W, 3) uint8 RGB. Do not write into it: it may be handed out again.

        Raises DamagedImage, UnknownEncoding, NoVideoDecoder.
        """
        frame = self._decoded.get(index)
        if frame is None:
            frame = self._video.rgb(int(self._message_of[index])) if self._video else to_rgb(self.message(index))
            frame.flags.writeable = False
            self._decoded[index] = frame
            if len(self._decoded) > DECODED_FRAMES_KEPT:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(index)
        return frame

    def small_grey(self, index: int, width_px: int) -> NDArray[np.uint8]:
        """Return frame `index` as (h, w) uint8 grey, `width_px` wide (images.to_small_grey). Do not write into it.

        Raises DamagedImage where the frame does not decode, or its size is not that of the stream.
        """
        picture = self._small.get((index, width_px))
        if picture is None:
            if self._video:
                picture = small_grey(of_size(self.rgb(index), self.size), width_px)
            else:
                picture = to_small_grey(self.message(index), self.size, width_px)
            self._small[index, width_px] = picture
            if len(self._small) > SMALL_FRAMES_KEPT:
                self._small.popitem(last=False)
        return picture
