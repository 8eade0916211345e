"""The first line of a category file, as it is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.records import Count, Record

Category = Annotated[KnowledgeCategory, Field(strict=False)]


class ModelRecord(Record):
    """See :class:`kft_tasks.protocol.identity.ModelIdentity`."""

    id: str
    weights: str
    adapter: str | None = None
    dtype: str = "auto"


class QuestionsRecord(Record):
    """See :class:`kft_tasks.protocol.identity.QuestionsIdentity`."""

    set: str
    version: str
    split: str
    count: Count
    digest: str
    exemplars: str
    options: dict[str, Any] = Field(default_factory=dict)


class RescoredRecord(Record):
    """See :class:`kft_tasks.categories.category_file.Rescored`."""

    source: str
    scorer: str
    corrections: str | None = None
    corrected: Count = 0
    undecided: Count = 0


class GradedByRecord(Record):
    """See :class:`kft_tasks.categories.category_file.GradedBy`."""

    model: ModelRecord
    prompt_version: str
    prompt_digest: str
    chat: bool
    judged: Count
    agreed: Count
    unreadable: Count


class ImportedRecord(Record):
    """See :class:`kft_tasks.categories.category_file.Imported`."""

    tasks: Annotated[tuple[str, ...], Field(strict=False)]
    lm_eval: str | None
    logs: Annotated[tuple[str, ...], Field(strict=False)]
    results: Annotated[tuple[str, ...], Field(strict=False)]
    greedy: dict[str, Any] | None
    sampled: dict[str, Any] | None
    filter: str | None
    samples_as_prompts: bool
    left_out: Count


class HeaderRecord(Record):
    """See :class:`kft_tasks.categories.category_file.Header`; ``protocol`` is checked by the protocol itself."""

    format: Literal["kft-categories/1"]
    kft_version: str
    model: ModelRecord
    protocol: dict[str, Any]
    protocol_digest: str = ""
    questions: QuestionsRecord
    exhaustive: bool
    counts: dict[Category, Count]
    rescored: RescoredRecord | None = None
    graded: GradedByRecord | None = None
    imported: ImportedRecord | None = None

    @model_validator(mode="after")
    def _check_optional(self) -> Self:
        for key in ("rescored", "graded", "imported"):
            if key in self.model_fields_set and getattr(self, key) is None:
                raise ValueError(f"{key}: must be an object, or missing")
        return self
