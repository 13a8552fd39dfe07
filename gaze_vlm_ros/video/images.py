"""Convert between ROS images and arrays. Works on rclpy's messages and on those decoded without ROS."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError

RGB = NDArray[np.uint8]


class UnknownEncoding(GazeVlmError):
    """The image has an encoding or compression that is not supported."""


class DamagedImage(GazeVlmError):
    """The bytes of the image do not match its header."""


class _Layout(NamedTuple):
    """Memory layout of one sensor_msgs encoding."""

    dtype: type[np.generic]
    channels: int
    to_rgb: int | None  # OpenCV conversion; None = already RGB; -1 = one channel, repeated


# Encodings of sensor_msgs/image_encodings.hpp. OpenCV names a Bayer pattern by the second row's second and third pixel,
# ROS by the first row's first two: rggb is BayerBG there.
_LAYOUTS = {
    "rgb8": _Layout(np.uint8, 3, None),
    "bgr8": _Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),
    "rgba8": _Layout(np.uint8, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    "rgb16": _Layout(np.uint16, 3, None),
    "bgr16": _Layout(np.uint16, 3, cv2.COLOR_BGR2RGB),
    "rgba16": _Layout(np.uint16, 4, cv2.COLOR_RGBA2RGB),
    "bgra16": _Layout(np.uint16, 4, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout(np.uint8, 1, -1),
    "mono16": _Layout(np.uint16, 1, -1),
    "8UC1": _Layout(np.uint8, 1, -1),
    "8UC3": _Layout(np.uint8, 3, cv2.COLOR_BGR2RGB),  # OpenCV's own order, as cv_bridge writes it
    "8UC4": _Layout(np.uint8, 4, cv2.COLOR_BGRA2RGB),
    "16UC1": _Layout(np.uint16, 1, -1),
    "bayer_rggb8": _Layout(np.uint8, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _Layout(np.uint8, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _Layout(np.uint8, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _Layout(np.uint8, 1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": _Layout(np.uint16, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": _Layout(np.uint16, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": _Layout(np.uint16, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": _Layout(np.uint16, 1, cv2.COLOR_BayerGB2RGB),
    "uyvy": _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUYV),
    "yuv422_yuy2": _Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUYV),
}

# Divisors at which libjpeg decodes a smaller image, and OpenCV's flag for each.
_JPEG_SHRINKS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}


def to_rgb(message: Any) -> RGB:
    """Return a sensor_msgs Image or CompressedImage as contiguous (H, W, 3) uint8 RGB.

    Rows may be padded (`step`), and 16-bit images may have either byte order; their values keep the high byte.
    Raises UnknownEncoding, and DamagedImage if the bytes do not fill the size that the message gives.
    """
    return _raw_to_rgb(message) if hasattr(message, "encoding") else _compressed_to_rgb(message)


def _raw_to_rgb(message: Any) -> RGB:
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        raise UnknownEncoding(
            f"image encoding {message.encoding!r} cannot be shown to a model, expected one of {', '.join(_LAYOUTS)}"
        )
    height, width, step = message.height, message.width, message.step
    dtype = np.dtype(layout.dtype).newbyteorder(">" if message.is_bigendian else "<")
    row = width * layout.channels * dtype.itemsize
    data = np.frombuffer(message.data, np.uint8)
    # The last row may lack its padding.
    if not height or not width or step < row or len(data) < step * (height - 1) + row:
        raise DamagedImage(
            f"a {width}x{height} {message.encoding} image with step {step} has {len(data)} bytes, "
            f"expected at least {max(step, row) * max(height - 1, 0) + row}"
        )
    strides = (step, layout.channels * dtype.itemsize, dtype.itemsize)
    pixels: NDArray[Any] = np.ndarray((height, width, layout.channels), dtype, data, strides=strides)
    pixels = np.ascontiguousarray(pixels.astype(layout.dtype, copy=False))
    if layout.to_rgb == -1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif layout.to_rgb is not None:
        pixels = cv2.cvtColor(pixels[:, :, 0] if layout.channels == 1 else pixels, layout.to_rgb)
    if layout.dtype is np.uint16:
        pixels = (np.asarray(pixels, np.uint16) >> 8).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def _compressed_to_rgb(message: Any) -> RGB:
    # compressed_image_transport: "jpeg", "png", or "bgr8; jpeg compressed bgr8"; others (h264, compressedDepth) are not
    # still pictures.
    kind = message.format.lower()
    if "compresseddepth" in kind or not any(name in kind for name in ("jpeg", "jpg", "png", "webp")):
        raise UnknownEncoding(f"compressed image format {message.format!r} cannot be read, expected jpeg, png or webp")
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise DamagedImage(f"{len(data)} bytes of format {message.format!r} do not decode to an image")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def to_small_grey(message: Any, size: tuple[int, int], width_px: int) -> NDArray[np.uint8]:
    """Return small_grey of a message whose image is expected to have `size` (width, height) px.

    JPEG is decoded at a half, a quarter or an eighth of its size if that is still wide enough: it takes half the time,
    and optical flow on it is as accurate. Raises UnknownEncoding, and DamagedImage, also for an image of another size.
    """
    shrinks = [by for by in _JPEG_SHRINKS if not (size[0] % by or size[1] % by) and size[0] // by >= width_px]
    if not shrinks or not is_jpeg(message):
        return small_grey(of_size(to_rgb(message), size), width_px)
    data = np.frombuffer(message.data, np.uint8)
    grey = cv2.imdecode(data, _JPEG_SHRINKS[shrinks[0]]) if len(data) else None
    if grey is None:
        raise DamagedImage(f"{len(data)} bytes of format {message.format!r} do not decode to an image")
    reduced = (size[0] // shrinks[0], size[1] // shrinks[0])
    return small_grey(of_size(np.asarray(grey, np.uint8), reduced), width_px)


def is_jpeg(message: Any) -> bool:
    """Return whether the message is a CompressedImage that holds JPEG."""
    kind = getattr(message, "format", "").lower()
    return ("jpeg" in kind or "jpg" in kind) and "compresseddepth" not in kind


def of_size(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture. Raises DamagedImage unless its size is `size` (width, height) px."""
    if picture.shape[1::-1] != size:
        (height, width), expected = picture.shape[:2], "x".join(map(str, size))
        raise DamagedImage(f"an image is {width}x{height}, expected {expected} as the others")
    return picture


def small_grey(picture: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    """Return an (H, W, 3) RGB or (H, W) grey picture as (h, w) uint8 grey, at most `width_px` wide."""
    scale = width_px / picture.shape[1]
    if scale < 1:  # before the colour conversion, which is then of the small image only
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def encode_jpeg(rgb: RGB, quality: int = 90) -> bytes:
    """Return an (H, W, 3) uint8 RGB or (H, W) grey image as JPEG bytes.

    quality: 1 to 100; at 90 a patch looks unchanged to a model. Raises ValueError if OpenCV cannot encode it.
    """
    pixels = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV cannot encode an image of shape {rgb.shape}, {rgb.dtype}")
    return data.tobytes()
