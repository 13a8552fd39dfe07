"""Train a tiny model to name and locate drawn things and the hand: a base from which every fit can start."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from gaze_vlm_ros.storage.atomic import new_folder, write_text
from gaze_vlm_ros.vlm.attention_tap import AttentionTap, enable_tap, middle_layers
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.tiny import build_tiny
from gaze_vlm_ros.vlm.token_boxes import visual_tokens
from training.pretraining.conversation import NOT_ASKED, Asked, Conversations
from training.pretraining.locating import LocatingHead, attention_loss
from training.pretraining.pictures import observations
from training.pretraining.questions import nearest, turns, words
from training.pretraining.settings import PretrainSettings, Stage
from training.run.optimizer import decay_groups

SHIPPED = Path(__file__).parent / "shipped"  # a cache in the repository: the base of config/pretrain_workbench.yaml
RECORD = "pretraining.json"  # settings, losses and accuracies, beside the weights; written last
_HELD_OUT, _TRAINING = 1, 0  # streams of observations


def base_folder(settings: PretrainSettings, cache: Path) -> Path:
    """Return the folder of the base model of these settings: in SHIPPED, or else in `cache`, there or not."""
    shipped = SHIPPED / settings.key
    return shipped if (shipped / RECORD).is_file() else cache / settings.key


def base_model(settings: PretrainSettings, cache: Path) -> Path:
    """Return the folder of the base model of these settings: in SHIPPED, or else in `cache`, made there if missing.

    It is a plain Hugging Face folder with RECORD beside the weights: give it to a fit as `model`.
    """
    if (base_folder(settings, SHIPPED) / RECORD).is_file():
        return base_folder(settings, SHIPPED)
    folder = base_folder(settings, cache)
    if not (folder / RECORD).is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of a pretraining that was killed while it wrote
        pretrain(settings, folder)
    return folder


def pretrain(settings: PretrainSettings, out: Path) -> None:
    """Pretrain a model and write it to the new folder `out`. Raises FileExistsError."""
    torch.manual_seed(settings.seed)
    model, processor = build_tiny(settings.model, words(), settings.seed, **settings.model_options)
    talk = Conversations(processor, (settings.width, settings.width * 3 // 4))
    head = LocatingHead(model, visual_tokens(model, processor, talk.size, 1)[1], settings.width)
    enable_tap(model)
    weights = {**dict(model.named_parameters()), **dict(head.named_parameters(prefix="locating"))}
    optimizer = torch.optim.AdamW(
        decay_groups(weights, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.95)
    )
    rng = np.random.default_rng([settings.seed, 8])
    log: list[dict[str, Any]] = []
    began, step = time.monotonic(), 0
    with head.watching(model), tqdm(total=settings.steps, desc="pretraining", unit="step", mininterval=0.5) as bar:
        for number, stage in enumerate(settings.stages):
            drawn, visual = observations(settings, stage, 2 * number + _TRAINING), talk.visual(stage.frames)
            losses: list[list[float]] = []
            for of_stage in range(stage.steps):
                model.train()
                seen = list(itertools.islice(drawn, stage.batch_size))
                asked = talk.inputs(seen, [turns(rng, one, settings.questions) for one in seen])
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * _rate(step, settings)
                parts = _losses(model, head, asked, head.coverage(seen), visual)
                factors = (1.0, settings.locating_weight, _attention_weight(step, settings))
                total = torch.stack(parts) @ torch.tensor(factors)
                total.backward()
                torch.nn.utils.clip_grad_norm_(list(weights.values()), settings.gradient_clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                losses.append([part.item() for part in parts])
                step += 1
                if step % settings.check_every == 0 or of_stage + 1 == stage.steps:
                    named = zip(("loss", "locating_loss", "attention_loss"), np.mean(losses, axis=0), strict=True)
                    accuracy = nearest_accuracy(model, talk, settings, stage)
                    log.append(
                        {"step": step, "frames": stage.frames, "benches": stage.benches,
                         **{name: round(float(mean), 4) for name, mean in named},
                         "nearest_accuracy": accuracy, "seconds": round(time.monotonic() - began, 1)}
                    )  # fmt: skip
                    losses = []
                    bar.set_postfix_str(f"loss {log[-1]['loss']:.3f} nearest {accuracy:.2f}")
                bar.update()
    model.eval()
    with new_folder(out):
        model.save_pretrained(out)
        processor.save_pretrained(out)
        record = {"settings": dataclasses.asdict(settings), "checks": log, "seconds": time.monotonic() - began}
        write_text(out / RECORD, json.dumps(record, indent=1) + "\n")


def _losses(model: Any, head: LocatingHead, asked: Asked, coverage: Tensor, visual: Tensor) -> list[Tensor]:
    """Return the losses of answers, mean of -log p over their tokens, of locating and of attention, nats."""
    tap = AttentionTap(asked.rows, visual, middle_layers(model))
    logits = model(**asked.inputs, use_cache=False, attention_tap=tap).logits
    lm = F.cross_entropy(logits.flatten(0, 1).float(), asked.targets.flatten(), ignore_index=NOT_ASKED)
    return [lm, head.loss(coverage, visual), attention_loss(tap.log_attention(), coverage, asked.about)]


def _attention_weight(step: int, settings: PretrainSettings) -> float:
    return settings.attention_weight * max(0.0, 1.0 - step / (settings.attention_until * settings.steps))


@torch.no_grad()
def nearest_accuracy(model: Any, talk: Conversations, settings: PretrainSettings, stage: Stage) -> float:
    """Return the share of held-out observations whose nearest thing the model names, by its own most likely tokens.

    Only observations in which one thing is clearly the nearest are asked about. Each token is predicted after the
    right ones before it, and all of them must be right, so the answer is the one that greedy generation gives.
    """
    model.eval()
    drawn = observations(settings, stage, 1000 + _HELD_OUT)
    clear = ((one, turn) for one in drawn if (turn := nearest(one)) is not None)
    chosen = list(itertools.islice(clear, settings.check_pictures))
    right = 0
    for start in range(0, len(chosen), 32):
        part = chosen[start : start + 32]
        asked = talk.inputs([one for one, _ in part], [[turn] for _, turn in part])
        said = model(**asked.inputs, use_cache=False).logits.argmax(dim=-1)
        right += int(((said == asked.targets) | (asked.targets == NOT_ASKED)).all(dim=1).sum())
    return right / len(chosen)


def accuracy_by_bench(folder: Path, settings: PretrainSettings) -> dict[int, float]:
    """Return `nearest_accuracy` of the base model in `folder` for each bench, with the frames of the last stage."""
    model, processor = load_vlm(folder)
    talk = Conversations(processor, (settings.width, settings.width * 3 // 4))
    last = settings.stages[-1]
    return {
        bench: nearest_accuracy(model, talk, settings, dataclasses.replace(last, benches=(bench,))) for bench in (1, 2)
    }


def _rate(step: int, settings: PretrainSettings) -> float:
    """Return the learning rate at `step` as a share of the highest: linear rise, then cosine to minimum_rate."""
    if step < settings.warmup_steps:
        return (step + 1) / (settings.warmup_steps + 1)
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.minimum_rate + (1 - settings.minimum_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
