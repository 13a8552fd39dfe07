"""Tiny models of real architectures, built on the spot: no download, a tokenizer trained on the texts at hand.

They are the real transformers classes with real processors, small enough to train from scratch on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.image_processors import images_only

PREFIX = "tiny:"
END_OF_TURN = "<end_of_utterance>"
# One turn a line, images first: as the chat templates of the real checkpoints, without their system prompts.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ ' ' + part['text'] }}{% endif %}"
    "{% endfor %}" + END_OF_TURN + "\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>Assistant:{% endif %}"
)


class UnknownTinyModel(GazeVlmError):
    """No such architecture is built here."""


@dataclass(frozen=True)
class TinySizes:
    """Sizes of a tiny model. The defaults train in minutes on one core."""

    image_size: int = 96  # px, the side of the square that every frame becomes
    patch_size: int = 8  # px
    merge: int = 2  # patches per visual token, along each side
    vision_layers: int = 2
    text_layers: int = 4
    hidden: int = 96  # of both towers
    heads: int = 4
    key_value_heads: int = 2  # fewer than heads: grouped-query attention, as in the real models
    vocabulary: int = 512  # at most; byte-level BPE needs 256 for the bytes alone

    def __post_init__(self) -> None:
        for size, part in (("image_size", self.patch_size * self.merge), ("hidden", 4 * self.heads)):
            if getattr(self, size) % part or getattr(self, size) <= 0:
                raise UnknownTinyModel(
                    f"{size} of a tiny model is {getattr(self, size)}, expected a multiple of {part}"
                )


def build_tiny(name: str, texts: Sequence[str], seed: int = 0, **sizes: int) -> tuple[Any, Any]:
    """(model, processor) of `name`, e.g. "tiny:smolvlm", with random weights drawn by `seed`.

    texts: what the tokenizer is trained on; other text still works, in more tokens. sizes: fields of TinySizes.
    Raises UnknownTinyModel.
    """
    builder = _BUILDERS.get(name.removeprefix(PREFIX))
    if builder is None:
        known = ", ".join(PREFIX + key for key in _BUILDERS)
        raise UnknownTinyModel(f"no tiny model {name!r}; there are {known}")
    try:
        chosen = TinySizes(**sizes)
    except TypeError:
        fields = ", ".join(TinySizes.__dataclass_fields__)
        raise UnknownTinyModel(f"sizes of {name} are {fields}; got {', '.join(sizes)}") from None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return builder(texts, chosen)


def _tokenizer(texts: Sequence[str], image_token: str, special: Sequence[str], vocabulary: int) -> Any:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    names = ["<pad>", "<|im_start|>", END_OF_TURN, image_token, *special]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # With and without the space that stands before a word inside a sentence.
    core.train_from_iterator([*texts, *(" " + text for text in texts), "User:", "Assistant:"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|im_start|>",
        eos_token=END_OF_TURN,
        pad_token="<pad>",
        additional_special_tokens=[image_token, *special],
    )


def _finish(model: Any, tokenizer: Any) -> Any:
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval()


def _text_sizes(sizes: TinySizes, tokenizer: Any) -> dict[str, Any]:
    return {
        "hidden_size": sizes.hidden,
        "intermediate_size": 3 * sizes.hidden,
        "num_hidden_layers": sizes.text_layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_value_heads,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _smolvlm(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """SmolVLM-256M and -500M are Idefics3 models: SigLIP, pixel shuffle, Llama."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    special = ["<fake_token_around_image>", "<global-img>"]
    tokenizer = _tokenizer(texts, "<image>", special, sizes.vocabulary)
    config = Idefics3Config(
        vision_config={
            "hidden_size": sizes.hidden,
            "intermediate_size": 3 * sizes.hidden,
            "num_hidden_layers": sizes.vision_layers,
            "num_attention_heads": sizes.heads,
            "image_size": sizes.image_size,
            "patch_size": sizes.patch_size,
        },
        text_config={"model_type": "llama", **_text_sizes(sizes, tokenizer)},
        scale_factor=sizes.merge,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    image_processor = Idefics3ImageProcessorPil(
        # Reduced in two steps, as the real one does; twice the final side keeps thin things visible.
        size={"longest_edge": 2 * sizes.image_size},
        max_image_size={"longest_edge": sizes.image_size},
        do_image_splitting=False,  # one tile a frame: several frames matter more here than fine detail
    )
    processor = Idefics3Processor(
        image_processor,
        tokenizer,
        image_seq_len=(sizes.image_size // sizes.patch_size // sizes.merge) ** 2,
        chat_template=CHAT_TEMPLATE.replace("IMAGE", "<image>"),
    )
    return _finish(Idefics3ForConditionalGeneration(config), tokenizer), processor


def _qwen_tokenizer(texts: Sequence[str], sizes: TinySizes) -> Any:
    special = ["<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]
    return _tokenizer(texts, "<|image_pad|>", special, sizes.vocabulary)


def _qwen_processor(processor_class: Any, video_type: str, tokenizer: Any, sizes: TinySizes) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pixels = sizes.image_size**2
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=sizes.patch_size,
        merge_size=sizes.merge,
        temporal_patch_size=2,
        # The aspect ratio is kept; about as many pixels as the square of the other architectures.
        size={"shortest_edge": pixels // 4, "longest_edge": pixels},
    )
    template = CHAT_TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    processor = images_only(processor_class)(image_processor, tokenizer, chat_template=template)
    patches = {"patch_size": sizes.patch_size, "merge_size": sizes.merge, "temporal_patch_size": 2}
    processor.video_settings = {"video_processor_type": video_type, **patches}
    return processor


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def _mrope(sizes: TinySizes) -> dict[str, Any]:
    """Shares of time, height and width in the rotary embedding, as in the real checkpoints (1 : 1.5 : 1.5)."""
    half = sizes.hidden // sizes.heads // 2
    time = half // 4
    height = (half - time) // 2
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [time, height, half - time - height]}


def _qwen2_5_vl(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    tokenizer = _qwen_tokenizer(texts, sizes)
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": sizes.vision_layers,
            "hidden_size": sizes.hidden,
            "intermediate_size": 3 * sizes.hidden,
            "num_heads": sizes.heads,
            "out_hidden_size": sizes.hidden,
            "patch_size": sizes.patch_size,
            "spatial_merge_size": sizes.merge,
            "window_size": 4 * sizes.patch_size * sizes.merge,
            "fullatt_block_indexes": [sizes.vision_layers - 1],
        },
        text_config={**_text_sizes(sizes, tokenizer), "rope_parameters": _mrope(sizes)},
        **_qwen_ids(tokenizer),
    )
    processor = _qwen_processor(Qwen2_5_VLProcessor, "Qwen2VLVideoProcessor", tokenizer, sizes)
    return _finish(Qwen2_5_VLForConditionalGeneration(config), tokenizer), processor


def _qwen3_vl(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

    tokenizer = _qwen_tokenizer(texts, sizes)
    config = Qwen3VLConfig(
        vision_config={
            "depth": sizes.vision_layers,
            "hidden_size": sizes.hidden,
            "intermediate_size": 3 * sizes.hidden,
            "num_heads": sizes.heads,
            "out_hidden_size": sizes.hidden,
            "patch_size": sizes.patch_size,
            "spatial_merge_size": sizes.merge,
            "num_position_embeddings": (sizes.image_size // sizes.patch_size) ** 2,
            "deepstack_visual_indexes": [0],
        },
        text_config={
            **_text_sizes(sizes, tokenizer),
            "head_dim": sizes.hidden // sizes.heads,
            "rope_parameters": {**_mrope(sizes), "mrope_interleaved": True},
        },
        **_qwen_ids(tokenizer),
    )
    processor = _qwen_processor(Qwen3VLProcessor, "Qwen3VLVideoProcessor", tokenizer, sizes)
    return _finish(Qwen3VLForConditionalGeneration(config), tokenizer), processor


_BUILDERS: dict[str, Callable[[Sequence[str], TinySizes], tuple[Any, Any]]] = {
    "smolvlm": _smolvlm,
    "qwen2.5-vl": _qwen2_5_vl,
    "qwen3-vl": _qwen3_vl,
}
TINY_MODELS = tuple(PREFIX + name for name in _BUILDERS)
