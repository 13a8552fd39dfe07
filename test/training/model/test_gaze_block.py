"""A gaze block on the patches of the vision tower: where a resampler or layers of cross-attention follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import TEXTS, located

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.backends import ModelBackend
from gaze_vlm_ros.prediction.checkpoint import NotACheckpoint, read_checkpoint_metadata
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.patches import Patches, patch_states, tower_width, vision_tower
from gaze_vlm_ros.vlm.prompt import KeepsNothing
from gaze_vlm_ros.vlm.tiny import TINY_MODELS, build_tiny
from gaze_vlm_ros.vlm.token_boxes import CannotLocate, vision_patches
from training import evaluate, fit
from training.model.gaze_block import NoPlaceForBlock, add_gaze_block

FRAMES = {"idefics2": 2, "blip2": 1, "vit-gpt2": 1}
QUICK = ["steps=6", "check_every=3", "gaze_as=block", "model_options={}", "validation=[s2]"]


def saved(name: str, folder: Path) -> Path:
    model, processor = located(name)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def arguments(small_settings: list[str], model: Path, frames: int, *more: str) -> list[str]:
    own = [*QUICK, f"model={model}", f"frames={frames}", *more]
    return [*small_settings, *(part for value in own for part in ("--set", value))]


@pytest.mark.parametrize("name", ["idefics2", "vit-gpt2"])
def test_a_fit_with_a_block_on_patches_is_saved_loaded_and_evaluated(
    name: str, small_bags: Path, small_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    model, out = saved(name, tmp_path / "model"), tmp_path / "out"
    given = arguments(small_settings, model, FRAMES[name])
    assert fit.main([*given, "--out", str(out), *bags]) == 0, capsys.readouterr().err
    assert read_checkpoint_metadata(out).gaze_block
    assert evaluate.main([str(out), str(small_bags / "s3"), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["groups"]["elsewhere"]
    assert scores["windows"] == 24
    assert all(np.isfinite(scores["attention"][name]) for name in ("kl", "nss", "auc", "top_k_overlap"))
    with pytest.raises(NotACheckpoint, match="gaze block"):
        ModelBackend(out)
    # The block is in the answers: without its weights they are others.
    metadata = json.loads((out / "gaze_vlm.json").read_text())
    (out / "gaze_vlm.json").write_text(json.dumps(metadata | {"gaze_block": False}))
    (out / "settings.yaml").write_text((out / "settings.yaml").read_text().replace("gaze_as: block", "gaze_as: head"))
    with pytest.raises(GazeVlmError):
        evaluate.evaluate_checkpoint(out, [str(small_bags / "s3")])


def windows_of(processor: Any, count: int, frames: int) -> list[dict[str, torch.Tensor]]:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, frames, 48, 64, 3), np.uint8)
    return [encode(processor, list(shown), TEXTS[0]).inputs for shown in pictures]


@pytest.mark.parametrize("name", [*FRAMES, "tiny:mllama"])
def test_a_block_on_patches_changes_nothing_at_first_and_mixes_no_windows(name: str) -> None:
    tiny = name in TINY_MODELS
    model, processor = build_tiny(name, TEXTS, hidden=64, image_size=64) if tiny else located(name)
    frames = FRAMES.get(name, 2)
    first, second = windows_of(processor, 2, frames)
    both = {key: torch.cat([first[key], second[key]]) for key in first}
    with torch.no_grad():
        before = model(**both).logits
        frame_of_patch, boxes = vision_patches(model, processor, (64, 48), frames)
        block = add_gaze_block(model, Patches(len(boxes), tower_width(model, processor, (64, 48), frames)))
        torch.testing.assert_close(model(**both).logits, before)
        together = block.log_attention
        assert together is not None
        torch.testing.assert_close(together.exp().sum(-1), torch.ones(2))
        torch.nn.init.normal_(block.out.weight)
        assert not torch.allclose(model(**both).logits, before)
        for number, alone in enumerate((first, second)):
            model(**alone)
            torch.testing.assert_close(block.log_attention[0], together[number], rtol=1e-4, atol=1e-5)
    assert np.bincount(frame_of_patch[frame_of_patch >= 0]).tolist() == [(frame_of_patch == 0).sum()] * frames


@pytest.mark.parametrize("name", FRAMES)
def test_a_bright_square_lights_up_the_patches_whose_boxes_it_covers(name: str) -> None:
    """The vision tower mixes no patches here, because what its attention gives is multiplied by zero."""
    model, processor = located(name)
    frames, size = FRAMES[name], (128, 96)
    frame_of_patch, boxes = vision_patches(model, processor, size, frames)
    outputs = [
        layer
        for module, layer in vision_tower(model).named_modules()
        if module.endswith(("self_attn.out_proj", "self_attn.projection", "attention.o_proj"))
    ]
    assert len(outputs) == 2
    for layer in outputs:
        torch.nn.init.zeros_(layer.weight)
    square = (40, 24, 72, 56)

    def features(shown: list[np.ndarray]) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        hook = vision_tower(model).register_forward_hook(lambda _, __, out: seen.append(patch_states(out)))
        with torch.no_grad():
            model(**encode(processor, shown, TEXTS[0]).inputs)
        hook.remove()
        return seen[0].flatten(0, -2)

    dark = np.zeros((size[1], size[0], 3), np.uint8)
    lit = dark.copy()
    lit[square[1] : square[3], square[0] : square[2]] = 255
    change = (features([dark] * (frames - 1) + [lit]) - features([dark] * frames)).norm(dim=-1).numpy()
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=0)
    inside = np.minimum(boxes[:, 2:], square[2:]) - np.maximum(boxes[:, :2], square[:2])
    last = frame_of_patch == frames - 1
    covered, away = last & (inside > sides / 3).all(axis=1), ~last | (inside < -sides / 2).any(axis=1)
    assert covered.sum() >= 2
    assert change[covered].min() > 100 * change[away].max()


@pytest.mark.parametrize(("name", "frames"), [("blip2", 2), ("vit-gpt2", 2)])
def test_a_model_of_one_picture_says_so(name: str, frames: int) -> None:
    with pytest.raises(GazeVlmError) as caught:
        tower_width(*located(name), (64, 48), frames)
    assert "set frames: 1" in str(caught.value)


def test_a_model_without_a_cache_is_refused_before_bags_are_converted(
    small_bags: Path, small_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(small_settings, saved("blip2", tmp_path / "model"), 1)
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    with pytest.raises(KeepsNothing, match=r"Blip2.* keeps no keys and values of what it has read"):
        fit.main([*given, "--out", str(tmp_path / "out"), *bags])
    assert "windows:" not in capsys.readouterr().err


def test_patches_of_another_number_are_refused() -> None:
    model, processor = located("idefics2")
    add_gaze_block(model, Patches(7, 64))
    with pytest.raises(NoPlaceForBlock, match="expected 7 for each window"):
        model(**windows_of(processor, 1, 2)[0])


def test_a_tower_whose_last_states_are_not_used_is_no_place() -> None:
    """LLaVA's decoder is given states of an earlier layer."""
    with pytest.raises(CannotLocate, match="does not depend on the last states of its vision tower"):
        tower_width(*located("llava-next"), (64, 48), 1)
