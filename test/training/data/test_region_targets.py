"""Controls from boxes in the bag: of the answer's object, of the hand, of any object; and bags that have none."""

from pathlib import Path

import numpy as np
import pytest
from small_bags import write_small_bag

from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.session.regions import NoRegions, require_regions
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.vlm.loading import load_vlm
from training.data.dataset import Dataset
from training.data.preparation import needs_gaze, prepare
from training.data.recordings import find_bags, load_recordings
from training.data.region_targets import named_region, region_target
from training.settings import settings_from

TINY = {"image_size": 32, "patch_size": 8, "merge": 2, "hidden": 32, "text_layers": 3, "vision_layers": 1}
TEXTS = ["take the red disc", "take the blue disc"]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag with boxes and without gaze: these controls need none."""
    return write_small_bag(tmp_path_factory.mktemp("regions") / "s0", seed=0, takes=8, gaze=False, regions=True)


def data_of(bag: Path, kind: str, **changed: object) -> Dataset:
    own = {"frames": 2, "observation_s": 1.0, "leads_s": [0.4, 1.0], "gaze": kind, "model_options": TINY}
    settings = settings_from({**own, **changed}, "test")
    recordings = load_recordings(find_bags([bag]), settings)
    model, processor = load_vlm("tiny:smolvlm", texts=[settings.question, *TEXTS], **TINY)
    labels = collect_labels([(text, "", "") for text in TEXTS])
    return prepare(recordings, labels, settings, model, processor, gaze_needed=needs_gaze(settings))


def test_boxes_of_the_answers_object_cover_it(bag: Path) -> None:
    data = data_of(bag, "boxes")
    regions, session = require_regions(bag), load_session(bag)
    assert data.has_gaze.all()
    for row, window in enumerate(data.windows):
        box = regions.at(int(session.frames.stamps_ns[window.frames[-1]]), (96, 64))[
            window.answer.removeprefix("take the ")
        ]
        on_last = data.gaze[row] * (data.frame_of_token == 1)
        centres = (data.boxes[:, :2] + data.boxes[:, 2:]) / 2
        assert on_last.sum() == pytest.approx(0.5, abs=1e-6)  # each frame has the same share
        half = (data.boxes[0, 2:] - data.boxes[0, :2]) / 2
        assert (np.abs(on_last @ centres * 2 - (box[:2] + box[2:]) / 2) < half).all()


def test_the_hands_box_is_a_target_of_its_own(bag: Path) -> None:
    data = data_of(bag, "hand")
    assert (data.gaze[0] == data.gaze[len(data.windows) - 1]).all()  # it never moves here
    touched = (data.boxes[:, 0] < 16) & (data.boxes[:, 1] < 16)
    assert data.gaze[0][touched].sum() == pytest.approx(1, abs=1e-6)


def test_a_random_box_says_nothing_about_the_answer(bag: Path) -> None:
    regions = require_regions(bag)
    drawn = [named_region("random_box", regions, "red disc", (seed, 0)) for seed in range(200)]
    assert set(drawn) == {"red disc", "blue disc"}  # never the hand
    assert 60 < drawn.count("red disc") < 140
    assert drawn[:20] == [named_region("random_box", regions, "blue disc", (seed, 0)) for seed in range(20)]


def test_a_box_is_shared_among_tokens_by_area_and_frames_without_it_have_no_share() -> None:
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 10, 10], [10, 0, 20, 10]], float)
    frames = np.array([0, 0, 1, 1])
    box = {"thing": np.array([7.0, 2.0, 11.0, 4.0])}
    np.testing.assert_allclose(region_target([box, box], "thing", frames, boxes), [0.375, 0.125] * 2)
    np.testing.assert_allclose(region_target([{}, box], "thing", frames, boxes), [0, 0, 0.75, 0.25])
    off = {"thing": np.array([50.0, 0.0, 60.0, 5.0])}
    np.testing.assert_array_equal(region_target([off, {}], "thing", frames, boxes), 0)


def test_bags_without_the_boxes_are_refused_by_name(bag: Path, small_bags: Path) -> None:
    with pytest.raises(NoRegions, match=r"s0 has no boxes of things \(gaze_vlm_msgs/msg/ImageRegions\)"):
        data_of(small_bags / "s0", "boxes")
    with pytest.raises(
        NoRegions, match="has no box of 'green disc', which gaze: boxes needs; its boxes are of blue disc"
    ):
        named_region("boxes", require_regions(bag), "green disc", (0, 0))


def test_boxes_are_of_one_image_and_scale_with_it(bag: Path) -> None:
    regions = require_regions(bag)
    stamp_ns = int(regions.stamps_ns[3])
    full, half = regions.at(stamp_ns, (96, 64)), regions.at(stamp_ns + 100, (48, 32))
    np.testing.assert_allclose(half["hand"], full["hand"] / 2)
    assert regions.at(stamp_ns + 50_000_000, (96, 64)) == {}
