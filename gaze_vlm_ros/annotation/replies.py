"""From a model's replies to labels: what a reply means, and which entry of a closed set it is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gaze_vlm_ros.annotation.describe_settings import DescribeSettings
from gaze_vlm_ros.vlm.embeddings import Embed

_NOT_WORDS = re.compile(r"[^\w]+")
_ARTICLES = {"a", "an", "the"}
_FENCE = re.compile(r"^```\w*\s*|\s*```$")


@dataclass(frozen=True)
class Meaning:
    """The action that a reply names, or the reason why it cannot be used."""

    text: str = ""  # empty: no action
    verb: str = ""
    object_class: str = ""
    said: str = ""  # the model's own words, if `text` is an entry of a closed set
    similarity: float | None = None
    problem: str = ""  # why there is no label, though the person may have done something


def meaning_of(reply: str, settings: DescribeSettings) -> Meaning:
    """Parse one reply, before it is matched with a closed set."""
    text, verb, noun = reply, "", ""
    if settings.answer == "json":
        try:
            content = json.loads(_FENCE.sub("", reply.strip()))
            text, verb, noun = (content.get(key) or "" for key in ("text", "verb", "object"))
            if not all(isinstance(value, str) for value in (text, verb, noun)):
                raise TypeError
        except (ValueError, AttributeError, TypeError, RecursionError):
            return Meaning(problem="replies that are not the requested JSON")
        text = text or " ".join(filter(None, [verb, noun]))
    text, verb, noun = (" ".join(value.split()) for value in (text, verb, noun))
    text = text.strip("\"'").rstrip(".").strip()
    if not text:
        return Meaning(problem="replies without a text")
    if plain(text) in {plain(word) for word in settings.nothing}:
        return Meaning()
    return Meaning(text, verb, noun)


def plain(text: str) -> str:
    """Return the text in lower case without punctuation and articles: what spellings of one label have in common."""
    return " ".join(word for word in _NOT_WORDS.sub(" ", text.casefold()).split() if word not in _ARTICLES)


def matched(meanings: Sequence[Meaning], settings: DescribeSettings, embed: Embed | None) -> list[Meaning]:
    """Replace each text by its entry of the closed set settings.labels, or by a problem; no set: change nothing.

    embed: needed if settings.match is "nearest". A reply that equals an entry, apart from spelling, is not embedded.
    """
    if not settings.labels:
        return list(meanings)
    by_plain = {plain(label): label for label in settings.labels}
    unknown = [m.text for m in meanings if m.text and plain(m.text) not in by_plain]
    nearest: dict[str, tuple[str, float]] = {}
    if settings.match == "nearest" and unknown:
        assert embed is not None
        texts = list(dict.fromkeys(unknown))
        cosines = embed(texts) @ embed(settings.labels).T
        nearest = {
            text: (settings.labels[int(row.argmax())], float(row.max()))
            for text, row in zip(texts, cosines, strict=True)
        }
    found = []
    for meaning in meanings:
        label = by_plain.get(plain(meaning.text))
        if meaning.text and label is not None:
            meaning = replace(meaning, text=label, said=meaning.text)
        elif meaning.text:
            label, cosine = nearest.get(meaning.text, ("", -1.0))
            if label and cosine >= settings.min_similarity:
                meaning = replace(meaning, text=label, said=meaning.text, similarity=round(cosine, 4))
            else:
                meaning = Meaning(problem="replies that fit no label of the closed set")
        found.append(meaning)
    return found
