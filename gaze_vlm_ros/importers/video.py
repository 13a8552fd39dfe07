"""Video files: frame times without decoding, and frames decoded one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.tables import require_file
from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.video.video_file import TurnedVideo as TurnedVideo  # `read_video` raises it
from gaze_vlm_ros.video.video_file import decoded, require_upright

# Trackers run on briefly after the camera has stopped; a longer tail means that it is another video.
LONGEST_TAIL_S = 1.0


class BadVideo(GazeVlmError):
    """The file is not a video, or its frames have no times."""


class VideoTooShort(GazeVlmError):
    """Gaze or labels continue after the end of the video."""


class WrongFrameRate(GazeVlmError):
    """The video does not have the frame rate by which its data set counts time."""


@dataclass(frozen=True)
class Video:
    """Size and frame times of a video file."""

    path: Path
    size: tuple[int, int]  # (width, height) px
    pts: NDArray[np.int64]  # (N,) presentation times in units of time_base, ascending
    time_base: Fraction  # s

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def times_ns(self) -> NDArray[np.int64]:
        """Presentation times (N,) after the first frame, ns."""
        tick_ns = self.time_base * 1_000_000_000
        return np.array([round(pts * tick_ns) for pts in (self.pts - self.pts[0]).tolist()], np.int64)

    @cached_property
    def frame_ns(self) -> int:
        """Median interval between frames, ns; 0 for a single frame."""
        return int(np.median(np.diff(self.times_ns))) if len(self) > 1 else 0

    def frames(self, chosen: NDArray[np.bool_], size: tuple[int, int]) -> Iterator[tuple[int, RGB]]:
        """Yield (number, (H, W, 3) RGB) of the frames in the mask `chosen` (N,), scaled to `size` (width, height).

        Damaged frames are skipped. Raises BadVideo if the file cannot be read to its end.
        """
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for packet in container.demux(stream):
                    for frame in decoded(packet):
                        number = int(np.searchsorted(self.pts, frame.pts)) if frame.pts is not None else len(self)
                        if number < len(self) and self.pts[number] == frame.pts and chosen[number]:
                            if size != self.size:
                                frame = frame.reformat(*size, format="rgb24", interpolation="AREA")
                            yield number, np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
        except (OSError, av.FFmpegError) as error:
            raise BadVideo(f"{self.path} can no longer be read ({error}); copy or download it again") from None


def read_video(path: Path) -> Video:
    """Read size and frame times of a video from its packets. Raises FileMissing, BadVideo, TurnedVideo."""
    require_file(path, "a video")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            # Discarded packets are only for the decoder; they are never shown.
            pts = [packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard]
            size, time_base = (stream.codec_context.width, stream.codec_context.height), stream.time_base
        require_upright(path)
    except IndexError:
        raise BadVideo(f"{path} has no video stream; give the scene video") from None
    except (OSError, av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadVideo(f"{path} cannot be read as a video ({reason}); copy or download it again") from None
    if not pts or None in pts or not all(size) or time_base is None:
        raise BadVideo(f"{path} has {len(pts)} frames, not all with a time; give a video with frame times, such as mp4")
    return Video(path, size, np.unique(np.array(pts, np.int64)), time_base)


def require_rate(video: Video, rate_hz: float, why: str) -> None:
    """Raise WrongFrameRate unless frames have the usual interval of `rate_hz`, to 1 %. why: for the message."""
    found_hz = 1e9 / video.frame_ns if video.frame_ns else rate_hz
    if abs(found_hz / rate_hz - 1) > 0.01:
        raise WrongFrameRate(
            f"{video.path} has {found_hz:.2f} frames/s, expected {rate_hz:g}: {why}; give the original video of the "
            "data set"
        )


def within_video(video: Video, times_ns: NDArray[np.int64], what: str, cut: bool) -> NDArray[np.bool_]:
    """Return a mask (N,) of the times before the end of the video.

    times_ns: (N,) after the video's first frame. what: their name for the message. Raises VideoTooShort if they
    continue for more than LONGEST_TAIL_S after the end, unless `cut`.
    """
    end_ns = int(video.times_ns[-1]) + video.frame_ns
    last_ns = int(times_ns.max(initial=0))
    if last_ns > end_ns + LONGEST_TAIL_S * 1e9 and not cut:
        raise VideoTooShort(
            f"{video.path} ends at {end_ns / 1e9:.2f} s but its {what} continue to {last_ns / 1e9:.2f} s; "
            "give the whole video, or --cut to leave out the rest"
        )
    return times_ns < end_ns
