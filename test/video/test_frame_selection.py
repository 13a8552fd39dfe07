import numpy as np
import pytest

from gaze_vlm_ros.video.frame_selection import pick_frames, prefer_known

SECOND = 1_000_000_000


def test_each_part_gives_its_last_frame() -> None:
    stamps = np.arange(0, 31) * SECOND // 10  # 10 Hz, 0 to 3 s
    assert pick_frames(stamps, 3 * SECOND, 3.0, 3).tolist() == [10, 20, 30]
    assert pick_frames(stamps, 3 * SECOND, 1.0, 1).tolist() == [30]


def test_nothing_after_the_moment_and_nothing_before_the_window_changes_the_pick() -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        # Absolute times as on a robot: too large for float64 to hold exactly.
        stamps = np.int64(1_790_000_000 * SECOND + 7) + np.sort(generator.integers(0, 20 * SECOND, 300))
        at = int(stamps[200])
        picked = stamps[pick_frames(stamps, at, 3.0, 4)]
        window = stamps[(stamps > at - 3 * SECOND) & (stamps <= at)]
        assert picked.tolist() == window[pick_frames(window, at, 3.0, 4)].tolist()
        assert picked[-1] == at
        assert picked[0] > at - 3 * SECOND


def test_a_frame_on_an_edge_belongs_to_the_part_that_ends_there() -> None:
    base = 1_790_000_000 * SECOND + 1
    stamps = np.array([base - 2 * SECOND, base - SECOND, base], dtype=np.int64)
    assert pick_frames(stamps, base, 2.0, 2).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("stamps_s", "why"),
    [([2.0, 3.0], "just started"), ([0.1, 0.9, 2.9, 3.0], "stalled for a second"), ([], "no frame at all")],
)
def test_a_part_without_a_frame_makes_no_window(stamps_s: list[float], why: str) -> None:
    stamps = np.array([round(s * SECOND) for s in stamps_s], dtype=np.int64)
    assert pick_frames(stamps, 3 * SECOND, 3.0, 3).size == 0, why


def test_an_impossible_request_is_refused() -> None:
    with pytest.raises(ValueError, match="frames >= 1"):
        pick_frames(np.arange(3), 2, 1.0, 0)


def test_a_known_frame_takes_the_place_of_one_that_is_little_newer() -> None:
    stamps = np.arange(0, 31, dtype=np.int64) * SECOND // 10
    picked = pick_frames(stamps, 3 * SECOND, 3.0, 3)
    known = np.isin(np.arange(31), [7, 8, 9, 18, 29])
    assert prefer_known(stamps, picked, known, 3.0, 0.0).tolist() == [10, 20, 30]
    assert prefer_known(stamps, picked, known, 3.0, 0.1).tolist() == [9, 20, 30]
    assert prefer_known(stamps, picked, known, 3.0, 0.2).tolist() == [9, 18, 30]  # the newest is never replaced
    assert picked.tolist() == [10, 20, 30]


def test_a_known_frame_of_another_part_is_none() -> None:
    generator = np.random.default_rng(4)
    for _ in range(100):
        stamps = np.int64(1_790_000_000 * SECOND + 7) + np.sort(generator.integers(0, 4 * SECOND, 120))
        at = int(stamps[-1])
        if not len(picked := pick_frames(stamps, at, 3.0, 4)):
            continue
        chosen = prefer_known(stamps, picked, generator.random(120) < 0.1, 3.0, 5.0)
        edges = at - np.array([3, 2.25, 1.5, 0.75, 0]) * SECOND
        assert np.all((stamps[chosen] > edges[:-1]) & (stamps[chosen] <= edges[1:]))
        assert chosen[-1] == picked[-1]
