import dataclasses
import json
from pathlib import Path

import pytest

from gaze_vlm_ros.labels.label_set import label_set_id
from gaze_vlm_ros.prediction.checkpoint import (
    METADATA_NAME,
    CheckpointMetadata,
    NotACheckpoint,
    UnknownTarget,
    abstain_threshold,
    read_checkpoint_metadata,
    weights_revision,
    write_checkpoint_metadata,
)

CARD = CheckpointMetadata(
    question="What next?",
    labels=("pour", "take"),
    verbs=("pour", "take"),
    object_classes=("water", "mug é"),
    label_set_id=label_set_id(("pour", "take")),
    task="future",
    frames=4,
    observation_s=3.0,
    horizon_s=2.0,
    frame_size=(640, 480),
    base_model="tiny:smolvlm",
    model_id="real@12345678",
    revision="12345678" + 56 * "0",
    data_hash="ab",
    gaze_use="none",
    score_kind="calibrated",
    temperature=1.25,
    trained_on=("cd",),
)


def test_card_survives_a_round_trip(tmp_path: Path) -> None:
    write_checkpoint_metadata(tmp_path, CARD)
    assert read_checkpoint_metadata(tmp_path) == CARD
    assert [path.name for path in tmp_path.iterdir()] == [METADATA_NAME]


def test_a_contradictory_card_is_never_written(tmp_path: Path) -> None:
    for changed in ({"task": "past"}, {"score_kind": "good"}, {"verbs": ("pour",)}):
        with pytest.raises(ValueError, match="must"):
            write_checkpoint_metadata(tmp_path, dataclasses.replace(CARD, **changed))
    assert not list(tmp_path.iterdir())


def test_each_way_of_not_being_a_checkpoint_is_one_line(tmp_path: Path) -> None:
    def message() -> str:
        with pytest.raises(NotACheckpoint) as caught:
            read_checkpoint_metadata(tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "holds no gaze_vlm.json" in message()
    (tmp_path / METADATA_NAME).write_text("{")
    assert "not readable JSON" in message()
    (tmp_path / METADATA_NAME).write_text("[]")
    assert "format None" in message()
    (tmp_path / METADATA_NAME).write_text(json.dumps({"format": 99}))
    assert "format 99" in message()
    values = dataclasses.asdict(CARD)
    del values["question"], values["frames"]
    (tmp_path / METADATA_NAME).write_text(json.dumps(values))
    assert "lacks frames, question" in message()
    with pytest.raises(NotACheckpoint, match="no such checkpoint folder"):
        read_checkpoint_metadata(tmp_path / "absent")


def test_revision_moves_with_the_weights_alone(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    before = weights_revision(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert weights_revision(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"1235")
    assert weights_revision(tmp_path) != before


def test_a_card_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    write_checkpoint_metadata(tmp_path, CARD)
    values = json.loads((tmp_path / METADATA_NAME).read_text())
    for later in ("other_share", "abstain_thresholds", "time_to_start_s", "time_to_start_source"):
        del values[later]
    (tmp_path / METADATA_NAME).write_text(json.dumps(values))
    assert read_checkpoint_metadata(tmp_path) == CARD


def test_the_threshold_for_a_precision_is_that_of_the_next_higher_one_measured(tmp_path: Path) -> None:
    metadata = dataclasses.replace(CARD, abstain_thresholds=((0.9, 0.7, 0.5), (0.8, 0.4, 0.9), (0.99, 2.0, 0.0)))
    write_checkpoint_metadata(tmp_path, metadata)
    assert read_checkpoint_metadata(tmp_path) == metadata
    thresholds = [abstain_threshold(metadata, target) for target in (0.5, 0.8, 0.85, 0.9, 0.95)]
    assert thresholds == [0.4, 0.4, 0.7, 0.7, 2.0]
    with pytest.raises(UnknownTarget, match=r"target precision 0.999: .* has thresholds for 0.8, 0.9, 0.99;"):
        abstain_threshold(metadata, 0.999)
    with pytest.raises(UnknownTarget, match="has thresholds for none"):
        abstain_threshold(CARD, 0.5)
