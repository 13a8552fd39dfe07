"""Layers that see only the last tokens, that share the keys of others, or that have no keys: linear attention.

Some of the tokens stand for a picture.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm.attention_tap import HIDDEN, AttentionTap, CannotTap, enable_tap
from gaze_vlm_ros.vlm.cross_attention import looking_layers
from gaze_vlm_ros.vlm.generating import generate_after
from gaze_vlm_ros.vlm.observation import Encoded
from gaze_vlm_ros.vlm.prompt import read_prompt
from gaze_vlm_ros.vlm.ranking import Ranker

KINDS = ["sliding_attention", "full_attention"] * 2
SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
}  # fmt: skip
LENGTH = 24
VISUAL = torch.arange(3, 15)
ANSWERS = [[30, 31, 1], [30, 32, 33, 34, 1], [35, 1], [36]]


def sharpened(model: Any) -> Any:
    """Return the model with attention that looks somewhere, and whose findings matter."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "proj" in name and "self_attn" in name:
                weight.mul_(8)
    return model.eval()


def gemma3(window: int) -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    options = {
        "sliding_window": window,
        "layer_types": KINDS,
        "query_pre_attn_scalar": 8,
        "use_bidirectional_attention": False,
    }
    return sharpened(Gemma3ForCausalLM(Gemma3TextConfig(**SMALL, **options)))


def gemma4(window: int) -> Any:
    """Layers 2 and 3 use the keys and values of 0 and 1, and are given only the tokens whose logits are kept."""
    from transformers import Gemma4ForCausalLM, Gemma4TextConfig

    torch.manual_seed(0)
    config = Gemma4TextConfig(
        **SMALL, sliding_window=window, layer_types=KINDS, num_kv_shared_layers=2, hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=64, global_head_dim=8,
    )  # fmt: skip
    return sharpened(Gemma4ForCausalLM(config))


def qwen3_5(window: int) -> Any:
    """Layers 0 and 2 remember a sum, which cannot be repeated for several answers."""
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    torch.manual_seed(0)
    linear = {f"linear_{name}": 8 if "dim" in name else 2 for name in
              ("num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim")}  # fmt: skip
    config = Qwen3_5TextConfig(**SMALL, **linear, layer_types=["linear_attention", "full_attention"] * 2)
    return Qwen3_5ForCausalLM(config).eval()


