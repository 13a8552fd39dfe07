"""Which weights of a model are trained, in which precision, and how it becomes a plain model again."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from gaze_vlm_ros.errors import GazeVlmError
from training.settings import Settings


class NothingToAdapt(GazeVlmError):
    """No layer of the model has a name from lora_targets."""


def weights_dtype(settings: Settings) -> torch.dtype:
    """Return the type to load the model in.

    Trained weights stay float32, because a step of 1e-5 vanishes in a bfloat16. With LoRA the frozen weights have
    settings.dtype and the adapters are float32.
    """
    dtype: torch.dtype = torch.float32 if settings.train == "full" else getattr(torch, settings.dtype)
    return dtype


def autocast(model: Any, settings: Settings) -> AbstractContextManager[Any]:
    """Return a context in which the model computes in settings.dtype, whatever type its weights have."""
    device = next(model.parameters()).device.type
    dtype: torch.dtype = getattr(torch, settings.dtype)
    return torch.autocast(device, dtype, enabled=dtype != weights_dtype(settings))


def make_trainable(model: Any, settings: Settings) -> Any:
    """Mark the weights to train: all of them, or new low-rank adapters. Return the argument for `plain_model`.

    Adapters are put into `model` itself, which is called as before. Raises NothingToAdapt.
    """
    if settings.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if settings.train == "full":
        model.requires_grad_(True)
        return model
    # peft imports transformers' models; by now load_vlm has hidden a broken torchvision from them.
    from peft import LoraConfig, get_peft_model

    # Adapt only the language model: gaze supervises its attention, and a large model's vision tower is good already.
    names = "|".join(settings.lora_targets)
    pattern = rf".*(text_model|language_model)\..*\.({names})"
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


def adapted_names(model: Any, settings: Settings) -> tuple[list[str], list[str]]:
    """Return which of lora_targets got adapters, and which name no layer of the language model."""
    found = {name.rsplit(".", 2)[1] for name, module in model.named_modules() if name.endswith(".lora_A")}
    return [name for name in settings.lora_targets if name in found], [
        name for name in settings.lora_targets if name not in found
    ]


def plain_model(trained: Any) -> Any:
    """Return the model with its adapters merged into the weights."""
    return trained.merge_and_unload() if hasattr(trained, "merge_and_unload") else trained
