"""The lag between camera and gaze: known shifts are found, and what cannot be measured is reported.

    python test/inspection/test_camera_gaze_lag.py

prints the error over more seeds, rates and trackers than a test has time for; docs/checking.md has the figures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from bench_recordings import Recording, motions_of, record

from gaze_vlm_ros.inspection.camera_gaze_lag import (
    MIN_BLOCKS,
    MIN_EXPLAINED,
    SEARCH_S,
    WIDTH_PX,
    estimate_lag,
    moved,
    picture_motion,
)
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.video.images import small_grey

SHIFTS_MS = (-100, -40, 0, 60, 100)
NEON = Path(__file__).resolve().parents[3] / "shared" / "data" / "neon_window"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(BenchSettings(seed=11, person="p11", duration_s=40.0, width=320, height=240))


FOCAL = WIDTH_PX / 2 / np.tan(np.radians(40))  # 80 degrees across
CAMERA = np.array([[FOCAL, 0, WIDTH_PX / 2], [0, FOCAL, 120], [0, 0, 1]])
PINHOLE, WIDE = np.zeros(5), np.array([-0.25, 0.06, 0.0, 0.0, 0.0])  # WIDE: corners 12 % nearer than a pinhole has them


def textured(seed: int = 0, size: tuple[int, int] = (240, WIDTH_PX)) -> NDArray[np.uint8]:
    """A picture (H, W) with detail of several sizes."""
    noise = np.random.default_rng(seed).normal(size=size)
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (1.5, 4, 12)]
    return np.clip(128 + sum(40 * layer / layer.std() for layer in layers), 0, 255).astype(np.uint8)


def through_lens(homography: NDArray[np.float64], lens: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What a camera sees of a far wall after its pinhole picture has moved by a homography."""
    pixels = np.stack(np.meshgrid(np.arange(WIDTH_PX), np.arange(240)), axis=-1).reshape(-1, 1, 2).astype(float)
    straight = cv2.undistortPoints(pixels, CAMERA, lens, P=CAMERA)
    on_wall = cv2.perspectiveTransform(straight, np.linalg.inv(homography)) + 160  # of a wall that is larger
    places = on_wall.reshape(240, WIDTH_PX, 2).astype(np.float32)
    return np.asarray(cv2.remap(textured(size=(560, 640)), places[..., 0], places[..., 1], cv2.INTER_LINEAR), np.uint8)


@pytest.mark.parametrize("lens", [PINHOLE, WIDE], ids=["pinhole", "wide"])
@pytest.mark.parametrize("yaw_deg", [0.3, 1.0, 3.0])
def test_motion_of_a_turning_head_is_exact_over_the_picture(yaw_deg: float, lens: NDArray[np.float64]) -> None:
    rotation, _ = cv2.Rodrigues(np.radians([0.3 * yaw_deg, yaw_deg, 0.2 * yaw_deg]))
    homography = CAMERA @ rotation @ np.linalg.inv(CAMERA)
    motion = picture_motion(through_lens(np.eye(3), lens), through_lens(homography, lens))
    assert motion is not None
    points = np.random.default_rng(1).uniform((60, 50), (260, 190), (200, 2))
    straight = cv2.undistortPoints(points[:, None], CAMERA, lens, P=CAMERA)
    turned = cv2.perspectiveTransform(straight, homography)[:, 0]
    rays = np.column_stack([turned, np.ones(len(turned))]) @ np.linalg.inv(CAMERA).T
    true, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), CAMERA, lens)
    found, expected = moved(points, motion) - points, true[:, 0] - points
    assert (found * expected).sum() / (expected**2).sum() == pytest.approx(
        1, abs=0.01
    )  # neither too much nor too little
    assert np.linalg.norm(found - expected, axis=1).max() < 0.05 * np.linalg.norm(expected, axis=1).mean()


def test_motion_is_the_head_s_where_a_hand_moves_otherwise() -> None:
    before = textured()
    after = np.roll(before, 4, axis=1)
    after[120:, 80:240] = np.roll(textured(2)[:120, :160], 9, axis=0)
    before = before.copy()
    before[120:, 80:240] = textured(2)[:120, :160]
    motion = picture_motion(before, after)
    assert motion is not None
    points = np.array([[60.0, 60.0], [160.0, 60.0], [260.0, 60.0], [40.0, 200.0]])
    np.testing.assert_allclose(moved(points, motion) - points, [[4.0, 0.0]] * 4, atol=0.25)