def question(batch: int = 1) -> dict[str, Any]:
    ids = torch.randint(3, 64, (batch, LENGTH), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def eager(model: Any, inputs: dict[str, Any], layer: int) -> torch.Tensor:
    """(B, H, S, V) of eager attention that falls on a visual token, not normalized."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    with torch.inference_mode():
        return other(**inputs, output_attentions=True).attentions[layer][..., VISUAL]


def normalized(attention: torch.Tensor) -> torch.Tensor:
    total = attention.sum(dim=-1, keepdim=True)
    return torch.where(total > 1e-12, attention / total.clamp(min=1e-12), torch.zeros(()))


@pytest.mark.parametrize("build", [gemma3, gemma4])
@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_outputs_with_a_tap_are_those_of_the_plain_model(build: Any, padding: str) -> None:
    model, inputs = build(10), question(2)
    hidden = {"none": slice(0), "left": slice(4), "right": slice(-4, None)}[padding]
    inputs["attention_mask"][1, hidden] = 0
    plain = copy.deepcopy(model)
    enable_tap(model)
    for options in ({}, {"logits_to_keep": 3}, {"logits_to_keep": 1, "use_cache": True}):
        tap = AttentionTap(torch.full((2, 1), LENGTH - 1), VISUAL, (0, 1), LENGTH)
        with torch.inference_mode():
            expected = plain(**inputs, **options)
            for given in ({}, {"attention_tap": tap}):
                found = model(**inputs, **options, **given)
                assert torch.equal(found.logits, expected.logits)
            if "use_cache" in options:
                fresh = {"input_ids": inputs["input_ids"][:, :2]}
                after = [m(**fresh, past_key_values=cache.past_key_values).logits for m, cache in
                         ((model, found), (plain, expected))]  # fmt: skip
                assert torch.equal(*after)


@pytest.mark.parametrize("build", [gemma3, gemma4])
@pytest.mark.parametrize("window", [4, 10, 19, 100])
def test_attention_is_eager_attention_at_every_window(build: Any, window: int) -> None:
    """In one pass, of the tokens whose logits are kept, and on top of a cache that the window has cut."""
    model, inputs = build(window), question()
    enable_tap(model)
    for layer in range(4):
        whole = normalized(eager(model, inputs, layer))
        tap = AttentionTap(torch.arange(LENGTH - 5, LENGTH)[None], VISUAL, (layer,), LENGTH)
        with torch.inference_mode():
            model(**inputs, logits_to_keep=5, attention_tap=tap, use_cache=False)
        torch.testing.assert_close(
            tap.per_head().exp(), whole[:, :, -5:], rtol=0, atol=1e-5
        )  # float32 kernels differ by CPU
        blind = window == 4 and layer % 2 == 0
        assert bool((tap.per_head() == HIDDEN).all()) == blind  # the last 5 see no visual token

        before = {name: tensor[:, :-2] for name, tensor in inputs.items()}
        tap = AttentionTap(torch.tensor([[0, 1]]), VISUAL, (layer,), LENGTH)
        with torch.inference_mode():
            cache = model(**before, use_cache=True).past_key_values
            model(input_ids=inputs["input_ids"][:, -2:], past_key_values=cache, attention_tap=tap)
        torch.testing.assert_close(
            tap.per_head().exp(), whole[:, :, -2:], rtol=0, atol=1e-5
        )  # float32 kernels differ by CPU


def test_a_layer_that_is_not_given_the_rows_is_named() -> None:
    model, inputs = gemma4(100), question()
    model.set_attn_implementation("eager")  # always given only the last
    enable_tap(model)
    tap = AttentionTap(torch.tensor([[LENGTH - 4]]), VISUAL, (3,), LENGTH)
    with torch.inference_mode(), pytest.raises(CannotTap, match="layer 3 is given only the last 2 of 24 tokens"):
        model(**inputs, logits_to_keep=2, attention_tap=tap, use_cache=False)


@pytest.mark.parametrize(
    ("build", "window"), [(build, window) for build in (gemma3, gemma4) for window in (4, 10, 100)] + [(qwen3_5, 0)]
)
def test_answers_are_ranked_and_generated_as_in_one_whole_pass(build: Any, window: int) -> None:
    """Prompts longer than the window are nothing special: Gemma 3 with four pictures has one."""
    model, inputs = build(window), question()
    layers = looking_layers(model)
    assert layers == ((1, 3) if build == qwen3_5 else (0, 1, 2, 3))
    ranking = Ranker(model, ANSWERS, layers).rank(Encoded(inputs, VISUAL))
    assert ranking.attention is not None
    for row, answer in enumerate(ANSWERS):
        ids = torch.cat([inputs["input_ids"], torch.tensor([answer])], dim=1)
        whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            scores = model(**whole, use_cache=False).logits[0].double().log_softmax(-1)
        places = range(LENGTH - 1, LENGTH + len(answer) - 1)
        expected = sum(scores[place, token] for place, token in zip(places, answer, strict=True))
        assert ranking.log_likelihoods[row] == pytest.approx(float(expected), abs=2e-4)
        per_layer = torch.stack(
            [
                normalized(eager(model, whole, layer if build != qwen3_5 else layer // 2))[0, :, list(places)]
                for layer in layers
            ]
        )
        of_rows = normalized(per_layer.sum(dim=(0, 1)))
        attention = normalized(of_rows.sum(dim=0))
        np.testing.assert_allclose(ranking.attention[row], attention, atol=1e-5)
    said = generate_after(model, read_prompt(model, Encoded(inputs, VISUAL), layers), {1}, 4, layers)
    ids = torch.cat([inputs["input_ids"], torch.tensor([said.tokens])], dim=1)
    with torch.inference_mode():
        greedy = model(input_ids=ids, use_cache=False).logits[0].argmax(dim=-1)
    assert greedy[LENGTH - 1 : -1].tolist() == said.tokens
    assert said.attention is not None
    assert said.attention.sum() == pytest.approx(1)


def test_rows_that_see_no_visual_token_have_no_attention() -> None:
    model, inputs = gemma3(4), question()
    prompt = read_prompt(model, Encoded(inputs, VISUAL), (0,))
    assert prompt.attention is not None
    assert not prompt.attention.any()
    ranking = Ranker(model, ANSWERS, (0,)).rank(Encoded(inputs, VISUAL))
    assert ranking.attention is not None
    assert not ranking.attention.any()
    both = Ranker(model, ANSWERS, (0, 1)).rank(Encoded(inputs, VISUAL))
    full = Ranker(model, ANSWERS, (1,)).rank(Encoded(inputs, VISUAL))
    assert both.attention is not None
    np.testing.assert_allclose(both.attention, full.attention, atol=1e-6)
