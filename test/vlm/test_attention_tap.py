"""What the tap reads against eager attention with all its weights, and against arithmetic by hand; what it leaves as
it was. The attention of a fresh tiny model is nearly flat, so its projections are enlarged first."""

from __future__ import annotations

import copy
import inspect
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm.attention_tap import AttentionTap, CannotTap, enable_tap, middle_layers, require_tap
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.tiny import build_tiny
from training.model.loss import gaze_regularizer

LAYERS = (0, 1, 3)  # of four
BOTH_WAYS = ("tiny:gemma3", "tiny:paligemma2")  # the tokens of a picture, or of the whole prompt, all see each other
QUESTIONS = ["What will the person do next?", "Next?"]
# Sums of float32 products in another order, enlarged by the exponential of logits of about 10.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-7}
FLOAT64 = {"rtol": 3e-6, "atol": 1e-7}  # the softmax of logits in float32 is what remains, there as here


@pytest.fixture
def sharp(tiny) -> Any:
    """The decoder's attention looks somewhere, and what it finds matters."""
    model = copy.deepcopy(tiny[0])
    with torch.no_grad():
        for layer in model.get_decoder().layers:
            for name, factor in (("q_proj", 6), ("k_proj", 6), ("v_proj", 4), ("o_proj", 4)):
                getattr(layer.self_attn, name).weight.mul_(factor)
    return model


def frames_of(pictures: Any, count: int) -> list[Any]:
    return [pictures(2, (64, 48), seed=seed) for seed in range(count)]


def batch_of(processor: Any, windows: list[Any], questions: list[str], left: bool) -> tuple[dict[str, Any], Any]:
    """Inputs of several windows, padded, and (B, V) positions of their visual tokens."""
    encoded = [encode(processor, frames, question) for frames, question in zip(windows, questions, strict=True)]
    longest = max(one.length for one in encoded)
    inputs = {}
    for name, first in encoded[0].inputs.items():
        parts = [one.inputs[name] for one in encoded]
        if first.shape == encoded[0].inputs["input_ids"].shape:
            pads = [(longest - part.shape[1], 0) if left else (0, longest - part.shape[1]) for part in parts]
            parts = [torch.nn.functional.pad(part, pad) for part, pad in zip(parts, pads, strict=True)]
        inputs[name] = torch.cat(parts)
    shifts = [longest - one.length if left else 0 for one in encoded]
    return inputs, torch.stack([one.visual + shift for one, shift in zip(encoded, shifts, strict=True)])


def eager_copy(model: Any) -> Any:
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    return other


def restricted(attentions: Any, layers: tuple[int, ...], rows: torch.Tensor, visual: torch.Tensor) -> torch.Tensor:
    """(B, L * H, R, V) of eager attention (B, H, S, S) of every layer, given that it falls on a visual token."""
    parts = []
    for layer in layers:
        of_layer = attentions[layer]
        picked = [of_layer[b][:, rows[b]][:, :, visual[b]] for b in range(len(rows))]
        parts.append(torch.stack(picked))
    kept = torch.cat(parts, dim=1)
    return kept / kept.sum(dim=-1, keepdim=True)


