"""A small completions server on loopback, with a real model behind it, that remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FIELDS = {"prompt", "model", "max_tokens", "temperature", "stop", "seed", "top_p"}


class LoopbackServer(ThreadingHTTPServer):
    """A completions server on a free port, which remembers what it was asked. Subclasses answer.

    Attributes:
        asked: the bodies of the requests, in order.
        lock: for what must not be done twice at once, such as drawing from torch's one random generator.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.lock, self.counting = threading.Lock(), threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/completions"

    @property
    def work(self) -> list[dict[str, Any]]:
        """What was asked, without the trial requests of :mod:`kft_tasks.answering.completions_server`."""
        return [body for body in self.asked if body["temperature"] != 2.0]


class CompletionServer(LoopbackServer):
    """Answers POST /v1/completions with ``generate`` of transformers, in float32.

    Args:
        extra: fields taken besides OpenAI's; any other is answered with status 422.
        ignores: fields that are taken and not heeded.
        fail_after: from that many requests on, status 500.
        owner: who owns the models, in the answer to GET /v1/models; without it there is no such list.
    """

    def __init__(
        self,
        folder: Path,
        *,
        extra: tuple[str, ...] = ("top_k", "repetition_penalty", "min_p"),
        ignores: tuple[str, ...] = (),
        fail_after: int | None = None,
        owner: str = "",
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        super().__init__()
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.extra, self.ignores, self.fail_after, self.owner = extra, ignores, fail_after, owner

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if unknown := set(body) - FIELDS - set(self.extra):
            return 422, {"detail": f"Unexpected fields in the request: {unknown}"}
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            return 500, {"detail": "out of order"}
        self.asked.append(body)
        settings = {**json.loads(body.get("generation_config", "{}")), **body}
        settings = {key: value for key, value in settings.items() if key not in self.ignores}
        prompts = body["prompt"]
        if isinstance(prompts, str) or isinstance(prompts[0], int):
            prompts = [prompts]
        texts = [self._generate(prompt, settings) for prompt in prompts]
        usage = {"prompt_tokens": 10 * len(texts), "completion_tokens": 4 * len(texts), "total_tokens": 14 * len(texts)}
        return 200, {"choices": [{"index": index, "text": text} for index, text in enumerate(texts)], "usage": usage}

    def _generate(self, prompt: str | list[int], settings: dict[str, Any]) -> str:
        import torch

        ids = self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
        sampling: dict[str, Any] = {"do_sample": False}
        if settings.get("temperature", 0) > 0:
            sampling = {"do_sample": True, "temperature": settings["temperature"], "top_k": settings.get("top_k", 0)}
        torch.manual_seed(settings.get("seed", 0))
        output = self.model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=settings["max_tokens"],
            stop_strings=settings["stop"] or None,
            tokenizer=self.tokenizer,
            **sampling,
        )
        text: str = self.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
        return text


class _Handler(BaseHTTPRequestHandler):
    server: CompletionServer

    def do_GET(self) -> None:
        owner = getattr(self.server, "owner", "")
        if self.path == "/v1/models" and owner:
            self._reply(200, {"object": "list", "data": [{"id": "tiny", "owned_by": owner}]})
        else:
            self._reply(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.counting:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        with self.server.lock:
            status, answer = (404, {}) if self.path != "/v1/completions" else self.server.answer(body)
        with self.server.counting:
            self.server.at_once -= 1
        self._reply(status, answer)

    def _reply(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[CompletionServer]:
    """A server in a separate thread, on a free port, for the duration of a test."""
    with CompletionServer(folder, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
