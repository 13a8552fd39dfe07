"""Which weights of a model are trained, and how it becomes a plain model again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.attention_tap import middle_layers
from gaze_vlm_ros.vlm.cross_attention import looking_layers
from training.settings import Settings


class NoDevice(GazeVlmError):
    """The device that the settings ask for is not in this machine."""


class NothingToAdapt(GazeVlmError):
    """No layer of the model has a name from lora_targets."""


class NoSuchLayer(GazeVlmError):
    """kl_layers names a decoder layer that the model does not have."""


class NoSuchHead(GazeVlmError):
    """kl_heads names an attention head that the model does not have."""


def resolve_device(name: str) -> str:
    """The device to compute on; "auto" is cuda where there is one. Raises NoDevice."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise NoDevice(f"device is {name!r}, expected auto, cpu, cuda or cuda:N; use --set device=auto") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NoDevice(f"device is {name}, and torch finds no CUDA here; use --set device=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NoDevice(f"device is {name}, and there are {torch.cuda.device_count()} GPUs, counted from 0")
    return name


def weights_dtype(settings: Settings) -> torch.dtype:
    """In which the model is loaded. Weights that are trained stay float32: a step of 1e-5 is lost on a bfloat16.

    Adapters are made float32 beside frozen weights of settings.dtype.
    """
    dtype: torch.dtype = torch.float32 if settings.train == "full" else getattr(torch, settings.dtype)
    return dtype


def autocast(model: Any, settings: Settings) -> AbstractContextManager[Any]:
    """While it holds, the model computes in settings.dtype, whatever its weights are."""
    device = next(model.parameters()).device.type
    wanted: torch.dtype = getattr(torch, settings.dtype)
    return torch.autocast(device, wanted, enabled=wanted != weights_dtype(settings))


def supervised_layers(model: Any, settings: Settings) -> tuple[int, ...]:
    """Decoder layers whose attention is compared with gaze. Raises NoSuchLayer."""
    model = getattr(model, "module", model)  # that DistributedDataParallel wraps
    layers = looking_layers(model)
    for layer in settings.kl_layers:
        if layer not in layers:
            raise NoSuchLayer(f"kl_layers holds {layer}, and {settings.model} looks at pictures in {_listed(layers)}")
    return settings.kl_layers or middle_layers(model)


def supervised_heads(model: Any, settings: Settings) -> tuple[int, ...] | None:
    """Heads of each led layer whose average is compared with gaze; None = all. Raises NoSuchHead."""
    if isinstance(settings.kl_heads, str):
        return None
    heads = getattr(model, "module", model).config.get_text_config().num_attention_heads
    if max(settings.kl_heads) >= heads:
        raise NoSuchHead(f"kl_heads holds {max(settings.kl_heads)}, and {settings.model} has heads 0 to {heads - 1}")
    return settings.kl_heads


def _listed(layers: tuple[int, ...]) -> str:
    """Those of a model of 36 layers are a range, and those that attend to pictures alone are few."""
    if layers == tuple(range(len(layers))):
        return f"decoder layers 0 to {layers[-1]}"
    return f"decoder layers {', '.join(map(str, layers))}"


def make_trainable(model: Any, settings: Settings) -> Any:
    """Mark the weights to be trained: all, or new low-rank adapters. Returns what `plain_model` takes after training.

    Adapters are put into `model` itself, which goes on being called as before.
    """
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if settings.train == "full":
        model.requires_grad_(True)
        return model
    # peft imports transformers' models, which load_vlm has made safe from a broken torchvision by now.
    from peft import LoraConfig, get_peft_model

    # The language model alone: its attention is what gaze leads, and a large model's vision tower is good already.
    wanted = "|".join(settings.lora_targets)
    pattern = rf".*(text_model|language_model)\..*\.({wanted})"
    config = LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout, target_modules=pattern
    )
    try:
        return get_peft_model(model, config)
    except ValueError:
        # peft's own message lists the whole model.
        raise NothingToAdapt(
            f"no layer of {settings.model}'s language model is called {', '.join(settings.lora_targets)}; "
            f"set lora_targets to names that it has, or train: full"
        ) from None


def plain_model(trained: Any) -> Any:
    """The model without adapters: their product is added to the weights they adapt."""
    return trained.merge_and_unload() if hasattr(trained, "merge_and_unload") else trained


def decay_groups(weights: Mapping[str, torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups: matrices decay, biases and norms do not."""
    matrices = [weight for weight in weights.values() if weight.ndim >= 2]
    vectors = [weight for weight in weights.values() if weight.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
