"""Convert between ROS images and arrays. Works on rclpy's messages and on those decoded without ROS."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.stills import JPEG, LARGEST_PIXELS, still_kind, still_size

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

# A plane of luma, then a plane of half as many rows with the two chroma values of each 2x2 px in turn, both with the
# same step (sensor_msgs/image_encodings.hpp).
_SEMI_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}

_NUMBERS = re.compile(r"(8S|16[USF]|32[SF]|64F)C\d+")  # such as 16UC1: depth in mm, or other measurements

_STILL_NAMES = ("jpeg", "jpg", "png", "webp")

# Divisors at which libjpeg decodes a smaller image, and OpenCV's flag for each.
_JPEG_SHRINKS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}


def to_rgb(message: Any) -> RGB:
    """Return a sensor_msgs Image or CompressedImage as contiguous (H, W, 3) uint8 RGB.

    Rows may be padded (`step`), and 16-bit images may have either byte order; their values keep the high byte.
    The bytes of a CompressedImage decide whether it is JPEG, PNG or WebP, its `format` whether it is a Bayer mosaic.
    Raises UnknownEncoding, also for depth, and DamagedImage if the bytes do not fill the size that the message gives.
    """
    if not hasattr(message, "encoding"):
        return _compressed_to_rgb(message)
    return _semi_planar_to_rgb(message) if message.encoding in _SEMI_PLANAR else _raw_to_rgb(message)


def _semi_planar_to_rgb(message: Any) -> RGB:
    height, width, step = message.height, message.width, message.step
    data, rows = np.frombuffer(message.data, np.uint8), height + height // 2
    # The last row may lack its padding.
    if not height or not width or height % 2 or width % 2 or step < width or len(data) < step * (rows - 1) + width:
        raise DamagedImage(
            f"a {width}x{height} {message.encoding} image with step {step} has {len(data)} bytes, expected even sides "
            f"and at least {max(step, width) * max(rows - 1, 0) + width}"
        )
    planes: NDArray[np.uint8] = np.ndarray((rows, width), np.uint8, data, strides=(step, 1))
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(planes), _SEMI_PLANAR[message.encoding]), np.uint8)


def _raw_to_rgb(message: Any) -> RGB:
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        hint = "; it holds measurements such as depth (an infrared picture is mono16)"
        raise UnknownEncoding(
            f"image encoding {message.encoding!r} cannot be shown to a model, expected one of "
            f"{', '.join((*_LAYOUTS, *_SEMI_PLANAR))}{hint if _NUMBERS.fullmatch(message.encoding) else ''}"
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
    # still pictures. Some drivers leave it empty, so the bytes decide.
    if _holds_numbers(message):
        raise UnknownEncoding(
            f"compressed image format {message.format!r} cannot be shown to a model: it holds measurements such as "
            "depth"
        )
    described = message.format.lower()
    is_still = still_kind(bytes(message.data[:12]))
    if not (is_still or any(name in described for name in _STILL_NAMES)):
        raise UnknownEncoding(
            f"compressed image format {message.format!r} cannot be read, and the bytes are no JPEG, PNG or WebP"
        )
    conversion = _mosaic_conversion(message)
    if conversion is None:
        return np.asarray(cv2.cvtColor(_decoded(message, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)
    pixels = _decoded(message, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if pixels.ndim == 2 or (pixels == pixels[:, :, :1]).all():
        pixels = cv2.cvtColor(pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, 0]), conversion)
    else:  # it was demosaiced before it was compressed
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if pixels.dtype == np.uint16:
        pixels = np.asarray(pixels, np.uint16) >> 8
    return np.asarray(pixels, np.uint8)


def _holds_numbers(message: Any) -> bool:
    """Whether a CompressedImage holds depth or other measurements, which a PNG can: `16UC1; png compressed `."""
    encoding = message.format.partition(";")[0].strip()
    return "compresseddepth" in message.format.lower() or _NUMBERS.fullmatch(encoding) is not None


def _mosaic_conversion(message: Any) -> int | None:
    """Return OpenCV's conversion of the Bayer mosaic that a CompressedImage holds; None = it holds a usual picture.

    compressed_image_transport stores a mosaic as a grey picture, `bayer_rggb8; jpeg compressed ` (with nothing at the
    end), which its subscriber takes as the mosaic again. Raises UnknownEncoding for another pattern.
    """
    encoding, _, coded = message.format.partition(";")
    encoding, target = encoding.strip().lower(), coded.partition("compressed")[2].strip()
    if not encoding.startswith("bayer") or (target and not target.startswith("bayer")):
        return None
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise UnknownEncoding(f"the mosaic of compressed image format {message.format!r} is not known")
    return layout.to_rgb


def _decoded(message: Any, flags: int) -> NDArray[Any]:
    """Return a CompressedImage as OpenCV decodes it with these flags. Raises DamagedImage."""
    data = np.frombuffer(message.data, np.uint8)
    width, height = still_size(data.data) or (0, 0)
    if width * height > LARGEST_PIXELS:
        raise DamagedImage(f"the picture states {width}x{height} px, expected at most {LARGEST_PIXELS} in all")
    try:
        pixels = cv2.imdecode(data, flags) if len(data) else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DamagedImage(f"{len(data)} bytes of format {message.format!r} do not decode to an image")
    return np.asarray(pixels)


def to_small_grey(message: Any, size: tuple[int, int], width_px: int) -> NDArray[np.uint8]:
    """Return small_grey of a message whose image is expected to have `size` (width, height) px.

    JPEG is decoded at a half, a quarter or an eighth of its size if that is still wide enough: it takes half the time,
    and optical flow on it is as accurate. Raises UnknownEncoding, and DamagedImage, also for an image of another size.
    """
    shrinks = [by for by in _JPEG_SHRINKS if not (size[0] % by or size[1] % by) and size[0] // by >= width_px]
    if not shrinks or viewable_kind(message) != JPEG:
        return small_grey(of_size(to_rgb(message), size), width_px)
    grey = _decoded(message, _JPEG_SHRINKS[shrinks[0]])
    reduced = (size[0] // shrinks[0], size[1] // shrinks[0])
    return small_grey(of_size(np.asarray(grey, np.uint8), reduced), width_px)


def viewable_kind(message: Any) -> str:
    """Return "jpeg", "png" or "webp" if the bytes of a message, as they are, show its picture to any viewer, else "".

    A raw image, video, depth and a Bayer mosaic do not.
    """
    if not hasattr(message, "format") or _holds_numbers(message) or _mosaic_conversion(message):
        return ""
    return still_kind(bytes(message.data[:12]))


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
        size = (width_px, max(1, round(picture.shape[0] * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
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
