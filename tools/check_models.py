"""Build each architecture tiny, try on it everything that a fit needs, and print the table of docs/models.md.

    python tools/check_models.py [NAME...]

Columns: visual tokens; where a bright square shows, least change of tokens that it covers and largest of tokens away;
attention read beside eager attention (of a gaze block: beside attention written down here), largest difference; logits
with and without reading it; gradient of the regularizer in float32 beside float64, relative; answers ranked beside one
pass for each, nats; three steps; a fit by training/fit.py from a saved folder; largest difference of the logits after
saving and loading, here and by plain transformers, of the model as built and of the fit's checkpoint.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "support"))

import numpy as np
import torch
from architectures import BUILDERS, ONE_PICTURE, TEXTS, located  # type: ignore[import-not-found]  # in test/support
from numpy.typing import NDArray
from small_bags import write_small_bag  # type: ignore[import-not-found]
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.attention_tap import AttentionTap, CannotTap, enable_tap, middle_layers, require_tap
from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
from gaze_vlm_ros.vlm.cross_attention import NARRATOR, crossing_layers, looking_layers, states_among
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import Encoded, encode, label_tokens
from gaze_vlm_ros.vlm.patches import CannotLocate, Patches, patch_states, tower_width, vision_tower
from gaze_vlm_ros.vlm.ranking import rank
from gaze_vlm_ros.vlm.tiny import TINY_MODELS, build_tiny
from gaze_vlm_ros.vlm.token_boxes import no_vision_attention, vision_patches, visual_tokens
from training import evaluate, fit
from training.model.gaze_block import add_gaze_block, gaze_block_of
from training.model.loss import gaze_regularizer

SIZE = (128, 96)  # px
SQUARE = (40, 24, 88, 72)  # px
COLUMNS = (
    "model", "visual tokens", "bright square", "attention", "logits", "gradient", "ranking", "three steps", "fit",
    "loaded", "plain transformers",
)  # fmt: skip
ALL = (*TINY_MODELS, *BUILDERS)
FIT = (
    "steps=3", "batch_size=2", "check_every=3", "observation_s=1.0", "leads_s=[1.0]", "gaze_flow=false",
    "gaze_window_s=0.1", "validation=[s2]", "learning_rate=1e-3",
)  # fmt: skip


class WrongBoxes(Exception):
    """A bright square changes tokens that have their boxes elsewhere."""


@dataclass(frozen=True)
class Looking:
    """A model, and where in it gaze is put: on attention to visual tokens, or on a block on the patches."""

    model: Any
    layers: tuple[int, ...]  # whose attention is read; none = the block's
    frame_of_token: NDArray[np.int64]
    boxes: NDArray[np.float64]
    patches: Patches | None  # of the block

    def read(self, inputs: dict[str, Tensor], encoded: Encoded, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and (1, R, V) log attention of `rows` of one pass."""
        if self.patches:
            logits = self.model(**inputs, use_cache=False).logits
            block = gaze_block_of(self.model)
            assert block is not None
            assert block.log_attention is not None
            return logits, block.log_attention[:, None]
        length = inputs["input_ids"].shape[1]
        tap = AttentionTap(rows, encoded.visual, self.layers, None if crossing_layers(self.model) else length)
        logits = self.model(**inputs, use_cache=False, attention_tap=tap).logits
        return logits, tap.log_attention()

    def copied(self, dtype: torch.dtype) -> Looking:
        """Return the same with a copy of the model in another precision."""
        model = copy.deepcopy(self.model).to(dtype)
        if dtype == torch.float64:
            model.set_experts_implementation("eager")  # the other kinds have no float64
        if self.patches:  # a copied hook would call the block of the original
            vision_tower(model)._forward_hooks.clear()
            weights = gaze_block_of(model).state_dict()  # type: ignore[union-attr]
            add_gaze_block(model, self.patches).to(dtype).load_state_dict(weights)
        else:
            enable_tap(model)
        return Looking(model, self.layers, self.frame_of_token, self.boxes, self.patches)


