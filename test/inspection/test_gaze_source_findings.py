"""Gaze that was held, made up, thinned out, mirrored or turned, and pictures that a viewer turns."""

import dataclasses
import struct
from collections.abc import Callable

import numpy as np
import pytest
from bench_recordings import record
from numpy.typing import NDArray

from gaze_vlm_ros.inspection import gaze_source_findings
from gaze_vlm_ros.inspection.camera_gaze_lag import LagEstimate
from gaze_vlm_ros.inspection.gaze_source_findings import (
    exif_orientation,
    gaze_against_picture,
    gaze_rate,
    gaze_repeats,
    picture_turn,
)
from gaze_vlm_ros.inspection.stream_findings import Frames
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.video.images import encode_jpeg

RANDOM = np.random.default_rng(5)


def track(xy: NDArray[np.float64], rate_hz: float = 30.0) -> GazeTrack:
    count = len(xy)
    stamps_ns = 10**18 + np.round(np.arange(count) / rate_hz * 1e9).astype(np.int64)
    return GazeTrack(stamps_ns, xy, np.ones(count), np.full(count, 2, np.uint8), np.ones(count, np.uint8), (640, 480))


def noise(count: int) -> NDArray[np.float64]:
    return RANDOM.uniform((50, 50), (600, 400), (count, 2))


def test_measured_samples_are_no_repeats_and_missing_ones_neither() -> None:
    xy = noise(300)
    xy[10:200] = np.nan
    found = gaze_repeats(track(xy))
    assert (found.severity, found.figures["repeated_share"], found.figures["constant_share"]) == ("ok", 0, 0)
    assert gaze_repeats(track(noise(5))).severity == "ok"


def test_slow_gaze_that_was_repeated_is_said() -> None:
    found = gaze_repeats(track(np.repeat(noise(50), 6, axis=0)))  # 5 Hz held over six frames
    assert found.severity == "warning"
    assert found.figures["repeated_share"] == pytest.approx(250 / 299)
    assert "83.6% of the samples are exactly equal to the one before: 50 different ones in a row of 300" in found.text
    assert found.figures["constant_share"] == 0
    some = noise(300)
    some[1::6] = some[::6]
    assert gaze_repeats(track(some)).severity == "note"


def test_a_point_that_stands_for_no_sample_is_said() -> None:
    xy = noise(300)
    xy[::6] = (320, 240)
    found = gaze_repeats(track(xy))
    assert found.severity == "warning"
    assert "16.7% return to the point (320, 240)" in found.text
    assert gaze_repeats(track(np.full((300, 2), 7.0))).severity == "warning"


def test_a_rate_far_below_the_tracker_s_is_said() -> None:
    gaze = track(noise(300), rate_hz=30)
    assert gaze_rate(gaze, "").severity == "ok"
    assert gaze_rate(gaze, "SMI Eye Tracking Glasses").severity == "ok"
    found = gaze_rate(gaze, "Pupil Labs Neon")
    assert (found.severity, found.text) == ("warning", "30.0 Hz, and Pupil Labs Neon delivers 200")
    assert gaze_rate(track(noise(300), 80), "Pupil Labs Neon").severity == "note"
    assert gaze_rate(track(noise(300), 5), "unheard of").severity == "note"


@pytest.fixture(scope="module")
def bench() -> tuple[Frames, GazeTrack]:
    """A session at the simulated bench, where the head turns."""
    made = record(BenchSettings(seed=11, person="p11", duration_s=40.0, width=320, height=240))
    return Frames(made.frames_ns, [made.size] * len(made.frames_ns), made.motions, ""), made.gaze


def test_gaze_that_follows_the_picture_is_fine(bench: tuple[Frames, GazeTrack]) -> None:
    found = gaze_against_picture(*bench)
    assert found.severity == "ok"
    assert "turned" not in found.figures


@pytest.mark.parametrize(
    ("turn", "how"),
    [
        (lambda x, y: (320 - x, y), "mirrored left to right"),
        (lambda x, y: (320 - x, 240 - y), "turned by 180 degrees"),
        (lambda x, y: ((240 - y) * 320 / 240, x * 240 / 320), "turned anticlockwise"),
    ],
)
def test_gaze_that_is_mirrored_or_turned_is_an_error(
    bench: tuple[Frames, GazeTrack], turn: Callable[..., tuple[NDArray[np.float64], ...]], how: str
) -> None:
    frames, gaze = bench
    wrong = dataclasses.replace(gaze, xy=np.stack(turn(gaze.xy[:, 0], gaze.xy[:, 1]), axis=1))
    found = gaze_against_picture(frames, wrong)
    assert found.severity == "error"
    assert f"if gaze is {how}: gaze, or the picture, is stored the other way round" in found.text


@pytest.mark.parametrize(("as_it_is", "severity"), [(-1.6, "warning"), (-1.2, "ok"), (0.1, "ok")])
def test_gaze_that_follows_the_picture_worse_than_by_chance_is_said(
    bench: tuple[Frames, GazeTrack], monkeypatch: pytest.MonkeyPatch, as_it_is: float, severity: str
) -> None:
    turned, others = [-0.8, 0.1, -1.0, -0.4, -0.5], [-1.1, -1.4, -0.8, -1.1, -0.9]
    explained = iter([as_it_is, *turned, *others])

    def estimate(*_: object) -> LagEstimate:
        return LagEstimate(None, 0.0, 0.0, next(explained), 200, 30, "")

    monkeypatch.setattr(gaze_source_findings, "estimate_lag", estimate)
    found = gaze_against_picture(*bench)
    assert found.severity == severity
    assert found.figures["by_chance"] == others
    assert ("less than of gaze of 5 other moments (-1.40 to -0.80)" in found.text) == (severity == "warning")


def test_a_still_picture_says_nothing(bench: tuple[Frames, GazeTrack]) -> None:
    frames, gaze = bench
    still = dataclasses.replace(frames, motions=np.full_like(frames.motions, np.nan))
    assert gaze_against_picture(still, gaze).text == "too little of it moves to tell"


def with_exif(jpeg: bytes, orientation: int, order: str) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHIHH", 0x010F, 2, 1, 65, 0) + struct.pack(
        f"{order}HHIHH", 0x0112, 3, 1, orientation, 0
    )
    block = b"Exif\0\0" + mark + struct.pack(f"{order}IH", 8, 2) + entries + b"\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pictures_that_a_viewer_turns_are_said(order: str) -> None:
    jpeg = encode_jpeg(np.zeros((24, 32, 3), np.uint8))
    assert exif_orientation(jpeg) == 0
    assert picture_turn(jpeg).severity == "ok"
    turned = with_exif(jpeg, 6, order)
    assert exif_orientation(turned) == 6
    found = picture_turn(turned)
    assert (found.severity, found.figures) == ("warning", {"orientation": 6})
    assert picture_turn(with_exif(jpeg, 1, order)).severity == "ok"
    assert exif_orientation(turned[:40]) in (0, 6)
    assert exif_orientation(b"\x89PNG") == 0
