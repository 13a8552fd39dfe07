"""How long before the current action its object was looked at, as it comes: what assess says of the recording."""

import math
from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.assessment.current_action import BoxedImage, CurrentAction
from gaze_vlm_ros.assessment.moments import Moments, part_of
from gaze_vlm_ros.assessment.monitoring import KEPT_S
from gaze_vlm_ros.assessment.sessions import Attended, assess
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.regions import require_regions
from gaze_vlm_ros.session.session import open_session
from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings

SIZE = (160, 120)
S = 1_000_000_000
START_NS = 1_700_000_000 * S
BOX = np.array([[70.0, 50.0, 90.0, 70.0]])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("states", [True, False])
def test_each_action_of_a_session_gets_the_value_of_assess(seed: int, states: bool, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    settings = BenchSettings(
        seed=seed, duration_s=60.0, width=SIZE[0], height=SIZE[1], frame_rate_hz=4.0, gaze_rate_hz=50.0
    )
    write_bag(settings, bag, START_NS)
    session, regions = open_session(bag), require_regions(bag)
    gaze, labels = session.gaze, session.labels
    assert gaze is not None
    assert labels is not None
    if not states:  # a tracker that does not say when the eye moves
        gaze.eye_state[:] = 0
    nothing = Attended(Moments(SIZE), np.empty((0, 2)), np.empty((0, 1, 1), np.float32), [], 0)
    expected = {look.start_s: look.looked_first_s for look in assess(session, gaze, nothing, None).actions}
    assert sum(map(math.isfinite, expected.values())) > 5

    action, found = CurrentAction(KEPT_S), {}
    next_label = next_boxed = 0
    for row, stamp_ns in enumerate(gaze.stamps_ns.tolist()):
        while next_boxed < len(regions.boxes) and regions.stamps_ns[next_boxed] < stamp_ns - S // 5:  # a detector
            of_image = regions.boxes[next_boxed]
            boxes = np.array(list(of_image.values())).reshape(-1, 4)
            size = regions.image_sizes[next_boxed]
            action.add_boxes(BoxedImage(int(regions.stamps_ns[next_boxed]), list(of_image), boxes, size, "head"))
            next_boxed += 1
        while next_label < len(labels) and labels.starts_ns[next_label] <= stamp_ns:
            at = next_label
            action.add_label(int(labels.starts_ns[at]), labels.texts[at], labels.object_classes[at])
            next_label += 1
        if row % 10:
            continue
        kept = part_of(gaze, int(np.searchsorted(gaze.stamps_ns, stamp_ns - KEPT_S * S)), row + 1)
        value = action.looked_first(lambda kept=kept: kept, "head", stamp_ns)  # type: ignore[misc]
        if math.isfinite(value):
            start_s = (int(labels.starts_ns[next_label - 1]) - int(session.frames.stamps_ns[0])) / 1e9
            assert found.setdefault(start_s, value) == value  # it does not change
    known = {start_s: value for start_s, value in expected.items() if math.isfinite(value)}
    assert found == {start_s: known[start_s] for start_s in found}
    assert len(found) >= len(known) - 1  # a look that lasts until the next action, or the end, is never known in time


def looking(from_s: float, to_s: float, x: float = 80.0) -> GazeTrack:
    """Looks at the box of 0.28 s each."""
    times_s = np.arange(round(from_s * 50), round(to_s * 50)) / 50
    count = len(times_s)
    state = np.where(np.arange(count) % 15 == 14, 2, 1).astype(np.uint8)
    stamps_ns = START_NS + (times_s * S).round().astype(np.int64)
    xy = np.tile([x, 60.0], (count, 1))
    return GazeTrack(stamps_ns, xy, np.ones(count), np.full(count, 2, np.uint8), state, SIZE)


def watched(frame_id: str = "head", boxes_from_s: float = 0.0) -> CurrentAction:
    action = CurrentAction(KEPT_S)
    for step in range(round(boxes_from_s * 10), 60):
        action.add_boxes(BoxedImage(START_NS + step * S // 10, ["mug"], BOX, SIZE, frame_id))
    return action


def value(action: CurrentAction, gaze: GazeTrack, at_s: float) -> float:
    return action.looked_first(lambda: gaze, "head", START_NS + round(at_s * S))


def test_it_is_known_when_the_look_has_ended_and_belongs_to_its_action_only() -> None:
    action = watched()
    away, looks = looking(0, 2.1, x=10.0), looking(2.1, 5)
    gaze = GazeTrack(*(np.concatenate([a, b]) for a, b in zip(fields(away), fields(looks), strict=True)), SIZE)
    action.add_label(START_NS + 31 * S // 10, "take the  mug", " mug")
    assert math.isnan(value(action, part_of(gaze, 0, 162), 3.24))
    assert math.isnan(value(action, gaze, 2.9))
    assert value(action, gaze, 4.0) == pytest.approx(1.0)
    assert value(action, looking(4.9, 5), 5.0) == pytest.approx(1.0)  # kept when its gaze is forgotten
    action.add_label(START_NS + 4 * S, "", "")
    assert math.isnan(value(action, gaze, 4.5))


def fields(track: GazeTrack) -> tuple[np.ndarray, ...]:
    return track.stamps_ns, track.xy, track.confidence, track.worn, track.eye_state


@pytest.mark.parametrize(
    ("action", "thing", "gaze"),
    [
        (watched("robot"), "mug", looking(0, 5)),  # boxes of another camera
        (watched(), "", looking(0, 5)),
        (watched(), "jar", looking(0, 5)),  # a thing without a box
        (watched(), "mug", looking(0, 5, x=10.0)),
        (watched(), "mug", looking(2.5, 5)),  # it may have been looked at before what is known
        (watched(boxes_from_s=2.5), "mug", looking(0, 5)),
        (CurrentAction(KEPT_S), "mug", looking(0, 5)),
    ],
)
def test_what_is_not_known_is_no_number(action: CurrentAction, thing: str, gaze: GazeTrack) -> None:
    action.add_label(START_NS + 3 * S, "take it", thing)
    assert math.isnan(value(action, gaze, 4.5))


@pytest.mark.parametrize(
    ("names", "boxes", "size"),
    [(["mug"], BOX, (0, 120)), (["mug", "jar"], BOX, SIZE), (["mug"], BOX * np.nan, SIZE)],
)
def test_boxes_that_are_none_are_refused(names: list[str], boxes: np.ndarray, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 4 finite numbers for each name"):
        BoxedImage(0, names, boxes, size, "")


def test_what_is_kept_is_bounded_and_a_clock_set_back_begins_again() -> None:
    action = watched()
    action.add_boxes(BoxedImage(START_NS + 1000 * S, ["mug"], BOX, SIZE, "head"))
    assert len(action._boxed) == 1
    action.add_boxes(BoxedImage(START_NS, ["mug"], BOX, SIZE, "head"))
    assert [image.stamp_ns for image in action._boxed] == [START_NS]
    for number in range(1000):
        action.add_label(number, "take", "mug")
    assert len(action._starts_ns) == len(action._things) == 100
