"""A recipe: what to do with one data set, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.storage.settings_file import load_settings_file
from training.recipes.measures import CHOICE_MEASURES, MEASURES
from training.recipes.questions import LAYOUTS

ASKED = ("fit", "file")
_NAME = "recipe_"  # of the files in config/


class BadRecipe(GazeVlmError):
    """There is no such recipe, or it cannot be used."""


@dataclass(frozen=True)
class Protocol:
    """One way to divide the data set: folds of persons, or published lists of actions."""

    why: str  # what its figures can be used for
    folds: int = 0  # persons are dealt out to so many folds; each is tested by models that saw none of its persons
    train_list: str = ""  # published lists of actions, paths in the data set
    test_list: str = ""


@dataclass(frozen=True)
class Reference:
    """A published figure that the report shows beside ours."""

    name: str
    value: float
    measure: str
    source: str
    checked: bool = True  # somebody read it in its source; otherwise the report says that nobody did


@dataclass(frozen=True)
class QuestionFiles:
    """A benchmark's multiple-choice questions about the recordings, asked in the protocols with folds."""

    layout: str  # of the files, a name in questions.LAYOUTS
    files: list[str]  # globs in the data set
    # fit: what the model was trained to answer; file: the text of each question, which may say where the person looked
    asked: str = "fit"


@dataclass(frozen=True)
class Primary:
    """The one comparison that the study was made for, fixed before it: all others are adjusted for their number."""

    arm: str
    measure: str  # a name in measures.MEASURES, or in CHOICE_MEASURES of a recipe with questions
    protocol: str


@dataclass(frozen=True)
class Tuning:
    """Values of one setting to choose from by validation, for each arm by itself. Test sessions are not looked at."""

    setting: str
    values: list[Any]
    arms: list[str]


@dataclass(frozen=True)
class Recipe:
    """The content of config/recipe_*.yaml."""

    importer: str  # format, as for `gaze-vlm import`
    recordings: str  # glob pattern of the recordings in the data set
    fit: str  # recipe of a fit: a path relative to the working folder or to this repository
    arms: dict[str, dict[str, Any]]  # settings that each arm changes; the proposed one first
    baseline: str  # the arm that others are compared with
    seeds: list[int]
    protocols: dict[str, Protocol]
    primary: Primary
    labels: str = ""  # annotation file in the data set; empty = the importer finds it
    cut: bool = False  # leave out gaze and labels beyond a video's end instead of refusing the recording
    size: str = ""  # WxH, px, to shrink frames to; empty = as they are
    max_rate_hz: float = 0.0  # of frames; 0 = all
    set: dict[str, Any] = field(default_factory=dict)  # settings for all arms
    tuning: Tuning | None = None
    references: list[Reference] = field(default_factory=list)
    questions: QuestionFiles | None = None


def known_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem.removeprefix(_NAME) for path in shared_file("config").glob(f"{_NAME}*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Return a recipe by its name, or by the path of a YAML file. Raises BadRecipe."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in known_recipes():
        path = shared_file(f"config/{_NAME}{name}.yaml")
    else:
        raise BadRecipe(f"no recipe {name!r}, expected {', '.join(known_recipes())}, or the path of a YAML file")
    recipe = load_settings_file(Recipe, [path], error=BadRecipe, example=f"config/{_NAME}egtea.yaml")
    for place, arm in [("baseline", recipe.baseline), ("primary", recipe.primary.arm)] + [
        ("tuning", arm) for arm in (recipe.tuning.arms if recipe.tuning else ())
    ]:
        if arm not in recipe.arms:
            raise BadRecipe(f"{path}: {place} names arm {arm!r}, and there are only {', '.join(recipe.arms)}")
    if recipe.primary.protocol not in recipe.protocols:
        known = ", ".join(recipe.protocols)
        raise BadRecipe(f"{path}: primary names protocol {recipe.primary.protocol!r}, and there are only {known}")
    measures = MEASURES | (CHOICE_MEASURES if recipe.questions else {})
    if recipe.primary.measure not in measures:
        raise BadRecipe(f"{path}: primary has measure {recipe.primary.measure!r}, expected {', '.join(measures)}")
    for protocol_name, protocol in recipe.protocols.items():
        if bool(protocol.folds) == bool(protocol.train_list) or bool(protocol.train_list) != bool(protocol.test_list):
            raise BadRecipe(f"{path}: protocol {protocol_name!r} needs either folds, or a train_list and a test_list")
        if protocol.folds == 1:
            raise BadRecipe(f"{path}: protocol {protocol_name!r} has 1 fold, expected 2 or more")
    if recipe.questions and recipe.questions.asked not in ASKED:
        raise BadRecipe(f"{path}: questions has asked {recipe.questions.asked!r}, expected one of {', '.join(ASKED)}")
    if recipe.questions and recipe.questions.layout not in LAYOUTS:
        raise BadRecipe(f"{path}: questions has layout {recipe.questions.layout!r}, expected {', '.join(LAYOUTS)}")
    return recipe
