"""Recipes of public data sets, end to end on small files of the same form."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from egtea_files import SESSIONS, SMALL, TAKES, in_this_process, write_small_egtea
from small_bags import COLOURS

from gaze_vlm_ros.storage.package_files import shared_file
from training.ablation import experiment
from training.ablation.plan import Ablation, run_settings, runs_of
from training.data.recordings import load_recordings
from training.recipe import main
from training.recipes.bags import NotImported, import_all
from training.recipes.division import CannotDivide, person_folds, published_split
from training.recipes.recipe import BadRecipe, known_recipes, load_recipe
from training.settings import BadSettings, Settings


@pytest.fixture(scope="module")
def egtea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("egtea")
    write_small_egtea(root)
    return root


def small_recipe(folder: Path, **changed: Any) -> Path:
    """EGTEA's own recipe with a tiny model, fewer arms, folds and steps."""
    values = yaml.safe_load(shared_file("config/recipe_egtea.yaml").read_text())
    values |= {"fit": "config/fit_demo.yaml", "set": SMALL, "seeds": [0], "size": "", "max_rate_hz": 0.0}
    values["arms"] = {name: values["arms"][name] for name in ("gaze", "tuned none")}
    values["tuning"] |= {"values": [0.001, 0.003], "arms": ["tuned none"]}
    values["protocols"]["persons"]["folds"] = 2
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values | changed, allow_unicode=True))
    return path


def test_a_data_set_becomes_a_report(
    egtea: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "as_finished", in_this_process)  # starting a process takes longer than a run
    out = tmp_path / "out"
    reference = {"name": "Somebody", "value": 0.43, "measure": "top-1", "source": "a paper"}
    command = [str(small_recipe(tmp_path, references=[reference])), str(egtea), "--out", str(out)]
    assert main(command) == 0
    printed = capfd.readouterr()
    leak = "train_split1.txt and test_split1.txt: 4 of 4 test sessions and 4 of 4 test persons are in training too"
    assert f"warning: {leak}" in printed.out
    figures = json.loads((out / "report.json").read_text())
    text = (out / "report.md").read_text()
    assert f"**Warning: {leak}" in text

    # Each person is tested once, by models that saw none of its sessions.
    folds = json.loads((out / "persons" / "split.json").read_text())
    assert sorted(name for fold in folds.values() for name in fold) == sorted(SESSIONS)
    for name, tested in folds.items():
        trained = json.loads(
            (out / "persons" / name / "tuning" / "tuned_none__0.001" / "fit" / "data.json").read_text()
        )
        assert not {own["name"] for own in trained["sessions"]} & set(tested)
    persons = figures["protocols"]["persons"]
    assert persons["arms"]["gaze"]["top1"]["value"]["persons"] == 4
    assert not persons["leak"]
    # Four persons are too few for an interval, and the report says so.
    assert "(n = 4)" in text
    assert persons["arms"]["gaze"]["top1"]["difference"]["p"] is None

    # Half of the actions is tested in the published split; the prior names the more frequent label of the other half.
    published = figures["protocols"]["published"]
    split = out / "published" / "split.json"
    assert published["split_sha256"] == hashlib.sha256(split.read_bytes()).hexdigest()
    scores = json.loads((out / "published" / "all" / "runs" / "gaze__seed0" / "scores.json").read_text())
    assert scores["groups"][""]["windows"] == len(SESSIONS) * TAKES // 2
    prior = published["arms"]["label prior"]
    assert prior["class_mean_recall"]["value"]["value"] == pytest.approx(1 / len(COLOURS))
    assert prior["class_mean_recall_at_5"]["value"]["value"] == 1

    # The learning rate of the control was chosen by its validation losses.
    tuned = json.loads((out / "published" / "all" / "tuning.json").read_text())
    losses = tuned["validation_lm"]["tuned none"]
    assert tuned["chosen"]["tuned none"] == float(min(losses, key=lambda value: losses[value]))
    used = yaml.safe_load((out / "published" / "all" / "runs" / "tuned_none__seed0" / "settings.yaml").read_text())
    assert used["learning_rate"] == tuned["chosen"]["tuned none"]

    # What a reviewer checks: sessions with hashes, checks, versions, seeds, published figures.
    assert [own["person"] for own in figures["data"]["sessions"]] == ["P01", "P02", "P03", "P04"]
    assert all(re.search(rf"\| {name} \| P0\d \|.*\| [0-9a-f]{{16}} \|", text) for name in SESSIONS)
    assert figures["libraries"]["torch"] in text
    assert "| Somebody | top-1 | 0.43 | a paper |" in text
    assert len([json.loads(path.read_text()) for path in (out / "checks").iterdir()]) == 4

    # The same command again only writes the report.
    monkeypatch.setattr("training.recipes.tuning.fit", None)
    monkeypatch.setattr("training.recipes.bags.check_bag", None)
    assert main(command) == 0
    assert (out / "report.md").read_text() == text


