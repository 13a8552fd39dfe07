"""Load any transformers vision-language model: from a hub, from a folder, or a tiny one that is built here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
from gaze_vlm_ros.vlm.chat_templates import give_template
from gaze_vlm_ros.vlm.cross_attention import NARRATOR
from gaze_vlm_ros.vlm.foreign_code import NO_FOREIGN_CODE
from gaze_vlm_ros.vlm.image_processors import images_only
from gaze_vlm_ros.vlm.memory import out_of_memory_reason
from gaze_vlm_ros.vlm.observation import note_visual_tokens
from gaze_vlm_ros.vlm.tiny import PREFIX, build_tiny


class UnknownModel(GazeVlmError):
    """No model has that name or is at that place, or it does not answer questions about images."""


class ModelTooLarge(GazeVlmError):
    """The weights do not fit into the memory of the device, or into main memory on the way there."""


def load_vlm(
    name_or_path: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    texts: Sequence[str] = (),
    seed: int = 0,
    **sizes: int,
) -> tuple[Any, Any]:
    """Return (model, processor), the model in evaluation mode. Hides a torchvision that does not import.

    name_or_path: a local folder, a hub name, or "tiny:..." (see vlm.tiny; only those take `texts`, `seed`, `sizes`).
    Raises UnknownModel, UnknownTinyModel, ModelTooLarge.
    """
    try:
        return _load_anything(str(name_or_path), device, dtype, texts, seed, sizes)
    except (RuntimeError, MemoryError) as error:
        if not (reason := out_of_memory_reason(error)):
            raise
        half = "dtype bfloat16, " if dtype == torch.float32 and device != "cpu" else ""
        raise ModelTooLarge(
            f"the model {name_or_path} does not fit into memory on {device} ({reason}); end other programs there, or "
            f"take {half}a smaller model, or another device"
        ) from None


def _load_anything(
    name: str, device: str, dtype: torch.dtype, texts: Sequence[str], seed: int, sizes: dict[str, int]
) -> tuple[Any, Any]:
    if name.startswith(PREFIX):
        model, processor = build_tiny(name, texts, seed, **sizes)
        return model.to(device=device, dtype=dtype), processor
    if sizes:
        raise UnknownModel(f"model options {', '.join(sizes)} are for tiny models, and {name} has sizes of its own")
    folder = Path(name).is_dir()
    if not folder and _looks_like_path(name):
        raise UnknownModel(f"no such model folder: {name}")
    what = f"the folder {name} holds" if folder else f"the hub's {name} is"
    try:
        model, processor = _load(name, what, dtype, device, local_only=True)
    except OSError as error:
        if folder:
            raise UnknownModel(f"{what} no vision-language model that loads: {_first_line(error)}") from None
        # Not downloaded yet. Local files come first: a robot without network would wait for the hub file by file.
        try:
            with _quiet_hub():
                model, processor = _load(name, what, dtype, device, local_only=False)
        except OSError as error:
            raise UnknownModel(
                f"no vision-language model {name!r}: there is no such folder, and from the hub: {_first_line(error)}"
            ) from None
    return model.eval(), processor


def _load(name: str, what: str, dtype: torch.dtype, device: str, local_only: bool) -> tuple[Any, Any]:
    """Load weights and processor. Raises UnknownModel, or OSError where files are missing."""
    # These modules of transformers import torchvision, where that is installed.
    hide_broken_torchvision()
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    try:
        config = AutoConfig.from_pretrained(name, local_files_only=local_only, **NO_FOREIGN_CODE)
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            raise UnknownModel(f"{what} a {config.model_type} model; expected one that answers questions about images")
        model_class = _model_class(config)
        if config.is_encoder_decoder and model_class is AutoModelForImageTextToText:
            raise UnknownModel(
                f"{what} a {config.model_type} model: its encoder sees the picture, and its decoder writes without "
                "being asked; expected one that reads pictures and question in one prompt"
            )
        options = {"local_files_only": local_only}
        model, found = model_class.from_pretrained(
            name,
            dtype=dtype,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # else it raises without a name
            adapter_kwargs=dict(options),  # else it looks for adapters on the hub
            **options,
            **NO_FOREIGN_CODE,
        )
        _require_all_weights(what, found)
        processor = _processor(name, config, local_only)
    except (OSError, UnknownModel, MemoryError):
        raise
    except SafetensorError as error:
        raise UnknownModel(f"the weights of {name} are damaged ({_first_line(error)}); get them again") from None
    except (ValueError, ImportError, RuntimeError, StrictDataclassError) as error:
        if out_of_memory_reason(error):
            raise
        if "trust_remote_code" in str(error):
            raise UnknownModel(
                f"{what} a model with code of its own, which is never run; expected one of transformers'"
            ) from None
        raise UnknownModel(f"{what} no vision-language model that loads: {_first_line(error)}") from None
    except Exception as error:  # transformers does not check files, so it fails anywhere
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise UnknownModel(
            f"{what} no vision-language model that transformers can build from these files; it ends in {reason}"
        ) from error
    give_template(processor)
    if not getattr(processor, "chat_template", None):
        raise UnknownModel(f"{what} a model without a chat template, as base models are; use its instruction-tuned one")
    model = model.to(device)
    note_visual_tokens(model, processor)
    return model, processor


def load_processor(folder: Path) -> Any:
    """Return the processor in a folder that holds a model's config.json too. Raises what transformers raises."""
    from transformers import AutoConfig

    return _processor(
        str(folder), AutoConfig.from_pretrained(folder, local_files_only=True, **NO_FOREIGN_CODE), local_only=True
    )


def _model_class(config: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    if config.model_type != NARRATOR:
        return AutoModelForImageTextToText
    from gaze_vlm_ros.vlm.narrator import Narrator

    return Narrator


def _processor(name: str, config: Any, local_only: bool) -> Any:
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    if config.model_type == NARRATOR:
        from gaze_vlm_ros.vlm.narrator import NarratorProcessor

        return NarratorProcessor.from_pretrained(name, backend="pil", local_files_only=local_only, **NO_FOREIGN_CODE)
    known = type(config) in PROCESSOR_MAPPING
    processor_class = images_only(PROCESSOR_MAPPING[type(config)]) if known else AutoProcessor
    return processor_class.from_pretrained(name, backend="pil", local_files_only=local_only, **NO_FOREIGN_CODE)


def _require_all_weights(what: str, found: dict[str, Any]) -> None:
    """Raise UnknownModel where a checkpoint lacks weights: transformers would silently draw them at random."""
    unfit = sorted(found["missing_keys"] | {name for name, *_ in found["mismatched_keys"]})
    if unfit:
        raise UnknownModel(
            f"{what} no vision-language model that loads: of the weights that its config.json asks for, {len(unfit)} "
            f"missing or of another shape, first {unfit[0]}; get weights and config.json of the same model"
        )


def _looks_like_path(name: str) -> bool:
    """Whether a name is a path; hub names are NAME or OWNER/NAME."""
    return Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or name.endswith(os.sep)


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Suppress the line that the hub client prints for each retry."""
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(before)


def _first_line(error: Exception) -> str:
    """Return the first line of transformers' long explanations, with the second one where the first ends in a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
