"""Fine-tune a vision-language model on training bags, its attention led by where people looked.

    python training/fit.py --config config/fit_demo.yaml --out build/run BAG...

Writes a plain Hugging Face folder with gaze_vlm.json, settings.yaml, data.json and metrics.jsonl beside the weights.
Ctrl-C saves the state; the same command with --resume goes on from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.labels import collect_labels
from gaze_vlm_ros.vlm.attention_tap import enable_tap
from gaze_vlm_ros.vlm.loading import load_vlm
from training.bags import Recording, data_hash, find_bags, load_recordings
from training.data import Dataset, prepare
from training.export import export_checkpoint
from training.forward import answer_losses
from training.gaze_targets import shuffled_rows
from training.model import decay_groups, led_layers, make_trainable, plain_model, resolve_device
from training.settings import Settings, load_settings, save_settings
from training.windows import NoWindows, Split, split_sessions

# What stands in the output folder beside the checkpoint itself.
SETTINGS, METRICS, DATA, STATE = "settings.yaml", "metrics.jsonl", "data.json", "state.pt"


class WillNotOverwrite(GazeVlmError):
    """The output folder holds something already."""


class CannotResume(GazeVlmError):
    """There is no interrupted fit to go on with, or it was another one."""


class Diverged(GazeVlmError):
    """The loss is no number any more."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """Rows of the data set."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]  # may be empty: then the last weights are kept


@dataclasses.dataclass(frozen=True)
class Best:
    """The weights with the least validation loss so far; none before the first check, or where the last are kept."""

    loss: float = math.inf
    step: int = -1
    weights: dict[str, torch.Tensor] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    settings = load_settings(
        arguments.config, [*arguments.set, *([f"gaze={arguments.gaze}"] if arguments.gaze else [])]
    )
    device = resolve_device(settings.device)
    out: Path = arguments.out
    _check_output(out, settings, arguments.resume)

    # What there is to learn from.
    sessions = load_recordings(find_bags(arguments.bags), settings)
    split = split_sessions(sessions, settings)
    labels = collect_labels(
        row
        for track in (sessions[i].labels for i in split.training)
        for row in zip(track.texts, track.verbs, track.object_classes, strict=True)
    )
    used = [sessions[i] for i in (*split.training, *split.validation)]
    recordings = data_hash(used)

    # The model, and the windows as it takes them.
    model, processor = load_vlm(
        settings.model,
        device=device,
        dtype=getattr(torch, settings.dtype),
        texts=[settings.question, *labels.texts],
        seed=settings.seed,
        **settings.model_options,
    )
    enable_tap(model)
    led_layers(model, settings)
    data = prepare(used, labels, settings, model, processor, arguments.cache, gaze_needed=settings.gaze != "none")
    parts = Parts(data.rows_of(range(len(split.training))), data.rows_of(range(len(split.training), len(used))))
    if not len(parts.training):
        raise NoWindows("the training sessions give no window; see stride_s, leads_s and split in the settings")
    gaze_of = np.arange(len(data.windows))
    if settings.gaze == "shuffled":
        gaze_of[parts.training] = parts.training[shuffled_rows(data.has_gaze[parts.training], settings.seed)]

    torch.manual_seed(settings.seed)
    trained = make_trainable(model, settings)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    state = _read_state(out, recordings) if arguments.resume else None
    if state is None:
        out.mkdir(parents=True, exist_ok=True)
        save_settings(settings, out / SETTINGS)
        _write_data(out, data, split, sessions)
    usable = data.has_gaze[parts.training].mean()
    print(
        f"{len(parts.training)} windows to train on ({usable:.0%} with gaze), {len(parts.validation)} to choose by; "
        f"{len(labels.texts)} answers, {data.gaze.shape[1]} visual tokens, "
        f"{sum(weight.numel() for weight in weights.values()):,} weights",
        flush=True,
    )
    if not train(model, weights, data, parts, gaze_of, settings, device, recordings, out, state):
        print("fit.py: interrupted, state saved; the same command with --resume goes on", file=sys.stderr)
        return 130
    digests = [recording.digest for recording in used]
    export_checkpoint(
        out, plain_model(trained), processor, data, parts.validation, digests, recordings, settings, device
    )
    (out / STATE).unlink(missing_ok=True)
    print(f"checkpoint: {out}", flush=True)
    return 0