def main(names: Sequence[str]) -> int:
    """Print the table of `names`, all if there are none; return 1 if a check failed in another way than by refusal."""
    warnings.filterwarnings("ignore")
    hide_broken_torchvision()
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS))
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        bags = [str(write_small_bag(Path(folder) / f"s{seed}", seed, takes=3)) for seed in range(4)]
        for name in names or ALL:
            try:
                cells = check(name, bags)
            except GazeVlmError as error:
                cells = [f"refused: {error}"] + [""] * (len(COLUMNS) - 2)
            except Exception as error:  # a row for each model, whatever happens
                failed = True
                said = " ".join(str(error).split())[:300]
                cells = [f"FAILED: {type(error).__name__}: {said}"] + [""] * (len(COLUMNS) - 2)
            print("| " + " | ".join([name, *cells]) + " |", flush=True)
    return int(failed)


def check(name: str, bags: Sequence[str]) -> list[str]:
    """Return the cells of one model's row. Raises GazeVlmError for a model that is refused."""
    build: Callable[[], tuple[Any, Any]] = (
        (lambda: build_tiny(name, TEXTS, hidden=64, image_size=64)) if name in TINY_MODELS else (lambda: located(name))
    )
    model, processor = build()
    count = 1 if name in ONE_PICTURE else 2
    frames = [np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8) for seed in range(count)]
    encoded = encode(processor, frames, TEXTS[0])
    looking = places(model, processor, count)
    seen = int((looking.frame_of_token >= 0).sum())
    cells = [f"{len(looking.boxes)}{' patches' if looking.patches else ''}, {seen} with a box"]
    cells.append(bright_square(looking, processor, count))
    with torch.no_grad(), tempfile.TemporaryDirectory() as saved, tempfile.TemporaryDirectory() as out:
        expected = model(**encoded.inputs, use_cache=False).logits
        model.save_pretrained(saved)
        processor.save_pretrained(saved)
        loaded, plain = differences(saved, frames, expected)
        with torch.enable_grad():
            fitted = fit_and_load(saved, Path(out) / "fit", frames, looking, bags)
    if looking.patches:
        add_gaze_block(model, looking.patches)
    cells.append(f"{attention_difference(looking, encoded):.0e}")
    with torch.no_grad():
        tapped, _ = looking.read(encoded.inputs, encoded, torch.tensor([[encoded.length - 1]]))
    cells.append(f"{float((tapped - expected).abs().max()):.0e}")
    cells.append(f"{gradient_difference(looking, encoded):.0e}")
    answers = label_tokens(processor, TEXTS[1:])
    found = rank(model, encoded, answers).log_likelihoods
    cells.append(f"{np.abs(found - brute_force(model, encoded, answers)).max():.0e}")
    cells.append(three_steps(looking, encoded, answers))
    return [*cells, fitted[0], loaded, f"{plain}, {fitted[1]}"]


def places(model: Any, processor: Any, frames: int) -> Looking:
    """Return where gaze is put: on visual tokens; or on patches, where these have no place or cannot be read.

    Raises GazeVlmError for a model that has neither.
    """
    layers = middle_layers(model)
    try:
        frame_of_token, boxes = visual_tokens(model, processor, SIZE, frames)
        require_tap(model, processor, layers)
        return Looking(model, layers, frame_of_token, boxes, None)
    except (CannotLocate, CannotTap):
        width = tower_width(model, processor, SIZE, frames)
    frame_of_token, boxes = vision_patches(model, processor, SIZE, frames)
    return Looking(model, (), frame_of_token, boxes, Patches(len(boxes), width))


