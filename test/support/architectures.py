"""Tiny models of architectures beyond vlm.tiny: real classes of transformers, built on the spot from small sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gaze_vlm_ros.vlm.chat_templates import give_template
from gaze_vlm_ros.vlm.image_processors import images_only
from gaze_vlm_ros.vlm.observation import note_visual_tokens
from gaze_vlm_ros.vlm.tiny_tokenizer import CHAT_TEMPLATE, train_tokenizer

TEXTS = ["What will the person do next?", "take the red mug", "open the drawer", "go"]
SIDE = 64  # px


def built(name: str) -> tuple[Any, Any]:
    """Return (model, processor) of one of BUILDERS, with weights of seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, processor = BUILDERS[name]()
    tokenizer = processor.tokenizer
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval(), processor


def located(name: str) -> tuple[Any, Any]:
    """Return (model, processor) as load_vlm does: with its visual tokens noted."""
    model, processor = built(name)
    note_visual_tokens(model, processor)
    return model, processor


def _tokenizer(image: str, special: tuple[str, ...] = (), named: dict[str, str] | None = None) -> Any:
    return train_tokenizer(TEXTS, image, special, 512, named or {})


def _template(image: str) -> str:
    return CHAT_TEMPLATE.replace("IMAGE", image)


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, **more,
    }  # fmt: skip


def _vision(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": SIDE, "patch_size": 16, **more,
    }  # fmt: skip


def _idefics2() -> tuple[Any, Any]:
    from transformers import Idefics2Config, Idefics2ForConditionalGeneration, Idefics2Processor
    from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil

    tokenizer = _tokenizer("<image>", ("<fake_token_around_image>",))
    config = Idefics2Config(
        vision_config=_vision(patch_size=8),
        text_config=_text(tokenizer, model_type="mistral"),
        perceiver_config={
            "hidden_size": 64, "resampler_n_latents": 8, "resampler_depth": 1, "resampler_n_heads": 4,
            "resampler_head_dim": 16, "num_key_value_heads": 2,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    images = Idefics2ImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}, do_image_splitting=False)
    processor = Idefics2Processor(images, tokenizer, image_seq_len=8, chat_template=_template("<image>"))
    return Idefics2ForConditionalGeneration(config), processor


def _got_ocr2() -> tuple[Any, Any]:
    from transformers import GotOcr2Config, GotOcr2ForConditionalGeneration, GotOcr2Processor
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    tokenizer = _tokenizer("<imgpad>", ("<img>", "</img>"))
    config = GotOcr2Config(
        vision_config={
            "hidden_size": 64, "output_channels": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": 128, "patch_size": 8, "mlp_dim": 128, "window_size": 4, "global_attn_indexes": [1],
        },
        text_config=_text(tokenizer, model_type="qwen2"),
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"),
        image_seq_length=16,
    )  # fmt: skip
    images = GotOcr2ImageProcessorPil(size={"height": 128, "width": 128})
    processor = GotOcr2Processor(images, tokenizer, chat_template=_template("<imgpad>"))
    return GotOcr2ForConditionalGeneration(config), processor


def _ovis2() -> tuple[Any, Any]:
    """Its processor's marker becomes other tokens, of which only <IMG_ATOM> depends on pixels."""
    from transformers import Ovis2Config, Ovis2ForConditionalGeneration, Ovis2Processor
    from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil

    marks = ("<IMG_START>", "<IMG_END>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>")
    tokenizer = _tokenizer("<image>", ("<IMG_ATOM>", *marks), {"image_token": "<image>"})
    config = Ovis2Config(
        vision_config=_vision(patch_size=8, hidden_stride=2, vocab_size=128),
        text_config=_text(tokenizer, model_type="qwen2"),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=[tokenizer.convert_tokens_to_ids(mark) for mark in marks],
        vocab_size=len(tokenizer),
        hidden_size=64,
    )
    images = Ovis2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, crop_to_patches=False)
    processor = Ovis2Processor(images, tokenizer, image_seq_length=16, chat_template=_template("<image>"))
    return Ovis2ForConditionalGeneration(config), processor


