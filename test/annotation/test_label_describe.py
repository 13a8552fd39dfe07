"""Descriptions second by second, from a real HTTP server that behaves and misbehaves and from a real tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_endpoint import ChatEndpoint, colour_of, completion

from gaze_vlm_ros.annotation.clips import clips_of
from gaze_vlm_ros.annotation.describe_settings import BadDescribeSettings, DescribeSettings, load_describe_settings
from gaze_vlm_ros.annotation.description import NoModel, describe_bag
from gaze_vlm_ros.annotation.journal import BadJournal, Journal, JournalInUse
from gaze_vlm_ros.annotation.replies import Meaning, matched, meaning_of, plain
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import load_session, require_labels
from gaze_vlm_ros.vlm.chat_client import ServerFails, ServerRefuses, without_secrets

FAST = ["backoff_s=0.01", "attempts=3"]


def settings(*overrides: str) -> DescribeSettings:
    return load_describe_settings(None, [*FAST, *overrides])


def described(bag: Path, endpoint: ChatEndpoint, *overrides: str, **options: Any):
    printed: list[str] = []
    placed = describe_bag(
        bag, settings(*overrides), server=endpoint.url, model_name="m", report=printed.append, **options
    )
    return placed, printed


def honest(body: dict[str, Any], _: int) -> Any:
    return completion(f"Take the {colour_of(body)} disc.")


def journals(bag: Path) -> list[Path]:
    return sorted(bag.glob("labels.describe-*.jsonl"))


def test_every_second_is_asked_about_and_provenance_recorded(
    bare: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with ChatEndpoint(honest) as endpoint:
        placed, printed = described(bare, endpoint, key_env="MY_KEY")
    assert len(endpoint.requests) == 24  # of 24 s
    assert "24 calls with 72 images" in printed[0]
    body = endpoint.requests[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 60, 0.0)
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url", "image_url"]
    assert {(h["path"], h["Authorization"]) for h in endpoint.headers} == {("/v1/chat/completions", "Bearer sk-secret")}
    # A disc shows for the 3 s before it is taken; equal seconds in a row are one label.
    truth = require_labels(load_session(labelled)).texts
    labels = require_labels(load_session(bare))
    shown_s = [text.replace("take", "Take") for text in truth for _ in range(3)]
    merged = [text for row, text in enumerate(shown_s) if not row or text != shown_s[row - 1]]
    assert [text for text in labels.texts if text] == merged
    assert placed
    assert placed.labelled_share > 0.99
    file = load_session(bare).label_file
    assert file
    (source,) = file.sources.values()
    assert (source["kind"], source["model"], source["served_as"]) == ("describe", "m", ["served-1"])
    assert source["settings"]["window_s"] == 1.0
    assert len(source["prompt_sha256"]) == 64
    everything = "".join(path.read_text() for path in [*journals(bare), bare / "labels.json"])
    assert "sk-secret" not in everything


def test_a_server_that_stumbles_is_asked_again(bare: Path) -> None:
    faults = [
        (429, {"Retry-After": "0"}, b'{"error": {"message": "slow down"}}'),
        (500, {}, b"oops"),
        "close",
        (200, {}, b"<html>proxy</html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"message": {"content": null}}]}'),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b""),
    ]  # fmt: skip
    with ChatEndpoint(lambda body, n: faults[n // 2] if n % 2 and n // 2 < len(faults) else honest(body, n)) as server:
        placed, _ = described(bare, server, "parallel=1")
    assert len(server.requests) == 24 + len(faults)
    assert placed
    assert placed.left_out == {}


@pytest.mark.parametrize(
    ("reply", "message", "error"),
    [
        ((401, {}, b'{"error": {"message": "bad key"}}'), "says HTTP 401: bad key", ServerRefuses),
        ((404, {}, b'{"error": "no model m"}'), "says HTTP 404: no model m", ServerRefuses),
        ((400, {}, b"x" * 5000), "says HTTP 400: xxx", ServerRefuses),
        ((500, {}, b"broken"), "asked 3 times; at last: HTTP 500: broken", ServerFails),
        ("close", "asked 3 times; at last: ", ServerFails),
        ((200, {}, b"{"), "no chat completion", ServerFails),
    ],
)
def test_a_server_that_does_not_answer_ends_the_run_in_one_line(
    bare: Path, reply: Any, message: str, error: type
) -> None:
    with ChatEndpoint(lambda *_: reply) as endpoint, pytest.raises(error) as raised:
        described(bare, endpoint, "parallel=2")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    # A refusal ends the run at once; otherwise each of the two calls makes all its attempts.
    assert len(endpoint.requests) <= (2 if error is ServerRefuses else 6)
    assert not (bare / "labels.json").exists()


def test_no_server_there_and_one_that_is_silent(bare: Path) -> None:
    with pytest.raises(ServerFails, match="ConnectError"):
        describe_bag(bare, settings(), server="http://127.0.0.1:9/v1", model_name="m", report=lambda _: None)
    with (
        ChatEndpoint(honest, pause_s=1.0) as endpoint,
        pytest.raises(ServerFails, match=r"no answer within 0\.05 s"),
    ):
        described(bare, endpoint, "timeout_s=0.05", "attempts=1", "parallel=1")


def test_a_run_that_broke_off_goes_on_where_it_was(bare: Path) -> None:
    with ChatEndpoint(lambda body, n: honest(body, n) if n <= 10 else (401, {}, b"")) as endpoint:
        with pytest.raises(ServerRefuses):
            described(bare, endpoint, "parallel=1")
        (journal,) = journals(bare)
        with journal.open("ab") as stream:  # killed while writing
            stream.write(b'{"second": 10, "rep')
        dry = described(bare, endpoint, dry_run=True)
        assert dry[0] is None
    with ChatEndpoint(honest) as endpoint:
        placed, printed = described(
            bare, endpoint, "parallel=1", "timeout_s=9"
        )  # settings that no answer depends on: the same run
    assert "14 calls (10 of 24 are answered already)" in printed[0]
    assert len(endpoint.requests) == 14
    assert placed
    assert journals(bare) == [journal]
    assert [json.loads(line).get("second") for line in journal.read_text().splitlines()][1:] == list(range(24))
    # Another prompt is another run. Labels are rebuilt from a complete journal without a server.
    with ChatEndpoint(lambda *_: (401, {}, b"")) as endpoint:
        described(bare, endpoint, "merge=false", replace_labels=True)
        assert len(require_labels(load_session(bare)).texts) == 25
        with pytest.raises(ServerRefuses):
            described(bare, endpoint, "prompt=What?", replace_labels=True)


def test_a_kill_at_any_moment_costs_no_answer(bare: Path) -> None:
    with ChatEndpoint(honest, pause_s=0.05) as endpoint:
        command = [
            Path(sys.executable).with_name("gaze-vlm"), "label", "describe", bare, "--server", endpoint.url,
            "--model-name", "m", "--set", "parallel=2",
        ]  # fmt: skip
        for answers in (3, 9):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 120
            while not journals(bare) or journals(bare)[0].read_bytes().count(b"\n") <= answers:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seconds = Counter(json.loads(line).get("second") for line in journals(bare)[0].read_text().splitlines()[1:])
    assert seconds == Counter(range(24))
    assert len(endpoint.requests) <= 24 + 2 * 2  # each kill costs at most the calls on their way
    assert "labels    " in done.stdout


def test_refusals_and_cut_off_replies_are_counted_not_guessed(bare: Path) -> None:
    odd = {
        1: completion(None, message={"refusal": "I cannot"}),
        2: completion("", finish_reason="content_filter"),
        3: completion("take the", finish_reason="length"),
        4: completion("  "),
        5: completion("Nothing."),
    }
    with ChatEndpoint(lambda body, n: odd.get(n) or honest(body, n)) as endpoint:
        placed, _ = described(bare, endpoint, "parallel=1")
    assert placed
    assert placed.left_out == {
        "replies that the model refused to give": 2,
        "replies cut off at max_tokens": 1,
        "replies without a text": 1,
    }
    assert require_labels(load_session(bare)).starts_ns[0] == load_session(bare).frames.stamps_ns[0] + 5 * 10**9


def test_json_answers(bare: Path) -> None:
    said = '```json\n{"text": "take it", "verb": "take", "object": "disc"}\n```'
    with ChatEndpoint(lambda body, n: completion(said if n > 1 else "no json")) as endpoint:
        placed, _ = described(bare, endpoint, "answer=json", "parallel=1")
    labels = require_labels(load_session(bare))
    assert (labels.texts[0], labels.verbs[0], labels.object_classes[0]) == ("take it", "take", "disc")
    assert placed
    assert placed.left_out == {"replies that are not the requested JSON": 1}


def test_a_closed_set(bare: Path) -> None:
    with ChatEndpoint(lambda body, n: completion("wave") if n == 1 else honest(body, n)) as endpoint:
        placed, _ = described(
            bare, endpoint, "parallel=1", "labels=[take red disc, take blue disc]", "prompt='Which of\n{labels}\n?'"
        )
    assert "take red disc\ntake blue disc" in endpoint.requests[0]["messages"][0]["content"][0]["text"]
    file = load_session(bare).label_file
    assert file
    assert {label.text for label in file.labels} == {"take red disc", "take blue disc"}
    assert {label.said for label in file.labels} == {"Take the red disc", "Take the blue disc"}
    assert placed
    assert placed.left_out == {"replies that fit no label of the closed set": 1}


def test_the_nearest_of_a_closed_set() -> None:
    vectors = {"pour": (1.0, 0.0), "stir": (0.0, 1.0), "fill the cup": (0.8, 0.6), "sing": (-0.8, 0.6)}
    chosen = settings("labels=[pour, stir]", "match=nearest", "min_similarity=0.7")
    found = matched(
        [Meaning("fill the cup"), Meaning("sing"), Meaning("Stir!"), Meaning(), Meaning(problem="p")],
        chosen,
        lambda texts: np.array([vectors[text] for text in texts]),
    )
    assert found == [
        Meaning("pour", said="fill the cup", similarity=0.8),
        Meaning(problem="replies that fit no label of the closed set"),
        Meaning("stir", said="Stir!"),
        Meaning(),
        Meaning(problem="p"),
    ]


def test_a_real_text_encoder_embeds(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from gaze_vlm_ros.vlm.embeddings import UnknownEmbeddingModel, load_embedder

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pour", "stir", "the", "tea"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    embed = load_embedder(str(tmp_path))
    together, single = embed(["pour the tea", "stir"]), embed(["stir"])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1)
    np.testing.assert_allclose(together[1], single[0], atol=1e-6)  # padding changes nothing
    with pytest.raises(UnknownEmbeddingModel, match="does not load"):
        load_embedder(str(tmp_path / "none"))


@pytest.mark.parametrize("model", ["tiny:smolvlm", "tiny:qwen2.5-vl"])
def test_a_local_model_says_the_same_in_batches(bare: Path, model: str) -> None:
    from gaze_vlm_ros.annotation.local_model import LocalModel

    chosen = settings("max_tokens=4", "prompt=What?")
    session = load_session(bare)
    pictures = [[session.frames.rgb(index) for index in second.frames] for second in clips_of(session, chosen)[:4]]
    pictures[1] = pictures[1][:2]  # a prompt of another length
    local = LocalModel(model, chosen)
    together = local.ask_all(pictures)
    assert together == [local.ask_all([one])[0] for one in pictures]
    assert all(isinstance(answer["reply"], str) for answer in together)


def test_a_local_model_describes_a_bag(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights give no sensible reply; the test checks what is asked and kept."""
    from gaze_vlm_ros.annotation import local_model

    ask_all = local_model.LocalModel.ask_all
    monkeypatch.setattr(
        local_model.LocalModel,
        "ask_all",
        lambda self, seconds: [{"reply": f"act {answer['reply']!r}"} for answer in ask_all(self, seconds)],
    )
    chosen = settings("max_tokens=2", "prompt=What?", "window_s=4.0", "frames=1")
    placed = describe_bag(bare, chosen, model="tiny:smolvlm", report=lambda _: None)
    assert placed
    file = load_session(bare).label_file
    assert file
    assert file.origin().endswith("by describe (tiny:smolvlm)")
    assert len(journals(bare)[0].read_text().splitlines()) == 1 + 6


