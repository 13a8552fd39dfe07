"""Import and check the recordings of a data set; what is there already is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.files import is_companion
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.importing import import_recording, parse_size
from gaze_vlm_ros.inspection.check import check_bag
from gaze_vlm_ros.storage.atomic import write_text
from gaze_vlm_ros.windows.settings import WindowSettings
from training.recipes.recipe import Recipe


class NoRecordings(GazeVlmError):
    """The data set has no recording where the recipe expects them."""


class NotImported(GazeVlmError):
    """Some recordings cannot be imported."""


def import_all(
    recipe: Recipe, data: Path, bags: Path, leave_out: Sequence[str] = (), say: Callable[[str], object] = print
) -> list[Path]:
    """Import the recordings of `data` that `bags` lacks, and return all bags, sorted.

    leave_out: names of recordings to do without. say: prints progress. Raises NoRecordings, and NotImported, which
    names each recording that cannot be read and why, after all others were imported.
    """
    found = sorted(path for path in data.glob(recipe.recordings) if not is_companion(path))
    sources = [path for path in found if path.stem not in leave_out]
    if not sources:
        raise NoRecordings(f"no recording {recipe.recordings} in {data}; give the folder that holds the whole data set")
    if unknown := sorted(set(leave_out) - {path.stem for path in found}):
        raise NoRecordings(f"--leave-out names {unknown[0]}, and {data} has no such recording")
    made, failed = [], []
    for number, source in enumerate(sources, 1):
        bag = bags / source.stem
        made.append(bag)
        if bag.is_dir():
            continue
        unfinished = bags / f".{source.stem}.part" / source.stem
        shutil.rmtree(unfinished.parent, ignore_errors=True)  # of an import that was interrupted
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        say(f"import {number} of {len(sources)}: {source.name}")
        try:
            import_recording(
                recipe.importer,
                source,
                unfinished,
                labels=data / recipe.labels if recipe.labels else None,
                cut=recipe.cut,
                max_rate_hz=recipe.max_rate_hz,
                size=parse_size(recipe.size) if recipe.size else None,
                progress=False,
            )
        except GazeVlmError as error:
            failed.append((source.stem, str(error)))
            continue
        unfinished.replace(bag)
        unfinished.parent.rmdir()
    if failed:
        lines = "; ".join(f"{name}: {why}" for name, why in failed)
        names = " ".join(name for name, _ in failed)
        raise NotImported(
            f"{len(failed)} of {len(sources)} recordings cannot be imported: {lines}. Mend them, or do without: "
            f"--leave-out {names}"
        )
    return made


def check_all(bags: Iterable[Path], settings: WindowSettings, out: Path) -> list[dict[str, Any]]:
    """Check each bag as `gaze-vlm bag check` does and return the findings; write them to `out`, a file a bag (JSON).

    A check decodes every frame of a bag: those that `out` has are kept.
    """
    out.mkdir(exist_ok=True)
    checks = []
    for bag in bags:
        path = out / f"{bag.name}.json"
        if not path.is_file():
            check = check_bag(bag, settings)
            found = {"bag": bag.name, "worst": check.worst, "findings": [asdict(finding) for finding in check.findings]}
            write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        checks.append(json.loads(path.read_text(encoding="utf-8")))
    return checks
