"""Any transformers vision-language model: loading, visual tokens, attention, ranked and generated answers.

Names are loaded on first use: `chat_client` and `tiny_sizes` need no torch.
"""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.vlm.acceleration import CannotAccelerate, compile_vision, quantize
    from gaze_vlm_ros.vlm.answer_inputs import SeesAnswer, kinds_of_answer, with_answers
    from gaze_vlm_ros.vlm.attention_tap import AttentionTap, CannotTap, enable_tap, middle_layers, require_tap
    from gaze_vlm_ros.vlm.batch_ranking import BatchRanker
    from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
    from gaze_vlm_ros.vlm.chat_client import ChatServer, ServerFails, ServerRefuses, without_secrets
    from gaze_vlm_ros.vlm.cross_attention import crossing_layers, looking_layers
    from gaze_vlm_ros.vlm.embeddings import Embed, UnknownEmbeddingModel, load_embedder
    from gaze_vlm_ros.vlm.generating import Generated, generate_after
    from gaze_vlm_ros.vlm.joining import join_like
    from gaze_vlm_ros.vlm.loading import ModelTooLarge, UnknownModel, load_vlm
    from gaze_vlm_ros.vlm.memory import out_of_memory_reason
    from gaze_vlm_ros.vlm.observation import (
        Encoded,
        NoVisualTokens,
        UnusableText,
        answer_tokens,
        decode_answer,
        encode,
        end_tokens,
        label_tokens,
        open_thinking,
        require_plain_text,
    )
    from gaze_vlm_ros.vlm.patches import (
        CannotLocate,
        Patches,
        patch_states,
        tower_width,
        vision_tower,
        with_patch_states,
    )
    from gaze_vlm_ros.vlm.prompt import Prompt, read_prompt
    from gaze_vlm_ros.vlm.ranking import Ranker, Ranking, rank
    from gaze_vlm_ros.vlm.streaming import Stream
    from gaze_vlm_ros.vlm.tiny import build_tiny
    from gaze_vlm_ros.vlm.tiny_sizes import TinySizes, UnknownTinyModel, sizes_from
    from gaze_vlm_ros.vlm.token_boxes import TokenBoxes, tokens_have_places, vision_patches, visual_tokens
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.vlm.batch_ranking": ["BatchRanker"],
            "gaze_vlm_ros.vlm.acceleration": ["CannotAccelerate", "compile_vision", "quantize"],
            "gaze_vlm_ros.vlm.answer_inputs": ["SeesAnswer", "kinds_of_answer", "with_answers"],
            "gaze_vlm_ros.vlm.attention_tap": [
                "AttentionTap",
                "CannotTap",
                "enable_tap",
                "middle_layers",
                "require_tap",
            ],
            "gaze_vlm_ros.vlm.broken_torchvision": ["hide_broken_torchvision"],
            "gaze_vlm_ros.vlm.chat_client": ["ChatServer", "ServerFails", "ServerRefuses", "without_secrets"],
            "gaze_vlm_ros.vlm.cross_attention": ["crossing_layers", "looking_layers"],
            "gaze_vlm_ros.vlm.embeddings": ["Embed", "UnknownEmbeddingModel", "load_embedder"],
            "gaze_vlm_ros.vlm.generating": ["Generated", "generate_after"],
            "gaze_vlm_ros.vlm.joining": ["join_like"],
            "gaze_vlm_ros.vlm.loading": ["ModelTooLarge", "UnknownModel", "load_vlm"],
            "gaze_vlm_ros.vlm.memory": ["out_of_memory_reason"],
            "gaze_vlm_ros.vlm.observation": [
                "Encoded",
                "NoVisualTokens",
                "UnusableText",
                "answer_tokens",
                "decode_answer",
                "encode",
                "end_tokens",
                "label_tokens",
                "open_thinking",
                "require_plain_text",
            ],
            "gaze_vlm_ros.vlm.prompt": ["Prompt", "read_prompt"],
            "gaze_vlm_ros.vlm.ranking": ["Ranker", "Ranking", "rank"],
            "gaze_vlm_ros.vlm.streaming": ["Stream"],
            "gaze_vlm_ros.vlm.tiny": ["build_tiny"],
            "gaze_vlm_ros.vlm.tiny_sizes": ["TinySizes", "UnknownTinyModel", "sizes_from"],
            "gaze_vlm_ros.vlm.token_boxes": ["TokenBoxes", "tokens_have_places", "vision_patches", "visual_tokens"],
            "gaze_vlm_ros.vlm.patches": [
                "CannotLocate",
                "Patches",
                "patch_states",
                "tower_width",
                "vision_tower",
                "with_patch_states",
            ],
        },
    )

__all__ = [
    "AttentionTap",
    "BatchRanker",
    "CannotAccelerate",
    "CannotLocate",
    "CannotTap",
    "ChatServer",
    "Embed",
    "Encoded",
    "Generated",
    "ModelTooLarge",
    "NoVisualTokens",
    "Patches",
    "Prompt",
    "Ranker",
    "Ranking",
    "SeesAnswer",
    "ServerFails",
    "ServerRefuses",
    "Stream",
    "TinySizes",
    "TokenBoxes",
    "UnknownEmbeddingModel",
    "UnknownModel",
    "UnknownTinyModel",
    "UnusableText",
    "answer_tokens",
    "build_tiny",
    "compile_vision",
    "crossing_layers",
    "decode_answer",
    "enable_tap",
    "encode",
    "end_tokens",
    "generate_after",
    "hide_broken_torchvision",
    "join_like",
    "kinds_of_answer",
    "label_tokens",
    "load_embedder",
    "load_vlm",
    "looking_layers",
    "middle_layers",
    "open_thinking",
    "out_of_memory_reason",
    "patch_states",
    "quantize",
    "rank",
    "read_prompt",
    "require_plain_text",
    "require_tap",
    "sizes_from",
    "tokens_have_places",
    "tower_width",
    "vision_patches",
    "vision_tower",
    "visual_tokens",
    "with_answers",
    "with_patch_states",
    "without_secrets",
]
