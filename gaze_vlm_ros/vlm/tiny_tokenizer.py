"""Tokenizer and chat template of tiny models: byte-level BPE, trained on the given texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TURN = "<end_of_utterance>"
# One turn per line, images first, like the chat templates of real checkpoints but without system prompts.
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
    """Train and return a tokenizer with at most `vocabulary` tokens.

    named: special tokens that a processor reads from its tokenizer by attribute, e.g. {"boi_token": "<start>"}.
    """
    named = dict(named or {})
    special = list(dict.fromkeys([image_token, *special, *named.values()]))
    core = Tokenizer(models.BPE())
    # Digits are single tokens, as in SmolLM's and Qwen's tokenizers, so numbers of two digits are equally long.
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
    # With and without the space before a word inside a sentence.
    core.train_from_iterator([*texts, *(" " + text for text in texts), "User:", "Assistant:"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|im_start|>",
        eos_token=END_OF_TURN,
        pad_token="<pad>",
        additional_special_tokens=special,
        extra_special_tokens=named,
    )
