"""Quantized weights and a compiled vision tower: what they apply to, and what is said where they cannot be had."""

import sys
from typing import Any

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm import acceleration
from gaze_vlm_ros.vlm.acceleration import CannotAccelerate, compile_vision, quantize
from gaze_vlm_ros.vlm.streaming import Stream
from gaze_vlm_ros.vlm.tiny import build_tiny

QUESTION = "What will the person do next?"


def test_the_layers_of_every_vision_tower_are_compiled_and_no_others(
    tiny: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = tiny
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    monkeypatch.setattr(acceleration.shutil, "which", lambda _: "there")
    compile_vision(model)
    names = {id(module): name for name, module in model.named_modules()}
    assert len(compiled) == len(set(map(id, compiled))) >= 2
    assert all(".vis" in names[id(module)] and names[id(module)][-1].isdigit() for module in compiled)


def test_what_it_takes_and_is_not_there_is_named(tiny: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = tiny
    with pytest.raises(CannotAccelerate, match="quantization is 'int4', expected one of none, int8"):
        quantize(model, "int4")
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(CannotAccelerate, match="pip install torchao"):
        quantize(model, "int8")
    quantize(model, "none")
    monkeypatch.setattr(acceleration.shutil, "which", lambda _: None)
    with pytest.raises(CannotAccelerate, match="there is no g"):
        compile_vision(model)


def test_int8_moves_answers_by_little(pictures: Any) -> None:
    pytest.importorskip("torchao.quantization", reason="an option of the predictor, not needed by anything else")
    frames = pictures(2)

    def read(quantization: str) -> np.ndarray:
        model, processor = build_tiny("tiny:smolvlm", [QUESTION], hidden=64, image_size=64)
        quantize(model, quantization)
        return Stream(model, processor, QUESTION).read(frames, range(2)).log_probabilities.numpy()

    off = np.abs(read("int8") - read("none")).max()
    assert 0 < off < 0.1  # nats; weights have 8 bits, which are off by up to 0.4 % of each row's largest