def rows_to_read(inputs: dict[str, Any], visual: torch.Tensor, left: bool) -> torch.Tensor:
    """(B, R) the last six tokens of each prompt, and one in the midst of its pictures, which sees those before it."""
    lengths = inputs["attention_mask"].sum(dim=1)
    last = torch.full_like(lengths, inputs["input_ids"].shape[1] - 1) if left else lengths - 1
    tail = last[:, None] - torch.arange(6)
    return torch.cat([tail, visual[:, visual.shape[1] // 2, None]], dim=1)


@pytest.mark.parametrize(
    ("padding", "dtype", "close"),
    [
        ("none", torch.float32, FLOAT32),
        ("left", torch.float32, FLOAT32),
        ("right", torch.float32, FLOAT32),
        ("none", torch.float64, FLOAT64),
        ("right", torch.float64, FLOAT64),  # left: transformers' eager attention gives NaN for rows of padding
    ],
)
def test_it_is_eager_attention_given_that_it_falls_on_a_visual_token(
    tiny, tiny_name, sharp, pictures, padding, dtype, close
):
    model, processor = sharp.to(dtype), tiny[1]
    questions = [QUESTIONS[0]] * 2 if padding == "none" else QUESTIONS
    inputs, visual = batch_of(processor, frames_of(pictures, 2), questions, padding == "left")
    inputs = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    assert (inputs["attention_mask"] == 0).any() == (padding != "none")
    rows = rows_to_read(inputs, visual, padding == "left")
    eager = eager_copy(model)
    enable_tap(model)
    tap = AttentionTap(rows, visual, LAYERS)
    with torch.inference_mode():
        model(**inputs, attention_tap=tap)
        expected = restricted(eager(**inputs, output_attentions=True).attentions, LAYERS, rows, visual)
    per_head = tap.per_head().to(dtype).exp()
    torch.testing.assert_close(per_head, expected, **close)
    for number, layer in enumerate(LAYERS):
        torch.testing.assert_close(
            tap.by_layer[layer].to(dtype).exp(), expected[:, 4 * number : 4 * number + 4], **close
        )
    averaged = tap.log_attention().exp()
    torch.testing.assert_close(averaged.to(dtype), expected.mean(dim=1), **close)
    torch.testing.assert_close(averaged.sum(dim=-1), torch.ones(rows.shape), rtol=1e-6, atol=0)
    # The comparison says something: attention is far from flat, heads differ, and no row sees what comes after it.
    assert expected[:, :, :6].max() > 5 / visual.shape[1]
    assert (expected[:, 0] - expected[:, 1]).abs().max() > 0.02
    after = slice(visual.shape[1] // 2 + 1, None)
    if tiny_name in BOTH_WAYS:
        assert (expected[:, :, 6, after] > 0).any()
    else:
        assert (per_head[:, :, 6, after] == 0).all()


def test_layers_that_were_not_asked_for_leave_no_record(tiny, sharp, pictures):
    inputs, visual = batch_of(tiny[1], frames_of(pictures, 1), QUESTIONS[:1], left=False)
    enable_tap(sharp)
    tap = AttentionTap(rows_to_read(inputs, visual, False), visual, (2,))
    with torch.inference_mode():
        sharp(**inputs, attention_tap=tap)
    assert list(tap.by_layer) == [2]
    assert tap.per_head().shape == (1, 4, 7, visual.shape[1])


@pytest.mark.parametrize("left", [False, True])
def test_outputs_are_bit_for_bit_those_of_the_plain_model(tiny, tiny_name, sharp, pictures, left):
    inputs, visual = batch_of(tiny[1], frames_of(pictures, 2), QUESTIONS, left)
    plain = copy.deepcopy(sharp)
    own = "eager" if tiny_name == "tiny:paligemma2" else "sdpa"  # Gemma 2 caps its logits, which SDPA cannot
    assert plain.config.get_text_config()._attn_implementation == own
    enable_tap(sharp)
    tap = AttentionTap(rows_to_read(inputs, visual, left), visual, LAYERS)
    with torch.inference_mode():
        expected = plain(**inputs).logits
        assert torch.equal(sharp(**inputs).logits, expected)
        assert torch.equal(sharp(**inputs, attention_tap=tap).logits, expected)
        assert torch.equal(
            sharp.generate(**inputs, max_new_tokens=3, do_sample=False),
            plain.generate(**inputs, max_new_tokens=3, do_sample=False),
        )
    assert len(tap.by_layer) == len(LAYERS)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("fresh", [1, 4])
def test_on_top_of_a_cache_it_reads_the_same_as_in_one_pass(tiny, tiny_name, sharp, pictures, fresh, left):
    """fresh: tokens of the second pass, the first of which came before them."""
    questions = QUESTIONS if left else QUESTIONS[:1] * 2
    inputs, visual = batch_of(tiny[1], frames_of(pictures, 2), questions, left)
    length = inputs["input_ids"].shape[1]
    if tiny_name == "tiny:paligemma2":
        inputs["token_type_ids"][:, -fresh:] = 1  # an answer's tokens, which those before them do not see
    eager = eager_copy(sharp)
    enable_tap(sharp)
    per_token = {name for name, tensor in inputs.items() if tensor.shape == inputs["input_ids"].shape}
    first = {name: tensor[:, :-fresh] if name in per_token else tensor for name, tensor in inputs.items()}
    rows = torch.arange(fresh).expand(2, -1)
    tap = AttentionTap(rows, visual, LAYERS)
    given: list[Any] = []
    eager.get_decoder().register_forward_pre_hook(
        lambda _module, _arguments, keywords: given.append(keywords.get("position_ids")), with_kwargs=True
    )
    with torch.inference_mode():
        whole = eager(**inputs, output_attentions=True).attentions
        # Qwen takes the positions of later tokens from its caller, which generate() is as a rule.
        positions = {} if given[0] is None else {"position_ids": given[0][..., -fresh:]}
        cache = sharp(**first, use_cache=True).past_key_values
        sharp(
            input_ids=inputs["input_ids"][:, -fresh:],
            attention_mask=inputs["attention_mask"],
            past_key_values=cache,
            attention_tap=tap,
            **positions,
        )
    expected = restricted(whole, LAYERS, rows + length - fresh, visual)
    torch.testing.assert_close(tap.per_head().exp(), expected, **FLOAT32)


# Gradients.


def case_with_gaze(processor: Any, pictures: Any) -> tuple[dict[str, Any], torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs, visual = batch_of(processor, frames_of(pictures, 2), QUESTIONS, left=False)
    rows = rows_to_read(inputs, visual, False)[:, :3]
    gaze = torch.rand(visual.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 4
    gaze[:, ::3] = 0
    return inputs, visual, rows, gaze / gaze.sum(dim=-1, keepdim=True)


def gradients(model: Any) -> dict[str, torch.Tensor | None]:
    return {name: weight.grad for name, weight in model.named_parameters()}


def test_the_gradient_of_the_regularizer_is_that_through_eager_attention(tiny, sharp, pictures):
    layers = (1, 2)
    inputs, visual, rows, gaze = case_with_gaze(tiny[1], pictures)
    model = sharp.double()
    inputs = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    eager = eager_copy(model)
    enable_tap(model)
    tap = AttentionTap(rows, visual, layers)
    model(**inputs, attention_tap=tap)
    value = gaze_regularizer(tap.log_attention(), gaze)
    value.backward()

    attention = restricted(eager(**inputs, output_attentions=True).attentions, layers, rows, visual).mean(dim=1)
    seen = gaze > 0
    terms = [
        (gaze[b, seen[b]] * (gaze[b, seen[b]] / attention[b, r, seen[b]]).log()).sum()
        for b in range(len(rows))
        for r in range(rows.shape[1])
    ]
    by_hand = torch.stack(terms).mean()
    by_hand.backward()

    assert value.item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert value.item() > 0.1
    ours, theirs = gradients(model), gradients(eager)
    reached = {name for name, gradient in theirs.items() if gradient is not None}
    assert reached == {name for name, gradient in ours.items() if gradient is not None}
    largest = max(theirs[name].abs().max().item() for name in reached)
    for name in reached:
        difference = (ours[name] - theirs[name]).abs().max().item()
        assert difference < 5e-6 * largest, name
    # The led layers learn where to look; those above them, and what the last of them makes of it, feel nothing.
    decoder = model.get_decoder().layers
    for layer in layers:
        for projection in (decoder[layer].self_attn.q_proj, decoder[layer].self_attn.k_proj):
            assert projection.weight.grad.abs().max() > 1e-4 * largest
    above = [*decoder[3].parameters(), *decoder[2].mlp.parameters(), decoder[2].self_attn.v_proj.weight]
    assert all(weight.grad is None for weight in above)
    assert max(ours[name].abs().max() for name in reached if "vis" in name) > 1e-4 * largest


def test_gradient_checkpointing_changes_no_gradient(tiny, sharp, pictures):
    inputs, visual, rows, gaze = case_with_gaze(tiny[1], pictures)
    enable_tap(sharp)
    checkpointed = copy.deepcopy(sharp)
    checkpointed.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    runs: list[int] = []
    for layer in checkpointed.get_decoder().layers:
        layer.self_attn.register_forward_pre_hook(lambda module, _: runs.append(module.layer_idx))
    values = []
    for model in (sharp, checkpointed):
        model.train()
        tap = AttentionTap(rows, visual, (1, 2))
        output = model(**inputs, labels=inputs["input_ids"], use_cache=False, attention_tap=tap)
        value = output.loss + gaze_regularizer(tap.log_attention(), gaze)
        value.backward()
        assert sorted(tap.by_layer) == [1, 2]
        values.append(value.item())
    assert sorted(runs) == [0, 0, 1, 1, 2, 2, 3, 3]  # each layer ran again during backward
    assert values[0] == values[1]
    for name, gradient in gradients(sharp).items():
        other = gradients(checkpointed)[name]
        if gradient is None:
            assert name.split(".vision")[0] == "model"  # LLaVA leaves the end of its vision tower out
            assert other is None
        else:
            assert torch.equal(gradient, other), name


# By hand.


@pytest.mark.parametrize("cached", [0, 5])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("scaling", [None, 0.7])
@pytest.mark.parametrize("kind", ["none", "padding", "boolean", "additive"])
def test_recording_is_arithmetic(kind, scaling, softcap, cached):
    """Every mask that transformers hands to an attention function, every option, two query heads a key head."""
    batch, heads, key_heads, fresh, width = 2, 4, 2, 6, 8
    keys = cached + fresh
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(batch, heads, fresh, width, generator=generator, dtype=torch.float64)
    key = torch.randn(batch, key_heads, keys, width, generator=generator, dtype=torch.float64)
    rows = torch.tensor([[5, 3], [4, 2]])
    visual = torch.tensor([[0, 1, 2, 4], [1, 2, 3, 4]])
    real = torch.ones(batch, keys, dtype=torch.bool)
    if kind != "none":
        real[0, :2] = False
    causal = torch.arange(keys)[None, :] <= cached + torch.arange(fresh)[:, None]
    allowed = (causal[None] & real[:, None])[:, None]
    mask = {
        "none": None,
        "padding": real.long(),
        "boolean": allowed,
        "additive": torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min),
    }[kind]
    tap = AttentionTap(rows, visual, (3,))
    tap.record(3, query, key, scaling, mask, softcap)
    tap.record(3, query + 1, key, scaling, mask, softcap)  # as activation checkpointing does again: not kept

    for b in range(batch):
        for head in range(heads):
            for r, row in enumerate(rows[b].tolist()):
                weights = []
                for position in visual[b].tolist():
                    logit = float(query[b, head, row] @ key[b, head // 2, position])
                    logit *= 1 / math.sqrt(width) if scaling is None else scaling
                    logit = logit if softcap is None else softcap * math.tanh(logit / softcap)
                    weights.append(math.exp(logit) if allowed[b, 0, row, position] else 0.0)
                expected = np.array(weights) / sum(weights)
                np.testing.assert_allclose(tap.per_head()[b, head, r].exp(), expected, rtol=1e-6)
    expected = tap.per_head().double().exp().mean(dim=1)
    torch.testing.assert_close(tap.log_attention().double().exp(), expected, rtol=1e-6, atol=0)


def test_one_list_of_visual_positions_serves_all_windows():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(3, 4, 6, 8, generator=generator), torch.randn(3, 2, 6, 8, generator=generator)
    rows, visual = torch.tensor([[5], [4], [5]]), torch.tensor([0, 2, 3])
    one, each = AttentionTap(rows, visual, (0,)), AttentionTap(rows, visual.expand(3, -1), (0,))
    for tap in (one, each):
        tap.record(0, query, key, None, None, None)
    assert torch.equal(one.log_attention(), each.log_attention())


# Models and settings that cannot be tapped.


def test_an_implementation_that_cannot_be_tapped_is_named(tiny):
    model = copy.deepcopy(tiny[0])
    model.config.get_text_config()._attn_implementation_internal = "nobody_registered_this"
    with pytest.raises(CannotTap, match="attention implementation 'nobody_registered_this' cannot be tapped; load "):
        enable_tap(model)


def test_a_layer_that_does_not_exist_is_named(tiny, pictures):
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    encoded = encode(processor, pictures(1, (64, 48)), QUESTIONS[0])
    enable_tap(model)
    tap = AttentionTap(torch.tensor([[encoded.length - 1]]), encoded.visual, (1, 4, 9))
    with torch.inference_mode():
        model(**encoded.inputs, attention_tap=tap)
    with pytest.raises(
        CannotTap, match=r"decoder layers \[4, 9\] gave no attention: the model has no such layers, is not"
    ):
        tap.log_attention()


def test_a_model_that_was_not_prepared_is_named(tiny, pictures):
    model, processor = tiny
    encoded = encode(processor, pictures(1, (64, 48)), QUESTIONS[0])
    tap = AttentionTap(torch.tensor([[encoded.length - 1]]), encoded.visual, (1,))
    with torch.inference_mode():
        model(**encoded.inputs, attention_tap=tap)
    with pytest.raises(CannotTap, match=r"decoder layers \[1\] gave no attention: .* is not prepared \(enable_tap\)"):
        tap.log_attention()


def test_one_pass_shows_what_cannot_be_tapped(tiny_name):
    """The decoder swallows the keyword, refuses it, or has a layer of another kind; then nothing is wrong."""
    model, processor = build_tiny(tiny_name, QUESTIONS, hidden=32, image_size=32)
    name, decoder, whole = type(model).__name__, model.get_decoder(), model.get_decoder().forward
    decoder.forward = lambda *given, attention_tap=None, **options: whole(*given, **options)
    with pytest.raises(CannotTap, match=f"{name} does not pass keyword arguments on to the attention of its decoder"):
        require_tap(model, processor, (1, 2))

    def refuse(**options: Any) -> Any:
        raise TypeError(f"forward() got an unexpected keyword argument {min(options)!r}")

    decoder.forward = refuse
    with pytest.raises(CannotTap, match=f"{name} accepts no keyword for its attention .forward.* 'attention_"):
        require_tap(model, processor, (1, 2))

    decoder.forward = whole
    attend = decoder.layers[1].self_attn.forward
    decoder.layers[1].self_attn.forward = lambda *given, attention_tap=None, **options: attend(*given, **options)
    with pytest.raises(CannotTap, match=rf"layers \[1\] of {name} have no attention .* some of \[0, 2, 3"):
        require_tap(model, processor, (1, 2))

    decoder.layers[1].self_attn.forward = attend
    require_tap(model, processor, (1, 2))
    assert all(weight.grad is None for weight in model.parameters())


def test_a_model_whose_outputs_a_tap_changes_is_named(tiny_name):
    model, processor = build_tiny(tiny_name, QUESTIONS, hidden=32, image_size=32)
    head = model.get_output_embeddings().forward
    decoder, tapped = model.get_decoder(), []
    whole = decoder.forward

    def noted(*given: Any, **options: Any) -> Any:
        tapped.append("attention_tap" in options)
        return whole(*given, **options)

    decoder.forward = noted
    require_tap(model, processor, (1, 2))
    model.get_output_embeddings().forward = lambda states: head(states) + 0.63 * tapped[-1]
    with pytest.raises(CannotTap, match=r"gives other logits while its attention is read \(all tokens: 0\.63 off\)"):
        require_tap(model, processor, (1, 2))


def test_preparing_leaves_the_settings_and_the_functions_without_a_tap_as_they_were(tiny, tmp_path):
    """Model code compares the name of its attention with "sdpa" (Gemma 4), so it keeps its own."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    model = copy.deepcopy(tiny[0])
    name = model.config.get_text_config()._attn_implementation
    for _ in range(2):  # twice is once
        enable_tap(model)
        assert model.config.get_text_config()._attn_implementation == name
    assert not hasattr(inspect.unwrap(ALL_ATTENTION_FUNCTIONS["sdpa"]), "__wrapped__")
    model.save_pretrained(tmp_path)
    assert "tap" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (0,)), (2, (0, 1)), (3, (1,)), (4, (1, 2)), (24, tuple(range(8, 16))), (32, tuple(range(10, 22)))],
)
def test_the_middle_third(tiny, count, expected):
    model = copy.deepcopy(tiny[0])
    text = model.config.get_text_config()
    text.num_hidden_layers = count
    if getattr(text, "layer_types", None):
        text.layer_types = [text.layer_types[0]] * count
    assert middle_layers(model) == expected
