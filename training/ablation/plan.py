"""The configuration of an ablation and the runs that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.settings_file import load_settings_file


class BadAblation(GazeVlmError):
    """The configuration of an ablation cannot be used."""


@dataclass(frozen=True)
class Sweep:
    """Several values, for some of the arms: of one setting, or each of them settings with a name."""

    values: list[Any] | dict[Any, dict[str, Any]]  # of `setting`; without one, name -> settings
    arms: list[str]
    setting: str = ""

    def changes(self) -> list[tuple[Any, dict[str, Any]]]:
        """(value, settings that make it) of each."""
        if isinstance(self.values, dict):
            return list(self.values.items())
        return [(value, {self.setting: value}) for value in self.values]


@dataclass(frozen=True)
class Ablation:
    """What config/ablate_*.yaml holds."""

    fit: str  # recipe, a path relative to the working folder or to this repository
    arms: dict[str, dict[str, Any]]  # settings that make each variant from the recipe; the first is what we propose
    seeds: list[int]
    baseline: str  # the arm that the others are compared with, seed by seed
    set: dict[str, Any] = field(default_factory=dict)  # settings of all arms
    embedding_model: str = ""  # of the semantic score, a folder or hub name; empty = no such score
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    simulate: dict[str, Any] = field(default_factory=dict)  # the workbench's sessions, where no bags are given


@dataclass(frozen=True, eq=False)
class Run:
    """One fit: an arm, the value of a sweep or none, a seed."""

    arm: str
    sweep: str  # "" = none
    value: Any
    seed: int
    overrides: dict[str, Any]

    @property
    def folder(self) -> str:
        """A name of its own, readable."""
        parts = [self.arm, *([f"{self.sweep}={self.value}"] if self.sweep else []), f"seed{self.seed}"]
        return "__".join("".join(c if c.isalnum() or c in "=.-" else "_" for c in part) for part in parts)


def load_ablation(path: Path) -> Ablation:
    """Return the configuration in a YAML file. Raises BadAblation, which names the entry that is wrong."""
    ablation = load_settings_file(Ablation, [path], error=BadAblation, example="config/ablate_workbench.yaml")
    for name, sweep in ablation.sweeps.items():
        if not isinstance(sweep.values, list if sweep.setting else dict):
            raise BadAblation(
                f"{path}: sweep {name!r}: a sweep needs a setting and a list of values, or no setting and values: "
                "{name: {settings}}"
            )
    named = [(f"sweep {name!r}", arm) for name, sweep in ablation.sweeps.items() for arm in sweep.arms]
    for place, arm in [("baseline", ablation.baseline), *named]:
        if arm not in ablation.arms:
            raise BadAblation(f"{path}: {place} names arm {arm!r}, and there are only {', '.join(ablation.arms)}")
    return ablation


def runs_of(ablation: Ablation) -> list[Run]:
    """All runs, the arms themselves with all their seeds first: a run that is cut short has the main table."""
    runs = [Run(arm, "", None, seed, own) for seed in ablation.seeds for arm, own in ablation.arms.items()]
    for name, sweep in ablation.sweeps.items():
        for seed in ablation.seeds:
            for value, changed in sweep.changes():
                runs += [Run(arm, name, value, seed, ablation.arms[arm] | changed) for arm in sweep.arms]
    return runs