def bright_square(looking: Looking, processor: Any, frames: int) -> str:
    """Return least change of tokens that a square in the last frame covers, and largest of tokens away.

    The vision tower's attention is off, since a token may look around through it. Raises WrongBoxes.
    """
    model, boxes = looking.model, looking.boxes
    dark = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    lit = dark.copy()
    lit[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = 255

    def features(last: NDArray[np.uint8]) -> Tensor:
        given: list[Tensor] = []
        encoded = encode(processor, [dark] * (frames - 1) + [last], TEXTS[0])

        def of_decoder(_module: Any, arguments: Any, keywords: dict[str, Any]) -> None:
            if crossing_layers(model):
                given.append(states_among(keywords).flatten(0, -2)[encoded.visual])
            else:
                embeddings = keywords["inputs_embeds"] if "inputs_embeds" in keywords else arguments[0]
                given.append(embeddings[0, encoded.visual])

        hook = (
            vision_tower(model).register_forward_hook(lambda _, __, out: given.append(patch_states(out).flatten(0, -2)))
            if looking.patches
            else model.get_decoder().register_forward_pre_hook(of_decoder, with_kwargs=True)
        )
        with torch.no_grad(), no_vision_attention(model):
            model(**encoded.inputs, use_cache=False)
        hook.remove()
        return given[0].double()

    change = (features(lit) - features(dark)).norm(dim=-1).numpy()
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=0)
    inside = np.minimum(boxes[:, 2:], SQUARE[2:]) - np.maximum(boxes[:, :2], SQUARE[:2])
    last = looking.frame_of_token == frames - 1
    covered, away = last & (inside > sides / 3).all(axis=1), ~last | (inside < -sides / 2).any(axis=1)
    least, largest = float(change[covered].min()), float(change[away].max())
    if not least > 10 * largest:
        raise WrongBoxes(f"least change inside {least:.2g}, largest away {largest:.2g}")
    return f"{least:.0e}, {largest:.0e}"


def differences(folder: str | Path, frames: Sequence[NDArray[np.uint8]], expected: Tensor) -> tuple[str, str]:
    """Return how far the logits of a saved model are from `expected`, loaded here and by plain transformers."""
    from transformers import AutoModelForImageTextToText

    ours, processor = load_vlm(folder)
    inputs = encode(processor, frames, TEXTS[0]).inputs
    loaded = float((ours(**inputs, use_cache=False).logits - expected).abs().max())
    plain = AutoModelForImageTextToText.from_pretrained(folder).eval()
    if plain.config.model_type == NARRATOR:
        inputs = {"pixel_values": inputs["pixel_values"], "decoder_input_ids": inputs["input_ids"]}
    return f"{loaded:.0e}", f"{float((plain(**inputs, use_cache=False).logits - expected).abs().max()):.0e}"


def fit_and_load(
    model: str, out: Path, frames: Sequence[NDArray[np.uint8]], looking: Looking, bags: Sequence[str]
) -> tuple[str, str]:
    """Fit a saved model to three bags by fit.py; return what became of it, and its difference in plain transformers.

    A checkpoint with a gaze block is for evaluate.py, which scores it on the fourth bag.
    """
    own = [*FIT, f"model={model}", f"frames={len(frames)}", f"gaze_as={'block' if looking.patches else 'attention'}"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = fit.main([*(part for value in own for part in ("--set", value)), "--out", str(out), *bags[:3]])
        if code == 0 and looking.patches:
            scores = evaluate.evaluate_checkpoint(out, bags[3:])["groups"]["bench"]
    if code:
        raise RuntimeError(f"fit.py: {said.getvalue().strip().splitlines()[-1]}")
    if looking.patches:
        if not math.isfinite(scores["attention"]["kl"]):
            raise RuntimeError("evaluate.py: no KL of the block's attention")
        return "saved, evaluated", "with a block: evaluate.py only"
    ours, processor = load_vlm(out)
    with torch.no_grad():
        expected = ours(**encode(processor, frames, TEXTS[0]).inputs, use_cache=False).logits
        return "saved, loaded", differences(out, frames, expected)[1]


def attention_difference(looking: Looking, encoded: Encoded) -> float:
    """Return how far the attention of the last token, or of the block, is from attention that is computed by itself."""
    rows = torch.tensor([[encoded.length - 1]])
    if looking.patches:
        return block_difference(looking, encoded, rows)
    model, layers = looking.model, looking.layers
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = other(**encoded.inputs, use_cache=False, output_attentions=True).attentions
        tap = AttentionTap(rows, encoded.visual, layers, None if crossing_layers(model) else encoded.length)
        model(**encoded.inputs, use_cache=False, attention_tap=tap)
        read = tap.by_layer
    worst = 0.0
    # Layers without attention of their own, such as linear attention, return none.
    numbers = {layer: number for number, layer in enumerate(looking_layers(model))}
    several = len(attentions) == len(numbers) and not crossing_layers(model)
    for layer in layers:
        kept = attentions[numbers[layer] if several else layer][0, :, -1][:, encoded.visual]
        worst = max(worst, float((read[layer][0, :, 0].exp() - kept / kept.sum(-1, keepdim=True)).abs().max()))
    return worst


def block_difference(looking: Looking, encoded: Encoded, rows: Tensor) -> float:
    """Return how far a block's attention is from softmax(q k / sqrt(d)) of each head, averaged (arXiv 2510.21356)."""
    given: list[Tensor] = []
    block = gaze_block_of(looking.model)
    assert block is not None
    hook = block.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0][0]))
    with torch.no_grad():
        _, read = looking.read(encoded.inputs, encoded, rows)
        hook.remove()
        normed = block.norm(given[0])
        query, key = block.query(normed.mean(0)), block.key(normed)
        width = len(query) // block.heads
        parts = [slice(head * width, (head + 1) * width) for head in range(block.heads)]
        expected = torch.stack([torch.softmax(key[:, part] @ query[part] / width**0.5, 0) for part in parts]).mean(0)
    return float((read[0, 0].exp() - expected).abs().max())


