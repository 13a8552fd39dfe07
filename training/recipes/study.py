"""Run a recipe from a data set to a report. Whatever is finished is kept: the same command goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.windows.cutting import reasons_text
from training.ablation.experiment import run_ablation
from training.ablation.plan import Ablation, Run, run_settings, runs_of
from training.data.action_split import write_action_split
from training.data.recordings import Recording, load_recordings
from training.evaluation.choices import Choice
from training.recipes.bags import check_all, import_all
from training.recipes.division import person_folds, published_split
from training.recipes.prior import label_prior
from training.recipes.questions import BadQuestions, Question, ask_once, find_choices, read_questions
from training.recipes.recipe import Protocol, Recipe
from training.recipes.report import write_report
from training.recipes.tuning import tuned_arms
from training.settings import Settings

SPLIT = "split.json"
PRIOR = "label_prior.json"


class NoSuchProtocol(GazeVlmError):
    """The recipe has no protocol of that name."""


def run_recipe(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    protocols: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    jobs: int = 1,
    device: str = "auto",
) -> Path:
    """Import, check, divide, fit, score and report; return the report's path.

    data: folder of the data set. protocols: names; none = all of the recipe. leave_out: recordings to do without.
    jobs: runs at a time. Raises NoSuchProtocol, and what the steps raise.
    """
    if unknown := [name for name in protocols if name not in recipe.protocols]:
        raise NoSuchProtocol(f"no protocol {unknown[0]!r}, expected {', '.join(recipe.protocols)}")
    ablation = Ablation(recipe.fit, recipe.arms, recipe.seeds, recipe.baseline, set=recipe.set)
    settings = [run_settings(ablation, run, device) for run in _first_runs(ablation)]  # report a bad arm first
    questions: list[Question] = []
    asked: dict[str, Any] = {}
    if recipe.questions:
        questions, excluded, digests = read_questions(recipe.questions.layout, data, recipe.questions.files)
        asked = {"files": digests, "questions": len(questions) + excluded.total(), "excluded": dict(excluded)}
    out.mkdir(parents=True, exist_ok=True)
    bags = import_all(recipe, data, out / "bags", leave_out)
    checks = check_all(bags, settings[0], out / "checks")
    recordings = load_recordings(bags, settings[0])
    if recipe.questions:
        choices, excluded = find_choices(questions, recordings, settings[0])
        asked["excluded"] = dict(Counter(asked["excluded"]) + excluded)
        print(f"{len(choices)} of {asked['questions']} questions can be asked")
        if not choices:
            raise BadQuestions(
                f"no question of {', '.join(asked['files'])} can be asked: {reasons_text(asked['excluded'])}; "
                "use the benchmark's questions about these recordings"
            )
    else:
        choices = []
    for name in protocols or recipe.protocols:
        _run_protocol(
            recipe, recipe.protocols[name], ablation, settings[0], data, recordings, choices, out / name, jobs, device
        )
    return write_report(recipe, protocols or list(recipe.protocols), recordings, checks, leave_out, asked, out)


def _first_runs(ablation: Ablation) -> list[Run]:
    return [Run(arm, "", None, ablation.seeds[0], own) for arm, own in ablation.arms.items()]


def _run_protocol(
    recipe: Recipe, protocol: Protocol, ablation: Ablation, settings: Settings, data: Path,
    recordings: Sequence[Recording], choices: Sequence[Choice], out: Path, jobs: int, device: str,
) -> None:  # fmt: skip
    out.mkdir(exist_ok=True)
    if protocol.folds:
        folds = person_folds(recordings, protocol.folds)
        division = {f"fold_{number}": sorted(own.name for own in fold) for number, fold in enumerate(folds)}
        (out / SPLIT).write_text(json.dumps(division, indent=1) + "\n", encoding="utf-8")
        for number, fold in enumerate(folds):
            tested = {recording.name for recording in fold}
            train = [recording for recording in recordings if recording.name not in tested]
            part = [choice for choice in choices if choice.recording.name in tested]
            _run_part(recipe, ablation, settings, train, fold, part, out / f"fold_{number}", jobs, device)
        return
    split = published_split(data / protocol.train_list, data / protocol.test_list, recordings)
    write_action_split(out / SPLIT, split)
    print(f"warning: {split.leak(recordings)}")
    own = replace(ablation, set=ablation.set | {"split_file": str(out / SPLIT)})
    settings = replace(settings, split_file=str(out / SPLIT))
    _run_part(recipe, own, settings, recordings, recordings, (), out / "all", jobs, device)


def _run_part(
    recipe: Recipe, ablation: Ablation, settings: Settings, train: Sequence[Recording], test: Sequence[Recording],
    choices: Sequence[Choice], out: Path, jobs: int, device: str,
) -> None:  # fmt: skip
    """Tune, fit and score all arms on one division, and ask them the choices; write the label prior beside them."""
    out.mkdir(exist_ok=True)
    train_bags, test_bags = ([recording.path for recording in part] for part in (train, test))
    cache = out.parent.parent / "windows"
    arms = dict(ablation.arms)
    if recipe.tuning:
        arms = tuned_arms(ablation, recipe.tuning, train_bags, out, cache, device)
    config = out / "ablation.yaml"
    values = {name: value for name, value in asdict(replace(ablation, arms=arms)).items() if value not in ("", {})}
    config.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    run_ablation(
        config, out / "runs", train=train_bags, test=test_bags, jobs=jobs, device=device, cache=cache,
        keep_weights=bool(choices),
    )  # fmt: skip
    if choices and recipe.questions:
        for run in runs_of(ablation):
            ask_once(out / "runs" / run.folder, choices, recipe.questions.asked == "fit", device, cache)
    prior = label_prior(train, test, settings)
    (out / PRIOR).write_text(json.dumps(prior, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
