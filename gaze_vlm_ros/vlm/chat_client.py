"""Client of an OpenAI-compatible server: POST /chat/completions with images as data URIs.

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

LONGEST_WAIT_S = 60.0  # longest pause between two attempts, unless the server requests more
LONGEST_REQUESTED_S = 600.0  # longest pause that a server's Retry-After may request
_RETRIED = (408, 409, 425, 429)  # status codes, besides 500 to 599
_SHOWN = 200  # characters of a server's error


class Asking(Protocol):
    """Question and retry settings of a client; DescribeSettings, for example."""

    @property
    def question(self) -> str:
        """Text of the question about the images."""

    @property
    def max_tokens(self) -> int:
        """Longest reply, in tokens."""

    @property
    def temperature(self) -> float:
        """Sampling temperature."""

    @property
    def timeout_s(self) -> float:
        """Longest time to connect, and between two parts of a reply, s."""

    @property
    def attempts(self) -> int:
        """Number of attempts before giving up."""

    @property
    def backoff_s(self) -> float:
        """Pause after the first failed attempt, s; doubled after each further one."""


class ServerRefuses(GazeVlmError):
    """The server rejects the request: wrong key, model or address."""


class ServerFails(GazeVlmError):
    """The server gave no answer in any attempt."""


def without_secrets(url: str) -> str:
    """Return a URL without user, password, query and fragment, so that it may be written into a file."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", ""))


class ChatServer:
    """A model on a server. `ask` may be called from several threads.

    url: the API's root, such as http://localhost:8000/v1; without a path, /v1 is added. key: sent as a bearer token.
    extra: further fields of each request. images_first: send images before the question. advice: appended to the
    text of ServerFails. Raises ServerRefuses for an invalid URL.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str,
        settings: Asking,
        extra: Mapping[str, Any] | None = None,
        images_first: bool = False,
        advice: str = "; answers so far are kept, and the same command continues from there",
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
        """End calls in progress after their present attempt."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def body(self, jpegs: Sequence[bytes]) -> dict[str, Any]:
        """Return the body of a request about JPEG frames, oldest first."""
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
        """Return {"reply": text} or {"problem": reason}, with "model" and "usage" where the server reports them.

        Raises ServerRefuses at once, and ServerFails after settings.attempts.
        """
        body = self.body(jpegs)
        wait_s, why = self._settings.backoff_s, ""
        for attempt in range(1, self._settings.attempts + 1):
            requested_s = None
            try:
                response = self._client.post(self.url, json=body)
                if response.status_code in _RETRIED or response.status_code >= 500:
                    why, requested_s = f"HTTP {response.status_code}: {_error_text(response)}", _retry_after_s(response)
                elif response.status_code != 200:
                    raise ServerRefuses(f"{self._place} says HTTP {response.status_code}: {_error_text(response)}")
                else:
                    return _answer(response.json())
            except httpx2.TimeoutException:
                why = f"no answer within {self._settings.timeout_s:g} s"
            except httpx2.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            except (httpx2.DecodingError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                why = f"a reply that is no chat completion ({type(error).__name__}: {error})"[:_SHOWN]
            pause_s = requested_s if requested_s is not None else min(wait_s, LONGEST_WAIT_S)
            pause_s *= random.uniform(1.0, 1.25)  # so that parallel calls do not retry together
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
    reported = {key: completion[key] for key in ("model", "usage") if completion.get(key)}
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return {"problem": "replies that the model refused to give", **reported}
    content = message["content"]
    if not isinstance(content, str):
        raise TypeError(f"content is {content!r}")
    if choice.get("finish_reason") == "length":
        return {"problem": "replies cut off at max_tokens", "reply": content, **reported}
    return {"reply": content, **scores, **reported}


def _error_text(response: httpx2.Response) -> str:
    """Return the server's own error message as one short line."""
    try:
        error = json.loads(response.text)["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        text = response.text
    return " ".join(str(text).split())[:_SHOWN] or "no explanation"


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Return the pause in s that the server requests; None where it gives none, or a date."""
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), LONGEST_REQUESTED_S)
    except (KeyError, ValueError):
        return None
