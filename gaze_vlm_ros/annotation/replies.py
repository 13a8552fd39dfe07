"""From what a model said about each second to labels."""

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
    """What a reply says that the person does; or why it says nothing that can be used."""

    text: str = ""  # empty: no action
    verb: str = ""
    object_class: str = ""
    said: str = ""  # where `text` is an entry of a closed set
    similarity: float | None = None
    problem: str = ""  # why there is no label, though something may have been done


def meaning_of(reply: str, settings: DescribeSettings) -> Meaning:
    """One reply, before it is matched with a closed set."""
    text, verb, noun = reply, "", ""
    if settings.answer == "json":
        try:
            told = json.loads(_FENCE.sub("", reply.strip()))
            text, verb, noun = (told.get(key) or "" for key in ("text", "verb", "object"))
            if not all(isinstance(value, str) for value in (text, verb, noun)):
                raise TypeError
        except (ValueError, AttributeError, TypeError, RecursionError):
            return Meaning(problem="replies that are not the JSON asked for")
        text = text or " ".join(filter(None, [verb, noun]))
    text, verb, noun = (" ".join(value.split()) for value in (text, verb, noun))
    text = text.strip("\"'").rstrip(".").strip()
    if not text:
        return Meaning(problem="replies without a text")
    if plain(text) in {plain(word) for word in settings.nothing}:
        return Meaning()
    return Meaning(text, verb, noun)


def plain(text: str) -> str:
    """Lower case, without punctuation and articles: what two spellings of one label have in common."""
    return " ".join(word for word in _NOT_WORDS.sub(" ", text.casefold()).split() if word not in _ARTICLES)


def matched(meanings: Sequence[Meaning], settings: DescribeSettings, embed: Embed | None) -> list[Meaning]:
    """Each as an entry of the closed set settings.labels, or with a problem; unchanged where there is no set.

    embed: needed for settings.match nearest. A reply that is an entry, but for its spelling, is never compared.
    """
    if not settings.labels:
        return list(meanings)
    by_plain = {plain(label): label for label in settings.labels}
    far = [m.text for m in meanings if m.text and plain(m.text) not in by_plain]
    nearest: dict[str, tuple[str, float]] = {}
    if settings.match == "nearest" and far:
        assert embed is not None
        texts = list(dict.fromkeys(far))
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