def _gemma4() -> tuple[Any, Any]:
    """The last two layers use keys and values of the first two."""
    from transformers import Gemma4AudioFeatureExtractor, Gemma4Config, Gemma4ForConditionalGeneration, Gemma4Processor
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    names = {
        "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
        "boa_token": "<|audio>", "eoa_token": "<audio|>", "video_token": "<|video|>",
    }  # fmt: skip
    tokenizer = _tokenizer("<|image|>", (), names)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = Gemma4Config(
        vision_config=_vision(num_key_value_heads=4, head_dim=16, pooling_kernel_size=3),
        text_config=_text(
            tokenizer, head_dim=16, global_head_dim=16, layer_types=["sliding_attention", "full_attention"] * 2,
            sliding_window=512, num_kv_shared_layers=2, hidden_size_per_layer_input=8,
            vocab_size_per_layer_input=len(tokenizer),
        ),
        image_token_id=ids["image_token"], boi_token_id=ids["boi_token"], eoi_token_id=ids["eoi_token"],
        audio_token_id=ids["audio_token"], video_token_id=ids["video_token"], audio_config=None,
    )  # fmt: skip
    processor = images_only(Gemma4Processor)(
        Gemma4AudioFeatureExtractor(), Gemma4ImageProcessorPil(max_soft_tokens=70), tokenizer, None,
        chat_template=_template("<|image|>"), image_seq_length=70,
    )  # fmt: skip
    return Gemma4ForConditionalGeneration(config), processor


def _qwen2_vl() -> tuple[Any, Any]:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = _tokenizer("<|image_pad|>", ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>"))
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        vision_config={"embed_dim": 64, "hidden_size": 64, "depth": 2, "num_heads": 4, "patch_size": 8, "mlp_ratio": 2},
        text_config=_text(tokenizer, rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3]}),
        image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": SIDE**2}, patch_size=8)
    template = _template("<|vision_start|><|image_pad|><|vision_end|>")
    return Qwen2VLForConditionalGeneration(config), images_only(Qwen2VLProcessor)(
        images, tokenizer, chat_template=template
    )


def _vipllava() -> tuple[Any, Any]:
    from transformers import LlavaProcessor, VipLlavaConfig, VipLlavaForConditionalGeneration
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = _tokenizer("<image>", (), {"image_token": "<image>"})
    config = VipLlavaConfig(
        vision_config=_vision(model_type="clip_vision_model"),
        text_config=_text(tokenizer, model_type="llama"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layers=[-2, -1],
        image_seq_length=16,
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor = LlavaProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=_template("<image>"),
    )  # fmt: skip
    return VipLlavaForConditionalGeneration(config), processor


def _llava_next() -> tuple[Any, Any]:
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration, LlavaNextProcessor
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    tokenizer = _tokenizer("<image>", (), {"image_token": "<image>"})
    pinpoints = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE]]
    config = LlavaNextConfig(
        vision_config=_vision(model_type="clip_vision_model"),
        text_config=_text(tokenizer, model_type="llama"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
    )
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=pinpoints
    )
    processor = LlavaNextProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=_template("<image>"),
    )  # fmt: skip
    return LlavaNextForConditionalGeneration(config), processor


def _aya_vision() -> tuple[Any, Any]:
    from transformers import AyaVisionConfig, AyaVisionForConditionalGeneration, AyaVisionProcessor
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    marks = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL")
    tokenizer = _tokenizer("<|IMG_PATCH|>", ("<image>", *marks))
    config = AyaVisionConfig(
        vision_config=_vision(model_type="siglip_vision_model", patch_size=8),
        text_config=_text(tokenizer, model_type="cohere2", layer_types=["sliding_attention", "full_attention"] * 2),
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        downsample_factor=2,
        adapter_layer_norm_eps=1e-6,
    )
    images = GotOcr2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, crop_to_patches=False)
    processor = AyaVisionProcessor(
        images,
        tokenizer,
        patch_size=8,
        img_size=SIDE,
        downsample_factor=2,
        chat_template=_template("<image>"),
    )
    return AyaVisionForConditionalGeneration(config), processor


def _glm_tokens() -> tuple[Any, dict[str, int]]:
    """GLM's tokenizer, and the ids of its marks as its configurations name them."""
    marks = ("<|begin_of_image|>", "<|end_of_image|>", "<|video|>", "<|begin_of_video|>", "<|end_of_video|>")
    tokenizer = _tokenizer("<|image|>", marks)
    named = {"image_start": marks[0], "image_end": marks[1], "video": marks[2], "video_start": marks[3],
             "video_end": marks[4], "image": "<|image|>"}  # fmt: skip
    return tokenizer, {f"{name}_token_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in named.items()}


def _glm4v() -> tuple[Any, Any]:
    from transformers import Glm4vConfig, Glm4vForConditionalGeneration, Glm4vProcessor
    from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

    tokenizer, ids = _glm_tokens()
    config = Glm4vConfig(
        vision_config={
            "depth": 2, "hidden_size": 64, "num_heads": 4, "image_size": SIDE, "patch_size": 8, "out_hidden_size": 64,
            "intermediate_size": 128,
        },
        text_config=_text(tokenizer, rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3]}),
        **ids,
    )  # fmt: skip
    images = Glm4vImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": 2 * SIDE**2}, patch_size=8)
    template = _template("<|begin_of_image|><|image|><|end_of_image|>")
    processor = images_only(Glm4vProcessor)(images, tokenizer, chat_template=template)
    return Glm4vForConditionalGeneration(config), processor


