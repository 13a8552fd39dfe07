"""Camera frames: decode images and video of a bag, and choose the frames of an observation."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.video.frame_selection import pick_frames, prefer_known
    from gaze_vlm_ros.video.frame_stream import FrameStream
    from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, encode_jpeg, to_rgb
    from gaze_vlm_ros.video.picture_cache import PictureCache
    from gaze_vlm_ros.video.video_stream import NoVideoDecoder, ReorderedVideo, VideoStream, is_video
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.video.frame_selection": ["pick_frames", "prefer_known"],
            "gaze_vlm_ros.video.frame_stream": ["FrameStream"],
            "gaze_vlm_ros.video.images": ["DamagedImage", "UnknownEncoding", "encode_jpeg", "to_rgb"],
            "gaze_vlm_ros.video.picture_cache": ["PictureCache"],
            "gaze_vlm_ros.video.video_stream": ["NoVideoDecoder", "ReorderedVideo", "VideoStream", "is_video"],
        },
    )

__all__ = [
    "DamagedImage",
    "FrameStream",
    "NoVideoDecoder",
    "PictureCache",
    "ReorderedVideo",
    "UnknownEncoding",
    "VideoStream",
    "encode_jpeg",
    "is_video",
    "pick_frames",
    "prefer_known",
    "to_rgb",
]
