"""The folder of one fit: names of its files, and checks before and while writing to it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import METADATA_NAME
from gaze_vlm_ros.storage.atomic import write_text
from training.data.dataset import Dataset
from training.data.recordings import Recording
from training.data.split import Split
from training.model.versions import library_versions
from training.settings import SETTINGS_FILE, Settings, load_settings

METRICS, DATA, STATE = "metrics.jsonl", "data.json", "state.pt"
WEIGHT = "kl_weight.json"  # λ that a fit with kl_ratio measured at its beginning
FIRST, WRONG = "first", "wrong.json"  # folder of the first fit of objective: jtt, and the windows that it gets wrong
# Settings that change only the speed of a fit, and may differ when it is resumed.
_SPEED_SETTINGS = ("loader_workers",)
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# Marks of a failed write in the messages of torch and safetensors.
_WRITE_FAILED = ("inline_container.cc", "PytorchStreamWriter", "I/O error")


class WillNotOverwrite(GazeVlmError):
    """The output folder holds something already."""


class CannotResume(GazeVlmError):
    """There is no interrupted fit to resume, or it was another one."""


class CannotWrite(GazeVlmError):
    """The output folder cannot be written to, or its disk is full."""


@contextlib.contextmanager
def report_full_disk(out: Path) -> Iterator[None]:
    """Raise CannotWrite in place of what Python, torch or safetensors raise for a full disk within the block."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch reports a failed write only by its consequence, an unexpected position in the file.
        full = isinstance(error, OSError) and error.errno in _DISK_IS_FULL
        if not full and not any(mark in str(error) for mark in _WRITE_FAILED):
            raise
        why = error.strerror if isinstance(error, OSError) else "the disk did not take all of it"
        then = (
            "the same command with --resume goes on from the last state"
            if (out / STATE).is_file()
            else "remove the folder, for no state was saved yet, and start again"
        )
        raise CannotWrite(f"cannot write to {out} ({why}); free space, then {then}") from None


def check_output(out: Path, settings: Settings, resume: bool) -> None:
    """Raise unless `out` can take this fit, before any work is done.

    resume: go on with an interrupted fit, or lengthen one: `settings` may ask for more steps than it had. Raises
    WillNotOverwrite for an output folder that is not empty, CannotWrite, and CannotResume, which names every other
    setting that differs.
    """
    if out.exists() and not out.is_dir():
        raise WillNotOverwrite(f"{out} is a file, expected a folder or a new name; give another --out")
    _require_writable(out)
    if not resume:
        if out.exists() and any(out.iterdir()):
            raise WillNotOverwrite(
                f"{out} is not empty; give another --out, or --resume to go on with an interrupted fit"
            )
        return
    if not any(place.is_file() for place in (out / STATE, out / FIRST / STATE, out / FIRST / WRONG)):
        raise CannotResume(f"no interrupted fit in {out} (it would hold {STATE}); leave out --resume to start one")
    before, now = dataclasses.asdict(load_settings(out / SETTINGS_FILE)), dataclasses.asdict(settings)
    changed = [
        f"{name} was {before[name]!r} and is {now[name]!r}"
        for name in now
        if before[name] != now[name]
        and name not in _SPEED_SETTINGS
        and not (name == "steps" and now[name] > before[name])
    ]
    if changed:
        raise CannotResume(f"the settings differ: {', '.join(changed)}; resume with --config {out / SETTINGS_FILE}")
    if (out / METADATA_NAME).is_file() and now["steps"] == before["steps"]:
        raise CannotResume(f"the fit in {out} has finished its {now['steps']} steps; --set steps=N lengthens it")


def _require_writable(out: Path) -> None:
    """Raise CannotWrite unless a folder can be made in `out`: permissions do not show a read-only disk."""
    place = next(parent for parent in (out, *out.parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=place):
            pass
    except OSError as error:
        raise CannotWrite(f"cannot write to {place} ({error.strerror}); give an --out that can be written to") from None


def kept_weight(out: Path, measured: float) -> float:
    """Return λ of the fit in `out`: what it kept when it began, or else `measured`, which it keeps from now on."""
    path = out / WEIGHT
    if not path.is_file():
        write_text(path, json.dumps({"kl_weight": measured}) + "\n")
    kept: float = json.loads(path.read_text(encoding="utf-8"))["kl_weight"]
    return kept


def write_data(out: Path, data: Dataset, split: Split, recordings: Sequence[Recording], notes: Sequence[str]) -> None:
    """Write data.json: the sessions of each part, labels, dropped moments and notes."""
    parts = ("training", "validation", "calibration")
    part_of = [part for part in parts for _ in getattr(split, part)]
    description = {
        "sessions": data.session_table(part_of),
        "held_out": [recordings[index].name for index in split.test],
        "dropped": dict(data.dropped),
        "labels": data.labels.texts,
        "notes": list(notes),
        "libraries": library_versions(),
    }
    (out / DATA).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
