"""ROS messages built from the samples of the glasses. Conversion only: no node, no state."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from std_msgs.msg import Header

from gaze_vlm_msgs.msg import AudioStamped, GazeStamped
from gaze_vlm_ros.neon.description import Description, sound_config
from gaze_vlm_ros.neon.samples import AAC_UNIT_SAMPLES
from gaze_vlm_ros.neon.vergence import crossing_distance
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.video.images import encode_jpeg

STANDARD_GRAVITY_M_S2 = 9.80665


class PictureKind(NamedTuple):
    """One pixel format under the name that each library has for it."""

    encoding: str  # sensor_msgs/Image
    av_format: str
    in_jpeg: str  # as image_transport writes it into CompressedImage.format
    bytes_per_px: int


COLOUR = PictureKind("rgb8", "rgb24", "bgr8", 3)
GREY = PictureKind("mono8", "gray", "mono8", 1)


def header_at(stamp_ns: int, frame_id: str) -> Header:
    """Return a header with an acquisition time in Unix ns."""
    return Header(stamp=time_of(stamp_ns), frame_id=frame_id)


def gaze_message(gaze: Any, device_ns: int, header: Header, image_size: tuple[int, int] | None) -> GazeStamped:
    """Convert one of the vendor's gaze formats; the eye state stays unknown.

    device_ns: acquisition on the phone's clock. image_size: (width, height) px of the scene video, None = unknown.
    """
    message = GazeStamped(header=header, x=float(gaze.x), y=float(gaze.y))
    message.confidence = math.nan  # the glasses give none
    message.device_stamp = time_of(device_ns)
    message.pupil_diameter_left, message.pupil_diameter_right, message.vergence_distance = _eyes(gaze)
    message.worn = GazeStamped.WORN_YES if gaze.worn else GazeStamped.WORN_NO
    if image_size is not None:
        message.image_width, message.image_height = image_size
    return message


def _eyes(gaze: Any) -> tuple[float, float, float]:
    """Return both pupils' diameters, mm, and the vergence distance, m; NaN where the app does not stream eye state."""
    if not hasattr(gaze, "pupil_diameter_left"):
        return math.nan, math.nan, math.nan
    (distance_mm,) = crossing_distance(
        *(
            [getattr(gaze, f"{part}_{eye}_{axis}") for axis in "xyz"]
            for eye in ("left", "right")
            for part in ("eyeball_center", "optical_axis")
        )
    )
    return gaze.pupil_diameter_left, gaze.pupil_diameter_right, float(distance_mm) / 1000


def imu_message(imu: Any, header: Header) -> Imu:
    """Convert the vendor's IMUData (degrees/s, g) to SI units in the sensor's own axes.

    Covariances follow REP-145: all zeros = unknown, -1 in the first = no estimate.
    """
    message = Imu(header=header)
    gyro, acceleration, rotation = imu.gyro_data, imu.accel_data, imu.quaternion
    velocity = message.angular_velocity
    velocity.x, velocity.y, velocity.z = (math.radians(value) for value in gyro)
    linear = message.linear_acceleration
    linear.x, linear.y, linear.z = (value * STANDARD_GRAVITY_M_S2 for value in acceleration)
    norm = math.hypot(*rotation)
    if abs(norm - 1.0) < 0.1:
        orientation = message.orientation
        orientation.x, orientation.y, orientation.z, orientation.w = (value / norm for value in rotation)
    else:  # the quaternion is all zeros until the sensor's fusion has settled
        message.orientation_covariance[0] = -1.0
    return message


def camera_info_message(width: int, height: int, header: Header, calibration: Any) -> CameraInfo:
    """Describe the scene camera by the vendor's Calibration; all zeros, an uncalibrated camera, where it is None."""
    message = CameraInfo(header=header, width=width, height=height)
    if calibration is not None:
        matrix = np.asarray(calibration.scene_camera_matrix, float).reshape(3, 3)
        message.distortion_model = "rational_polynomial"
        message.d = np.asarray(calibration.scene_distortion_coefficients, float).ravel().tolist()  # OpenCV's order
        message.k = matrix.ravel()
        message.r = np.eye(3).ravel()
        message.p = np.hstack([matrix, np.zeros((3, 1))]).ravel()
    return message


def audio_messages(
    units: Sequence[bytes], description: Description, stamp_ns: int, frame_id: str
) -> Iterator[AudioStamped]:
    """Yield a message for each AAC access unit of one packet; `stamp_ns` is the acquisition time of the first."""
    config = sound_config(description)
    rate_hz = description.clock_rate_hz
    for number, data in enumerate(units):
        message = AudioStamped(codec="aac", sample_rate=rate_hz, config=array("B", config), data=array("B", data))
        # ISO/IEC 14496-3 1.6.2.1: five bits of object type, four of frequency, four of channels.
        message.channels = config[1] >> 3 & 0xF if len(config) > 1 else 0
        message.header = header_at(stamp_ns + round(number * AAC_UNIT_SAMPLES / rate_hz * 1e9), frame_id)
        yield message


def image_message(pixels: NDArray[np.uint8], header: Header, kind: PictureKind) -> Image:
    """Wrap pixels of `kind`, (H, W, 3) or (H, W), in an uncompressed image."""
    height, width = pixels.shape[:2]
    image = Image(header=header, height=height, width=width, encoding=kind.encoding, step=kind.bytes_per_px * width)
    image.data = array("B", pixels.tobytes())
    return image


def jpeg_message(pixels: NDArray[np.uint8], header: Header, kind: PictureKind, quality: int) -> CompressedImage:
    """Encode pixels of `kind`, (H, W, 3) or (H, W), as JPEG of a quality of 1 to 100."""
    jpeg = CompressedImage(header=header, format=f"{kind.encoding}; jpeg compressed {kind.in_jpeg}")
    jpeg.data = array("B", encode_jpeg(pixels, quality=quality))  # rclpy would copy a bytes object byte by byte
    return jpeg
