"""Tokenizer and chat template of tiny models: byte-level BPE, trained on the texts at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TURN = "<end_of_utterance>"
# One turn a line, images first: as the chat templates of the real checkpoints, without their system prompts.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ ' ' + part['text'] }}{% endif %}"
    "{% endfor %}" + END_OF_TURN + "\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>Assistant:{% endif %}"
)


def train_tokenizer(
    texts: Sequence[str],
    image_token: str,
    special: Sequence[str],
    vocabulary: int,
    named: Mapping[str, str] | None = None,
) -> Any:
    """named: special tokens that a processor asks its tokenizer for by attribute, e.g. {"boi_token": "<start>"}."""
    named = dict(named or {})
    special = list(dict.fromkeys([image_token, *special, *named.values()]))
    core = Tokenizer(models.BPE())
    # Digits one by one, as SmolLM's and Qwen's tokenizers: numbers of two digits are all equally long.
    digits = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    core.decoder = decoders.ByteLevel()
    names = ["<pad>", "<|im_start|>", END_OF_TURN, *special]
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
        additional_special_tokens=special,
        extra_special_tokens=named,
    )
