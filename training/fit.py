"""Fine-tune a vision-language model on training bags, its attention led by where people looked.

    python training/fit.py --config config/fit_demo.yaml --out build/run BAG...
    torchrun --nproc-per-node 4 training/fit.py --config ... --cache /data/windows --out ... BAG...

Writes a plain Hugging Face folder with gaze_vlm.json, settings.yaml, data.json and metrics.jsonl beside the weights.
Ctrl-C saves the state; the same command with --resume goes on from it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.labels.label_set import LabelSet, collect_labels
from gaze_vlm_ros.vlm.attention_tap import enable_tap, require_tap
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.windows.cutting import NoWindows
from training.data.gaze_prompt import question
from training.data.gaze_targets import prior_target, shuffled_rows
from training.data.preparation import prepare
from training.data.recordings import Recording, data_hash, find_bags, load_recordings
from training.data.split import split_sessions
from training.data.workers import bag_mapper
from training.model.distributed import CannotShare, is_sharded, join
from training.model.gaze_block import add_gaze_block, require_place
from training.model.memory import report_out_of_memory
from training.model.trainable import make_trainable, plain_model, supervised_heads, supervised_layers, weights_dtype
from training.run.batch_sampler import chosen_rows
from training.run.export import export_checkpoint
from training.run.job import Job, Parts
from training.run.loop import make_optimizer, require_tensorboard, train
from training.run.preflight import notes_on_data, require_disk, run_preflight
from training.run.run_folder import (
    SETTINGS,
    STATE,
    check_output,
    put,
    read_state,
    report_full_disk,
    write_data,
)
from training.settings import Settings, load_settings, save_settings

ADAPTER = "adapter"  # folder of the low-rank adapters alone, as peft loads them


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    settings = load_settings(
        arguments.config, [*arguments.set, *([f"gaze={arguments.gaze}"] if arguments.gaze else [])]
    )
    out: Path = arguments.out
    if arguments.prepare_only and arguments.cache is None:
        raise CannotShare("--prepare-only keeps the prepared windows: give --cache, the folder for them")
    check_output(out, settings, arguments.resume)
    if arguments.tensorboard:
        require_tensorboard()
    accelerator, device = join(settings)
    if accelerator.num_processes > 1 and arguments.cache is None:
        raise CannotShare("several processes share the prepared windows: give --cache, a folder that all of them see")
    with report_out_of_memory(settings, device), report_full_disk(out):
        return _fit(arguments, settings, accelerator, device)


def _fit(arguments: argparse.Namespace, settings: Settings, accelerator: Accelerator, device: str) -> int:
    out: Path = arguments.out
    # What there is to learn from.
    with bag_mapper(arguments.workers, arguments.ray) as mapper:
        recordings = load_recordings(find_bags(arguments.bags), settings, mapper)
        split = split_sessions(recordings, settings)
        labels = collect_labels(
            row
            for track in (recordings[i].labels for i in split.training)
            for row in zip(track.texts, track.verbs, track.object_classes, strict=True)
        )
        used = [recordings[i] for i in (*split.training, *split.validation)]
        digest = data_hash(used)

        # The model, and the windows as it takes them.
        model, processor = _load(settings, labels, device)
        require_tap(model, processor, supervised_layers(model, settings))
        supervised_heads(model, settings)  # raises where there are no such heads
        if settings.gaze_as == "block":
            require_place(model)
        with accelerator.main_process_first():  # it converts, and the others read
            data = prepare(
                used, labels, settings, model, processor, arguments.cache, settings.gaze != "none", mapper,
                [recordings[i] for i in split.training],
            )  # fmt: skip
    if arguments.prepare_only:
        print(f"{len(data.windows)} windows are prepared in {arguments.cache}", flush=True)
        return 0
    parts = Parts(
        chosen_rows(data.rows_of(range(len(split.training))), settings),
        data.rows_of(range(len(split.training), len(used))),
    )
    if not len(parts.training):
        raise NoWindows("the training sessions give no window; see stride_s, leads_s and split in the settings")
    gaze_of = np.arange(len(data.windows))
    if settings.gaze == "shuffled":
        gaze_of[parts.training] = parts.training[shuffled_rows(data.has_gaze[parts.training], settings.seed)]
    prior = None
    if settings.gaze in ("uniform", "centred"):
        prior = prior_target(settings.gaze, data.frame_of_token, data.boxes, data.frame_size)
    job = Job(data, parts, gaze_of, prior, settings, device, accelerator, digest)
    notes = notes_on_data(data, parts, split, recordings, settings)

    trained = _make_trainable(model, settings, accelerator, data.visual)
    weights = _trained_weights(model)
    require_disk(out, model, weights)
    state = read_state(out, used, digest, accelerator) if arguments.resume else None
    say = print if accelerator.is_main_process else _say_nothing
    say(
        f"{len(parts.training)} windows to train on ({data.has_gaze[parts.training].mean():.0%} with gaze), "
        f"{len(parts.validation)} to choose by; {len(labels.texts)} answers, {data.gaze.shape[1]} visual tokens, "
        f"{sum(weight.numel() for weight in weights.values()):,} weights",
        flush=True,
    )
    for note in notes:
        say(f"note: {note}", flush=True)

    # Two batches before the first step. A sharded model fits a device only when it is shared out, others are tried
    # alone: weights that no loss depends on must be known before the processes agree on gradients.
    whole_model = model
    optimizer = make_optimizer(weights, settings)
    if is_sharded(accelerator):
        model, optimizer = accelerator.prepare(model, optimizer)
        weights = _trained_weights(model)
    first_step = state["step"] if state else 0
    preflight = run_preflight(model, weights, job, first_step)
    say(preflight.text(settings.steps - first_step), flush=True)
    if not is_sharded(accelerator):
        for name in preflight.without_gradient:
            weights.pop(name).requires_grad_(False)
        model, optimizer = accelerator.prepare(model, make_optimizer(weights, settings))
    if state is None and accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        save_settings(settings, out / SETTINGS)
        write_data(out, data, split, recordings, notes)
    accelerator.wait_for_everyone()

    chosen = train(model, weights, optimizer, job, out, state, arguments.tensorboard)
    if chosen is None:
        say("fit.py: interrupted, state saved; the same command with --resume goes on", file=sys.stderr)
        return 130
    if not accelerator.is_main_process:
        return 0
    if is_sharded(accelerator):
        whole_model, processor = _load(settings, labels, device)
        trained = _make_trainable(whole_model, settings, accelerator, data.visual)
    put(_trained_weights(whole_model), chosen)
    _export(out, trained, processor, job, used, len(split.training))
    (out / STATE).unlink(missing_ok=True)
    print(f"checkpoint: {out}", flush=True)
    return 0


def _load(settings: Settings, labels: LabelSet, device: str) -> tuple[Any, Any]:
    model, processor = load_vlm(
        settings.model,
        device=device,
        dtype=weights_dtype(settings),
        texts=[question(settings), *labels.texts],
        seed=settings.seed,
        **settings.model_options,
    )
    enable_tap(model)
    return model, processor


def _make_trainable(model: Any, settings: Settings, accelerator: Accelerator, visual: torch.Tensor) -> Any:
    """Adapters are drawn by the seed, the same in every process; dropout is not."""
    torch.manual_seed(settings.seed)
    trained = make_trainable(model, settings)
    if settings.gaze_as == "block":
        add_gaze_block(model, visual)
    if accelerator.process_index:
        torch.manual_seed(settings.seed + 1_000_003 * accelerator.process_index)
    return trained


def _trained_weights(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _export(out: Path, trained: Any, processor: Any, job: Job, used: Sequence[Recording], learnt: int) -> None:
    """learnt: so many of the sessions, the first, were trained on; the others chose the weights."""
    settings = job.settings
    if settings.train == "lora":
        trained.save_pretrained(out / ADAPTER)
    plain = plain_model(trained).to(getattr(torch, settings.dtype))
    export_checkpoint(
        out, plain, processor, job.data, job.parts.validation, used[:learnt], used[learnt:], job.data_hash, settings,
        job.device,
    )  # fmt: skip


def _say_nothing(*_: object, **__: object) -> None:
    """What all processes would say, the first one says."""


def _another_process() -> int:
    """A user's mistake is the same in all processes, and the first one tells it."""
    try:
        return main()
    except GazeVlmError:
        return 1


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
    parser.add_argument(
        "--prepare-only", action="store_true", help="convert the bags into --cache and stop: needs no GPU"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="bags to convert at a time, each by a process (default: 1)"
    )
    parser.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS", help="convert bags on this Ray cluster (default: auto)"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write the figures for TensorBoard, too")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("fit.py", main) if not int(os.environ.get("RANK", 0)) else _another_process())