def test_recordings_that_cannot_be_read_are_all_named(egtea: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for folder in egtea.iterdir():
        (data / folder.name).mkdir()
        for file in folder.iterdir():
            (data / folder.name / file.name).write_bytes(file.read_bytes())
    (data / "gaze_data" / f"{SESSIONS[1]}.txt").unlink()
    recipe = small_recipe(tmp_path)
    with pytest.raises(NotImported, match=rf"1 of 4 .*: {SESSIONS[1]}: no gaze of .* --leave-out {SESSIONS[1]}"):
        main([str(recipe), str(data), "--out", str(tmp_path / "out"), "--protocol", "persons"])
    assert sorted(bag.name for bag in (tmp_path / "out" / "bags").glob("P*")) == sorted({*SESSIONS} - {SESSIONS[1]})


def test_persons_are_dealt_out_whole_and_lists_must_match(egtea: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(small_recipe(tmp_path)))
    bags = import_all(recipe, egtea, tmp_path / "bags", say=lambda text: None)
    recordings = load_recordings(bags, Settings(protocol="epic-kitchens", frames=2, observation_s=1.0))
    same = [dataclasses.replace(own, person="P01" if own.person == "P02" else own.person) for own in recordings]
    folds = person_folds(same, 3)
    assert sorted(sorted({own.person for own in fold}) for fold in folds) == [["P01"], ["P03"], ["P04"]]
    with pytest.raises(CannotDivide, match="4 folds need as many persons, and there are 3"):
        person_folds(same, 4)
    with pytest.raises(CannotDivide, match="names no person"):
        person_folds([dataclasses.replace(own, person="") for own in recordings], 2)

    lists = [egtea / "action_annotation" / f"{part}_split1.txt" for part in ("train", "test")]
    split = published_split(*lists, recordings)
    assert (split.count("train"), split.count("test")) == (12, 12)
    moved = tmp_path / "moved.txt"
    moved.write_text(lists[1].read_text().replace("-1700-", "-1705-").replace("-3700-", "-3705-"))
    with pytest.raises(CannotDivide, match=r"moved\.txt, line 1: session .* has no label at 3\.705 s"):
        published_split(lists[0], moved, recordings)
    with pytest.raises(CannotDivide, match=r"the action is in train_split1\.txt too"):
        published_split(lists[0], lists[0], recordings)
    moved.write_text("P01-R01-Pizza 3\n")
    with pytest.raises(CannotDivide, match="line 1: 'P01-R01-Pizza', expected <session>-<start ms>"):
        published_split(lists[0], moved, recordings)


@pytest.mark.parametrize("name", known_recipes())
def test_recipes_of_the_package_can_be_used(name: str) -> None:
    recipe = load_recipe(name)
    ablation = Ablation(recipe.fit, recipe.arms, recipe.seeds, recipe.baseline, set=recipe.set)
    assert all(run_settings(ablation, run, "cpu").seed == run.seed for run in runs_of(ablation))
    # The label prior is added by the report.
    assert list(recipe.arms) == ["gaze", "tuned none", "gaze 10 s away", "centre", "predicted gaze"]
    assert not any(reference.checked for reference in recipe.references)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"baseline": "nothing"}, "baseline names arm 'nothing'"),
        ({"primary": {"arm": "gaze", "measure": "top1", "protocol": "own"}}, "primary names protocol 'own'"),
        ({"protocols": {"persons": {"why": "x", "folds": 1}}}, "has 1 fold"),
        ({"protocols": {"persons": {"why": "x", "train_list": "a.txt"}}}, "needs either folds, or a train_list and"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecipe, match=message):
        load_recipe(str(small_recipe(tmp_path, **changed)))
    with pytest.raises(BadRecipe, match="no recipe 'ego', expected egtea, streamgaze, or the path"):
        load_recipe("ego")


def test_a_split_of_actions_does_not_go_with_the_stream() -> None:
    with pytest.raises(BadSettings, match=r"split_file is 'split\.json', expected none with moments_every_s"):
        Settings(split_file="split.json", moments_every_s=0.2)
