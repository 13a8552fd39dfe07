"""The state of an interrupted fit: saved, read back and restored, so that the fit goes on to the very same weights."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from gaze_vlm_ros.storage.atomic import remove_unfinished, replacing, write_text
from training.data.recordings import Recording
from training.model.distributed import gather_to_cpu, shard_like
from training.run.run_folder import DATA, METRICS, STATE, CannotResume


@dataclasses.dataclass(frozen=True)
class Best:
    """The weights with the least validation loss so far; None before the first check and with keep: last."""

    loss: float = math.inf
    step: int = -1
    weights: dict[str, torch.Tensor] | None = None


def read_state(out: Path, recordings: Sequence[Recording], data_hash: str, accelerator: Accelerator) -> dict[str, Any]:
    """Return what save_state wrote; cut metrics.jsonl back to that step.

    Raises CannotResume for other bags, another number of processes, or a damaged file.
    """
    state = _load_state(out / STATE)
    if state["data_hash"] != data_hash:
        raise CannotResume(f"{out} was being fitted to other bags{_difference(out, recordings)}; give those")
    if len(state["rng"]) != accelerator.num_processes:
        raise CannotResume(
            f"{out} was being fitted by {len(state['rng'])} processes, and these are {accelerator.num_processes}; "
            "start as many"
        )
    if accelerator.is_main_process:
        # A killed fit has logged steps after its last saved state. They run again, so drop their rows.
        rows = (out / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = "".join(row for row in rows if row.endswith("\n") and json.loads(row)["step"] < state["step"])
        write_text(out / METRICS, kept)
    return state


def _load_state(path: Path) -> dict[str, Any]:
    try:
        path.open("rb").close()
    except OSError as error:
        raise CannotResume(f"{path} cannot be read ({error.strerror})") from None
    try:
        state = torch.load(path, weights_only=True)
        missing = sorted({"step", "weights", "best", "optimizer", "rng", "data_hash"} - set(state))
    except Exception as error:  # torch and pickle raise anything on a file that was cut off
        raise CannotResume(
            f"{path} is damaged ({type(error).__name__}): the fit cannot go on from it; remove {path.parent} and start "
            "again"
        ) from None
    if missing:
        raise CannotResume(f"{path} lacks {', '.join(missing)}: it is no state of a fit; start again")
    return dict(state)


def _difference(out: Path, recordings: Sequence[Recording]) -> str:
    """Return in words which bags are missing, and which are new."""
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
    objective: Mapping[str, Any] | None = None,
) -> None:
    """Write the state after `step` steps. All processes call this, and the main one writes.

    objective: state of the objective, see objective.WindowWeights.

    An earlier state is replaced only by a complete one.
    """
    moments = {
        index: {key: gather_to_cpu(value) if isinstance(value, torch.Tensor) else value for key, value in entry.items()}
        for index, entry in optimizer.state_dict()["state"].items()
    }
    state = {
        "step": step,
        "weights": {name: gather_to_cpu(weight) for name, weight in weights.items()},
        "best": dataclasses.asdict(best),
        "optimizer": moments,
        "rng": gather_object([random_state()]),
        "data_hash": data_hash,
        "objective": dict(objective or {}),
    }
    if accelerator.is_main_process:
        remove_unfinished(out / STATE)  # of a fit that was killed; this one has the folder for itself
        with replacing(out / STATE) as unfinished:
            torch.save(state, unfinished)


def restore(state: Mapping[str, Any], weights: Mapping[str, torch.Tensor], optimizer: Any, process: int) -> Best:
    """Restore weights, optimizer and random generators from `state`; return the best weights so far."""
    set_weights(weights, state["weights"])
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {
            key: shard_like(value, ordered[index]) if isinstance(value, torch.Tensor) and value.ndim else value
            for key, value in entry.items()
        }
        for index, entry in state["optimizer"].items()
    }
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    set_random_state(state["rng"][process])
    return Best(**state["best"])


def random_state() -> list[torch.Tensor]:
    """Return the states of the CPU's and the GPU's generators, from which dropout draws."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]


def set_random_state(state: Sequence[torch.Tensor]) -> None:
    """Restore what random_state returned."""
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1])


@torch.no_grad()
def set_weights(weights: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    """Copy `values`, full tensors by name, into the weights, sharded or not."""
    for name, weight in weights.items():
        weight.copy_(shard_like(values[name], weight))
