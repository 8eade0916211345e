"""What a run and its worker processes say to each other: one JSON object a line, each a closed record.

The run writes :class:`Task` to a worker's standard input. The worker answers with :class:`Progress` any number of times
and ends with :class:`Outcome`. The end of its input tells a worker that the run is gone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from kft_tasks.records import Record


class Task(Record):
    """A step to do, with this many threads; one of ``world`` processes that do it together."""

    step: str
    threads: int
    overall: str
    rank: int = 0
    world: int = 1


class Progress(Record):
    """A bar begins, moves or ends."""

    kind: Literal["progress"] = "progress"
    event: Literal["begin", "move", "end"]
    title: str
    done: int = 0
    total: int = 0
    note: str = ""


class Outcome(Record):
    """How a step ended.

    Attributes:
        error: the message for the user; None if the step is done.
        exit_code: that of the error.
        details: the traceback of an error that nobody thought of.
    """

    kind: Literal["outcome"] = "outcome"
    error: str | None = None
    exit_code: int = 0
    details: str | None = None


Message = Annotated[Progress | Outcome, Field(discriminator="kind")]

_MESSAGES: TypeAdapter[Progress | Outcome] = TypeAdapter(Message)


def parse_message(line: str) -> Progress | Outcome:
    """A line that a worker wrote."""
    return _MESSAGES.validate_json(line)
