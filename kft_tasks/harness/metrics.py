"""kft's scorers as lm-eval metrics, for tasks of any author that generate answers.

lm-eval finds them as ``kft_SCORER`` once it reads entry points (after 0.5.0.dev1); before, a YAML file names the
function::

    metric_list:
      - {metric: !function kft_tasks.harness.metrics.answer_stated, aggregation: mean, higher_is_better: true}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lm_eval.api.metrics  # noqa: F401  # registers the aggregation "mean"
from lm_eval.api.registry import register_metric

from kft_tasks.harness.lm_eval_versions import metric_value
from kft_tasks.scoring.scorers import SCORERS, Scorer

Metric = Callable[..., Any]


def _metric(name: str, scorer: Scorer) -> Metric:
    def score(references: Sequence[Any], predictions: Sequence[str], **kwargs: Any) -> Any:
        """Whether each answer is right by this rule; the references are the accepted answers."""
        accepted = [str(one) for given in references for one in (given if isinstance(given, list) else [given])]
        return metric_value([float(scorer(text, accepted)) for text in predictions])

    score.__name__ = score.__qualname__ = name
    made: Metric = register_metric(
        metric=f"kft_{name}", higher_is_better=True, aggregation="mean", output_type="generate_until"
    )(score)
    return made


METRICS = {name: _metric(name, scorer) for name, scorer in SCORERS.items()}


def __getattr__(name: str) -> Metric:
    try:
        return METRICS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
