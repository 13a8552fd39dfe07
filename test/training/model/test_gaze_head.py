"""Gaze as a second task: what the head predicts, and that it leaves the model as it was."""

from pathlib import Path

import pytest
import torch

from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import encode
from training.data.batch import Batch
from training.model.forward import answer_losses
from training.model.gaze_head import NoPlaceForHead, add_gaze_head, gaze_head_of, remove_gaze_head, require_states
from training.settings import Settings

TINY = {"image_size": 32, "patch_size": 8, "merge": 2, "hidden": 32, "text_layers": 3, "vision_layers": 1}


def small_batch() -> tuple[object, Batch]:
    import numpy as np

    model, processor = load_vlm("tiny:smolvlm", texts=["take the red disc"], **TINY)
    frames = [np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8) for seed in range(2)]
    encoded = encode(processor, frames, "What next?")
    answer = torch.tensor([[5, 6, 7]])
    inputs = dict(encoded.inputs)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answer], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    count = len(encoded.visual)
    gaze = torch.zeros(1, count)
    gaze[0, 2], gaze[0, 5] = 0.75, 0.25
    return model, Batch(inputs, answer, encoded.visual, torch.arange(count) // (count // 2), gaze)


def test_a_head_predicts_gaze_from_visual_tokens_and_attention_stays_free() -> None:
    model, batch = small_batch()
    plain, _ = answer_losses(model, batch, Settings(gaze="none"), with_attention=False)
    head = add_gaze_head(model, batch.visual)
    settings = Settings(gaze_as="head")
    lm, kl = answer_losses(model, batch, settings, with_attention=True)
    torch.testing.assert_close(lm, plain)
    predicted = head.log_gaze.exp()
    torch.testing.assert_close(predicted.sum(dim=-1), torch.ones(1))
    by_hand = sum(g * (torch.log(torch.tensor(g)) - head.log_gaze[0, v]) for v, g in ((2, 0.75), (5, 0.25)))
    torch.testing.assert_close(kl, by_hand)
    kl.backward()
    assert head.linear.weight.grad.abs().max() > 0
    assert model.model.vision_model.embeddings.patch_embedding.weight.grad.abs().max() > 0
    # Also without λ the head takes part, with a gradient of zero: several processes wait for it.
    _, unused = answer_losses(model, batch, settings, with_attention=False)
    assert unused.requires_grad


def test_a_removed_head_leaves_the_plain_model(tmp_path: Path) -> None:
    model, batch = small_batch()
    before, names = model(**batch.inputs).logits, set(model.state_dict())
    add_gaze_head(model, batch.visual)
    assert set(model.state_dict()) > names
    remove_gaze_head(model)
    assert set(model.state_dict()) == names
    assert gaze_head_of(model) is None
    torch.testing.assert_close(model(**batch.inputs).logits, before)
    remove_gaze_head(model)  # nothing to do


def test_a_model_without_visual_tokens_in_its_prompt_is_refused() -> None:
    model, _ = load_vlm("tiny:mllama", texts=["take the red disc"])
    with pytest.raises(NoPlaceForHead, match=r"gaze_as is 'head'.*use gaze_as: attention"):
        require_states(model)
