"""Questions of StreamGaze: read, placed before the moment that they are about, asked, and counted."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from egtea_files import RATE, SESSIONS, SMALL, TAKE_FRAMES, in_this_process, write_small_egtea
from small_bags import COLOURS

from gaze_vlm_ros.storage.package_files import shared_file
from training.ablation import experiment
from training.data.recordings import load_recordings
from training.recipe import main
from training.recipes.bags import import_all
from training.recipes.questions import BadQuestions, find_choices, read_questions
from training.recipes.recipe import BadRecipe, load_recipe
from training.settings import Settings

ARMS = ("tuned none", "predicted gaze")
TASK = "Future_Action_Prediction"
COLOUR_OPTIONS = [
    f"{letter}. {text.capitalize()}." for letter, text in zip("ABCD", [*COLOURS, "wait", "go"], strict=True)
]


def entry(session: str, time_stamp: str, answer: str = "A", **changed: Any) -> dict[str, Any]:
    """An entry of the benchmark's files, as its repository describes them."""
    question = {
        "task_type": TASK, "question": "Based on the recent fixation pattern (disc), what will the user do next?",
        "time_stamp": time_stamp, "answer": answer, "options": COLOUR_OPTIONS,
    }  # fmt: skip
    return {
        "response_time": f"[{time_stamp} - 00:20]", "video_path": f"egtea/{session}.mp4", "video_categories": "EGTEA",
        "questions": [question | changed],
    }  # fmt: skip


ENTRIES = [
    *(entry(session, at, "AB"[number % 2]) for number, session in enumerate(SESSIONS) for at in ("00:03", "0:00:05")),
    entry("R1-7A-Room", "00:03"),
    entry(SESSIONS[0], "09:00"),
    entry(SESSIONS[0], "00:00"),
    entry(SESSIONS[0], "00:04", "E"),
    entry(SESSIONS[0], "00:04", options=[]),
    entry(SESSIONS[0], "00:04", options=["A. wait", "B. wait"]),
]
EXCLUDED = {
    "about a video that is not among the recordings": 1, "after the end of the video": 1,
    "with too few frames before them": 1, "whose answer is none of the options": 1, "without options": 1,
    "with two equal options": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("egtea")
    write_small_egtea(root)
    (root / "qa").mkdir()
    (root / "qa" / "present_future_action_prediction.json").write_text(json.dumps(ENTRIES))
    return root


def small_recipe(folder: Path, **changed: Any) -> Path:
    """The package's own recipe with a tiny model, two folds and two arms."""
    values = yaml.safe_load(shared_file("config/recipe_streamgaze.yaml").read_text())
    values |= {"fit": "config/fit_demo.yaml", "set": SMALL | {"validation": 0.0, "keep": "last"}, "seeds": [0]}
    values |= {"size": "", "max_rate_hz": 0.0}
    values["arms"] = {name: values["arms"][name] for name in ARMS}
    values["primary"]["arm"] = ARMS[1]
    values["protocols"]["persons"]["folds"] = 2
    del values["tuning"]
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values | changed, allow_unicode=True))
    return path


def test_a_benchmark_is_asked_and_reported(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "as_finished", in_this_process)
    out = tmp_path / "out"
    command = [str(small_recipe(tmp_path)), str(data), "--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    figures, text = json.loads((out / "report.json").read_text()), (out / "report.md").read_text()

    found = figures["protocols"]["persons"]["questions"]
    assert (found["asked"], found["chance"], found["tasks"]) == (8, 0.25, {TASK: 8})
    assert figures["questions"]["excluded"] == EXCLUDED
    assert f"8 of {len(ENTRIES)} were asked" in text
    assert all(f"1 {reason}" in text for reason in EXCLUDED)
    path = data / "qa" / "present_future_action_prediction.json"
    assert f"qa/{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" in text
    assert (
        "Primary endpoint, fixed in the recipe: right, by the likelihood of the whole option of predicted gaze" in text
    )
    assert "| best model | future action prediction | 0.44 | arXiv 2512.01707 (**not checked at its source**) |" in text

    # Each arm was asked about persons that it never saw, and what it chose is what the figures count.
    folds = json.loads((out / "persons" / "split.json").read_text())
    for arm in ARMS:
        right = 0
        for fold, sessions in folds.items():
            run = out / "persons" / fold / "runs" / f"{arm.replace(' ', '_')}__seed0"
            answered = json.loads((run / "questions.json").read_text())
            assert {own["session"] for own in answered["asked"]} == set(sessions)
            for own in answered["asked"]:
                assert own["ranked"] == int(np.argmax(own["log_likelihoods"]))
                right += own["ranked"] == own["answer"]
            assert not (run / "checkpoint").exists()
        assert found["arms"][arm]["right"]["value"]["value"] == pytest.approx(right / 8)

    # Only the report is written again, and other questions do not mix with these.
    monkeypatch.setattr("training.recipes.questions.ask", None)
    assert main(command) == 0
    assert (out / "report.md").read_text() == text
    small_recipe(tmp_path, questions={"layout": "streamgaze", "files": ["qa/*.json"], "asked": "file"})
    with pytest.raises(BadQuestions, match="was asked other questions; give another --out"):
        main(command)


def test_questions_see_no_frame_after_their_time(data: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(small_recipe(tmp_path)))
    assert recipe.questions
    bags = import_all(recipe, data, tmp_path / "bags", say=lambda text: None)
    settings = Settings(**SMALL)
    questions, left_out, _ = read_questions("streamgaze", data, recipe.questions.files)
    choices, not_found = find_choices(questions, load_recordings(bags, settings), settings)
    assert dict(left_out + not_found) == EXCLUDED
    for choice, at_s in zip(choices, [3, 5] * 4, strict=True):
        assert choice.window.frames[-1] <= at_s * RATE
        assert choice.window.frames[-1] >= at_s * RATE - TAKE_FRAMES
        assert choice.options[:2] == tuple(f"{text.capitalize()}." for text in list(COLOURS)[:2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a JSON file of questions"),
        ("{}", "holds no list of entries"),
        (json.dumps([{"questions": []}]), r"entry 1: 'video'; expected video_path"),
        (json.dumps([entry("P01", "3 s")]), r"entry 1: time '3 s', expected MM:SS"),
    ],
)
def test_a_file_without_questions_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "qa.json").write_text(content)
    with pytest.raises(BadQuestions, match=message):
        read_questions("streamgaze", tmp_path, ["qa.json"])
    with pytest.raises(BadQuestions, match=r"no file other\.json in"):
        read_questions("streamgaze", tmp_path, ["other.json"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"questions": {"layout": "quiz", "files": ["a"]}}, "has layout 'quiz', expected streamgaze"),
        ({"questions": {"layout": "streamgaze", "files": ["a"], "asked": "both"}}, "expected one of fit, file"),
        ({"questions": None}, "primary has measure 'right', expected class_mean_recall_at_5"),
    ],
)
def test_a_recipe_with_other_questions_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecipe, match=message):
        load_recipe(str(small_recipe(tmp_path, **changed)))
