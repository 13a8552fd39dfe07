"""The clock and the ceiling on given sessions."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from gaze_vlm_ros.sim.bench_settings import BenchSettings
from training.reference.given_sessions import BadSessions, read_sessions, reference_scores
from training.reference.seen import Question


def test_each_scene_is_scored_and_all_of_them_together(tmp_path: Path) -> None:
    def settings(seed: int, scene: str) -> BenchSettings:
        return BenchSettings(seed=seed, person=f"p{seed}", scene=scene, duration_s=25.0)

    training = [settings(seed, "workbench") for seed in range(6)]
    held_out = {scene: [settings(seed, scene)] for seed, scene in ((10, "workbench"), (11, "misleading"))}
    path = tmp_path / "sessions.json"
    content = {
        "training": [asdict(own) for own in training],
        "held_out": {scene: [asdict(own) for own in sessions] for scene, sessions in held_out.items()},
    }
    path.write_text(json.dumps(content))
    assert read_sessions(path) == (training, held_out)
    scores = reference_scores(training, held_out, Question(), particles=100)
    assert list(scores) == ["workbench", "misleading", "all"]
    for of_scene in scores.values():
        assert of_scene["ceiling"]["negative_log_likelihood"] < of_scene["clock"]["negative_log_likelihood"]
    assert scores["all"]["clock"]["moments"] == sum(scores[s]["clock"]["moments"] for s in held_out)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "Expecting property name"), ('{"training": []}', "'held_out'; expected"), (
        '{"training": [{"speed": 3}], "held_out": {}}', "unknown setting speed"
    )],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(text)
    with pytest.raises(BadSessions, match=message):
        read_sessions(path)
    with pytest.raises(BadSessions, match="no sessions from"):
        read_sessions(tmp_path / "absent")
