"""Narrators: a vision transformer, and a language model whose layers attend to it, as in LaViLa (arXiv 2212.04501).

transformers calls them VisionEncoderDecoder (ViT and GPT-2, for example). Here they are given the same inputs as other
models: a question, which their decoder reads before its answer, and one picture. Weights and files stay transformers'.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.foreign_code import NO_FOREIGN_CODE

TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}{% for part in turn['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if turn['role'] == 'user' %}{{ '\n' }}{% else %}{{ eos_token }}{% endif %}{% endfor %}"
)
_STATES = "encoder_states"  # attribute of a cache: what the decoder attends to, (1, patches, width)


class OnePicture(GazeVlmError):
    """A narrator's encoder takes one picture."""


class Narrator(VisionEncoderDecoderModel):
    """VisionEncoderDecoderModel with the inputs of a model that reads pictures and question in one prompt."""

    def get_encoder(self, modality: str | None = None) -> Any:
        """Return the part that reads the picture."""
        return self.encoder

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **options: Any,
    ) -> Any:
        """Return logits of the (B, S) tokens, which follow those in the cache. pixel_values: (B, 3, H, W).

        The cache of a call with `input_ids` holds the keys of the text and the states of the picture.
        """
        if input_ids is None:  # transformers' own calls
            return super().forward(pixel_values, past_key_values=past_key_values, use_cache=use_cache, **options)
        states = getattr(past_key_values, _STATES, None)
        if states is None:
            states = self.encoder(pixel_values=pixel_values)[0]
            if hasattr(self, "enc_to_dec_proj"):
                states = self.enc_to_dec_proj(states)
        cache = DynamicCache(config=self.decoder.config) if use_cache and past_key_values is None else past_key_values
        given = None if cache is None else EncoderDecoderCache(cache, DynamicCache(config=self.decoder.config))
        output = self.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=given,
            use_cache=given is not None,
            encoder_hidden_states=states.expand(len(input_ids), -1, -1).contiguous(),
            **options,
        )
        if cache is not None:
            setattr(cache, _STATES, states)
        return CausalLMOutputWithCrossAttentions(
            loss=output.loss, logits=output.logits, past_key_values=cache, attentions=output.attentions,
            cross_attentions=output.cross_attentions, hidden_states=output.hidden_states,
        )  # fmt: skip

    def generate(
        self, *arguments: Any, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **options: Any
    ) -> Any:
        """Return the tokens of the prompt `input_ids` and those that are generated after them."""
        if input_ids is not None:
            options |= {"decoder_input_ids": input_ids, "decoder_attention_mask": attention_mask}
            options["decoder_start_token_id"] = int(input_ids[0, 0])  # else another may be put before it
        return super().generate(*arguments, **options)


Narrator.__name__ = Narrator.__qualname__ = VisionEncoderDecoderModel.__name__  # as saved files name it


class NarratorProcessor:
    """Image processor and tokenizer of a narrator, with the interface of transformers' processors."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.chat_template = TEMPLATE

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> NarratorProcessor:
        """Load what a narrator's folder holds. Raises what transformers raises."""
        images = AutoImageProcessor.from_pretrained(name, **options)
        tokenizer = AutoTokenizer.from_pretrained(
            name, local_files_only=options.get("local_files_only", False), **NO_FOREIGN_CODE
        )
        return cls(images, tokenizer)

    def apply_chat_template(
        self, turns: Sequence[dict[str, Any]], add_generation_prompt: bool = False, tokenize: bool = False
    ) -> str:
        """Return the text of `turns`: what is asked, a line break, what is answered."""
        return str(self.tokenizer.apply_chat_template(turns, chat_template=TEMPLATE, tokenize=tokenize))

    def __call__(
        self, text: Sequence[str], images: Sequence[Sequence[Any]], return_tensors: str, **options: Any
    ) -> dict[str, Tensor]:
        """Return inputs of one prompt with its picture. Raises OnePicture."""
        (pictures,) = images
        if len(pictures) != 1:
            raise OnePicture(
                f"this model's encoder takes one picture, and there are {len(pictures)}; set frames: 1, or take a "
                "model that reads pictures and question in one prompt"
            )
        inputs = dict(self.tokenizer(list(text), return_tensors=return_tensors, **options))
        shown = self.image_processor(images=list(pictures), return_tensors=return_tensors)
        return {name: inputs[name] for name in ("input_ids", "attention_mask")} | dict(shown)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both parts, as plain transformers loads them."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
