"""The parts that every record of every-eval-ever has, in version 0.3.0 of its schema.

A record is a file of one evaluation of one model: ``data/SET/DEVELOPER/MODEL/UUID.json``, with a line per question in
``UUID_samples.jsonl``. Values of ``additional_details`` are texts, as the schema wants them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from kft_tasks.files import sha256_of_json

SCHEMA = "0.3.0"
UNKNOWN = "unknown"  # the schema's word for a version that is not known
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True)
class Named:
    """A model as the schema names it: DEVELOPER/MODEL."""

    developer: str
    model: str

    @property
    def id(self) -> str:
        """As on the Hub."""
        return f"{self.developer}/{self.model}"


@dataclass(frozen=True)
class Evaluation:
    """What all parts of a record refer to.

    Attributes:
        set: name of the question set.
        created: seconds since 1970 at which the record is made.
        source: what the record is made from; with the same source it has the same name.
    """

    set: str
    model: Named
    created: int
    source: str

    @property
    def id(self) -> str:
        """Identifier of the evaluation."""
        return f"{self.set}/{self.model.id}/{self.created}"

    def path(self, suffix: str = ".json") -> PurePosixPath:
        """Where the record belongs, below the folder of all records."""
        name = uuid.UUID(bytes=bytes.fromhex(sha256_of_json([self.source, self.model.id]))[:16], version=4)
        parts = [_component(part) for part in (self.set, self.model.developer, self.model.model)]
        return PurePosixPath("data", *parts, f"{name}{suffix}")


def named(id_: str, organization: str) -> Named:
    """The model of a hub id; a model with another name, or in a folder, is put under the organization that ran it."""
    parts = id_.replace("\\", "/").strip("/").split("/")
    if len(parts) == 2 and not id_.startswith((".", "/", "~")) and all(parts):
        return Named(*parts)
    return Named(organization, parts[-1] or "model")


def share_result(
    name: str,
    description: str,
    score: float,
    *,
    evaluation: str,
    data: Mapping[str, Any],
    count: int,
    lower_is_better: bool = False,
    interval: tuple[float, float, str] | None = None,
    parameters: Mapping[str, float | str | bool] | None = None,
    generation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One entry of ``evaluation_results`` for a share between 0 and 1.

    Args:
        name: of the metric, as an identifier.
        evaluation: name of the evaluation, as people say it.
        data: the ``source_data`` of the schema.
        count: number of questions.
        interval: bounds of the 95 % interval, and the method.
        parameters: of the metric.
        generation: the ``generation_config`` of the schema.
    """
    uncertainty: dict[str, Any] = {"num_samples": count}
    if interval is not None:
        low, high, method = interval
        uncertainty["confidence_interval"] = {"lower": low, "upper": high, "confidence_level": 0.95, "method": method}
    return {
        "evaluation_result_id": name,
        "evaluation_name": evaluation,
        "source_data": dict(data),
        "metric_config": {
            "evaluation_description": description,
            "metric_id": f"kft.{name}",
            "metric_name": name,
            "metric_kind": "proportion",
            "metric_unit": "proportion",
            "lower_is_better": lower_is_better,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
            **({"metric_parameters": dict(parameters)} if parameters else {}),
        },
        "score_details": {"score": score, "uncertainty": uncertainty},
        **({"generation_config": dict(generation)} if generation else {}),
    }


def aggregate(
    evaluation: Evaluation,
    organization: str,
    *,
    library: tuple[str, str],
    details: Mapping[str, str],
    deployment: str,
    results: list[dict[str, Any]],
    when: int | None = None,
) -> dict[str, Any]:
    """The record itself, without its questions.

    Args:
        library: name and version of what asked the model.
        details: of the model, such as its weights.
        deployment: ``self_deployed``, ``externally_managed`` or ``unknown``.
        when: seconds since 1970 at which the model was asked; None if that is not known.
    """
    name, version = library
    return {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation.id,
        **({} if when is None else {"evaluation_timestamp": str(when)}),
        "retrieved_timestamp": str(evaluation.created),
        "source_metadata": {
            "source_name": "kft",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "other",
            "additional_details": {"source_sha256": evaluation.source},
        },
        "eval_library": {"name": name, "version": version},
        "model_info": {
            "name": evaluation.model.model,
            "id": evaluation.model.id,
            "developer": evaluation.model.developer,
            "additional_details": {
                "deployment_type": deployment,
                "model_availability": "unknown",
                **details,
            },
        },
        "evaluation_results": results,
    }


def source_data(set_: str, details: Mapping[str, str]) -> dict[str, Any]:
    """The ``source_data`` of a question set, which the schema calls neither a URL nor a data set of the Hub."""
    return {"dataset_name": set_, "source_type": "other", "additional_details": dict(details)}


def _component(text: str) -> str:
    return _UNSAFE.sub("_", text).strip(" .") or "unnamed"
