"""A request for lm-eval's models that belongs to no task of its own, for every version of lm-eval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain_instance(
    prompt: Any, settings: Mapping[str, Any], doc: Any = None, task: str | None = None, doc_id: int | None = 0
) -> Any:
    """A ``generate_until`` request for one answer.

    lm-eval 0.4 unpacks ``metadata`` into task, document and repeats, which 0.5 takes by name.

    Args:
        prompt: text, or what the model's class takes in its place.
        settings: generation settings.
        doc: document that the request is for.
    """
    from lm_eval.api.instance import Instance

    return Instance(
        request_type="generate_until",
        doc={} if doc is None else doc,
        arguments=(prompt, dict(settings)),
        idx=0,
        task_name=task,
        doc_id=doc_id,
        repeats=1,
        metadata=(task, doc_id, 1),
    )
