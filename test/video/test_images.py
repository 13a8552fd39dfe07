"""Every encoding becomes the same RGB picture, whatever its rows and bytes look like."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from gaze_vlm_ros.video import images
from gaze_vlm_ros.video.images import (
    DamagedImage,
    UnknownEncoding,
    encode_jpeg,
    small_grey,
    to_rgb,
    to_small_grey,
    viewable_kind,
)
from gaze_vlm_ros.video.stills import still_size

# Smooth, so that demosaicing and chroma subsampling lose little.
H, W = 48, 64
_y, _x = np.mgrid[0:H, 0:W]
PICTURE = np.stack([40 + 3 * _x, 30 + 4 * _y, 200 - 2 * _x], axis=2).astype(np.uint8)


def image(encoding: str, pixels: np.ndarray, padding: int = 0, big_endian: bool = False):
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<")).reshape(len(pixels), -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return SimpleNamespace(
        encoding=encoding, height=pixels.shape[0], width=pixels.shape[1], step=padded.shape[1],
        is_bigendian=int(big_endian), data=padded.ravel(),
    )  # fmt: skip


def bayer(pattern: str) -> np.ndarray:
    """What a sensor with this pattern, named by its first two rows, measures."""
    mosaic = np.empty((H, W), np.uint8)
    for position, colour in enumerate(pattern):
        row, column = divmod(position, 2)
        mosaic[row::2, column::2] = PICTURE[row::2, column::2, "rgb".index(colour)]
    return mosaic


RED, GREEN, BLUE = PICTURE[:, :, 0], PICTURE[:, :, 1], PICTURE[:, :, 2]
ALPHA = np.full((H, W), 7, np.uint8)
EXACT = {
    "rgb8": PICTURE,
    "bgr8": PICTURE[:, :, ::-1],
    "8UC3": PICTURE[:, :, ::-1],
    "rgba8": np.dstack([PICTURE, ALPHA]),
    "bgra8": np.dstack([PICTURE[:, :, ::-1], ALPHA]),
    "8UC4": np.dstack([PICTURE[:, :, ::-1], ALPHA]),
    "rgb16": PICTURE.astype(np.uint16) << 8 | 99,
    "bgr16": PICTURE[:, :, ::-1].astype(np.uint16) << 8,
    "rgba16": np.dstack([PICTURE, ALPHA]).astype(np.uint16) << 8,
    "bgra16": np.dstack([PICTURE[:, :, ::-1], ALPHA]).astype(np.uint16) << 8,
}


@pytest.mark.parametrize("padding", [0, 1, 16])
@pytest.mark.parametrize("encoding", EXACT)
def test_colour_encodings_are_exact(encoding: str, padding: int) -> None:
    pixels = EXACT[encoding]
    # A step that is no multiple of the pixel's size is allowed for 8 bit.
    rgb = to_rgb(image(encoding, pixels, padding * pixels.itemsize))
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, PICTURE)


@pytest.mark.parametrize("encoding", ["rgb16", "bgra16"])
def test_big_endian_images_are_swapped(encoding: str) -> None:
    np.testing.assert_array_equal(to_rgb(image(encoding, EXACT[encoding], 6, big_endian=True)), PICTURE)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_is_repeated(encoding: str) -> None:
    np.testing.assert_array_equal(to_rgb(image(encoding, RED, 5)), np.repeat(RED[:, :, None], 3, axis=2))


@pytest.mark.parametrize("big_endian", [False, True])
def test_deep_grey_keeps_its_high_byte(big_endian: bool) -> None:
    rgb = to_rgb(image("mono16", RED.astype(np.uint16) << 8 | 200, 2, big_endian))
    np.testing.assert_array_equal(rgb, np.repeat(RED[:, :, None], 3, axis=2))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_show_the_right_colours(pattern: str, bits: int) -> None:
    mosaic = bayer(pattern)
    pixels = mosaic if bits == 8 else mosaic.astype(np.uint16) << 8
    rgb = to_rgb(image(f"bayer_{pattern}{bits}", pixels, 4))
    error = np.abs(rgb[4:-4, 4:-4].astype(int) - PICTURE[4:-4, 4:-4])
    assert error.max() <= 8  # interpolation of a slope; red and blue exchanged would differ by up to 160


@pytest.mark.parametrize(("encoding", "luma"), [("yuv422", 1), ("uyvy", 1), ("yuv422_yuy2", 0), ("yuyv", 0)])
def test_packed_yuv(encoding: str, luma: int) -> None:
    yuv = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2YUV).astype(int)
    # ITU-R BT.601 studio range, as cameras send it.
    y = 16 + yuv[:, :, 0] * 219 / 255
    cb = 128 + (BLUE.astype(float) - yuv[:, :, 0]) * 0.564 * 224 / 255
    cr = 128 + (RED.astype(float) - yuv[:, :, 0]) * 0.713 * 224 / 255
    packed = np.empty((H, W, 2), np.uint8)
    packed[:, :, luma] = y.round()
    packed[:, 0::2, 1 - luma] = cb[:, 0::2].round()
    packed[:, 1::2, 1 - luma] = cr[:, 0::2].round()
    error = np.abs(to_rgb(image(encoding, packed, 8)).astype(int) - PICTURE)
    assert error.max() <= 12


def semi_planar(encoding: str, padding: int = 0) -> SimpleNamespace:
    """PICTURE as a plane of luma and one of chroma: U before V in nv12, V before U in nv21."""
    planar = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2YUV_I420)
    chroma = planar[H:].reshape(2, H // 2, W // 2)
    pairs = np.dstack(chroma if encoding == "nv12" else chroma[::-1]).reshape(H // 2, W)
    made = image(encoding, np.vstack([planar[:H], pairs]), padding)
    made.height = H
    return made


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@pytest.mark.parametrize("padding", [0, 8])
def test_a_plane_of_luma_and_one_of_chroma(encoding: str, padding: int) -> None:
    message = semi_planar(encoding, padding)
    rgb = to_rgb(message)
    assert np.abs(rgb.astype(int) - PICTURE).max() <= 12  # the slope of chroma within 2x2 px
    message.data = message.data[: len(message.data) - padding]  # the last row may lack its padding
    np.testing.assert_array_equal(to_rgb(message), rgb)


@pytest.mark.parametrize("changed", [{"width": W - 1}, {"height": H - 1}, {"step": W - 2}, {"height": H + 2}])
def test_planes_that_do_not_fit_are_damaged(changed: dict[str, int]) -> None:
    message = semi_planar("nv12")
    vars(message).update(changed)
    with pytest.raises(DamagedImage, match=r"nv12 image with step \d+ has 4608 bytes, expected even sides and"):
        to_rgb(message)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "16SC1"])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_depth_is_no_picture_however_it_is_packed(encoding: str, extension: str) -> None:
    depth_mm = np.full((H, W), 1234, np.uint16)
    with pytest.raises(UnknownEncoding, match=rf"'{encoding}' cannot be shown .* it holds measurements such as depth"):
        to_rgb(image(encoding, depth_mm))
    _, data = cv2.imencode(extension, depth_mm if extension == ".png" else depth_mm.astype(np.uint8))
    for described in (f"{encoding}; png compressed ", encoding):
        message = SimpleNamespace(format=described, data=data.ravel())
        with pytest.raises(UnknownEncoding, match=f"'{described}' cannot be shown to a model: it holds measurements"):
            to_rgb(message)
        assert viewable_kind(message) == ""


def test_compressed_pictures() -> None:
    jpeg = SimpleNamespace(format="rgb8; jpeg compressed bgr8", data=np.frombuffer(encode_jpeg(PICTURE, 95), np.uint8))
    assert np.abs(to_rgb(jpeg).astype(int) - PICTURE).mean() < 3
    _, png = cv2.imencode(".png", PICTURE[:, :, ::-1])
    np.testing.assert_array_equal(to_rgb(SimpleNamespace(format="png", data=png.ravel())), PICTURE)


@pytest.mark.parametrize(
    ("message", "error", "says"),
    [
        (image("rgb8", PICTURE), None, ""),
        (SimpleNamespace(**{**vars(image("rgb8", PICTURE)), "encoding": "32FC1"}), UnknownEncoding, "32FC1"),
        (SimpleNamespace(**{**vars(image("rgb8", PICTURE)), "data": b"123"}), DamagedImage, "3 bytes"),
        (SimpleNamespace(**{**vars(image("rgb8", PICTURE)), "step": 10}), DamagedImage, "step 10"),
        (SimpleNamespace(**{**vars(image("rgb8", PICTURE)), "width": 0}), DamagedImage, "0x48"),
        (SimpleNamespace(format="h264", data=b"\0\0\0\1"), UnknownEncoding, "h264"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b"\0"), UnknownEncoding, "compressedDepth"),
        (SimpleNamespace(format="jpeg", data=b"no picture"), DamagedImage, "10 bytes"),
        (SimpleNamespace(format="jpeg", data=b""), DamagedImage, "0 bytes"),
    ],
)
def test_what_is_no_picture_is_named(message, error, says: str) -> None:
    if error is None:
        to_rgb(message)
    else:
        with pytest.raises(error, match=says):
            to_rgb(message)


@pytest.mark.parametrize(
    ("size", "height"), [((1280, 720), 135), ((640, 480), 180), ((1283, 721), 135), ((64, 48), 48)]
)
def test_a_small_grey_picture_is_the_same_from_a_jpeg_decoded_small(size: tuple[int, int], height: int) -> None:
    picture = cv2.resize(PICTURE, size, interpolation=cv2.INTER_CUBIC)
    jpeg = SimpleNamespace(format="bgr8; jpeg compressed bgr8", data=np.frombuffer(encode_jpeg(picture, 95), np.uint8))
    small = to_small_grey(jpeg, size, 240)
    assert small.shape == (height, min(size[0], 240))
    assert np.abs(small.astype(int) - small_grey(to_rgb(jpeg), 240)).mean() < 1
    with pytest.raises(DamagedImage, match="expected"):
        to_small_grey(jpeg, (size[0] + 8, size[1]), 240)
    jpeg.data = jpeg.data[:100]
    with pytest.raises(DamagedImage, match="100 bytes"):
        to_small_grey(jpeg, size, 240)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize(("bits", "extension"), [(8, ".jpg"), (8, ".png"), (16, ".png")])
def test_a_compressed_mosaic_shows_the_right_colours(pattern: str, bits: int, extension: str) -> None:
    mosaic = np.empty((H, W), np.uint8)  # one colour, as JPEG blurs a mosaic
    for position, colour in enumerate(pattern):
        row, column = divmod(position, 2)
        mosaic[row::2, column::2] = (200, 60, 20)["rgb".index(colour)]
    _, data = cv2.imencode(extension, mosaic if bits == 8 else mosaic.astype(np.uint16) << 8)
    kind = extension[1:].replace("jpg", "jpeg")
    message = SimpleNamespace(format=f"bayer_{pattern}{bits}; {kind} compressed ", data=data.ravel())
    assert np.abs(to_rgb(message).astype(int) - [200, 60, 20]).max() <= 10
    assert viewable_kind(message) == ""
    grey = small_grey(to_rgb(message), 32)
    np.testing.assert_array_equal(to_small_grey(message, (W, H), 32), grey)


@pytest.mark.parametrize("coded", ["bgr8", ""])
def test_a_mosaic_that_was_made_a_picture_before_stays_one(coded: str) -> None:
    data = np.frombuffer(encode_jpeg(PICTURE, 95), np.uint8)
    message = SimpleNamespace(format=f"bayer_rggb8; jpeg compressed {coded}", data=data)
    assert np.abs(to_rgb(message).astype(int) - PICTURE).mean() < 3


def test_a_mosaic_in_three_equal_channels() -> None:
    mosaic = bayer("grbg")
    _, data = cv2.imencode(".png", np.repeat(mosaic[:, :, None], 3, axis=2))
    message = SimpleNamespace(format="bayer_grbg8; png compressed ", data=data.ravel())
    np.testing.assert_array_equal(to_rgb(message), to_rgb(image("bayer_grbg8", mosaic)))


def test_an_unknown_mosaic_is_refused() -> None:
    message = SimpleNamespace(format="bayer_rgbw8; jpeg compressed ", data=np.frombuffer(encode_jpeg(RED), np.uint8))
    with pytest.raises(UnknownEncoding, match="bayer_rgbw8"):
        to_rgb(message)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("described", ["", "camera", "png", "rgb8"])
def test_the_bytes_say_what_a_still_picture_is(extension: str, described: str) -> None:
    _, data = cv2.imencode(extension, PICTURE[:, :, ::-1])
    message = SimpleNamespace(format=described, data=data.ravel())
    assert np.abs(to_rgb(message).astype(int) - PICTURE).mean() < 3
    assert viewable_kind(message) == {".jpg": "jpeg", ".png": "png", ".webp": "webp"}[extension]
    assert still_size(data.tobytes()) == (W, H)


def test_bytes_of_no_picture_without_a_format_are_named() -> None:
    with pytest.raises(UnknownEncoding, match="format '' cannot be read, and the bytes are no JPEG, PNG or WebP"):
        to_rgb(SimpleNamespace(format="", data=np.zeros(40, np.uint8)))


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_a_picture_that_states_too_many_pixels_is_not_decoded(extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = cv2.imencode(extension, PICTURE)
    monkeypatch.setattr(images, "LARGEST_PIXELS", W * H - 1)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(DamagedImage, match=f"states {W}x{H} px, expected at most {W * H - 1} in all"):
        to_rgb(SimpleNamespace(format="", data=data.ravel()))


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_the_size_of_a_picture_that_is_cut_off_is_not_known(extension: str) -> None:
    _, data = cv2.imencode(extension, PICTURE)
    assert {still_size(data.tobytes()[:length]) for length in range(200)} <= {None, (W, H)}


@pytest.mark.parametrize(("size", "small"), [((4000, 1), (1, 240)), ((1, 4000), (4000, 1)), ((241, 3000), (2988, 240))])
def test_pictures_of_odd_shapes_become_small(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert small_grey(np.zeros((size[1], size[0], 3), np.uint8), 240).shape == small
