"""A model whose text attends to pictures in layers of its own: where its keys look, and what the tap reads of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from test_visual_tokens import assert_boxes, check_against_patches, grid, random_patches

from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.attention_tap import AttentionTap, CannotTap, enable_tap, middle_layers, require_tap
from gaze_vlm_ros.vlm.generating import generate_after
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from gaze_vlm_ros.vlm.prompt import read_prompt
from gaze_vlm_ros.vlm.ranking import rank
from gaze_vlm_ros.vlm.tiny import build_tiny
from gaze_vlm_ros.vlm.token_boxes import visual_tokens
from training.model.loss import gaze_regularizer
from training.model.supervision import NoSuchLayer, supervised_layers
from training.settings import Settings

NAME = "tiny:mllama"
QUESTION = "What will the person do next?"
ANSWERS = ["take the red mug", "take the red mug from the box", "go"]
LAYERS = (1, 3)  # of four
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


@pytest.fixture
def mllama() -> tuple[Any, Any]:
    """Its attention looks somewhere, and what it finds matters."""
    model, processor = build_tiny(NAME, [QUESTION, *ANSWERS], hidden=64, image_size=64)
    with torch.no_grad():
        for layer in LAYERS:
            of_layer = model.get_decoder().layers[layer].cross_attn
            for name, factor in (("q_norm", 3), ("k_norm", 3), ("v_proj", 6), ("o_proj", 6)):
                getattr(of_layer, name).weight.mul_(factor)
    return model, processor


@contextmanager
def all_weights(model: Any) -> Iterator[dict[int, torch.Tensor]]:
    """Within, what the layers' eager attention gives: (B, H, S, V) by layer."""
    found: dict[int, torch.Tensor] = {}

    def keep(module: Any, _arguments: Any, output: Any) -> None:
        found[module.layer_idx] = output[1]

    hooks = [model.get_decoder().layers[layer].cross_attn.register_forward_hook(keep) for layer in LAYERS]
    yield found
    for hook in hooks:
        hook.remove()


def eager_copy(model: Any) -> Any:
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    return other


