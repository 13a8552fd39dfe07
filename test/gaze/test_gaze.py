"""Gaze on boxes against numerical integration, closed forms and high-precision arithmetic; gaze on frames."""

from dataclasses import dataclass, replace

import cv2
import mpmath
import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.special import erf

from gaze_vlm_ros.gaze import distribution as gaze_module
from gaze_vlm_ros.gaze.distribution import aggregate, patch_distribution
from gaze_vlm_ros.gaze.flow import FlowSettings
from gaze_vlm_ros.video.images import of_size, small_grey

ONE_SIGMA = erf(1 / np.sqrt(2))  # 0.6827 of a normal variable lies within one standard deviation


def grid(columns: int, rows: int, width: float, height: float) -> np.ndarray:
    x, y = np.meshgrid(np.arange(columns) * width, np.arange(rows) * height)
    return np.stack([x.ravel(), y.ravel(), x.ravel() + width, y.ravel() + height], axis=1)


# patch_distribution


def test_mass_agrees_with_numerical_integration_of_the_mixture():
    rng = np.random.default_rng(0)
    points, weights, sigma = rng.uniform(-20, 120, (3, 2)), rng.uniform(0.2, 2, 3), 17.0
    corners = np.sort(rng.uniform(0, 100, (6, 2, 2)), axis=1)
    boxes = corners.reshape(6, 4)

    def density(y, x):
        squares = ((np.array([x, y]) - points) ** 2).sum(axis=1)
        return (weights * np.exp(-squares / (2 * sigma**2))).sum()

    masses = np.array([dblquad(density, x0, x1, y0, y1, epsabs=1e-10, epsrel=1e-10)[0] for x0, y0, x1, y1 in boxes])
    np.testing.assert_allclose(patch_distribution(points, weights, boxes, sigma), masses / masses.sum(), rtol=1e-8)


def test_closed_forms():
    # A point where four boxes meet gives a quarter to each.
    quarters = grid(2, 2, 1e6, 1e6)
    np.testing.assert_allclose(patch_distribution([[1e6, 1e6]], [1], quarters, 30.0), np.full(4, 0.25), rtol=1e-12)
    # The square of one sigma around a point holds the one-dimensional share squared; a second box holds everything.
    boxes = [[40, 40, 60, 60], [-1e9, -1e9, 1e9, 1e9]]
    inside = ONE_SIGMA**2
    expected = np.array([inside, 1.0]) / (1 + inside)
    np.testing.assert_allclose(patch_distribution([[50, 50]], [3.7], boxes, 10.0), expected, rtol=1e-12)
    # A sharp Gaussian is an indicator, a wide one is proportional to the area of a box.
    boxes = grid(8, 6, 80, 80)
    sharp = patch_distribution([[200, 200]], [1], boxes, 1e-3)
    assert sharp[2 * 8 + 2] == 1
    assert sharp.sum() == 1
    uneven = np.array([[0, 0, 10, 10], [10, 0, 40, 10], [0, 10, 10, 70]])
    np.testing.assert_allclose(patch_distribution([[9, 9]], [1], uneven, 1e5), np.array([1, 3, 6]) / 10, rtol=1e-6)


def test_is_a_distribution_and_follows_the_boxes_when_they_are_permuted():
    rng = np.random.default_rng(1)
    points, weights, boxes = rng.uniform(0, 640, (40, 2)), rng.uniform(0, 1, 40), grid(8, 6, 80, 80)
    share = patch_distribution(points, weights, boxes, 25.0)
    assert share.dtype == np.float64
    assert share.shape == (48,)
    assert (share >= 0).all()
    assert share.sum() == pytest.approx(1, abs=1e-12)
    order = rng.permutation(48)
    np.testing.assert_allclose(patch_distribution(points, weights, boxes[order], 25.0), share[order], rtol=1e-12)
    # Neither the order of the points nor the scale of the weights matters; a weight of two is the point given twice.
    np.testing.assert_allclose(patch_distribution(points[::-1], 7 * weights[::-1], boxes, 25.0), share, rtol=1e-12)
    twice = patch_distribution([[100, 100], [100, 100], [300, 50]], [1, 1, 1], boxes, 25.0)
    np.testing.assert_allclose(patch_distribution([[100, 100], [300, 50]], [2, 1], boxes, 25.0), twice, rtol=1e-12)


