"""Refuse to mix results of other settings or other bags under the same names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from training.ablation.plan import Ablation
from training.ablation.runner import SCORES, SETTINGS
from training.data.recordings import bag_digest, find_bags, hash_of
from training.data.workers import bag_mapper
from training.settings import Settings, load_settings

_FREE = ("device", "loader_workers")  # settings that say how fast the same comes


class OtherRuns(GazeVlmError):
    """What is in --out was made with other settings or of other bags, under the same names."""


def bag_hashes(train: Sequence[Path], test: Sequence[Path], jobs: int) -> dict[str, str]:
    """Names of what is fitted and of what is scored, by content. Raises what load_session raises."""
    parts = {"train": find_bags(train), "test": find_bags(test)}
    with bag_mapper(jobs) as mapper:
        return {name: hash_of(mapper(bag_digest, bags)) for name, bags in parts.items()}


def require_same_runs(out: Path, wanted: Mapping[str, Settings], bags: Mapping[str, str]) -> None:
    """Raises OtherRuns where finished runs (folder -> what its settings must be) were made with others, or of others.

    Runs of before bags were noted are taken to be of these, and named.
    """
    unknown = []
    for folder, now in wanted.items():
        before = load_settings(out / folder / SETTINGS)
        changed = [
            f"{field.name} was {getattr(before, field.name)!r} and is {getattr(now, field.name)!r}"
            for field in dataclasses.fields(Settings)
            if field.name not in _FREE and getattr(before, field.name) != getattr(now, field.name)
        ]
        noted = json.loads((out / folder / SCORES).read_text()).get("bags")
        changed += [f"the bags to {name} were others" for name in bags if noted and noted[name] != bags[name]]
        if changed:
            raise OtherRuns(
                f"{out / folder} is finished, and not what the configuration asks for: {', '.join(changed)}; give "
                "another --out, or remove that folder to run it again"
            )
        if not noted:
            unknown.append(folder)
    if unknown:
        print(f"{len(unknown)} runs do not say of which bags they are, and are kept: {', '.join(unknown)}")


def require_same_sessions(ablation: Ablation, out: Path) -> None:
    """Raises OtherRuns where the simulated sessions in `out` are not those of the configuration."""
    if not (out / "bags").is_dir() or not (out / "settings.json").is_file():
        return
    before = json.loads((out / "settings.json").read_text()).get("simulate", {})
    changed = [
        f"{name} was {before.get(name)!r} and is {ablation.simulate.get(name)!r}"
        for name in {**before, **ablation.simulate}
        if before.get(name) != ablation.simulate.get(name)
    ]
    if before and changed:
        raise OtherRuns(
            f"{out / 'bags'} holds other simulated sessions: {', '.join(changed)}; give another --out, or remove {out}"
        )