def windows(processor: Any, pictures: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Inputs of two windows of two frames, one question, and the positions of their visual tokens."""
    encoded = [encode(processor, pictures(2, (64, 48), seed=seed), QUESTION) for seed in range(2)]
    return {name: torch.cat([one.inputs[name] for one in encoded]) for name in encoded[0].inputs}, encoded[0].visual


@pytest.mark.parametrize("tiles", [1, 4])
def test_its_keys_look_at_the_cells_of_a_grid_and_one_a_tile_at_nothing(tiles):
    model, processor = build_tiny(NAME, [QUESTION], hidden=64, image_size=64, tiles=tiles)
    frame_index, boxes = visual_tokens(model, processor, (640, 480), 2)
    side = int(tiles**0.5)
    # The frame lies at the top left of a square of tiles, each of 4 x 4 tokens behind one that stands for all of it.
    size = 640 / side
    cells = [grid(4, 4, (size, size), (x * size, y * size)) for y in range(side) for x in range(side)]
    expected = np.concatenate([np.concatenate([np.zeros((1, 4)), cells_of_tile]) for cells_of_tile in cells])
    seen = (expected[:, 2] > 0) & (expected[:, 1] < 480)
    assert frame_index.tolist() == [*np.where(seen, 0, -1), *np.where(seen, 1, -1)]
    assert (boxes[frame_index < 0] == 0).all()
    shown = np.clip(expected[seen], 0, [640, 480, 640, 480])
    assert_boxes(boxes[frame_index >= 0], np.tile(shown, (2, 1)))
    check_against_patches(model, processor, (640, 480), 2, random_patches((640, 480), 4))


def test_the_tap_is_eager_attention_and_its_regularizer_has_the_same_gradient(mllama, pictures):
    model, processor = mllama[0].double(), mllama[1]
    inputs, visual = windows(processor, pictures)
    length = inputs["input_ids"].shape[1]
    rows = torch.tensor([[length - 1, length - 2, 4]]).expand(2, -1)
    gaze = torch.rand(2, len(visual), generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 4
    gaze = gaze / gaze.sum(dim=-1, keepdim=True)
    eager = eager_copy(model)
    enable_tap(model)
    tap = AttentionTap(rows, visual, LAYERS)
    model(**inputs, attention_tap=tap)
    with all_weights(eager) as found:
        eager(**inputs)
    expected = torch.cat([found[layer][0, :, rows[0]].unsqueeze(0) for layer in LAYERS], dim=1)
    torch.testing.assert_close(tap.per_head()[:1].double().exp(), expected, **CLOSE)
    assert expected.max() > 5 / len(visual)
    value = gaze_regularizer(tap.log_attention(), gaze)
    attention = torch.cat([found[layer][:, :, rows[0]] for layer in LAYERS], dim=1).mean(dim=1)
    by_hand = (gaze[:, None] * (gaze[:, None] / attention).log()).sum(dim=-1).mean()
    assert value.item() == pytest.approx(by_hand.item(), rel=1e-6)
    value.backward()
    by_hand.backward()
    largest = max(weight.grad.abs().max() for weight in eager.parameters() if weight.grad is not None)
    for (name, ours), theirs in zip(model.named_parameters(), eager.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        assert ours.grad is None or (ours.grad - theirs.grad).abs().max() < 5e-6 * largest, name
    assert model.get_decoder().layers[1].cross_attn.k_proj.weight.grad.abs().max() > 1e-3 * largest


def test_outputs_stay_bit_for_bit_and_checkpointing_changes_no_gradient(mllama, pictures):
    model, processor = mllama
    inputs, visual = windows(processor, pictures)
    plain = copy.deepcopy(model)
    enable_tap(model)
    checkpointed = copy.deepcopy(model)
    checkpointed.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    gaze = torch.softmax(torch.randn(2, len(visual), generator=torch.Generator().manual_seed(0)), dim=-1)
    values = []
    for other in (model, checkpointed):
        other.train()
        tap = AttentionTap(torch.tensor([[inputs["input_ids"].shape[1] - 1]] * 2), visual, LAYERS)
        output = other(**inputs, labels=inputs["input_ids"], use_cache=False, attention_tap=tap)
        value = output.loss + gaze_regularizer(tap.log_attention(), gaze)
        value.backward()
        values.append(value.item())
    assert values[0] == values[1]
    for ours, theirs in zip(model.parameters(), checkpointed.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)
    with torch.inference_mode():
        assert torch.equal(model.eval()(**inputs).logits, plain(**inputs).logits)


def test_answers_are_ranked_and_read_as_in_one_whole_pass(mllama, pictures):
    model, processor = mllama
    encoded = encode(processor, pictures(2, (64, 48)), QUESTION)
    answers = [answer_tokens(processor, text) for text in ANSWERS]
    ranking = rank(model, encoded, answers, LAYERS)
    eager = eager_copy(model)
    for number, answer in enumerate(answers):
        tokens = torch.tensor([answer])
        inputs = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds_of_answer(model, encoded))
        rows = slice(encoded.length - 1, encoded.length - 1 + len(answer))
        with torch.inference_mode(), all_weights(eager) as found:
            likelihoods = eager(**inputs).logits[0, rows].double().log_softmax(dim=-1)
        total = sum(likelihoods[at, token].item() for at, token in enumerate(answer))
        assert ranking.log_likelihoods[number] == pytest.approx(total, abs=1e-4)
        attention = torch.stack([found[layer][0][:, rows] for layer in LAYERS]).mean(dim=(0, 1, 2))
        np.testing.assert_allclose(ranking.attention[number], attention, rtol=1e-4, atol=1e-6)
    end = processor.tokenizer.eos_token_id
    prompt = read_prompt(model, encoded, LAYERS)
    with torch.inference_mode():
        theirs = model.generate(**encoded.inputs, max_new_tokens=4, do_sample=False)[0, encoded.length :].tolist()
    assert generate_after(model, prompt, {end}, 4, LAYERS).tokens == theirs


def test_a_saved_one_counts_its_keys_anew_and_its_other_layers_look_at_no_picture(mllama, pictures, tmp_path):
    model, processor = mllama
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, other = load_vlm(tmp_path)
    encoded, expected = (encode(one, pictures(3), QUESTION) for one in (other, processor))
    assert torch.equal(encoded.visual, expected.visual)
    assert len(encoded.visual) == 3 * 17
    assert middle_layers(again) == LAYERS
    require_tap(again, other, LAYERS)
    with pytest.raises(CannotTap, match=r"decoder layers \[0\] of Mllama.* set kl_layers to some of \[1, 3\]"):
        require_tap(again, other, (0, 1))
    with pytest.raises(
        NoSuchLayer, match="kl_layers holds 2, and tiny:mllama looks at pictures in decoder layers 1, 3"
    ):
        supervised_layers(again, Settings(model=NAME, kl_layers=(1, 2)))
