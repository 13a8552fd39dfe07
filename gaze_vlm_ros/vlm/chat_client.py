"""Client of an OpenAI-compatible server: POST /chat/completions with images as data URIs.

https://platform.openai.com/docs/api-reference/chat/create; vLLM, llama.cpp, Ollama, SGLang and others serve the same.
"""

from __future__ import annotations

import base64
import json
import math
import random
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import httpx2

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.bounded_requests import MAX_REPLY_BYTES, BoundedRequests, Reply, ReplyTooLong

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
        """Longest time of one attempt, from connecting to the last byte of the reply, s."""

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
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:  # no URL: take away whatever may be a password
        return re.sub(r".*@", "", re.split(r"[?#]", url)[0], flags=re.DOTALL)
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path, "", ""))


class ChatServer:
    """A model on a server. `ask` may be called from several threads.

    url: the API's root, such as http://localhost:8000/v1; without a path, /v1 is added. key: sent as a bearer token.
    extra: further fields of each request. images_first: send images before the question. advice: appended to the
    text of ServerFails. Raises ServerRefuses for an invalid URL or key.
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
        try:
            httpx2.URL(url)  # which is stricter
            parts = urlsplit(url)
            is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except (ValueError, httpx2.InvalidURL):
            is_http = False
        if not is_http:
            raise ServerRefuses(f"server {without_secrets(url)!r}: expected http://HOST:PORT/v1, or https://...")
        if not (key.isascii() and (key.isprintable() or not key)) or " " in key:
            raise ServerRefuses(
                "the API key has a space, a line break or a character that is not ASCII, and no HTTP header takes it; "
                "set it again"
            )
        root = url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"
        self.url, self._model, self._settings = f"{root}/chat/completions", model, settings
        self._extra, self._images_first, self._advice = dict(extra or {}), images_first, advice
        self._stopped = threading.Event()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._requests = BoundedRequests(headers, settings.timeout_s)

    def stop(self) -> None:
        """End calls in progress after their present attempt."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._requests.close()

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
                reply = self._requests.post(self.url, body)
                if reply.status in _RETRIED or reply.status >= 500:
                    why, requested_s = f"HTTP {reply.status}: {_error_text(reply)}", _retry_after_s(reply)
                elif reply.status != 200:
                    raise ServerRefuses(f"{self._place} says HTTP {reply.status}: {_error_text(reply)}")
                else:
                    return _answer(json.loads(reply.body))
            except ReplyTooLong:
                why = f"a reply of more than {MAX_REPLY_BYTES >> 20} MiB"
            except (TimeoutError, httpx2.TimeoutException):
                why = f"no answer within {self._settings.timeout_s:g} s"
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                why = _plain(f"{type(error).__name__}: {error}")
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
                why = _plain(f"a reply that is no chat completion ({type(error).__name__}: {error})")
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
    reported: dict[str, Any] = {}
    if isinstance(model := completion.get("model"), str) and model:
        reported["model"] = _plain(model)
    if isinstance(usage := completion.get("usage"), dict) and usage:
        reported["usage"] = {_plain(key): count for key, count in usage.items() if type(count) is int}
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return {"problem": "replies that the model refused to give", **reported}
    content = message["content"]
    if not isinstance(content, str):
        raise TypeError(f"content is {content!r:.{_SHOWN}}")
    content.encode()  # raises for half a surrogate pair, which no file and no message takes
    if choice.get("finish_reason") == "length":
        return {"problem": "replies cut off at max_tokens", "reply": content, **reported}
    return {"reply": content, **scores, **reported}


def _error_text(reply: Reply) -> str:
    """Return the server's own error message as one short line."""
    text = reply.body.decode(errors="replace")
    try:
        error = json.loads(text)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return _plain(text) or "no explanation"


def _plain(text: str) -> str:
    """Return the beginning of a text as one line that every file and message takes."""
    return " ".join(text[: 10 * _SHOWN].split())[:_SHOWN].encode(errors="replace").decode()


def _retry_after_s(reply: Reply) -> float | None:
    """Return the pause in s that the server requests; None where it gives none, or a date."""
    try:
        pause_s = float(reply.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(max(pause_s, 0.0), LONGEST_REQUESTED_S) if math.isfinite(pause_s) else None
