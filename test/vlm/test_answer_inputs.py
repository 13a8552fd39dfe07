"""What stands before a token of an answer must not see it, or a model would be trained to copy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from gaze_vlm_ros.vlm.answer_inputs import SeesAnswer, kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from gaze_vlm_ros.vlm.tiny import build_tiny

QUESTION = "What will the person do next?"


def logits_with(tiny: Any, encoded: Any, answer: list[int], kinds: dict[str, int]) -> torch.Tensor:
    """(A, vocabulary) of the positions that predict the answer."""
    tokens = torch.tensor([answer])
    inputs = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds)
    with torch.inference_mode():
        return tiny[0](**inputs).logits[0, -len(answer) - 1 : -1]


def test_a_token_of_the_answer_changes_no_logits_before_it(tiny, tiny_name, pictures):
    encoded = encode(tiny[1], pictures(2), QUESTION)
    kinds = kinds_of_answer(tiny[0], encoded)
    answer = answer_tokens(tiny[1], "take the red mug")
    before = logits_with(tiny, encoded, answer, kinds)
    for position in range(len(answer)):
        other = copy.copy(answer)
        other[position] = answer[position - 1]
        logits = logits_with(tiny, encoded, other, kinds)
        assert torch.equal(logits[: position + 1], before[: position + 1])
        assert position + 1 == len(answer) or not torch.equal(logits[position + 1 :], before[position + 1 :])
    # PaliGemma's question sees itself both ways, and zeros in the answer's place would make it part of the question.
    assert set(kinds.values()) <= ({1} if tiny_name == "tiny:paligemma2" else {0})
    if tiny_name == "tiny:paligemma2":
        leaky = [logits_with(tiny, encoded, [*answer[:-1], last], {"token_type_ids": 0}) for last in answer[-2:]]
        assert (leaky[0][0] - leaky[1][0]).abs().max() > 1e-4


def test_the_kinds_are_those_that_the_processor_gives_an_answer(pictures):
    from PIL import Image

    model, processor = build_tiny("tiny:paligemma2", [QUESTION, "take the mug"], hidden=32, image_size=32)
    encoded, answer = encode(processor, pictures(1), QUESTION), answer_tokens(processor, "take the mug")
    tokens = torch.tensor([answer])
    ours = with_answers(encoded.inputs, tokens, torch.ones_like(tokens), kinds_of_answer(model, encoded))
    theirs = processor(
        text=["<image>" + QUESTION], suffix=["take the mug"], images=[[Image.fromarray(pictures(1)[0])]],
        return_tensors="pt",
    )  # fmt: skip
    assert all(torch.equal(ours[name], theirs[name]) for name in ("input_ids", "token_type_ids", "attention_mask"))


@pytest.mark.parametrize("seen", ["by the question", "by the answer"])
def test_a_model_that_shows_the_answer_is_refused(tiny_name, pictures, seen):
    model, processor = build_tiny(tiny_name, [QUESTION], hidden=32, image_size=32)
    decoder, decode = model.get_decoder(), model.get_decoder().forward

    def mixed(*given: Any, inputs_embeds: torch.Tensor, **options: Any) -> Any:
        seeing = slice(-2, None) if seen == "by the answer" else slice(0, -2)
        inputs_embeds = inputs_embeds.clone()
        inputs_embeds[:, seeing] += inputs_embeds[:, -1:].clone()
        return decode(*given, inputs_embeds=inputs_embeds, **options)

    decoder.forward = mixed
    with pytest.raises(
        SeesAnswer, match=f"^{type(model).__name__} shows an answer's tokens to the positions that pred"
    ):
        kinds_of_answer(model, encode(processor, pictures(2), QUESTION))
