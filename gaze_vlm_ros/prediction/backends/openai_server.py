"""A checkpoint that a server elsewhere holds: vLLM, llama.cpp and others that speak OpenAI's chat completions.

One request an answer. The server is told to choose among the labels (vLLM: `structured_outputs.choice`, llama.cpp:
`grammar`) and asked for `logprobs` with the likeliest 20 tokens at each step. llama.cpp tells those of before the
constraint (without `post_sampling_probs`), vLLM 0.32 those among the tokens that can still become a label.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, read_checkpoint_metadata
from gaze_vlm_ros.prediction.types import Answer, NoAnswer, Observation
from gaze_vlm_ros.video.images import encode_jpeg
from gaze_vlm_ros.vlm.chat_client import ChatServer, ServerFails, ServerRefuses

MOST_TOKENS = 32  # of an answer; actions are short
TOP_LOGPROBS = 20  # as many as OpenAI's API and vLLM allow


class NoServerAnswer(NoAnswer):
    """The server is down, too slow, or says something else than an answer with its log-probabilities."""


@dataclass(frozen=True)
class _Asking:
    question: str
    timeout_s: float
    max_tokens: int = MOST_TOKENS
    temperature: float = 0.0  # the likeliest
    attempts: int = 1  # the next try is with a newer frame
    backoff_s: float = 0.0


class ServerBackend:
    """Asks for one answer, among the metadata's labels or open. The probabilities are good for their order alone."""

    def __init__(
        self, folder: Path | str, url: str, model: str = "", timeout_s: float = 2.0, answers: str = "closed"
    ) -> None:
        """folder: with the gaze_vlm.json of what the server serves; weights are not read.

        url: the API's root, such as http://gpu:8000/v1; the key is in OPENAI_API_KEY, if it wants one.
        model: as the server calls it; empty = the one it has. timeout_s: of connecting, and of waiting for a reply.
        Raises NotACheckpoint, ServerRefuses.
        """
        metadata = read_checkpoint_metadata(folder)
        self._labels = metadata.labels if answers == "closed" else ()
        # What was calibrated belongs to likelihoods of complete answers, which no server gives.
        self._metadata = replace(metadata, score_kind="rank_only", abstain_thresholds=(), other_share=None)
        extra: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if self._labels:
            # Many chat templates end in "Assistant:", and the model then begins with a space, as it was trained to.
            extra["structured_outputs"] = {"choice": [space + label for label in self._labels for space in ("", " ")]}
            texts = " | ".join(json.dumps(label, ensure_ascii=False) for label in self._labels)
            extra["grammar"] = f'root ::= " "? ({texts})'
        else:
            self._metadata = replace(
                self._metadata, labels=(), verbs=(), object_classes=(), label_set_id="", time_to_start_s=(),
                time_to_start_source="none", time_to_start_error_s=None,
            )  # fmt: skip
        asking = _Asking(metadata.question, timeout_s)
        key = os.environ.get("OPENAI_API_KEY", "")
        self._server = ChatServer(url, model, key, asking, extra=extra, images_first=True, advice="")

    @property
    def metadata(self) -> CheckpointMetadata:
        return self._metadata

    def warm_up(self) -> None:
        """Ask about blank frames. Raises ServerFails or ServerRefuses where there is no server that answers."""
        frame = np.zeros((self._metadata.frame_size[1], self._metadata.frame_size[0], 3), np.uint8)
        self._server.ask([encode_jpeg(frame)] * self._metadata.frames)

    def predict(self, observation: Observation) -> Answer:
        """Raises NoServerAnswer; the next question may have an answer."""
        began = time.perf_counter()
        jpegs = [encode_jpeg(frame) for frame in observation.frames]
        encoded_by = time.perf_counter()
        try:
            said = self._server.ask(jpegs)
        except (ServerFails, ServerRefuses) as error:
            raise NoServerAnswer(str(error)) from None
        stages = {"encoding": encoded_by - began, "server": time.perf_counter() - encoded_by}
        if "problem" in said:
            raise NoServerAnswer(f"the server gives {said['problem']}")
        text = " ".join(said["reply"].split())
        try:
            steps = _steps(said.get("logprobs"))
        except (TypeError, KeyError, ValueError) as error:
            raise NoServerAnswer(f"log-probabilities that are none ({type(error).__name__}: {error})") from None
        if not steps:
            raise NoServerAnswer("the server gives no logprobs, so nobody knows how likely its answer is")
        if not self._labels:
            if not text:
                raise NoServerAnswer("the server's answer is empty")
            probability = min(1.0, math.exp(sum(logprob for _, logprob, _ in steps)))
            return Answer((text,), np.array([probability]), "rank_only", 1.0 - probability, stages=stages)
        if text not in self._labels:
            raise NoServerAnswer(f"the server answers {text[:80]!r}, which is none of the labels")
        return Answer(self._labels, choice_probabilities(self._labels, text, steps), "rank_only", stages=stages)

    def close(self) -> None:
        self._server.close()


def choice_probabilities(
    labels: Sequence[str], chosen: str, steps: Sequence[tuple[str, float, Sequence[tuple[str, float]]]]
) -> NDArray[np.float64]:
    """(A,) of each label, from what else the server might have said at each step (token, log-probability, others).

    A label that parts from the chosen one at some step has the probability of what both begin with and of its own next
    token, shared with all others that go on so; it is 0 where that token is not among those told. They are made to sum
    to 1 over the labels. The chosen one is more exact than the others: only the order means something. Space before a
    label does not count.
    """
    scores = np.full(len(labels), -math.inf)
    written, log_probability = "", 0.0
    for token, logprob, others in steps:
        chosen_now = (written + token).lstrip()
        for other, other_logprob in others:
            begun = (written + other).lstrip() if other else ""
            rows = [
                row
                for row, label in enumerate(labels)
                if begun and label.startswith(begun) and not label.startswith(chosen_now)
            ]
            for row in rows:
                score = log_probability + other_logprob - math.log(len(rows))
                scores[row] = np.logaddexp(scores[row], score)  # tokens of other lengths may begin it too
        written, log_probability = written + token, log_probability + logprob
    scores[labels.index(chosen)] = log_probability
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def _steps(logprobs: Any) -> list[tuple[str, float, list[tuple[str, float]]]]:
    found = []
    for entry in (logprobs or {}).get("content") or []:
        others = [(str(other["token"]), float(other["logprob"])) for other in entry.get("top_logprobs") or []]
        logprob = float(entry["logprob"])
        if not math.isfinite(logprob):
            raise ValueError(f"logprob is {logprob}")
        found.append((str(entry["token"]), logprob, [o for o in others if o[0] != entry["token"]]))
    return found
