"""Asks an OpenAI-compatible server: POST /chat/completions with images as data URIs.

https://platform.openai.com/docs/api-reference/chat/create; vLLM, llama.cpp, Ollama, SGLang and others serve the same.
"""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import httpx2

from gaze_vlm_ros.errors import GazeVlmError

LONGEST_WAIT_S = 60.0  # between two attempts, unless the server asks for more
LONGEST_ASKED_S = 600.0
_AGAIN = (408, 409, 425, 429)  # and all of 500 to 599
_TOLD = 200  # characters of a server's error


class Asking(Protocol):
    """What is asked and how patiently; DescribeSettings are such."""

    @property
    def question(self) -> str: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def attempts(self) -> int: ...
    @property
    def backoff_s(self) -> float: ...


class ServerRefuses(GazeVlmError):
    """The server does not take what it is asked: a wrong key, model or address."""


class ServerFails(GazeVlmError):
    """The server gave no answer, however often it was asked."""


def without_secrets(url: str) -> str:
    """A URL as it may be written into a file: no user, password, query or fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", ""))


class ChatServer:
    """A model behind a server. `ask` may be called from several threads.

    url: the API's root, such as http://localhost:8000/v1; without a path, /v1 is added. key: sent as a bearer token.
    extra: further fields of each request. images_first: before the question. advice: behind the line of a failure.
    Raises ServerRefuses for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str,
        settings: Asking,
        extra: Mapping[str, Any] | None = None,
        images_first: bool = False,
        advice: str = "; answers so far are kept, and the same command goes on from there",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerRefuses(f"server {url!r}: expected http://HOST:PORT/v1, or https://...")
        root = url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"
        self.url, self._model, self._settings = f"{root}/chat/completions", model, settings
        self._extra, self._images_first, self._advice = dict(extra or {}), images_first, advice
        self._stopped = threading.Event()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(timeout=settings.timeout_s, headers=headers)

    def stop(self) -> None:
        """Calls on their way end with the attempt that they are at."""
        self._stopped.set()

    def close(self) -> None:
        self._client.close()

    def body(self, jpegs: Sequence[bytes]) -> dict[str, Any]:
        """The request about some frames, oldest first."""
        uris = (f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in jpegs)
        content = [{"type": "text", "text": self._settings.question}]
        content += [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]  # type: ignore[dict-item]
        if self._images_first:
            content = [*content[1:], content[0]]
        return {
            **({"model": self._model} if self._model else {}),
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._settings.max_tokens,
            "temperature": self._settings.temperature,
            **self._extra,
        }

    def ask(self, jpegs: Sequence[bytes]) -> dict[str, Any]:
        """{"reply": text} or {"problem": why there is none}, with "model" and "usage" where the server tells them.

        Raises ServerRefuses at once, ServerFails after settings.attempts.
        """
        body = self.body(jpegs)
        wait_s, why = self._settings.backoff_s, ""
        for attempt in range(1, self._settings.attempts + 1):
            asked_s = None
            try:
                response = self._client.post(self.url, json=body)
                if response.status_code in _AGAIN or response.status_code >= 500:
                    why, asked_s = f"HTTP {response.status_code}: {_told(response)}", _retry_after_s(response)
                elif response.status_code != 200:
                    raise ServerRefuses(f"{self._place} says HTTP {response.status_code}: {_told(response)}")
                else:
                    return _answer(response.json())
            except httpx2.TimeoutException:
                why = f"no answer within {self._settings.timeout_s:g} s"
            except httpx2.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            except (httpx2.DecodingError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                why = f"a reply that is no chat completion ({type(error).__name__}: {error})"[:_TOLD]
            pause_s = asked_s if asked_s is not None else min(wait_s, LONGEST_WAIT_S)
            pause_s *= random.uniform(1.0, 1.25)  # so that parallel calls do not come back together
            if attempt == self._settings.attempts or self._stopped.wait(pause_s):
                raise ServerFails(f"{self._place} gives no answer, asked {attempt} times; at last: {why}{self._advice}")
            wait_s *= 2
        raise AssertionError("unreachable")

    @property
    def _place(self) -> str:
        return without_secrets(self.url)


def _answer(completion: Any) -> dict[str, Any]:
    choice = completion["choices"][0]
    message = choice["message"]
    scores = {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
    told = {key: completion[key] for key in ("model", "usage") if completion.get(key)}
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return {"problem": "replies that the model refused to give", **told}
    content = message["content"]
    if not isinstance(content, str):
        raise TypeError(f"content is {content!r}")
    if choice.get("finish_reason") == "length":
        return {"problem": "replies cut off at max_tokens", "reply": content, **told}
    return {"reply": content, **scores, **told}


def _told(response: httpx2.Response) -> str:
    """What the server says is wrong, in one short line."""
    try:
        error = json.loads(response.text)["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        text = response.text
    return " ".join(str(text).split())[:_TOLD] or "no explanation"


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds, where the server names them; a date is passed over."""
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), LONGEST_ASKED_S)
    except (KeyError, ValueError):
        return None