def _deepseek_vl() -> tuple[Any, Any]:
    from transformers import DeepseekVLConfig, DeepseekVLForConditionalGeneration, DeepseekVLProcessor
    from transformers.models.deepseek_vl.image_processing_pil_deepseek_vl import DeepseekVLImageProcessorPil

    tokenizer = _tokenizer("<image_placeholder>", (), {"image_token": "<image_placeholder>"})
    config = DeepseekVLConfig(
        vision_config=_vision(model_type="siglip_vision_model"),
        text_config=_text(tokenizer, model_type="llama"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image_placeholder>"),
    )
    images = DeepseekVLImageProcessorPil(size={"height": SIDE, "width": SIDE})
    template = _template("<image_placeholder>")
    processor = DeepseekVLProcessor(images, tokenizer, chat_template=template, num_image_tokens=16)
    return DeepseekVLForConditionalGeneration(config), processor


def _paddleocr_vl() -> tuple[Any, Any]:
    from transformers import PaddleOCRVLConfig, PaddleOCRVLForConditionalGeneration, PaddleOCRVLProcessor
    from transformers.models.paddleocr_vl.image_processing_pil_paddleocr_vl import PaddleOCRVLImageProcessorPil

    marks = ("<|IMAGE_START|>", "<|IMAGE_END|>", "<|video|>")
    tokenizer = _tokenizer("<|IMAGE_PLACEHOLDER|>", marks, {"image_token": "<|IMAGE_PLACEHOLDER|>"})
    ids = tokenizer.convert_tokens_to_ids
    config = PaddleOCRVLConfig(
        vision_config=_vision(patch_size=8),
        text_config=_text(
            tokenizer, head_dim=16, rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3]}
        ),
        image_token_id=ids("<|IMAGE_PLACEHOLDER|>"), video_token_id=ids("<|video|>"),
        vision_start_token_id=ids("<|IMAGE_START|>"), vision_end_token_id=ids("<|IMAGE_END|>"),
    )  # fmt: skip
    images = PaddleOCRVLImageProcessorPil(
        size={"shortest_edge": SIDE**2, "longest_edge": 2 * SIDE**2}, patch_size=8, merge_size=2
    )
    template = _template("<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>")
    return PaddleOCRVLForConditionalGeneration(config), PaddleOCRVLProcessor(images, tokenizer, chat_template=template)


def _qwen3_5() -> tuple[Any, Any]:
    """Every second layer of its decoder is linear attention, which looks at no token in particular."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration, Qwen3VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = _tokenizer("<|image_pad|>", ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>"))
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen3_5Config(
        vision_config={
            "depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "patch_size": 8,
            "out_hidden_size": 64, "num_position_embeddings": 64,
        },
        text_config=_text(
            tokenizer, head_dim=16, layer_types=["linear_attention", "full_attention"] * 2, linear_num_key_heads=2,
            linear_num_value_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
            rope_parameters={
                "rope_type": "default", "mrope_section": [2, 3, 3], "mrope_interleaved": True,
                "partial_rotary_factor": 1.0,
            },
        ),
        image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": SIDE**2}, patch_size=8)
    template = _template("<|vision_start|><|image_pad|><|vision_end|>")
    processor = images_only(Qwen3VLProcessor)(images, tokenizer, chat_template=template)
    return Qwen3_5ForConditionalGeneration(config), processor


def _blip2() -> tuple[Any, Any]:
    """A resampler of learned queries."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer = _tokenizer("<image>")
    config = Blip2Config(
        vision_config=_vision(),
        qformer_config={
            "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
            "encoder_hidden_size": 64, "vocab_size": 64,
        },
        text_config=_text(tokenizer, model_type="llama"),
        num_query_tokens=8,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    images = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor = Blip2Processor(images, tokenizer, num_query_tokens=8)
    give_template(processor)
    return Blip2ForConditionalGeneration(config), processor


def _vit_gpt2() -> tuple[Any, Any]:
    """A narrator: each layer of its decoder attends to the patches of one picture."""
    from transformers import GPT2Config, VisionEncoderDecoderConfig, ViTConfig
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    from gaze_vlm_ros.vlm.narrator import Narrator, NarratorProcessor

    tokenizer = _tokenizer("<image>")
    decoder = GPT2Config(
        n_embd=64, n_layer=4, n_head=4, n_positions=512, vocab_size=len(tokenizer), bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**_vision()), decoder)
    config.decoder_start_token_id, config.pad_token_id = tokenizer.bos_token_id, tokenizer.pad_token_id
    images = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return Narrator(config), NarratorProcessor(images, tokenizer)


