"""Tiny models are the real thing: they save, load with plain transformers, train and generate."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from gaze_vlm_ros.vlm.tiny import UnknownTinyModel, build_tiny

QUESTION = "What will the person do next?"
ONLY_TRANSFORMERS = """
import json, sys
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
folder, *pictures = sys.argv[1:]
model = AutoModelForImageTextToText.from_pretrained(folder)
processor = AutoProcessor.from_pretrained(folder)
content = [{"type": "image", "image": Image.open(picture)} for picture in pictures]
content.append({"type": "text", "text": "What will the person do next?"})
inputs = processor.apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True,
    return_tensors="pt",
)
with torch.inference_mode():
    logits = model(**inputs).logits[0, -1].tolist()
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
print(json.dumps({"logits": logits, "text": processor.batch_decode(tokens)[0]}))
assert not [name for name in sys.modules if name.startswith("gaze_vlm")]
"""


def test_weights_are_reproduced_from_a_folder(tiny, pictures, tmp_path):
    model, processor = tiny
    inputs = encode(processor, pictures(2), QUESTION).inputs
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path)
    ours, processor = load_vlm(tmp_path)
    again = encode(processor, pictures(2), QUESTION).inputs
    assert inputs.keys() == again.keys()
    assert all(torch.equal(inputs[name], again[name]) for name in inputs)
    with torch.inference_mode():
        expected = model(**inputs).logits
        assert torch.equal(plain(**inputs).logits, expected)
        assert torch.equal(ours(**again).logits, expected)


def test_a_process_that_has_only_transformers_answers_the_same(pictures, tmp_path):
    # One answer is made likely, so that the text that comes out is not that of chance.
    model, processor = build_tiny("tiny:smolvlm", [QUESTION, "take the red mug"], hidden=64, image_size=64)
    encoded, answer = encode(processor, pictures(2), QUESTION), answer_tokens(processor, "take the red mug")
    ids = torch.cat([encoded.inputs["input_ids"], torch.tensor([answer])], dim=1)
    inputs = encoded.inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    labels = ids.clone()
    labels[:, : encoded.length] = -100
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    from PIL import Image

    names = []
    for number, picture in enumerate(pictures(2)):
        names.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(picture).save(names[-1])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ONLY_TRANSFORMERS, str(tmp_path), *names],
        cwd=tmp_path, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    with torch.inference_mode():
        expected = model(**encoded.inputs).logits[0, -1]
    np.testing.assert_allclose(theirs["logits"], expected, atol=1e-5)
    assert theirs["text"].endswith("take the red mug<end_of_utterance>")


def test_trains_and_generates(tiny_name, pictures):
    model, processor = build_tiny(tiny_name, [QUESTION, "take the red mug"], hidden=64, image_size=64)
    inputs = encode(processor, pictures(3), QUESTION).inputs
    model.train()
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None}
    # LLaVA leaves the end of its vision tower out, and LLaVA-OneVision a norm.
    unused = {"tiny:llava": ".layers.2.", "tiny:llava-onevision": "post_layernorm"}.get(tiny_name)
    assert all(unused and (unused in name or "post_layernorm" in name) for name in without), without
    assert any(weight.grad.abs().max() > 0 for name, weight in model.named_parameters() if "vis" in name)
    model.eval()
    tokens = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert tokens.shape[1] <= inputs["input_ids"].shape[1] + 3


def test_the_seed_decides_the_weights_and_leaves_the_generator_alone(tiny_name):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, _ = build_tiny(tiny_name, [QUESTION], seed=1, hidden=64)
    assert torch.equal(torch.rand(1), expected)
    second, _ = build_tiny(tiny_name, [QUESTION], seed=1, hidden=64)
    third, _ = build_tiny(tiny_name, [QUESTION], seed=2, hidden=64)
    one, same, other = (model.get_input_embeddings().weight for model in (first, second, third))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_text_that_the_tokenizer_was_not_trained_on_survives(tiny):
    _, processor = tiny
    text = "Überprüfe den 3. Schrank — 棚, please"
    ids = processor.tokenizer(text)["input_ids"]
    assert processor.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_an_unknown_tiny_model_or_size_is_named_with_what_there_is():
    with pytest.raises(UnknownTinyModel, match="no tiny model 'tiny:gpt2'; there are tiny:smolvlm, tiny:qwen2"):
        load_vlm("tiny:gpt2")
    with pytest.raises(UnknownTinyModel, match=r"no size of a tiny model is called depth; there are image_size, "):
        load_vlm("tiny:smolvlm", depth=3)
