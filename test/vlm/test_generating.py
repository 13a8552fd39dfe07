"""An open answer is transformers' own greedy one, and as likely as ranking finds it."""

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm.attention_tap import enable_tap, middle_layers
from gaze_vlm_ros.vlm.generating import generate_after
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.prompt import read_prompt
from gaze_vlm_ros.vlm.ranking import rank

QUESTION = "What next?"
MOST = 12


@pytest.mark.parametrize("name", ["smolvlm", "qwen2.5-vl", "qwen3-vl", "internvl3", "llava", "gemma3"])
def test_it_is_what_generate_gives_and_as_likely_as_ranking_finds(name: str) -> None:
    model, processor = load_vlm(f"tiny:{name}", texts=[QUESTION, "take"], seed=0)
    enable_tap(model.eval())
    layers = middle_layers(model)
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8))
    encoded = encode(processor, frames, QUESTION)
    prompt = read_prompt(model, encoded, layers)
    generated = generate_after(model, prompt, (), MOST, layers)
    with torch.inference_mode():
        whole = model.generate(**encoded.inputs, max_new_tokens=MOST, do_sample=False, eos_token_id=None)
    assert generated.tokens == whole[0, encoded.length :].tolist()
    assert not generated.ended
    ranking = rank(model, encoded, [generated.tokens], layers)
    assert generated.log_likelihood == pytest.approx(ranking.log_likelihoods[0], abs=1e-4)
    assert ranking.attention is not None
    np.testing.assert_allclose(generated.attention, ranking.attention[0], atol=1e-5)
    # It ends with the first end token, and leaves the prompt as it was.
    end = generated.tokens[4]
    ended = generate_after(model, prompt, {end}, MOST, layers)
    assert ended.ended
    assert ended.tokens == generated.tokens[: generated.tokens.index(end) + 1]
