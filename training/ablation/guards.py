"""Refuse to mix results of other settings or other bags under the same names."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gaze_vlm_ros.bags.role_options import Roles
from gaze_vlm_ros.errors import GazeVlmError
from training.ablation.plan import Ablation
from training.ablation.runner import SCORES
from training.data.recordings import bag_digest, find_bags, hash_of
from training.data.workers import bag_mapper
from training.settings import SETTINGS_FILE, Settings, load_settings

_SPEED_SETTINGS = ("device", "loader_workers")  # settings that do not change the result


class OtherRuns(GazeVlmError):
    """--out holds runs or sessions of the same names, from other settings or other bags."""


def bag_hashes(train: Sequence[Path], test: Sequence[Path], jobs: int, roles: Roles) -> dict[str, str]:
    """Return a hash of the bags to fit and of the bags to score. Raises what load_session raises."""
    digest = functools.partial(bag_digest, roles=roles)
    parts = {"train": find_bags(train), "test": find_bags(test)}
    with bag_mapper(jobs) as mapper:
        return {name: hash_of(mapper(digest, bags)) for name, bags in parts.items()}


def require_same_runs(out: Path, expected: Mapping[str, Settings], bags: Mapping[str, Mapping[str, str]]) -> None:
    """Raise OtherRuns if a finished run has other settings or other bags.

    expected: settings of each finished run, by folder. bags: of each folder, see bag_hashes. Runs of
    versions that did not record their bags are accepted, and named on stdout.
    """
    unknown = []
    for folder, now in expected.items():
        before = load_settings(out / folder / SETTINGS_FILE)
        changed = [
            f"{field.name} was {getattr(before, field.name)!r} and is {getattr(now, field.name)!r}"
            for field in dataclasses.fields(Settings)
            if field.name not in _SPEED_SETTINGS and getattr(before, field.name) != getattr(now, field.name)
        ]
        recorded = json.loads((out / folder / SCORES).read_text()).get("bags")
        own = bags[folder]
        changed += [f"the bags to {name} were others" for name in own if recorded and recorded[name] != own[name]]
        if changed:
            raise OtherRuns(
                f"{out / folder} is finished, and not what the configuration asks for: {', '.join(changed)}; give "
                "another --out, or remove that folder to run it again"
            )
        if not recorded:
            unknown.append(folder)
    if unknown:
        print(f"{len(unknown)} runs do not record their bags, and are kept: {', '.join(unknown)}")


def require_same_sessions(ablation: Ablation, configuration: Path) -> None:
    """Raise OtherRuns if the simulated sessions of an earlier ablation are not those of this one.

    configuration: the earlier one as JSON, in the output folder.
    """
    out = configuration.parent
    if not (out / "bags").is_dir() or not configuration.is_file():
        return
    before = json.loads(configuration.read_text()).get("simulate", {})
    changed = [
        f"{name} was {before.get(name)!r} and is {ablation.simulate.get(name)!r}"
        for name in {**before, **ablation.simulate}
        if before.get(name) != ablation.simulate.get(name)
    ]
    if before and changed:
        raise OtherRuns(
            f"{out / 'bags'} holds other simulated sessions: {', '.join(changed)}; give another --out, or remove {out}"
        )