def train(
    model: Any,
    weights: Mapping[str, torch.nn.Parameter],
    data: Dataset,
    parts: Parts,
    gaze_of: NDArray[np.int64],
    settings: Settings,
    device: str,
    recordings: str,
    out: Path,
    state: dict[str, Any] | None,
) -> bool:
    """Run all steps that are left; `model` ends with the chosen weights. False: interrupted, with the state saved.

    weights: those of the model that are trained. gaze_of: (N,) the window whose gaze each window gets.
    state: to go on from.
    """
    optimizer = torch.optim.AdamW(
        decay_groups(weights, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.95)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, settings))
    first, best = 0, Best()
    if state:
        first, best = state["step"], Best(**state["best"])
        _put(weights, state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["rng"])

    interrupted = _note_signals()
    bar = tqdm(total=settings.steps, initial=first, desc=f"fit, gaze {settings.gaze}", unit="step", mininterval=0.5)
    with bar, (out / METRICS).open("a", encoding="utf-8") as log:
        for step in range(first, settings.steps):
            model.train()
            started = time.perf_counter()
            kl_weight = settings.kl_weight_at(step)
            row: dict[str, float] = {"step": step, "lm": 0.0, "kl": 0.0, "kl_weight": kl_weight}
            for part in range(settings.accumulate):
                draw = step * settings.accumulate + part
                rows = parts.training[drawn_rows(draw, settings.batch_size, len(parts.training), settings.seed)]
                batch = data.batch(rows, device, gaze_of)
                lm, kl = answer_losses(model, batch, settings, with_attention=kl_weight > 0)
                ((lm + kl_weight * kl) / settings.accumulate).backward()
                row["lm"] += lm.item() / settings.accumulate
                row["kl"] += kl.item() / settings.accumulate
            row["gradient"] = float(torch.nn.utils.clip_grad_norm_(weights.values(), settings.gradient_clip))
            if not math.isfinite(row["lm"] + row["kl"] + row["gradient"]):
                raise Diverged(f"loss or gradient is not finite at step {step}; lower learning_rate or kl_weight")
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            row["rate"] = float(schedule.get_last_lr()[0])
            row["windows_per_s"] = settings.batch_size * settings.accumulate / (time.perf_counter() - started)

            last = step + 1 == settings.steps
            if len(parts.validation) and (last or (step + 1) % settings.check_every == 0):
                row["validation_lm"], row["validation_kl"] = check(model, data, parts.validation, settings, device)
                if settings.keep == "best" and row["validation_lm"] < best.loss:
                    best = Best(row["validation_lm"], step, _copy(weights))
            log.write(json.dumps({key: round(value, 6) for key, value in row.items()}) + "\n")
            log.flush()
            bar.set_postfix_str(
                f"lm {row['lm']:.3f} kl {row['kl']:.2f} λ {kl_weight:.2f}"
                + (f" best {best.loss:.3f} at {best.step}" if best.weights else ""),
                refresh=False,
            )
            bar.update()
            if interrupted() or (step + 1) % settings.check_every == 0:
                _save_state(out, step + 1, weights, best, optimizer, schedule, recordings)
            if interrupted():
                return False
    if best.weights:
        _put(weights, best.weights)
    return True


@torch.no_grad()
def check(
    model: Any, data: Dataset, validation: NDArray[np.int64], settings: Settings, device: str
) -> tuple[float, float]:
    """Mean language loss and KL over at most 256 evenly spread validation windows."""
    model.eval()
    rows = validation[np.unique(np.linspace(0, len(validation) - 1, 256).round().astype(int))]
    sums = np.zeros(2)
    for start in range(0, len(rows), settings.batch_size):
        batch = data.batch(rows[start : start + settings.batch_size], device)
        lm, kl = answer_losses(model, batch, settings, with_attention=True)
        sums += np.array([lm.item(), kl.item()]) * batch.size
    return float(sums[0] / len(rows)), float(sums[1] / len(rows))


