"""Chat templates for models that come without one and were trained on a single form of question."""

from __future__ import annotations

from typing import Any

# PaliGemma (arXiv 2407.07726, section 3.1): images, question, line break, answer. Its processor writes the token that
# begins a text after the images, and the line break.
PALIGEMMA = (
    "{% for message in messages %}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
# BLIP-2's form of a question, also one of InstructBLIP's; their processors put the picture before the text.
BLIP = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{% if message['role'] == 'user' %}Question: {{ part['text'] }} Answer:"
    "{% else %}{{ ' ' + part['text'] + eos_token }}{% endif %}{% endif %}{% endfor %}{% endfor %}"
)
_BY_PROCESSOR = {"PaliGemmaProcessor": PALIGEMMA, "Blip2Processor": BLIP, "InstructBlipProcessor": BLIP}


def give_template(processor: Any) -> None:
    """Set the known template of the processor's model, where the processor has none."""
    if not getattr(processor, "chat_template", None):
        processor.chat_template = _BY_PROCESSOR.get(type(processor).__name__)
