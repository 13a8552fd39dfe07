"""Build each architecture tiny, try on it everything that a fit needs, and print the table of docs/models.md.

    python tools/check_models.py [NAME...]

Figures: attention read beside eager attention, largest difference; gradient of the regularizer in float32 beside
float64, relative; answers ranked beside one pass for each, nats; logits after saving and loading, here and by plain
transformers, largest difference.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "support"))

import numpy as np
import torch
from architectures import BUILDERS, TEXTS, located  # type: ignore[import-not-found]  # in test/support

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.attention_tap import AttentionTap, enable_tap, middle_layers, require_tap
from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
from gaze_vlm_ros.vlm.cross_attention import crossing_layers, looking_layers
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import Encoded, encode, label_tokens
from gaze_vlm_ros.vlm.ranking import rank
from gaze_vlm_ros.vlm.tiny import TINY_MODELS, build_tiny
from gaze_vlm_ros.vlm.token_boxes import visual_tokens
from training.model.loss import gaze_regularizer

SIZE = (128, 96)  # px
COLUMNS = ("model", "visual tokens", "attention", "gradient", "ranking", "three steps", "loaded", "plain transformers")


def main(names: list[str]) -> int:
    """Print the table of `names`, all if there are none; return 1 if a check failed in another way than by refusal."""
    warnings.filterwarnings("ignore")
    hide_broken_torchvision()
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS))
    failed = False
    for name in names or [*TINY_MODELS, *BUILDERS]:
        try:
            cells = check(name)
        except GazeVlmError as error:
            cells = [f"refused: {error}"] + [""] * (len(COLUMNS) - 2)
        except Exception as error:  # a row for each model, whatever happens
            failed = True
            cells = [f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:200]}"] + [""] * (
                len(COLUMNS) - 2
            )
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
    return int(failed)


def check(name: str) -> list[str]:
    """Return the cells of one model's row. Raises GazeVlmError for a model that is refused."""
    build: Callable[[], tuple[Any, Any]] = (
        (lambda: build_tiny(name, TEXTS, hidden=64, image_size=64)) if name in TINY_MODELS else (lambda: located(name))
    )
    model, processor = build()
    frames = [np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8) for seed in range(2)]
    encoded = encode(processor, frames, TEXTS[0])
    layers = middle_layers(model)
    frame_of_token, _ = visual_tokens(model, processor, SIZE, len(frames))
    require_tap(model, processor, layers)
    cells = [f"{len(encoded.visual)}, {int((frame_of_token >= 0).sum())} with a box"]
    cells.append(f"{eager_difference(model, encoded, layers):.0e}")
    cells.append(f"{gradient_difference(model, encoded, layers):.0e}")
    answers = label_tokens(processor, TEXTS[1:])
    found = rank(model, encoded, answers).log_likelihoods
    cells.append(f"{np.abs(found - brute_force(model, encoded, answers)).max():.0e}")
    cells.append(three_steps(model, encoded, answers, layers))
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        expected = model(**encoded.inputs, use_cache=False).logits
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        again, loaded_processor = load_vlm(folder)
        same = encode(loaded_processor, frames, TEXTS[0])
        cells.append(f"{float((again(**same.inputs, use_cache=False).logits - expected).abs().max()):.0e}")
        from transformers import AutoModelForImageTextToText

        plain = AutoModelForImageTextToText.from_pretrained(folder).eval()
        cells.append(f"{float((plain(**encoded.inputs, use_cache=False).logits - expected).abs().max()):.0e}")
    return cells


def tapped(model: Any, encoded: Encoded, layers: tuple[int, ...], rows: torch.Tensor) -> AttentionTap:
    """Return a tap that has read `rows` of one pass."""
    tap = AttentionTap(rows, encoded.visual, layers, None if crossing_layers(model) else encoded.length)
    model(**encoded.inputs, use_cache=False, attention_tap=tap)
    return tap


def eager_difference(model: Any, encoded: Encoded, layers: tuple[int, ...]) -> float:
    """Return how far the attention of the last token is from eager attention that falls on visual tokens."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = other(**encoded.inputs, use_cache=False, output_attentions=True).attentions
        read = tapped(model, encoded, layers, torch.tensor([[encoded.length - 1]])).by_layer
    worst = 0.0
    # Layers without attention of their own, such as linear attention, return none.
    places = {layer: place for place, layer in enumerate(looking_layers(model))}
    several = len(attentions) == len(places) and not crossing_layers(model)
    for layer in layers:
        kept = attentions[places[layer] if several else layer][0, :, -1][:, encoded.visual]
        worst = max(worst, float((read[layer][0, :, 0].exp() - kept / kept.sum(-1, keepdim=True)).abs().max()))
    return worst


def gradient_difference(model: Any, encoded: Encoded, layers: tuple[int, ...]) -> float:
    """Return how far the gradient of the regularizer is from that in float64, relative to its norm."""
    gradients = []
    for dtype in (torch.float32, torch.float64):
        other = copy.deepcopy(model).to(dtype)
        enable_tap(other)
        inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in encoded.inputs.items()}
        gaze = torch.softmax(torch.arange(len(encoded.visual)) / 9.0, 0)[None]
        tap = tapped(other, Encoded(inputs, encoded.visual), layers, torch.tensor([[encoded.length - 1]]))
        gaze_regularizer(tap.log_attention(), gaze).backward()
        gradients.append(torch.cat([w.grad.double().flatten() for w in other.parameters() if w.grad is not None]))
    return float((gradients[0] - gradients[1]).norm() / gradients[1].norm())


def brute_force(model: Any, encoded: Encoded, answers: list[list[int]]) -> np.ndarray:
    """Return the log-likelihood of each answer from one whole pass, without a cache."""
    kinds, scores = kinds_of_answer(model, encoded), []
    for answer in answers:
        tokens = torch.tensor([answer])
        whole = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds)
        with torch.no_grad():
            logits = model(**whole, use_cache=False).logits[0].double().log_softmax(-1)
        scores.append(sum(float(logits[encoded.length - 1 + at, token]) for at, token in enumerate(answer)))
    return np.array(scores)


def three_steps(model: Any, encoded: Encoded, answers: list[list[int]], layers: tuple[int, ...]) -> str:
    """Train three steps on one answer and on gaze; return both losses before and after, nats."""
    tokens, kinds = torch.tensor([answers[0]]), kinds_of_answer(model, encoded)
    whole = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds)
    length = whole["input_ids"].shape[1]
    rows = torch.arange(encoded.length - 1, length - 1)[None]
    gaze = torch.zeros(1, len(encoded.visual))
    gaze[0, len(encoded.visual) // 2] = 1
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    seen = []
    for _ in range(4):
        tap = AttentionTap(rows, encoded.visual, layers, None if crossing_layers(model) else length)
        logits = model(**whole, use_cache=False, attention_tap=tap).logits[0, rows[0]]
        lm, kl = torch.nn.functional.cross_entropy(logits, tokens[0]), gaze_regularizer(tap.log_attention(), gaze)
        seen.append((lm.item(), kl.item()))
        optimizer.zero_grad(set_to_none=True)
        (lm + kl).backward()
        optimizer.step()
    return f"language {seen[0][0]:.2f} to {seen[-1][0]:.2f}, KL {seen[0][1]:.2f} to {seen[-1][1]:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
