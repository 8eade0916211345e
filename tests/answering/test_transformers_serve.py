"""Detection through ``transformers serve``, a real server, with the embedded model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend_helpers import detection, greedy, items
from kft_tasks.models.choice import ModelChoice
from kft_tasks.protocol.protocol import Protocol

PROTOCOL = Protocol(exemplar_sets=1, shots=2, samples=3, temperature=1.5, max_tokens=6)


@contextmanager
def transformers_serve(folder: Path, log: Path) -> Iterator[str]:
    """The server in a separate process, on a port that it chooses itself."""
    program = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", str(folder), "--host", "127.0.0.1", "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as stream:
        server = subprocess.Popen(
            [*command, "--device", "cpu", "--dtype", "float32"], env=environment, stdout=stream, stderr=stream
        )
    try:
        limit = time.monotonic() + 90
        while not (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.1)
        yield f"{found[1]}/v1/completions"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


@pytest.mark.model
def test_the_embedded_model_behind_a_real_server_gives_the_engines_greedy_answers(
    embedded_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = detection(ModelChoice(str(embedded_model), dtype="float32", device="cpu"), tmp_path / "own", PROTOCOL)
    with transformers_serve(embedded_model, tmp_path / "log") as url:
        choice = ModelChoice(str(embedded_model), backend="local-completions", backend_args={"base_url": url})
        one = detection(choice, tmp_path / "one", PROTOCOL)
    assert "ignores seeds" not in caplog.text
    assert greedy(one) == greedy(own)
    drawn = [texts for item in items(one).values() for texts in item.sampled_answers if texts is not None]
    assert len(drawn) == 4
    assert any(len(set(texts)) > 1 for texts in drawn)
