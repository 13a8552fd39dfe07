"""Backend "openai": a server elsewhere holds the checkpoint; vLLM, llama.cpp, others with OpenAI's chat completions.

Each answer takes one request. It restricts the server to the labels (vLLM: `structured_outputs.choice`, llama.cpp:
`grammar`) and requests `logprobs` with the 20 likeliest tokens of each step. llama.cpp reports log-probabilities from
before the restriction (without `post_sampling_probs`), vLLM 0.32 those among the tokens that can still become a label.
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

from gaze_vlm_ros.prediction.backends.open_answer import open_answer, open_now_answer
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, read_checkpoint_metadata, with_open_answers
from gaze_vlm_ros.prediction.types import Answer, NoAnswer, NowAnswer, Observation
from gaze_vlm_ros.video.images import encode_jpeg
from gaze_vlm_ros.vlm.chat_client import ChatServer, ServerFails, ServerRefuses

MAX_TOKENS = 32  # of an answer; actions are short
TOP_LOGPROBS = 20  # as many as OpenAI's API and vLLM allow
# What a reply may hold: more than any server gives, and few enough to be read at once.
MOST_STEPS, MOST_ALTERNATIVES, LONGEST_TOKEN = 4 * MAX_TOKENS, 100, 200  # tokens, tokens, characters
HIGHEST_LOGPROB = 0.01  # rounding may lift a logarithm of 1 a little


class NoServerAnswer(NoAnswer):
    """The server is down, too slow, or does not reply with an answer and its log-probabilities."""


@dataclass(frozen=True)
class _RequestSettings:
    question: str
    timeout_s: float
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0  # greedy
    attempts: int = 1  # retry with a newer frame instead
    backoff_s: float = 0.0


class ServerBackend:
    """Queries a server for one answer, among the labels or open. Only the order of its probabilities is meaningful."""

    def __init__(
        self, folder: Path | str, url: str, model: str = "", timeout_s: float = 2.0, answers: str = "closed"
    ) -> None:
        """folder: holds the gaze_vlm.json of the served checkpoint; weights are not read.

        url: root of the API, such as http://gpu:8000/v1; the key, if the server needs one, is in OPENAI_API_KEY.
        model: the server's name for it; empty = the only one it has. timeout_s: to connect, and to receive a reply.
        Raises NotACheckpoint, ServerRefuses.
        """
        metadata = read_checkpoint_metadata(folder)
        self._labels = metadata.labels if answers == "closed" else ()
        if self._labels:
            # The calibration holds for likelihoods of complete answers, which no server reports.
            stream = metadata.stream and replace(metadata.stream, belief=None, operating_points=())
            self._metadata = replace(
                metadata, score_kind="rank_only", abstain_thresholds=(), other_share=None, stream=stream
            )
        else:
            self._metadata = with_open_answers(metadata)
        answers_of = {metadata.question: self._metadata.answers if self._labels else ()}
        if second := self._metadata.second_question:
            answers_of[second.question] = second.texts(self._labels) if self._labels else ()
        self._questions = [_Question(url, model, timeout_s, *entry) for entry in answers_of.items()]

    @property
    def metadata(self) -> CheckpointMetadata:
        """Metadata of the served checkpoint, without what a server cannot give."""
        return self._metadata

    def warm_up(self) -> None:
        """Query once with blank frames. Raises ServerFails or ServerRefuses where no server answers."""
        frame = np.zeros((self._metadata.frame_size[1], self._metadata.frame_size[0], 3), np.uint8)
        self._questions[0].server.ask([encode_jpeg(frame)] * self._metadata.frames)

    def predict(self, observation: Observation) -> Answer:
        """Query the server once for each question. Raises NoServerAnswer; the next query may succeed."""
        began = time.perf_counter()
        jpegs = [encode_jpeg(frame) for frame in observation.frames]
        encoded_by = time.perf_counter()
        replies = [question.ask(jpegs) for question in self._questions]
        stages = {"encoding": encoded_by - began, "server": time.perf_counter() - encoded_by}
        answer = self._answer(*replies[0], stages)
        return replace(answer, now=self._now(*replies[1])) if len(replies) > 1 else answer

    def _answer(self, text: str, probabilities: NDArray[np.float64], stages: dict[str, float]) -> Answer:
        if not self._labels:
            return open_answer(self._metadata, text, float(probabilities[0]), stages=stages)
        if stream := self._metadata.stream:
            table, nothing = stream.words.table(probabilities)
            return Answer(
                self._labels, table.sum(axis=1), "rank_only", table=table, nothing_probability=float(nothing),
                stages=stages,
            )  # fmt: skip
        nothing_probability = float(probabilities[-1]) if self._metadata.now else None
        own = probabilities[: len(self._labels)]
        return Answer(self._labels, own, "rank_only", nothing_probability=nothing_probability, stages=stages)

    def _now(self, text: str, probabilities: NDArray[np.float64]) -> NowAnswer:
        second = self._metadata.second_question
        assert second is not None
        if self._labels:
            return NowAnswer(self._labels, probabilities[:-1], float(probabilities[-1]))
        return open_now_answer(second, text, float(probabilities[0]))

    def close(self) -> None:
        """Close the connections."""
        for question in self._questions:
            question.server.close()


class _Question:
    """One of the questions to the server, and its answers; none = answers are open."""

    def __init__(self, url: str, model: str, timeout_s: float, text: str, answers: tuple[str, ...]) -> None:
        self._answers = answers
        extra: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if answers:
            # Many chat templates end in "Assistant:", and the model was trained to begin with a space then.
            extra["structured_outputs"] = {"choice": [space + answer for answer in answers for space in ("", " ")]}
            texts = " | ".join(json.dumps(answer, ensure_ascii=False) for answer in answers)
            extra["grammar"] = f'root ::= " "? ({texts})'
        settings, key = _RequestSettings(text, timeout_s), os.environ.get("OPENAI_API_KEY", "")
        self.server = ChatServer(url, model, key, settings, extra=extra, images_first=True, advice="")

    def ask(self, jpegs: Sequence[bytes]) -> tuple[str, NDArray[np.float64]]:
        """Return the answer, and the probability of each of the answers, or of an open one. Raises NoServerAnswer."""
        try:
            said = self.server.ask(jpegs)
        except (ServerFails, ServerRefuses) as error:
            raise NoServerAnswer(str(error)) from None
        if "problem" in said:
            raise NoServerAnswer(f"the server gives {said['problem']}")
        text = " ".join(said["reply"].split())
        try:
            steps = _steps(said.get("logprobs"))
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            why = ascii(f"{type(error).__name__}: {error}")[1:200]
            raise NoServerAnswer(f"the server's log-probabilities cannot be read ({why})") from None
        if not steps:
            raise NoServerAnswer("the server gives no logprobs, so the probability of its answer is unknown")
        if not self._answers:
            if not text:
                raise NoServerAnswer("the server's answer is empty")
            return text, np.array([min(1.0, math.exp(sum(logprob for _, logprob, _ in steps)))])
        if text not in self._answers:
            raise NoServerAnswer(f"the server answers {text[:80]!r}, which is none of the labels")
        return text, choice_probabilities(self._answers, text, steps)


def choice_probabilities(
    labels: Sequence[str], chosen: str, steps: Sequence[tuple[str, float, Sequence[tuple[str, float]]]]
) -> NDArray[np.float64]:
    """(A,) probability of each label, from the alternatives at each step (token, log-probability, alternatives).

    A label that departs from the chosen one at some step gets the probability of their common beginning times that of
    its own next token, shared evenly among all labels that continue so; 0 where the server did not list that token. The
    result is scaled to sum to 1. The chosen label's value is more exact than the others, so only the order means
    something. Space before a label is ignored.
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
                scores[row] = np.logaddexp(scores[row], score)  # tokens of other lengths may begin the same label
        written, log_probability = written + token, log_probability + logprob
    scores[labels.index(chosen)] = log_probability
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def _steps(logprobs: Any) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """Return (token, log-probability, alternatives) of each step. Raises whatever unusual JSON leads to."""
    found = []
    entries = (logprobs or {}).get("content") or []
    if len(entries) > MOST_STEPS:
        raise ValueError(f"{len(entries)} tokens")
    for entry in entries:
        others = [_scored(other) for other in (entry.get("top_logprobs") or [])[:MOST_ALTERNATIVES]]
        token, logprob = _scored(entry)
        if logprob == -math.inf:
            raise ValueError(f"logprob of {token!r} is {logprob}")
        found.append((token, logprob, [other for other in others if other[0] != entry["token"]]))
    return found


def _scored(entry: Any) -> tuple[str, float]:
    token, logprob = str(entry["token"]), float(entry["logprob"])
    if len(token) > LONGEST_TOKEN or not logprob <= HIGHEST_LOGPROB:
        raise ValueError(f"logprob of {token[:20]!r} is {logprob}")
    return token, min(logprob, 0.0)
