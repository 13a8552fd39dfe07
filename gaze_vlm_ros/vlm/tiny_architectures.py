"""Build each tiny model: the configuration of a real architecture with small sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gaze_vlm_ros.vlm.chat_templates import PALIGEMMA
from gaze_vlm_ros.vlm.image_processors import images_only
from gaze_vlm_ros.vlm.tiny_sizes import TinySizes
from gaze_vlm_ros.vlm.tiny_tokenizer import CHAT_TEMPLATE, train_tokenizer


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


def _vision_sizes(sizes: TinySizes, patch_size: int) -> dict[str, Any]:
    return {
        "hidden_size": sizes.hidden,
        "intermediate_size": 3 * sizes.hidden,
        "num_hidden_layers": sizes.vision_layers,
        "num_attention_heads": sizes.heads,
        "image_size": sizes.image_size,
        "patch_size": patch_size,
    }


def _smolvlm(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """SmolVLM-256M and -500M are Idefics3 models: SigLIP, pixel shuffle, Llama."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    special = ["<fake_token_around_image>", "<global-img>"]
    tokenizer = train_tokenizer(texts, "<image>", special, sizes.vocabulary)
    config = Idefics3Config(
        vision_config=_vision_sizes(sizes, sizes.patch_size),
        text_config={"model_type": "llama", **_text_sizes(sizes, tokenizer)},
        scale_factor=sizes.merge,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    image_processor = Idefics3ImageProcessorPil(
        # Resized in two steps like the real one; twice the final side keeps thin objects visible.
        size={"longest_edge": max(2, _side(sizes)) * sizes.image_size},
        max_image_size={"longest_edge": sizes.image_size},
        # One tile per frame by default: several frames matter more here than fine detail.
        do_image_splitting=sizes.tiles > 1,
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
    return train_tokenizer(texts, "<|image_pad|>", special, sizes.vocabulary)


def _qwen_processor(processor_class: Any, video_type: str, tokenizer: Any, sizes: TinySizes) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pixels = sizes.image_size**2
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=sizes.patch_size,
        merge_size=sizes.merge,
        temporal_patch_size=2,
        # Keeps the aspect ratio, with about as many pixels as the square of the other architectures.
        size={"shortest_edge": pixels // 4, "longest_edge": pixels},
    )
    template = CHAT_TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    processor = images_only(processor_class)(image_processor, tokenizer, chat_template=template)
    patches = {"patch_size": sizes.patch_size, "merge_size": sizes.merge, "temporal_patch_size": 2}
    processor.video_settings = {"video_processor_type": video_type, **patches}
    return processor


def _qwen_vision(sizes: TinySizes) -> dict[str, Any]:
    return {
        "depth": sizes.vision_layers,
        "hidden_size": sizes.hidden,
        "intermediate_size": 3 * sizes.hidden,
        "num_heads": sizes.heads,
        "out_hidden_size": sizes.hidden,
        "patch_size": sizes.patch_size,
        "spatial_merge_size": sizes.merge,
    }


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: tokenizer.convert_tokens_to_ids(token) for key, token in names.items()}


def _mrope(sizes: TinySizes) -> dict[str, Any]:
    """Return the shares of time, height and width in the rotary embedding, 1 : 1.5 : 1.5 as in real checkpoints."""
    half = sizes.hidden // sizes.heads // 2
    time = half // 4
    height = (half - time) // 2
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [time, height, half - time - height]}


