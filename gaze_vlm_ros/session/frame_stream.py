"""Camera images of a bag by acquisition time, decoded on demand."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.video.images import RGB, DamagedImage, of_size, small_grey, to_rgb, to_small_grey
from gaze_vlm_ros.video.stream import VideoStream, is_video

# Consecutive windows share frames; 8 full-HD frames are 50 MB.
DECODED_FRAMES_KEPT = 8
SMALL_FRAMES_KEPT = 32  # for optical flow: 0.5 s of a 60 Hz camera, 1 MB


class FrameStream:
    """Camera images in the order of their acquisition, decoded when asked for.

    Raises UnknownEncoding for video of another codec than H.264 and H.265, ReorderedVideo for video with B-frames.
    """

    def __init__(self, bag: Bag, topic: str) -> None:
        self._bag, self.topic = bag, topic
        stamps_ns = bag.stamps_ns(topic)
        self._video = VideoStream(bag, topic, stamps_ns) if is_video(bag, topic) else None
        pictures = np.flatnonzero(self._video.has_picture) if self._video else np.arange(len(stamps_ns))
        # Two frames of one stamp are one frame, sent twice.
        self.stamps_ns, first = np.unique(stamps_ns[pictures], return_index=True)
        self._arrival = pictures[first]
        keyframe_of = self._video.keyframe_of[self._arrival] if self._video else self._arrival
        self.is_keyframe = keyframe_of == self._arrival  # (N,) decodes alone; still pictures all do
        self.is_lost = keyframe_of < 0  # (N,) cannot be decoded, as its and other packets tell; still pictures never
        self._decoded: OrderedDict[int, RGB] = OrderedDict()
        self._small: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()  # by index and width
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the first frame that is not damaged, px. Raises DamagedImage where all are."""
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
        raise DamagedImage(f"{self._bag.path}: no frame of {self.topic} decodes ({why}); record again")

    def message(self, index: int) -> Any:
        """The message that frame `index` came in."""
        return self._bag.message(self.topic, int(self._arrival[index]))

    def serialized(self, index: int) -> bytes:
        """The same, as it is in the bag."""
        return bytes(self._bag.raw(self.topic, int(self._arrival[index])))

    @property
    def arrivals_ns(self) -> NDArray[np.int64]:
        """(N,) when each frame reached the recorder."""
        return self._bag.log_times_ns(self.topic)[self._arrival]

    def rgb(self, index: int) -> RGB:
        """(H, W, 3) uint8 RGB of frame `index`. Do not write into it: it may be handed out again."""
        frame = self._decoded.get(index)
        if frame is None:
            frame = self._video.rgb(int(self._arrival[index])) if self._video else to_rgb(self.message(index))
            frame.flags.writeable = False
            self._decoded[index] = frame
            if len(self._decoded) > DECODED_FRAMES_KEPT:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(index)
        return frame

    def small_grey(self, index: int, width_px: int) -> NDArray[np.uint8]:
        """(h, w) uint8, frame `index` as images.to_small_grey makes it. Do not write into it.

        Raises DamagedImage where it does not decode or is of another size than the stream's.
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