def test_no_motion_is_told_between_pictures_that_share_none() -> None:
    plain = np.full((240, WIDTH_PX), 100, np.uint8)
    assert picture_motion(plain, plain) is None  # nothing to hold on to
    assert picture_motion(textured(1), textured(2)) is None
    assert picture_motion(textured(), textured()[:120, :160]) is None  # of another size


@pytest.mark.parametrize("shift_ms", SHIFTS_MS)
def test_a_known_shift_is_found_again(recording: Recording, shift_ms: int) -> None:
    estimate = recording.estimate(shift_ms)
    assert estimate.lag_s is not None
    assert estimate.lag_s * 1e3 == pytest.approx(shift_ms, abs=6)
    assert estimate.low_s * 1e3 - 3 < shift_ms < estimate.high_s * 1e3 + 3
    assert estimate.low_s < estimate.lag_s < estimate.high_s
    assert estimate.explained > 0.7
    assert estimate.reason == ""


def test_eye_states_are_not_needed(recording: Recording) -> None:
    estimate = recording.estimate(60, eye_state=np.zeros_like(recording.gaze.eye_state))
    assert estimate.lag_s is not None
    assert estimate.lag_s * 1e3 == pytest.approx(60, abs=10)


def test_gaze_on_a_larger_image_of_the_same_view(recording: Recording) -> None:
    larger = recording.estimate(40, xy=recording.gaze.xy * 5, image_size=(1600, 1200))
    assert larger.lag_s == pytest.approx(recording.estimate(40).lag_s, abs=1e-6)


@pytest.mark.parametrize("shift_s", [-9, -4, 5, 12])
def test_gaze_of_another_time_is_not_given_a_lag(recording: Recording, shift_s: int) -> None:
    estimate = recording.estimate(shift_s * 1e3)
    assert estimate.lag_s is None
    assert estimate.explained < MIN_EXPLAINED
    assert "the head was still, the eyes followed moving things, or gaze belongs to another time" in estimate.reason


def test_a_still_head_tells_nothing(recording: Recording) -> None:
    estimate = recording._replace(motions=np.zeros_like(recording.motions)).estimate()
    assert estimate.lag_s is None
    assert estimate.explained == pytest.approx(0)


def test_an_even_turn_tells_nothing_of_when() -> None:
    """A head that turns at one speed for good: gaze goes with the picture at any shift."""
    rng = np.random.default_rng(0)
    frames_ns = np.arange(0, 40_000_000_000, 50_000_000)
    motions = np.zeros((len(frames_ns), 6, 2))
    motions[:, 0, 0] = 2.0  # px a frame
    stamps_ns = np.arange(0, 40_000_000_000, 5_000_000)
    since_s = stamps_ns / 1e9 % 0.5
    xy = np.column_stack([100 + 40.0 * since_s, np.full(len(stamps_ns), 120.0)]) + rng.normal(
        0, 0.5, (len(stamps_ns), 2)
    )
    steady = np.ones(len(stamps_ns))
    eye_state = np.where(since_s < 0.05, 2, 1).astype(np.uint8)  # saccades back
    gaze = GazeTrack(stamps_ns, xy, steady, 2 * steady.astype(np.uint8), eye_state, (320, 240))
    estimate = Recording(frames_ns, motions, gaze, (320, 240)).estimate()
    assert estimate.explained > 0.9
    assert estimate.lag_s is None


def test_a_short_recording_is_too_short(recording: Recording) -> None:
    first = recording.frames_ns < 2e9 * (MIN_BLOCKS - 1)
    short = recording._replace(frames_ns=recording.frames_ns[first], motions=recording.motions[first])
    estimate = short.estimate(40)
    assert estimate.lag_s is None
    assert f"at least {2 * MIN_BLOCKS} s are needed" in estimate.reason


def test_a_lag_beyond_what_is_tried_is_not_told_as_a_smaller_one(recording: Recording) -> None:
    for shift_ms in (1e3 * SEARCH_S + 60, -1e3 * SEARCH_S - 60):
        assert recording.estimate(shift_ms).lag_s is None


