"""The folder of one fit: settings, data and metrics beside the checkpoint, and the state of an interrupted one."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import replacing, write_text
from training.data.dataset import Dataset
from training.data.recordings import Recording
from training.data.split import Split
from training.model.distributed import like, whole
from training.settings import Settings, load_settings

SETTINGS, METRICS, DATA, STATE = "settings.yaml", "metrics.jsonl", "data.json", "state.pt"
# Settings that change how fast the same result comes.
_FREE = ("loader_workers",)
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_NOT_WRITTEN = ("inline_container.cc", "PytorchStreamWriter", "I/O error")  # as torch and safetensors say it


class WillNotOverwrite(GazeVlmError):
    """The output folder holds something already."""


class CannotResume(GazeVlmError):
    """There is no interrupted fit to go on with, or it was another one."""


class CannotWrite(GazeVlmError):
    """The disk does not take what is written to the output folder."""


@contextlib.contextmanager
def report_full_disk(out: Path) -> Iterator[None]:
    """Raises CannotWrite in place of what Python, torch or safetensors raise."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch tells of a failed write by its consequence alone, an unexpected position in the file.
        full = isinstance(error, OSError) and error.errno in _DISK_IS_FULL
        if not full and not any(mark in str(error) for mark in _NOT_WRITTEN):
            raise
        why = error.strerror if isinstance(error, OSError) else "the disk did not take all of it"
        then = (
            "the same command with --resume goes on from the last state"
            if (out / STATE).is_file()
            else "remove the folder, for no state was saved yet, and start again"
        )
        raise CannotWrite(f"cannot write to {out} ({why}); free space, then {then}") from None


@dataclasses.dataclass(frozen=True)
class Best:
    """The weights with the least validation loss so far; none before the first check, or where the last are kept."""

    loss: float = math.inf
    step: int = -1
    weights: dict[str, torch.Tensor] | None = None


def check_output(out: Path, settings: Settings, resume: bool) -> None:
    """Refuse what would overwrite something or go on with another fit, before any work is done.

    Raises WillNotOverwrite, CannotWrite, and CannotResume that names every setting that differs.
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
    if not (out / STATE).is_file():
        raise CannotResume(f"no interrupted fit in {out} (it would hold {STATE}); leave --resume out to start one")
    before, now = dataclasses.asdict(load_settings(out / SETTINGS)), dataclasses.asdict(settings)
    changed = [
        f"{name} was {before[name]!r} and is {now[name]!r}"
        for name in now
        if before[name] != now[name] and name not in _FREE
    ]
    if changed:
        raise CannotResume(f"the settings differ: {', '.join(changed)}; resume with --config {out / SETTINGS}")


def _require_writable(out: Path) -> None:
    """Tried, because permissions do not tell of read-only disks. Leaves nothing behind."""
    place = next(parent for parent in (out, *out.parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=place):
            pass
    except OSError as error:
        raise CannotWrite(f"cannot write to {place} ({error.strerror}); give an --out that can be written to") from None


def write_data(out: Path, data: Dataset, split: Split, recordings: Sequence[Recording], notes: Sequence[str]) -> None:
    part_of = ["training"] * len(split.training) + ["validation"] * len(split.validation)
    description = {
        "sessions": data.session_table(part_of),
        "held_out": [recordings[index].name for index in split.test],
        "dropped": dict(data.dropped),
        "labels": data.labels.texts,
        "notes": list(notes),
    }
    (out / DATA).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_state(out: Path, recordings: Sequence[Recording], data_hash: str, accelerator: Accelerator) -> dict[str, Any]:
    """What save_state wrote. Raises CannotResume for other bags or another number of processes."""
    state: dict[str, Any] = torch.load(out / STATE, weights_only=True)
    if state["data_hash"] != data_hash:
        raise CannotResume(f"{out} was being fitted to other bags{_difference(out, recordings)}; give those")
    if len(state["rng"]) != accelerator.num_processes:
        raise CannotResume(
            f"{out} was being fitted by {len(state['rng'])} processes, and these are {accelerator.num_processes}; "
            "start as many"
        )
    if accelerator.is_main_process:
        # A fit that was killed has logged steps after its last saved state; they are about to be run again.
        rows = (out / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = "".join(row for row in rows if row.endswith("\n") and json.loads(row)["step"] < state["step"])
        write_text(out / METRICS, kept)
    return state


def _difference(out: Path, recordings: Sequence[Recording]) -> str:
    """Which bags are missing, and which are new."""
    before = {s["digest"]: s["name"] for s in json.loads((out / DATA).read_text(encoding="utf-8"))["sessions"]}
    now = {recording.digest: recording.name for recording in recordings}
    missing = sorted(name for digest, name in before.items() if digest not in now)
    new = sorted(name for digest, name in now.items() if digest not in before)
    parts = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("new", new)) if names]
    return f" ({'; '.join(parts)})" if parts else ""


def save_state(
    out: Path,
    step: int,
    weights: Mapping[str, torch.Tensor],
    best: Best,
    optimizer: Any,
    data_hash: str,
    accelerator: Accelerator,
) -> None:
    """All processes call it, the first one writes. A state that was there is replaced only by a whole one."""
    moments = {
        index: {key: whole(value) if isinstance(value, torch.Tensor) else value for key, value in entry.items()}
        for index, entry in optimizer.state_dict()["state"].items()
    }
    state = {
        "step": step,
        "weights": {name: whole(weight) for name, weight in weights.items()},
        "best": dataclasses.asdict(best),
        "optimizer": moments,
        "rng": gather_object([random_state()]),
        "data_hash": data_hash,
    }
    if accelerator.is_main_process:
        with replacing(out / STATE) as unfinished:
            torch.save(state, unfinished)


def restore(state: Mapping[str, Any], weights: Mapping[str, torch.Tensor], optimizer: Any, process: int) -> Best:
    """Everything as it was when save_state was called; returns the best weights so far."""
    put(weights, state["weights"])
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {
            key: like(value, ordered[index]) if isinstance(value, torch.Tensor) and value.ndim else value
            for key, value in entry.items()
        }
        for index, entry in state["optimizer"].items()
    }
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    set_random_state(state["rng"][process])
    return Best(**state["best"])


def random_state() -> list[torch.Tensor]:
    """Of the CPU's and the GPU's generators, from which dropout draws."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]


def set_random_state(state: Sequence[torch.Tensor]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1])


@torch.no_grad()
def put(weights: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    """Set the weights to `values`, which are whole."""
    for name, weight in weights.items():
        weight.copy_(like(values[name], weight))