def _instructblip() -> tuple[Any, Any]:
    """A resampler of learned queries that also reads the question."""
    from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration, InstructBlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer, reader = _tokenizer("<image>"), _tokenizer("<image>")
    config = InstructBlipConfig(
        vision_config=_vision(initializer_range=0.02),
        qformer_config={
            "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
            "encoder_hidden_size": 64, "vocab_size": len(reader),
        },
        text_config=_text(tokenizer, model_type="llama"),
        num_query_tokens=8,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    images = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor = InstructBlipProcessor(images, tokenizer, reader, num_query_tokens=8)
    give_template(processor)
    return InstructBlipForConditionalGeneration(config), processor


def _qwen3_vl_moe() -> tuple[Any, Any]:
    """A mixture of experts."""
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration, Qwen3VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = _tokenizer("<|image_pad|>", ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>"))
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen3VLMoeConfig(
        vision_config={
            "depth": 2, "hidden_size": 64, "num_heads": 4, "intermediate_size": 128, "patch_size": 8,
            "out_hidden_size": 64, "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
        text_config=_text(
            tokenizer, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64,
            rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3], "mrope_interleaved": True},
        ),
        image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": SIDE**2}, patch_size=8)
    template = _template("<|vision_start|><|image_pad|><|vision_end|>")
    processor = images_only(Qwen3VLProcessor)(images, tokenizer, chat_template=template)
    return Qwen3VLMoeForConditionalGeneration(config), processor


def _glm46v() -> tuple[Any, Any]:
    from transformers import Glm46VConfig, Glm46VForConditionalGeneration, Glm46VProcessor
    from transformers.models.glm46v.image_processing_pil_glm46v import Glm46VImageProcessorPil

    tokenizer, ids = _glm_tokens()
    config = Glm46VConfig(
        vision_config={
            "model_type": "glm4v_vision", "depth": 2, "hidden_size": 64, "num_heads": 4, "image_size": SIDE,
            "patch_size": 8, "out_hidden_size": 64, "intermediate_size": 128,
        },
        text_config=_text(
            tokenizer, model_type="glm4v_text", rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3]}
        ),
        **ids,
    )  # fmt: skip
    images = Glm46VImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": 2 * SIDE**2}, patch_size=8)
    template = _template("<|begin_of_image|><|image|><|end_of_image|>")
    processor = images_only(Glm46VProcessor)(images, tokenizer, chat_template=template)
    return Glm46VForConditionalGeneration(config), processor


def _video_llama_3() -> tuple[Any, Any]:
    from transformers import VideoLlama3Config, VideoLlama3ForConditionalGeneration, VideoLlama3Processor
    from transformers.models.video_llama_3.image_processing_pil_video_llama_3 import VideoLlama3ImageProcessorPil

    tokenizer = _tokenizer("<|image_pad|>", ("<|video_pad|>",))
    ids = tokenizer.convert_tokens_to_ids
    vision = _vision(patch_size=8)
    del vision["image_size"]
    config = VideoLlama3Config(
        vision_config=vision,
        text_config=_text(tokenizer, model_type="qwen2"),
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
    )
    images = VideoLlama3ImageProcessorPil(size={"shortest_edge": SIDE**2 // 4, "longest_edge": SIDE**2}, patch_size=8)
    processor = images_only(VideoLlama3Processor)(images, tokenizer, chat_template=_template("<|image_pad|>"))
    return VideoLlama3ForConditionalGeneration(config), processor


ONE_PICTURE = ("blip2", "instructblip", "vit-gpt2")  # read one picture in a prompt

BUILDERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "aya-vision": _aya_vision,
    "blip2": _blip2,
    "deepseek-vl": _deepseek_vl,
    "gemma4": _gemma4,
    "glm46v": _glm46v,
    "glm4v": _glm4v,
    "got-ocr2": _got_ocr2,
    "idefics2": _idefics2,
    "instructblip": _instructblip,
    "llava-next": _llava_next,
    "ovis2": _ovis2,
    "paddleocr-vl": _paddleocr_vl,
    "qwen2-vl": _qwen2_vl,
    "qwen3-vl-moe": _qwen3_vl_moe,
    "qwen3.5": _qwen3_5,
    "video-llama-3": _video_llama_3,
    "vipllava": _vipllava,
    "vit-gpt2": _vit_gpt2,
}
