"""The configuration of an ablation, and the runs that it defines."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.settings_file import load_settings_file
from training.settings import BadSettings, Settings, load_settings

BASE = "base"  # as setting model of an arm: the base model of Ablation.base


NATS = "negative_log_likelihood"


class BadAblation(GazeVlmError):
    """The configuration of an ablation cannot be used."""


@dataclass(frozen=True)
class Sweep:
    """Several values for some of the arms: values of one setting, or named sets of settings."""

    values: list[Any] | dict[Any, dict[str, Any]]  # list: values of `setting`; mapping: name -> settings
    arms: list[str]
    setting: str = ""

    def changes(self) -> list[tuple[Any, dict[str, Any]]]:
        """Return (value or name, settings that it changes) of each."""
        if isinstance(self.values, dict):
            return list(self.values.items())
        return [(value, {self.setting: value}) for value in self.values]


@dataclass(frozen=True)
class Primary:
    """The one comparison that the ablation is made for, fixed before it: an arm against the baseline."""

    arm: str
    sessions: str  # kind of session: its scene
    measure: str = "top1"  # or NATS, of the stream


@dataclass(frozen=True)
class Ablation:
    """The content of config/ablate_*.yaml."""

    fit: str  # recipe: a path relative to the working folder or to this repository
    arms: dict[str, dict[str, Any]]  # settings that each variant changes in the recipe; the proposed variant first
    seeds: list[int]
    baseline: str  # the arm that the others are compared with, seed by seed
    primary: Primary | None = None  # none: all p-values are adjusted for their number
    set: dict[str, Any] = field(default_factory=dict)  # settings for all arms
    embedding_model: str = ""  # folder or hub name for the semantic score; empty = no such score
    base: str = ""  # recipe of a tiny base model (pretrain.py), from which arms with model: base start; made once
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    search: list[str] = field(default_factory=list)  # sweeps among whose values validation chooses for each arm
    simulate: dict[str, Any] = field(default_factory=dict)  # sessions of the simulated workbench, if no bags are given
    # Particles of the ceiling, with which rules and ceiling are scored on the simulated sessions too; 0 = not
    reference_particles: int = 0


@dataclass(frozen=True, eq=False)
class Run:
    """One fit: an arm, the value of a sweep if any, and a seed."""

    arm: str
    sweep: str  # "" = none
    value: Any
    seed: int
    overrides: dict[str, Any]

    @property
    def value_text(self) -> str:
        """The sweep's value in tables; "" without a sweep."""
        return "" if self.value is None else str(self.value)

    @property
    def title(self) -> str:
        """Name for messages."""
        return f"arm {self.arm!r}{f', {self.sweep} {self.value}' if self.sweep else ''}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Readable name, unique in the ablation."""
        parts = [self.arm, *([f"{self.sweep}={self.value}"] if self.sweep else []), f"seed{self.seed}"]
        return "__".join(map(file_name, parts))


def file_name(text: str) -> str:
    """Return `text` as part of a file name: ASCII letters without accents, digits, and _ for all else but = . and -"""
    plain = unicodedata.normalize("NFKD", text.replace("λ", "lambda")).encode("ascii", "ignore").decode()
    return "".join(c if c.isalnum() or c in "=.-" else "_" for c in plain) or "_"


def load_ablation(path: Path) -> Ablation:
    """Return the configuration in a YAML file. Raises BadAblation, which names the entry that is wrong."""
    ablation = load_settings_file(Ablation, [path], error=BadAblation, example="config/ablate_workbench.yaml")
    for name, sweep in ablation.sweeps.items():
        if not isinstance(sweep.values, list if sweep.setting else dict):
            raise BadAblation(
                f"{path}: sweep {name!r}: a sweep needs a setting and a list of values, or no setting and values: "
                "{name: {settings}}"
            )
    for name in ablation.search:
        if name not in ablation.sweeps:
            raise BadAblation(f"{path}: search names sweep {name!r}, and there are only {', '.join(ablation.sweeps)}")
    if ablation.primary and ablation.primary.measure not in ("top1", NATS):
        raise BadAblation(f"{path}: primary measures {ablation.primary.measure!r}, expected top1 or {NATS}")
    named = [(f"sweep {name!r}", arm) for name, sweep in ablation.sweeps.items() for arm in sweep.arms]
    for place, arm in [
        ("baseline", ablation.baseline),
        *([("primary", ablation.primary.arm)] if ablation.primary else []),
        *named,
    ]:
        if arm not in ablation.arms:
            raise BadAblation(f"{path}: {place} names arm {arm!r}, and there are only {', '.join(ablation.arms)}")
    _require_own_names(path, [(run.folder, run.title) for run in runs_of(ablation)])
    _require_own_names(path, [(file_name(name), f"sweep {name!r}") for name in ablation.sweeps])
    return ablation


def _require_own_names(path: Path, named: Sequence[tuple[str, str]]) -> None:
    """Raise BadAblation if two of (file name, what it is for) share a name, also where case does not count."""
    taken: dict[str, str] = {}
    for name, what in named:
        if other := taken.get(name.lower()):
            raise BadAblation(
                f"{path}: {other} and {what} would share one result, the file name {name}; give them names that differ "
                "in letters or digits"
            )
        taken[name.lower()] = what


def runs_of(ablation: Ablation) -> list[Run]:
    """Return all runs, the arms without sweeps first: an ablation that is cut short then has its main table."""
    runs = [Run(arm, "", None, seed, own) for seed in ablation.seeds for arm, own in ablation.arms.items()]
    for name, sweep in ablation.sweeps.items():
        for seed in ablation.seeds:
            for value, changed in sweep.changes():
                runs += [Run(arm, name, value, seed, ablation.arms[arm] | changed) for arm in sweep.arms]
    return runs


def recipe_path(name: str) -> Path:
    """Return the file of a recipe: a path relative to the working folder or to this repository."""
    path = Path(name)
    return path if path.is_file() else Path(__file__).resolve().parents[2] / name


def run_settings(ablation: Ablation, run: Run, device: str, base: Path | None = None) -> Settings:
    """Return the settings of the fit of one run. Raises BadAblation if they cannot be used.

    base: folder of the base model, for `model: base`.
    """
    recipe = recipe_path(ablation.fit)
    values = ablation.set | run.overrides | {"seed": run.seed, "device": device}
    if values.get("model") == BASE:
        if base is None:
            raise BadAblation(f"{run.title} starts from model: {BASE}, and the configuration names no base: recipe")
        values |= {"model": str(base), "model_options": {}}
    try:
        return load_settings(recipe, [f"{key}={_yaml(value)}" for key, value in values.items()])
    except BadSettings as error:
        raise BadAblation(f"an arm cannot be trained: {error}") from None


def _yaml(value: Any) -> str:
    """Return `value` as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).replace("\n...", "").strip()