def test_overlapping_boxes_each_hold_what_falls_on_them():
    tiles, overview = grid(4, 4, 100, 100), grid(2, 2, 200, 200)
    share = patch_distribution([[150, 250], [333, 20]], [1, 2], np.concatenate([tiles, overview]), 40.0)
    # Tiles and overview show the same picture, so each set holds half, and each overview box the sum of its four tiles.
    of_tiles = share[:16].reshape(2, 2, 2, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(of_tiles.ravel(), share[16:], rtol=1e-12)
    assert share[16:].sum() == pytest.approx(0.5, rel=1e-12)


def test_points_off_the_image_have_exact_tails():
    boxes = grid(3, 2, 100, 100)
    points, sigma = np.array([[-900.0, 150.0], [340.0, 1200.0]]), 21.0
    with mpmath.workdps(60):
        masses = [
            sum(
                (mpmath.ncdf((x1 - x) / sigma) - mpmath.ncdf((x0 - x) / sigma))
                * (mpmath.ncdf((y1 - y) / sigma) - mpmath.ncdf((y0 - y) / sigma))
                for x, y in points[1:]
            )
            for x0, y0, x1, y1 in boxes
        ]
        expected = np.array([float(mass / sum(masses)) for mass in masses])
    # 47 sigma below the image: each mass is about 1e-490, below the least float64.
    np.testing.assert_allclose(patch_distribution(points[1:], [1], boxes, sigma), expected, rtol=1e-9)
    # Beside a point on the image it weighs nothing.
    alone = patch_distribution([[150, 150]], [1], boxes, sigma)
    both = patch_distribution([[150, 150], [-900, 150]], [1, 1], boxes, sigma)
    np.testing.assert_allclose(both, alone, rtol=1e-12)


def test_zeros_when_no_point_counts():
    boxes = grid(3, 2, 100, 100)
    for points, weights in (
        (np.empty((0, 2)), []),
        ([[50, 50], [150, 50]], [0, 0]),
        ([[np.nan, 50]], [1]),
        ([[np.inf, 50]], [1]),
    ):
        np.testing.assert_array_equal(patch_distribution(points, weights, boxes, 20.0), np.zeros(6))
    assert patch_distribution([[1, 1]], [1], np.empty((0, 4)), 20.0).shape == (0,)
    # A point that does not count leaves the others as they are.
    alone = patch_distribution([[50, 50]], [1], boxes, 20.0)
    with_nan = patch_distribution([[50, 50], [np.nan, 1], [250, 150]], [1, 1, 0], boxes, 20.0)
    np.testing.assert_array_equal(with_nan, alone)


def test_an_empty_box_gets_nothing():
    share = patch_distribution([[50, 50]], [1], [[0, 0, 100, 100], [50, 50, 50, 80], [0, 0, 0, 0]], 20.0)
    np.testing.assert_array_equal(share, [1, 0, 0])


@pytest.mark.parametrize(
    ("points", "weights", "boxes", "sigma", "said"),
    [
        ([[1, 1]], [1, 1], [[0, 0, 1, 1]], 1.0, "weights"),
        ([[1, 1]], [1], [[0, 0, 1]], 1.0, "boxes"),
        ([[1, 1]], [1], [[0, 0, 1, 1]], 0.0, "sigma is 0.0 px"),
        ([[1, 1]], [1], [[0, 0, 1, 1]], np.nan, "sigma is nan px"),
        ([[1, 1]], [-1], [[0, 0, 1, 1]], 1.0, "must not be negative"),
    ],
)
def test_what_cannot_be_is_refused(points, weights, boxes, sigma, said):
    with pytest.raises(ValueError, match=said):
        patch_distribution(points, weights, boxes, sigma)


# aggregate


@dataclass
class Samples:
    stamps_ns: np.ndarray
    xy: np.ndarray
    confidence: np.ndarray
    worn: np.ndarray
    eye_state: np.ndarray
    image_size: tuple[int, int]


class Frames:
    """A textured scene that moves right by `shift` px from frame to frame, 100 ms apart."""

    def __init__(self, count: int, shift: int = 0, size: tuple[int, int] = (320, 240)) -> None:
        width, height = size
        noise = np.random.default_rng(3).uniform(0, 255, (height, width + count * shift))
        texture = cv2.GaussianBlur(noise, None, 4)
        texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
        self.size = size
        self.stamps_ns = np.arange(count) * 100_000_000
        self.pictures = [
            np.repeat(texture[:, (count - i) * shift : (count - i) * shift + width, None], 3, 2) for i in range(count)
        ]

    def rgb(self, index: int) -> np.ndarray:
        return np.ascontiguousarray(self.pictures[index])

    def small_grey(self, index: int, width_px: int) -> np.ndarray:
        return small_grey(of_size(self.rgb(index), self.size), width_px)


def steady(stamps_ms: list[float], xy=(100.0, 80.0), image_size=(320, 240)) -> Samples:
    count = len(stamps_ms)
    return Samples(
        np.array([round(ms * 1e6) for ms in stamps_ms]),
        np.tile(np.asarray(xy, float), (count, 1)),
        np.full(count, 0.9, np.float32),
        np.full(count, 2, np.uint8),
        np.full(count, 1, np.uint8),
        image_size,
    )


def test_takes_the_last_200_ms_and_nothing_later():
    frames = Frames(6)
    samples = steady([299, 300, 301, 400, 499.5, 500, 500.001, 600])
    samples.xy[:, 0] = np.arange(8) + 1
    points, weights = aggregate(samples, frames, 5)
    np.testing.assert_array_equal(points[:, 0], [3, 4, 5, 6])
    np.testing.assert_array_equal(weights, np.ones(4))
    assert len(aggregate(samples, frames, 5, 0.05)[0]) == 2


def test_leaves_out_what_is_not_looking():
    frames = Frames(3)
    samples = steady([110 + 10 * i for i in range(9)])
    samples.xy[:, 0] = np.arange(9) + 1
    samples.worn[0] = 1  # not worn
    samples.worn[1] = 0  # not known: counts
    samples.eye_state[2] = 2  # saccade
    samples.eye_state[3] = 3  # blink
    samples.eye_state[4] = 0  # not known: counts
    samples.confidence[5] = 0.3
    samples.confidence[6] = np.nan  # not given: counts
    samples.xy[7] = np.nan, 50
    samples.xy[8] = 320, 50  # the first pixel off the image
    points, _ = aggregate(samples, frames, 2)
    np.testing.assert_array_equal(points[:, 0], [2, 5, 7])
    assert len(aggregate(samples, frames, 2, min_confidence=0.0)[0]) == 4


def test_no_samples_gives_no_points():
    points, weights = aggregate(steady([]), Frames(2), 1, flow=FlowSettings())
    assert points.shape == (0, 2)
    assert weights.shape == (0,)


def test_gaze_given_in_another_image_size_is_scaled_to_the_frames():
    samples = steady([190, 200], xy=(800.0, 600.0), image_size=(1600, 1200))
    points, _ = aggregate(samples, Frames(3), 2)
    np.testing.assert_allclose(points, [[160, 120], [160, 120]])
    points, _ = aggregate(replace(samples, xy=np.full((2, 2), 30.0), image_size=(0, 0)), Frames(3), 2)
    np.testing.assert_allclose(points, np.full((2, 2), 30.0))


def test_samples_are_carried_with_the_scene():
    frames = Frames(4, shift=6)
    # On frame 1, between frames 1 and 2 (so on 1), on frame 2, on frame 3.
    points, weights = aggregate(steady([101, 150, 200, 300]), frames, 3, flow=FlowSettings())
    np.testing.assert_allclose(points[np.argsort(points[:, 0]), 0], [100, 106, 112, 112], atol=0.75)
    np.testing.assert_allclose(points[:, 1], 80, atol=0.75)
    assert len(weights) == 4
    np.testing.assert_array_equal(aggregate(steady([101, 150, 200, 300]), frames, 3)[0][:, 0], 100)


def test_gaze_of_later_is_carried_back_and_gaze_of_earlier_stays_where_it_was():
    frames = Frames(6, shift=6)
    looked = steady([101, 150, 200, 300, 501])
    later, _ = aggregate(looked, frames, 2, shift_s=0.1, flow=FlowSettings())  # at 200 ms: samples in (100, 300]
    np.testing.assert_allclose(np.sort(later[:, 0]), [94, 100, 106, 106], atol=0.75)
    earlier, _ = aggregate(looked, frames, 4, shift_s=-0.2, flow=FlowSettings())  # on frame 2, 200 ms before
    np.testing.assert_allclose(np.sort(earlier[:, 0]), [100, 106, 106], atol=0.75)
    assert len(aggregate(looked, frames, 5, shift_s=0.5)[0]) == 0
    frames.pictures[2] = frames.pictures[2][:120]  # the picture of that time cannot be used
    assert len(aggregate(looked, frames, 4, shift_s=-0.2, flow=FlowSettings())[0]) == 0


def test_samples_from_before_a_scene_cut_are_dropped():
    frames = Frames(3)
    other = np.random.default_rng(8).uniform(0, 255, (240, 320))
    frames.pictures[2] = np.repeat(cv2.GaussianBlur(other, None, 2).astype(np.uint8)[:, :, None], 3, axis=2)
    points, weights = aggregate(steady([150, 200]), frames, 2, flow=FlowSettings())
    assert len(points) == len(weights) == 1


def test_a_frame_of_another_size_costs_what_was_looked_at_on_it():
    frames = Frames(3)
    frames.pictures[1] = frames.pictures[1][:120]
    points, _ = aggregate(steady([110, 150, 200]), frames, 2, flow=FlowSettings())
    assert len(points) == 1


def test_each_pair_of_frames_is_compared_once(monkeypatch):
    frames, pairs = Frames(5, shift=2), []
    carry = gaze_module.carry

    def counted(points, *compared):
        pairs.append(len(points))
        return carry(points, *compared)

    monkeypatch.setattr(gaze_module, "carry", counted)
    aggregate(steady([205 + 5 * i for i in range(40)]), frames, 4, flow=FlowSettings())
    assert sorted(pairs) == [19, 20]