def gradient_difference(looking: Looking, encoded: Encoded) -> float:
    """Return how far the gradient of the regularizer is from that in float64, relative to its norm."""
    gradients = []
    for dtype in (torch.float32, torch.float64):
        other = looking.copied(dtype)
        inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in encoded.inputs.items()}
        gaze = torch.softmax(torch.arange(len(looking.boxes)) / 9.0, 0)[None]
        _, read = other.read(inputs, encoded, torch.tensor([[encoded.length - 1]]))
        gaze_regularizer(read, gaze).backward()
        weights = other.model.named_parameters()
        gradients.append(torch.cat([w.grad.double().flatten() for _, w in sorted(weights) if w.grad is not None]))
    return float((gradients[0] - gradients[1]).norm() / gradients[1].norm())


def brute_force(model: Any, encoded: Encoded, answers: list[list[int]]) -> NDArray[np.float64]:
    """Return the log-likelihood of each answer from one whole pass, without a cache."""
    kinds, scores = kinds_of_answer(model, encoded), []
    for answer in answers:
        tokens = torch.tensor([answer])
        whole = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds)
        with torch.no_grad():
            logits = model(**whole, use_cache=False).logits[0].double().log_softmax(-1)
        scores.append(sum(float(logits[encoded.length - 1 + at, token]) for at, token in enumerate(answer)))
    return np.array(scores)


def three_steps(looking: Looking, encoded: Encoded, answers: list[list[int]]) -> str:
    """Train three steps on one answer and on gaze; return both losses before and after, nats."""
    tokens, kinds = torch.tensor([answers[0]]), kinds_of_answer(looking.model, encoded)
    whole = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds)
    length = whole["input_ids"].shape[1]
    rows = torch.arange(encoded.length - 1, length - 1)[None]
    gaze = torch.zeros(1, len(looking.boxes))
    gaze[0, len(looking.boxes) // 2] = 1
    optimizer = torch.optim.AdamW(looking.model.parameters(), 1e-3)
    seen = []
    for _ in range(4):
        logits, read = looking.read(whole, encoded, rows)
        lm, kl = torch.nn.functional.cross_entropy(logits[0, rows[0]], tokens[0]), gaze_regularizer(read, gaze)
        seen.append((lm.item(), kl.item()))
        optimizer.zero_grad(set_to_none=True)
        (lm + kl).backward()
        optimizer.step()
    return f"language {seen[0][0]:.2f} to {seen[-1][0]:.2f}, KL {seen[0][1]:.2f} to {seen[-1][1]:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