def test_seconds_hold_the_frames_of_their_time(bare: Path) -> None:
    session = load_session(bare)
    seconds = clips_of(session, settings("window_s=0.5", "frames=3"))
    assert len(seconds) == 48
    for second in seconds:
        stamps_ns = session.frames.stamps_ns[list(second.frames)]
        assert len(set(second.frames)) == 3
        assert np.all((stamps_ns >= second.start_ns) & (stamps_ns < second.end_ns))
    assert clips_of(session, settings("frames=1"))[0].frames == (5,)
    assert len(clips_of(session, settings("window_s=0.1", "frames=3"))[0].frames) == 1


@pytest.mark.parametrize(
    ("reply", "text"),
    [("Take the mug.", "Take the mug"), ('"pour"', "pour"), (" pour\n tea ", "pour tea"), ("NOTHING", "")],
)
def test_what_a_reply_means(reply: str, text: str) -> None:
    assert meaning_of(reply, settings()).text == text
    assert plain("The  Mug!") == "mug"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("window_s=0", "window_s is 0.0, expected more than 0"),
        ("frames=1.5", "frames is 1.5, expected a whole number"),
        ("answer=xml", "answer is 'xml', expected one of text, json"),
        ("prompt=", "prompt is None, expected text"),
        ("prompt='{labels}'", "labels is empty"),
        ("labels=pour", "labels is 'pour', expected a list of texts"),
        ("jpeg_quality=0", "expected 1 to 100"),
        ("colour=red", "unknown setting colour"),
        ("window_s", "expected key=value"),
    ],
)
def test_bad_settings_are_one_line(override: str, message: str) -> None:
    with pytest.raises(BadDescribeSettings) as raised:
        settings(override)
    assert message in str(raised.value)