def test_frames_or_gaze_that_are_missing(recording: Recording) -> None:
    nothing = recording._replace(motions=np.full_like(recording.motions, np.nan)).estimate()
    assert (nothing.lag_s, nothing.fixations) == (None, 0)
    assert "no fixation" in nothing.reason
    assert recording.estimate(worn=np.ones_like(recording.gaze.worn)).lag_s is None
    one = {name: getattr(recording.gaze, name)[:1] for name in ("xy", "confidence", "worn", "eye_state")}
    assert estimate_lag(
        recording.frames_ns, recording.motions, GazeTrack(np.zeros(1, np.int64), *one.values(), (0, 0)), (320, 240)
    ).lag_s is None  # fmt: skip
    gaps = recording.motions.copy()
    gaps[::40] = np.nan  # each fourth second a frame is damaged
    estimate = recording._replace(motions=gaps).estimate(40)
    assert estimate.lag_s is not None
    assert estimate.lag_s * 1e3 == pytest.approx(40, abs=8)
    assert estimate.fixations < recording.estimate(40).fixations


@pytest.mark.skipif(not NEON.is_dir(), reason=f"the real recording is not at {NEON}")
def test_a_real_recording_of_three_seconds_is_too_short() -> None:
    import av

    from gaze_vlm_ros.neon.recording import read_recording

    native = read_recording(NEON)
    with av.open(str(native.video[0].path)) as container:
        pictures = [small_grey(frame.to_ndarray(format="rgb24"), WIDTH_PX) for frame in container.decode(video=0)]
    frames_ns = native.video[0].stamps_ns[: len(pictures)]
    count = len(native.gaze.stamps_ns)
    gaze = GazeTrack(
        native.gaze.stamps_ns,
        native.gaze.xy_px.astype(float),
        np.full(count, np.nan),
        np.where(native.gaze.worn, 2, 1).astype(np.uint8),
        np.zeros(count, np.uint8),
        (1600, 1200),
    )
    estimate = estimate_lag(frames_ns, motions_of(pictures), gaze, (1600, 1200))
    assert estimate.fixations >= 3
    assert estimate.lag_s is None
    assert "s are needed" in estimate.reason


def print_errors() -> None:
    """Errors in ms over seeds, each at every shift, and how often unrelated gaze is given a lag."""
    variants = {
        "10 Hz camera": {"frame_rate_hz": 10.0},
        "30 Hz camera": {"frame_rate_hz": 30.0},
        "30 Hz, no eye states": {"frame_rate_hz": 30.0},
        "30 Hz, gaze at 30 Hz": {"frame_rate_hz": 30.0, "gaze_rate_hz": 30.0},
        "30 Hz, noise of 1 degree": {"frame_rate_hz": 30.0, "gaze_precision_deg": 1.0},
    }
    shifts_ms = (-100, -50, 0, 50, 100)
    unrelated = reported = 0
    for name, changes in variants.items():
        errors, widths, inside, silent = [], [], 0, 0
        for seed in range(8):
            made = record(
                BenchSettings(seed=seed, person=f"p{seed}", duration_s=60.0, width=320, height=240, **changes)
            )
            states = {"eye_state": np.zeros_like(made.gaze.eye_state)} if "no eye" in name else {}
            for shift_ms in shifts_ms:
                estimate = made.estimate(shift_ms, **states)
                if estimate.lag_s is None:
                    silent += 1
                    continue
                errors.append(estimate.lag_s * 1e3 - shift_ms)
                widths.append((estimate.high_s - estimate.low_s) * 1e3)
                inside += estimate.low_s * 1e3 <= shift_ms <= estimate.high_s * 1e3
            for shift_s in (*range(-20, -1), *range(2, 21)):
                unrelated += 1
                reported += made.estimate(shift_s * 1e3, **states).lag_s is not None
        size = np.abs(errors) if errors else np.array([np.nan])
        print(
            f"{name:<26} error: mean {np.mean(errors):+.1f}, median size {np.median(size):.1f}, "
            f"largest {size.max():.1f} ms; 95 % interval {np.mean(widths):.1f} ms wide, holds the truth "
            f"{inside} of {len(errors)} times; no figure {silent}",
            flush=True,
        )
    print(f"unrelated gaze was given a lag {reported} of {unrelated} times")


if __name__ == "__main__":
    print_errors()