def _qwen2_5_vl(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    tokenizer = _qwen_tokenizer(texts, sizes)
    config = Qwen2_5_VLConfig(
        vision_config={
            **_qwen_vision(sizes),
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
            **_qwen_vision(sizes),
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


def _side(sizes: TinySizes) -> int:
    """Return the number of tiles along a side of the largest square of tiles."""
    return int(sizes.tiles**0.5)


def _siglip(sizes: TinySizes, patch_size: int) -> dict[str, Any]:
    return {"model_type": "siglip_vision_model", "vision_use_head": False, **_vision_sizes(sizes, patch_size)}


def _square(sizes: TinySizes) -> dict[str, int]:
    return {"height": sizes.image_size, "width": sizes.image_size}


def _internvl3(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """InternVL3 and 3.5: InternViT, pixel shuffle, Qwen2 or Qwen3."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLProcessor
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = train_tokenizer(texts, "<IMG_CONTEXT>", [], sizes.vocabulary, named)
    tokens = (sizes.image_size // sizes.patch_size // sizes.merge) ** 2
    config = InternVLConfig(
        vision_config=_vision_sizes(sizes, sizes.patch_size),
        text_config={"model_type": "qwen2", **_text_sizes(sizes, tokenizer)},
        downsample_ratio=1 / sizes.merge,
        image_seq_length=tokens,
        image_token_id=tokenizer.context_image_token_id,
        tie_word_embeddings=False,
    )
    # Its processor always cuts frames into tiles, unless at most one tile is allowed.
    image_processor = GotOcr2ImageProcessorPil(size=_square(sizes), crop_to_patches=True, max_patches=sizes.tiles)
    template = CHAT_TEMPLATE.replace("IMAGE", "<IMG_CONTEXT>")
    processor = images_only(InternVLProcessor)(
        image_processor, tokenizer, image_seq_length=tokens, chat_template=template
    )
    processor.video_settings = {"video_processor_type": "InternVLVideoProcessor", "size": _square(sizes)}
    return _finish(InternVLForConditionalGeneration(config), tokenizer), processor


def _llava_onevision(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """LLaVA-OneVision: SigLIP, two linear layers, Qwen2. It cuts only single frames into tiles."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionProcessor,
    )
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

    tokenizer = train_tokenizer(texts, "<image>", ["<video>"], sizes.vocabulary)
    # Patches are not merged: larger ones give as many tokens as in the other architectures.
    patch_size = sizes.patch_size * sizes.merge
    per_side = range(1, _side(sizes) + 1)
    resolutions = [[row * sizes.image_size, column * sizes.image_size] for row in per_side for column in per_side]
    config = LlavaOnevisionConfig(
        vision_config=_siglip(sizes, patch_size),
        text_config={"model_type": "qwen2", **_text_sizes(sizes, tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=resolutions,
    )
    image_processor = LlavaOnevisionImageProcessorPil(size=_square(sizes), image_grid_pinpoints=resolutions)
    processor = images_only(LlavaOnevisionProcessor)(
        image_processor,
        tokenizer,
        num_image_tokens=(sizes.image_size // patch_size) ** 2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE.replace("IMAGE", "<image>"),
    )
    processor.video_settings = {"video_processor_type": "LlavaOnevisionVideoProcessor", "size": _square(sizes)}
    return _finish(LlavaOnevisionForConditionalGeneration(config), tokenizer), processor


def _llava(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """LLaVA 1.5: CLIP without its last layer, two linear layers, Llama. It sees the central square of the frame."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = train_tokenizer(texts, "<image>", [], sizes.vocabulary)
    patch_size = sizes.patch_size * sizes.merge
    config = LlavaConfig(
        vision_config={
            **_vision_sizes(sizes, patch_size),
            "model_type": "clip_vision_model",
            "num_hidden_layers": sizes.vision_layers + 1,  # the last one is not used
        },
        text_config={"model_type": "llama", **_text_sizes(sizes, tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(sizes.image_size // patch_size) ** 2,
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": sizes.image_size}, crop_size=_square(sizes)),
        tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE.replace("IMAGE", "<image>"),
    )
    return _finish(LlavaForConditionalGeneration(config), tokenizer), processor


def _gemma3(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """Gemma 3: SigLIP, average pooling, layers with and without a sliding window. It cuts no tiles by default."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3Processor
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = train_tokenizer(texts, "<image_soft_token>", [], sizes.vocabulary, named)
    tokens = (sizes.image_size // sizes.patch_size // sizes.merge) ** 2
    kinds = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(sizes.text_layers)]
    config = Gemma3Config(
        vision_config=_siglip(sizes, sizes.patch_size),
        text_config={
            **_text_sizes(sizes, tokenizer),
            "head_dim": sizes.hidden // sizes.heads,
            "query_pre_attn_scalar": sizes.hidden // sizes.heads,
            "layer_types": kinds,
            "sliding_window": 1024,
        },
        mm_tokens_per_image=tokens,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    image_processor = Gemma3ImageProcessorPil(size=_square(sizes))
    template = CHAT_TEMPLATE.replace("IMAGE", "<start_of_image>")
    processor = Gemma3Processor(image_processor, tokenizer, chat_template=template, image_seq_length=tokens)
    model = Gemma3ForConditionalGeneration(config)
    # transformers initializes it to zero, which makes the model blind.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=sizes.hidden**-0.5)
    return _finish(model, tokenizer), processor


def _paligemma2(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """PaliGemma 2: SigLIP, a linear layer, Gemma 2 with bidirectional attention over the question. No tiles."""
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = train_tokenizer(texts, "<image>", [], sizes.vocabulary, {"image_token": "<image>"})
    # Patches are not merged: larger ones give as many tokens as in the other architectures.
    patch_size = sizes.patch_size * sizes.merge
    image_processor = SiglipImageProcessorPil(size=_square(sizes))
    image_processor.image_seq_length = (sizes.image_size // patch_size) ** 2
    processor = PaliGemmaProcessor(image_processor, tokenizer, chat_template=PALIGEMMA)  # adds special tokens
    width = sizes.hidden // sizes.heads
    config = PaliGemmaConfig(
        vision_config=_siglip(sizes, patch_size),
        text_config={
            "model_type": "gemma2",
            **_text_sizes(sizes, tokenizer),
            "head_dim": width,
            "query_pre_attn_scalar": width,
        },
        projection_dim=sizes.hidden,
        hidden_size=sizes.hidden,
        vocab_size=len(tokenizer),
        image_token_index=tokenizer.image_token_id,
    )
    return _finish(PaliGemmaForConditionalGeneration(config), tokenizer), processor


def _mllama(texts: Sequence[str], sizes: TinySizes) -> tuple[Any, Any]:
    """Llama 3.2 Vision: every second decoder layer attends only to pictures, through a gate, as in Flamingo."""
    from transformers import MllamaConfig, MllamaForConditionalGeneration, MllamaProcessor
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

    tokenizer = train_tokenizer(texts, "<|image|>", [], sizes.vocabulary)
    layouts = [[across, down] for across in range(1, sizes.tiles + 1) for down in range(1, sizes.tiles // across + 1)]
    config = MllamaConfig(
        vision_config={
            "hidden_size": sizes.hidden,
            "intermediate_size": 3 * sizes.hidden,
            "num_hidden_layers": sizes.vision_layers,
            "num_global_layers": 1,
            "attention_heads": sizes.heads,
            "image_size": sizes.image_size,
            "patch_size": sizes.patch_size * sizes.merge,  # patches are not merged
            "vision_output_dim": 2 * sizes.hidden,
            "intermediate_layers_indices": [0],
            "max_num_tiles": sizes.tiles,
            "supported_aspect_ratios": layouts,
        },
        text_config={
            **_text_sizes(sizes, tokenizer),
            "cross_attention_layers": list(range(1, sizes.text_layers, 2)),
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )
    image_processor = MllamaImageProcessorPil(size=_square(sizes), max_image_tiles=sizes.tiles)
    template = CHAT_TEMPLATE.replace("IMAGE", "<|image|>")
    model = MllamaForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if "cross_attn" in name and name.endswith("gate"):
            torch.nn.init.ones_(weight)  # transformers initializes it to zero, which makes the model blind
    return _finish(model, tokenizer), MllamaProcessor(image_processor, tokenizer, chat_template=template)


BUILDERS: dict[str, Callable[[Sequence[str], TinySizes], tuple[Any, Any]]] = {
    "smolvlm": _smolvlm,
    "qwen2.5-vl": _qwen2_5_vl,
    "qwen3-vl": _qwen3_vl,
    "internvl3": _internvl3,
    "llava-onevision": _llava_onevision,
    "llava": _llava,
    "gemma3": _gemma3,
    "paligemma2": _paligemma2,
    "mllama": _mllama,
}