def test_settings_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("frames: 1\n")
    assert load_describe_settings(file).frames == 1
    assert load_describe_settings(file).window_s == 1.0
    file.write_text("- a\n")
    with pytest.raises(BadDescribeSettings, match="holds list"):
        load_describe_settings(file)
    with pytest.raises(BadDescribeSettings, match="no settings from"):
        load_describe_settings(tmp_path / "none.yaml")


def test_a_model_must_be_named(bare: Path) -> None:
    for options in ({}, {"model": "a", "server": "http://x", "model_name": "m"}, {"server": "http://x"}):
        with pytest.raises(NoModel, match="--model FOLDER_OR_HUB, or --server URL"):
            describe_bag(bare, settings(), **options)
    with pytest.raises(GazeVlmError, match=r"expected http://HOST:PORT/v1"):
        describe_bag(bare, settings(), server="localhost:8000", model_name="m", report=lambda _: None)


def test_urls_are_recorded_without_secrets() -> None:
    assert without_secrets("https://user:pass@host:8000/v1?key=1#x") == "https://host:8000/v1"
    assert without_secrets("http://[::1]:8000/v1") == "http://[::1]:8000/v1"


def test_journals(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Journal(path, {"model": "m"}) as journal:
        journal.add(3, {"reply": "é"})
        with pytest.raises(JournalInUse, match="is being written by another process"):
            Journal(path, {"model": "m"})
    with Journal(path, {"model": "m"}) as journal:
        assert journal.answers == {3: {"second": 3, "reply": "é"}}
    with pytest.raises(BadJournal, match="of another run"):
        Journal(path, {"model": "n"})
    path.write_bytes(b"{broken\n")
    with pytest.raises(BadJournal, match="move it away"):
        Journal(path, {"model": "m"})
    path.write_bytes(b'{"run": {"mod')  # killed while writing the first line
    with Journal(path, {"model": "m"}) as journal:
        assert journal.answers == {}