def rate_factor(step: int, settings: Settings) -> float:
    """Learning rate at `step` as a share of the highest: a linear rise, then a cosine to settings.minimum_rate."""
    rise = settings.warmup * settings.steps
    if step < rise:
        return (step + 1) / (rise + 1)
    progress = (step - rise) / max(1.0, settings.steps - rise)
    return settings.minimum_rate + (1 - settings.minimum_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def drawn_rows(draw: int, size: int, total: int, seed: int) -> NDArray[np.int64]:
    """Which of `total` windows are in batch number `draw`: every window once before any comes again.

    A function of its arguments alone, so a resumed fit goes on with the very batches it would have had.
    """
    places = np.arange(draw * size, (draw + 1) * size)
    return np.array(
        [_order(epoch, total, seed)[place] for epoch, place in zip(places // total, places % total, strict=True)]
    )


@functools.lru_cache(maxsize=2)
def _order(epoch: int, total: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(total)


# The folder and the saved state.


def _check_output(out: Path, settings: Settings, resume: bool) -> None:
    """Refuse what would overwrite something or go on with another fit, before any work is done."""
    if not resume:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise WillNotOverwrite(
                f"{out} is not empty; give another --out, or --resume to go on with an interrupted fit"
            )
    elif not (out / STATE).is_file():
        raise CannotResume(f"no interrupted fit in {out} (it would hold {STATE}); leave --resume out to start one")
    elif load_settings(out / SETTINGS) != settings:
        raise CannotResume(f"the settings differ from {out / SETTINGS}; resume with --config {out / SETTINGS}")


def _read_state(out: Path, recordings: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(out / STATE, weights_only=True)
    if state["data_hash"] != recordings:
        raise CannotResume(f"{out} was being fitted to other bags; give those, or start anew in another --out")
    # A fit that was killed has logged steps after its last saved state; they are about to be run again.
    rows = (out / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
    (out / METRICS).write_text(
        "".join(row for row in rows if json.loads(row)["step"] < state["step"]), encoding="utf-8"
    )
    return state


def _write_data(out: Path, data: Dataset, split: Split, sessions: Sequence[Recording]) -> None:
    part_of = ["training"] * len(split.training) + ["validation"] * len(split.validation)
    description = {
        "sessions": data.session_table(part_of),
        "held_out": [sessions[index].name for index in split.test],
        "dropped": dict(data.dropped),
        "labels": data.labels.texts,
    }
    (out / DATA).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _save_state(
    out: Path,
    step: int,
    weights: Mapping[str, torch.Tensor],
    best: Best,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    recordings: str,
) -> None:
    state = {
        "step": step,
        "weights": _copy(weights),
        "best": dataclasses.asdict(best),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "data_hash": recordings,
    }
    unfinished = out / (STATE + ".part")
    torch.save(state, unfinished)
    unfinished.replace(out / STATE)


def _copy(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()}


@torch.no_grad()
def _put(weights: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])


def _note_signals() -> Callable[[], bool]:
    """From now on SIGINT and SIGTERM are only noted: a step is never left half done. A second one ends at once."""
    noted: list[int] = []

    def note(number: int, _frame: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return lambda: bool(noted)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", type=Path, help="recipe, a YAML file (default: the defaults of training/settings.py)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must be empty or not there")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; repeatable"
    )
    parser.add_argument(
        "--gaze", choices=("real", "none", "shuffled"), help="short for --set gaze=...: the two controls"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted fit in --out")
    parser.add_argument("--cache", type=Path, help="folder for prepared windows, shared by fits of the same bags")
    parser.add_argument("bags", nargs="+", metavar="BAG", help="bag folders, .mcap files, folders of bags, or globs")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("fit.py", main))
