"""Points carried between frames whose motion is known exactly."""

import cv2
import numpy as np
import pytest

from gaze_vlm_ros.gaze import flow
from gaze_vlm_ros.gaze.flow import FlowSettings
from gaze_vlm_ros.video.images import small_grey

SIZE = (640, 480)


def texture(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (size[1], size[0], 3))
    smooth = cv2.GaussianBlur(noise, None, 5)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def warped(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The picture with what is at pixel coordinate p moved to matrix @ (p, 1); pixel i has its centre at i + 0.5."""
    centre = matrix.copy()
    centre[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(picture, centre, SIZE, borderMode=cv2.BORDER_REFLECT)


def carry(points: np.ndarray, earlier: np.ndarray, later: np.ndarray, settings: FlowSettings):
    small = [small_grey(picture, settings.width_px) for picture in (earlier, later)]
    return flow.carry(points, *small, earlier.shape[1::-1], settings)


POINTS = np.array([[200.0, 150.0], [320.0, 240.0], [450.0, 330.0], [333.3, 111.1]])


@pytest.mark.parametrize("shift", [(0, 0), (7.5, -4.25), (24, 10), (-30, 18)])
def test_follows_a_shift_to_sub_pixel_accuracy(shift):
    matrix = np.array([[1.0, 0, shift[0]], [0, 1, shift[1]]])
    moved, trusted = carry(POINTS, texture(), warped(texture(), matrix), FlowSettings())
    assert trusted.all()
    np.testing.assert_allclose(moved, POINTS + shift, atol=0.8)


def test_follows_a_turn_and_a_zoom():
    matrix = cv2.getRotationMatrix2D((320, 240), 4, 1.03)
    moved, trusted = carry(POINTS, texture(), warped(texture(), matrix), FlowSettings())
    assert trusted.all()
    np.testing.assert_allclose(moved, POINTS @ matrix[:, :2].T + matrix[:, 2], atol=1.0)


def test_carried_off_the_image_is_not_trusted():
    matrix = np.array([[1.0, 0, 30], [0, 1, 0]])
    points = np.array([[300.0, 200.0], [625.0, 200.0]])
    _, trusted = carry(points, texture(), warped(texture(), matrix), FlowSettings())
    np.testing.assert_array_equal(trusted, [True, False])


def test_nothing_is_trusted_across_a_scene_cut():
    mirrored = np.ascontiguousarray(texture(0)[:, ::-1])
    for later in (texture(1), mirrored, np.full_like(mirrored, 90)):
        _, trusted = carry(POINTS, texture(0), later, FlowSettings())
        assert not trusted.any()


def test_a_motion_too_large_to_follow_is_not_trusted():
    matrix = np.array([[1.0, 0, 110], [0, 1, -60]])
    _, trusted = carry(POINTS, texture(), warped(texture(), matrix), FlowSettings())
    assert not trusted.any()


def test_the_whole_frame_is_dropped_where_too_much_of_it_disagrees():
    blurred = cv2.GaussianBlur(texture(1), None, 12)
    _, trusted = carry(POINTS, texture(0), blurred, FlowSettings(min_match=-1, max_bad_share=0.1))
    assert not trusted.any()
    _, trusted = carry(POINTS, texture(0), blurred, FlowSettings(min_match=-1, max_bad_share=1))
    assert trusted.any()


def test_where_forward_and_backward_flow_disagree_is_not_trusted():
    # A quarter of the picture is replaced: flow into it finds nothing that leads back.
    earlier, later = texture(0), texture(0)
    later[:240, :320] = texture(5)[:240, :320]
    x, y = np.meshgrid(np.arange(20, 640, 40.0), np.arange(20, 480, 40.0))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    moved, trusted = carry(points, earlier, later, FlowSettings(max_disagreement_px=5.0))
    replaced = (points < (320, 240)).all(axis=1)
    untouched = (points > (380, 0)).all(axis=1) | (points > (0, 300)).all(axis=1)
    assert trusted[untouched].all()
    assert trusted[replaced].mean() < 0.5
    np.testing.assert_allclose(moved[untouched], points[untouched], atol=0.5)


def test_frames_without_detail_are_taken_as_still():
    wall = np.full((480, 640, 3), 120, np.uint8)
    moved, trusted = carry(POINTS, wall, wall + np.uint8(5), FlowSettings())
    assert trusted.all()
    np.testing.assert_allclose(moved, POINTS, atol=0.5)


def test_small_frames_are_not_enlarged():
    small = cv2.resize(texture(), (160, 120), interpolation=cv2.INTER_AREA)
    later = np.roll(small, 3, axis=1)
    moved, trusted = carry(np.array([[80.0, 60.0]]), small, later, FlowSettings())
    assert trusted.all()
    np.testing.assert_allclose(moved, [[83, 60]], atol=0.3)


def test_the_limits_of_trust_are_those_of_the_paper() -> None:
    """arXiv 2510.21356: a point within 20 px, a frame of which at most 0.6 disagrees."""
    assert (FlowSettings().max_disagreement_px, FlowSettings().max_bad_share) == (20.0, 0.6)


@pytest.mark.parametrize("shift", [(48, 0), (0, -48)])
def test_what_has_left_the_image_does_not_count_against_the_match(shift: tuple[int, int]) -> None:
    """The part in view matches by 0.89 to 0.91; with the part that has left, which nothing shows, by 0.76 to 0.79."""
    matrix = np.array([[1.0, 0, shift[0]], [0, 1, shift[1]]])
    _, trusted = carry(POINTS, texture(), warped(texture(), matrix), FlowSettings(min_match=0.84))
    assert trusted.any()
