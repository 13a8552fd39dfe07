"""Against a real HTTP server: what it is asked, what is made of its answers, and its faults."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_endpoint import ChatEndpoint, completion

from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.prediction.backends.openai_server import NoServerAnswer
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.prediction.types import Observation
from gaze_vlm_ros.vlm.chat_client import ServerFails, ServerRefuses

RED, BLUE = "take the red disc", "take the blue disc"
OBSERVATION = Observation([np.full((48, 64, 3), 90, np.uint8)] * 2, (1, 2))


def step(token: str, probability: float, **others: float) -> dict[str, Any]:
    top = [{"token": name.replace("_", " "), "logprob": math.log(p)} for name, p in others.items()]
    here = {"token": token, "logprob": math.log(probability)}
    return here | {"top_logprobs": [here, *top]}


STEPS = [step("take the", 0.9, open=0.05), step(" red", 0.6, _blue=0.3), step(" disc", 1.0), step("<end>", 1.0)]
SAID = completion(RED, logprobs={"content": STEPS})


def ask(checkpoint: Path, server: ChatEndpoint, **options: Any) -> Any:
    return open_backend(checkpoint, backend="openai", server_url=server.url, **options)


def test_labels_are_scored_where_they_part(small_checkpoint: Path) -> None:
    metadata = read_checkpoint_metadata(small_checkpoint)
    with ChatEndpoint(lambda *_: SAID) as server:
        backend = ask(small_checkpoint, server)
        backend.warm_up()
        answer = backend.predict(OBSERVATION)
        backend.close()
    assert backend.metadata.score_kind == answer.score_kind == "rank_only"
    assert dict(zip(answer.texts, answer.probabilities, strict=True)) == pytest.approx({RED: 2 / 3, BLUE: 1 / 3})
    body = server.requests[-1]
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "image_url", "text"]
    assert body["messages"][0]["content"][-1]["text"] == metadata.question
    first, second = metadata.labels
    assert body["structured_outputs"] == {"choice": [first, f" {first}", second, f" {second}"]}
    assert body["grammar"] == f'root ::= " "? ("{first}" | "{second}")'
    assert (body["logprobs"], body["top_logprobs"], body["temperature"]) == (True, 20, 0.0)
    assert "model" not in body


def test_a_model_that_begins_with_a_space_is_scored_alike(small_checkpoint: Path) -> None:
    """As where the chat template ends in "Assistant:"; others began without one, or with the space alone."""
    steps = [step(" take the", 0.8, take=0.05, _=0.1), *STEPS[1:]]
    with ChatEndpoint(lambda *_: completion(f" {RED}", logprobs={"content": steps})) as server:
        backend = ask(small_checkpoint, server)
        answer = backend.predict(OBSERVATION)
        backend.close()
    assert dict(zip(answer.texts, answer.probabilities, strict=True)) == pytest.approx({RED: 2 / 3, BLUE: 1 / 3})


def test_a_server_answers_what_when_and_nothing(small_stream_checkpoint: Path) -> None:
    """It says "soon take the red disc"; of the alternatives, "nothing" parts at once and "blue" at the colour."""
    steps = [
        step("soon", 0.5, later=0.2, nothing=0.3), step(" take the", 1.0), step(" red", 0.8, _blue=0.2),
        step(" disc", 1.0), step("<end>", 1.0),
    ]  # fmt: skip
    with ChatEndpoint(lambda *_: completion(f"soon {RED}", logprobs={"content": steps})) as server:
        backend = ask(small_stream_checkpoint, server)
        answer = backend.predict(OBSERVATION)
        backend.close()
    assert answer.texts == (BLUE, RED)
    assert answer.table == pytest.approx(np.array([[0.1, 0.1], [0.4, 0.1]]))  # later: shared by both colours
    assert answer.nothing_probability == pytest.approx(0.3)
    assert answer.probabilities == pytest.approx([0.2, 0.5])
    choices = server.requests[-1]["structured_outputs"]["choice"]
    assert choices[::2] == [f"soon {BLUE}", f"soon {RED}", f"later {BLUE}", f"later {RED}", "nothing yet"]
    stream = backend.metadata.stream
    assert stream is not None
    assert (stream.belief, stream.operating_points) == (None, ())  # they hold for whole likelihoods


@pytest.mark.parametrize(
    ("said", "text", "starts_s", "nothing"),
    [(f"later {RED}", RED, 1.5, None), ("nothing yet", "", None, 0.9), (RED, RED, None, None)],
)
def test_an_open_answer_is_read_by_the_same_words(
    small_stream_checkpoint: Path, said: str, text: str, starts_s: float | None, nothing: float | None
) -> None:
    with ChatEndpoint(lambda *_: completion(said, logprobs={"content": [step(said, 0.9)]})) as server:
        backend = ask(small_stream_checkpoint, server, answers="open")
        answer = backend.predict(OBSERVATION)
        backend.close()
    assert answer.texts == (text,)
    assert answer.probabilities[0] == pytest.approx(0.0 if nothing else 0.9)
    assert answer.nothing_probability == (pytest.approx(nothing) if nothing else None)
    assert (None if answer.time_to_start_s is None else answer.time_to_start_s[0]) == starts_s


def test_an_open_answer_has_the_probability_of_its_tokens(small_checkpoint: Path) -> None:
    with ChatEndpoint(lambda *_: SAID) as server:
        backend = ask(small_checkpoint, server, answers="open")
        answer = backend.predict(OBSERVATION)
        backend.close()
    assert answer.texts == (RED,)
    assert answer.probabilities[0] == pytest.approx(0.54)
    assert answer.other_probability == pytest.approx(0.46)
    assert backend.metadata.labels == ()
    assert "structured_outputs" not in server.requests[0]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ((500, {}, b"broken"), "HTTP 500: broken"),
        ((404, {}, b'{"error": "no such model"}'), "HTTP 404: no such model"),
        ((200, {}, b"{"), "a reply that is no chat completion"),
        ("close", "gives no answer, asked 1 times"),
        (completion(RED), "gives no logprobs"),
        (completion("dance", logprobs={"content": STEPS}), "answers 'dance', which is none of the labels"),
        (completion(RED, logprobs={"content": [{"token": "a"}]}), "log-probabilities cannot be read"),
        (completion("take the", finish_reason="length"), "cut off at max_tokens"),
    ],
)
def test_a_fault_is_no_answer_and_the_next_may_be_one(fault: Any, why: str, small_checkpoint: Path) -> None:
    with ChatEndpoint(lambda _, number: fault if number == 1 else SAID) as server:
        backend = ask(small_checkpoint, server)
        with pytest.raises(NoServerAnswer, match=why):
            backend.predict(OBSERVATION)
        assert backend.predict(OBSERVATION).probabilities.sum() == pytest.approx(1.0)
        backend.close()


def test_a_server_that_is_slow_or_down(small_checkpoint: Path) -> None:
    with ChatEndpoint(lambda *_: SAID, pause_s=0.5) as server:
        slow = ask(small_checkpoint, server, server_timeout_s=0.1)
        with pytest.raises(NoServerAnswer, match=r"no answer within 0\.1 s"):
            slow.predict(OBSERVATION)
    down = ask(small_checkpoint, server)
    with pytest.raises(NoServerAnswer, match="ConnectError"):
        down.predict(OBSERVATION)
    with pytest.raises(ServerFails, match="ConnectError"):
        down.warm_up()
    with pytest.raises(ServerRefuses, match="server '': expected http://HOST:PORT/v1"):
        open_backend(small_checkpoint, backend="openai")


def test_both_questions_go_to_the_server_with_the_same_pictures(small_both_checkpoint: Path) -> None:
    """Next "soon take the red disc", nothing 0.3; now "nothing" with 0.7, and the blue disc with 0.2."""
    metadata = read_checkpoint_metadata(small_both_checkpoint)
    assert metadata.now is not None
    later = [
        step("soon", 0.5, later=0.2, nothing_yet=0.3), step(" take the", 1.0), step(" red", 0.8, _blue=0.2),
        step(" disc", 1.0), step("<end>", 1.0),
    ]  # fmt: skip
    said = {
        metadata.question: completion(f"soon {RED}", logprobs={"content": later}),
        metadata.now.question: completion(
            "nothing", logprobs={"content": [step("nothing", 0.7, take_the_blue=0.2, take_the_red=0.1)]}
        ),
    }
    with ChatEndpoint(lambda body, _: said[body["messages"][0]["content"][-1]["text"]]) as server:
        backend = ask(small_both_checkpoint, server)
        answer = backend.predict(OBSERVATION)
        backend.close()
    assert answer.nothing_probability == pytest.approx(0.3)
    assert answer.now is not None
    assert answer.now.texts == (BLUE, RED)
    assert answer.now.probabilities == pytest.approx([0.2, 0.1])
    assert answer.now.nothing_probability == pytest.approx(0.7)
    first, second = server.requests
    pictures = [body["messages"][0]["content"][:-1] for body in server.requests]
    assert pictures[0] == pictures[1]
    assert {part["type"] for part in pictures[0]} == {"image_url"}
    assert second["structured_outputs"]["choice"][::2] == [BLUE, RED, "nothing"]
    assert second["grammar"] == f'root ::= " "? ("{BLUE}" | "{RED}" | "nothing")'
    assert "nothing yet" in first["grammar"]


@pytest.mark.parametrize(("said", "texts", "nothing"), [(RED, (RED,), 0.0), ("nothing", (), 0.9)])
def test_an_open_answer_to_what_goes_on_now(
    small_both_checkpoint: Path, said: str, texts: tuple[str, ...], nothing: float
) -> None:
    with ChatEndpoint(lambda *_: completion(said, logprobs={"content": [step(said, 0.9)]})) as server:
        backend = ask(small_both_checkpoint, server, answers="open")
        now = backend.predict(OBSERVATION).now
        backend.close()
    assert now is not None
    assert now.texts == texts
    assert now.probabilities.sum() + now.nothing_probability == pytest.approx(0.9)
    assert now.nothing_probability == pytest.approx(nothing)
    assert now.other_probability == pytest.approx(0.1)
