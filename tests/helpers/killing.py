"""Detects in a child again and again; test_killed.py kills the child. Imports and the model are loaded only once.

Arguments: model, folder with questions.jsonl, protocol as JSON, questions a chunk. A line on standard input is the
name of the category file to make; the answers are the child's process id and, when it has ended, its exit status.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    model, folder, protocol_json, chunk = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])
    from kft_tasks.detection.run import detect
    from kft_tasks.detection.target import Target
    from kft_tasks.models.choice import ModelChoice
    from kft_tasks.models.loading import load_model
    from kft_tasks.protocol.exemplars import ExemplarPool
    from kft_tasks.protocol.prompt_maker import PromptMaker
    from kft_tasks.protocol.protocol import Protocol
    from kft_tasks.question_sets.registry import open_set

    protocol = Protocol(**protocol_json)
    source = open_set("questions", folder / "questions.jsonl")
    pool = ExemplarPool(source.split("exemplars"), protocol, source.name)
    loaded = load_model(ModelChoice(model, dtype="float32", device="cpu"))
    loaded.answerer(protocol)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            detect(
                Target(source, "test"),
                protocol,
                loaded.identity,
                lambda: (loaded.answerer(protocol), PromptMaker(protocol, pool)),
                folder / line.strip(),
                exemplars=pool,
                chunk_questions=chunk,
            )
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
