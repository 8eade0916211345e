"""The lm-eval task class: SliCK mastery categories inside the harness.

One document becomes 2 x exemplar_sets requests: a greedy one and a (repeated) sampled one per exemplar set. Works with
any lm-eval model that generates. Source of the interface: lm_eval/api/task.py of 0.4.13, and see
:mod:`kft_tasks.harness.lm_eval_versions`.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import datasets
from lm_eval.api.filter import Filter
from lm_eval.api.metrics import mean

from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion
from kft_tasks.errors import DataError, UsageError
from kft_tasks.harness.instance import KnowledgeInstance
from kft_tasks.harness.lm_eval_versions import LM_EVALS_KEYS, VersionedTask, instance_place
from kft_tasks.harness.patches import seed_requests_in_harness, show_errors_in_one_line, use_engine_for_hf
from kft_tasks.harness.task_config import TaskSettings, check_generation, check_yaml, task_settings
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.generation import cut_answer, generation_kwargs, length_and_stop, stop_strings
from kft_tasks.protocol.prompt_maker import PromptMaker, PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.info import scorer_of
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question, QuestionSet, parse_question

logger = logging.getLogger(__name__)

METRICS = {
    KnowledgeCategory.HIGHLY_KNOWN: "highly_known",
    KnowledgeCategory.MAYBE_KNOWN: "maybe_known",
    KnowledgeCategory.WEAKLY_KNOWN: "weakly_known",
    KnowledgeCategory.UNKNOWN: "unknown",
}


class CutAnswers(Filter):
    """The answer in every response; lm-eval's default keeps only the first of k responses."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def apply(self, resps: Any, docs: Any) -> Any:
        """Cut the responses of every request."""
        return [[cut_answer(text, self._protocol) for text in given] for given in resps]


class KnowledgeTask(VersionedTask):
    """Mastery categories of a question set, as an lm-eval task.

    The YAML's ``kft:`` block names the question set and may set any field of the protocol; ``--metadata kft_<name>``
    overrides it. The effective values are written back to the metadata, and thus to the results.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        show_errors_in_one_line()
        values = dict(config or {})
        values.pop("class", None)
        self.settings = task_settings(values.pop("kft", None) or {}, values.get("metadata") or {})
        check_yaml({key: value for key, value in values.items() if key not in LM_EVALS_KEYS})
        check_generation(values.get("generation_kwargs") or {}, self.settings.protocol, "generation_kwargs")
        self._source = open_set(self.settings.set, self.settings.path, self.settings.options)
        self.settings = _with_own_scorer(self.settings, self._source)
        protocol = self.settings.protocol
        self._scorer = AnswerScorer(protocol.scorer)
        effective = {f"kft_{name}": value for name, value in protocol.to_json().items() if name != "chat"}
        effective |= {
            "kft_set": self.settings.set,
            "kft_split": self.settings.split,
            "kft_options": dict(self.settings.options),
        }
        values["metadata"] = {**(values.get("metadata") or {}), **effective}
        values |= {
            "output_type": "generate_until",
            "test_split": "test",
            "doc_to_text": "question",
            "doc_to_target": _first_answer,
            "num_fewshot": values.get("num_fewshot", protocol.shots),
            "generation_kwargs": length_and_stop(protocol),
        }
        super().__init__(values, functools.partial(CutAnswers, protocol))
        use_engine_for_hf()

    def download(self, dataset_kwargs: Any = None, **kwargs: Any) -> None:
        """Load the split under test and the exemplars."""
        settings, source = self.settings, self._source
        self.exemplars = ExemplarPool(source.split("exemplars"), settings.protocol, settings.set)
        rows = [question.to_json() for question in source.split(settings.split)]
        if not rows:
            raise DataError(
                f"{settings.set}: split {settings.split!r} holds no questions. Choose another with kft_split."
            )
        self.dataset = {"test": datasets.Dataset.from_list(rows)}

    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """Accept settings from lm-eval's command line; ``--gen_kwargs`` only if they match the protocol."""
        if key == "generation_kwargs":
            check_generation(value, self.settings.protocol)
        else:
            super().set_config(key, value, update)

    def set_repeats(self, repeats: int) -> None:
        """Refuse lm-eval's ``--repeats``: the protocol says how many samples there are."""
        raise UsageError(
            f"--repeats {repeats} has no effect on a kft task. Use --metadata kft_samples={repeats} for as many "
            "samples per exemplar set, so that the results record it too."
        )

    def set_fewshot_seed(self, seed: int | None = None) -> None:
        """Warn that lm-eval's ``--seed`` (1234 by default) changes nothing here."""
        super().set_fewshot_seed(seed)
        if seed not in (None, 1234):
            logger.warning(
                "--seed %s affects neither exemplars nor samples of %s. Use --metadata kft_seed=%s.",
                seed,
                self.config.task,
                seed,
            )

    def fewshot_docs(self) -> None:
        """Return None: exemplars are drawn by :class:`ExemplarPool`, not by lm-eval's sampler."""

    def build_all_requests(self, **kwargs: Any) -> None:
        """Build requests, never with lm-eval's request cache: its key ignores generation settings and data."""
        seed_requests_in_harness()
        super().build_all_requests(**{**kwargs, "cache_requests": False, "rewrite_requests_cache": False})

    def fewshot_context(
        self,
        doc: dict[str, Any],
        num_fewshot: int,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,
        chat_template: Callable[..., str] | None = None,
        gen_prefix: str | None = None,
    ) -> list[PromptRequest]:
        """One :class:`PromptRequest` per exemplar set (lm-eval passes the list to :meth:`construct_requests`).

        Raises:
            UsageError: lm-eval's settings contradict the protocol.
        """
        protocol = self.settings.protocol
        if gen_prefix:
            raise UsageError("gen_prefix has no effect on a kft task: its protocol makes the prompts. Remove it.")
        if num_fewshot != protocol.shots:
            raise UsageError(
                f"--num_fewshot {num_fewshot} contradicts the protocol's {protocol.shots} shots. Use "
                f"--metadata kft_shots={num_fewshot}, so that the results record it too."
            )
        prompts = PromptMaker(
            protocol.with_system(system_instruction),
            self.exemplars,
            chat_template if apply_chat_template else None,
            multiturn=fewshot_as_multiturn,
        )
        question = parse_question(doc, "document")
        return [prompts.request(question, number) for number in range(protocol.exemplar_sets)]

    def requests_of(self, doc: dict[str, Any], ctx: Sequence[PromptRequest], number: int) -> list[KnowledgeInstance]:
        """A greedy and a sampled request per exemplar set."""
        protocol = self.settings.protocol
        instances: list[KnowledgeInstance] = []
        requested = [(1, generation_kwargs(protocol, sampled=False))]
        requested += [(protocol.samples, generation_kwargs(protocol, sampled=True))] if protocol.samples else []
        for request in ctx:
            for repeats, generation in requested:
                instance = KnowledgeInstance(
                    request_type="generate_until",
                    doc=doc,
                    arguments=(request.prompt, generation),
                    idx=len(instances),
                    **instance_place(self.config.task, number, repeats, _first_answer(doc)),
                    request=request,
                    question_type=doc["type"],
                    stop=tuple(stop_strings(protocol)),
                    skip_blank_lines=protocol.skip_blank_lines,
                )
                instances.append(instance)
        return instances

    def answers_per_request(self) -> list[int]:
        """One greedy answer and the samples, per exemplar set."""
        protocol = self.settings.protocol
        return [1, protocol.samples] * protocol.exemplar_sets if protocol.samples else [1] * protocol.exemplar_sets

    def values_of(self, doc: dict[str, Any], results: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Categories as 0/1 metrics, P_correct, and plain greedy accuracy, from what :class:`CutAnswers` left."""
        protocol = self.settings.protocol
        step = 2 if protocol.samples else 1
        greedy = [given[0] for given in results[::step]]
        # lm-eval pads ranks by repeating the last request: only the first responses are this question's
        sampled = [given[: protocol.samples] for given in results[1::step]] if step == 2 else []
        item = self.categorize(parse_question(doc, "document"), greedy, sampled)
        values: dict[str, Any] = {name: float(item.category is category) for category, name in METRICS.items()}
        values["p_correct_greedy"] = item.greedy.share
        if protocol.samples:
            values["p_correct_sampled"] = item.sampled.share
        values["greedy_accuracy"] = float(self._scorer.right(greedy[0], item.question))
        doc["category"] = item.category.value  # for the sample log; as a metric it would be a row of the table
        return values

    def categorize(
        self, question: Question, greedy: Sequence[str], sampled: Sequence[Sequence[str]]
    ) -> CategorizedQuestion:
        """The record of one question from all its answers.

        Raises:
            DataError: answers are missing.
        """
        protocol = self.settings.protocol
        given: list[tuple[str, ...] | None] = [tuple(texts) for texts in sampled]
        given = given or [None] * protocol.exemplar_sets
        complete = len(greedy) == protocol.exemplar_sets and all(
            texts is None or len(texts) == protocol.samples for texts in given
        )
        item = self._scorer.categorize(question, protocol, greedy, given) if complete else None
        if item is None:
            raise DataError(
                f"Question {question.id!r}: the model gave too few responses. Run without lm-eval's caches."
            )
        return item

    def aggregation(self) -> dict[str, Callable[[Any], Any]]:
        """Every metric is the mean over the questions."""
        names = [*METRICS.values(), "p_correct_greedy", "greedy_accuracy"]
        names += ["p_correct_sampled"] if self.settings.protocol.samples else []
        return dict.fromkeys(names, mean)

    def higher_is_better(self) -> dict[str, bool]:
        """Direction of every metric."""
        return {name: name != "unknown" for name in self.aggregation()}


def _first_answer(doc: dict[str, Any]) -> str:
    return str(doc["answers"][0])


def _with_own_scorer(settings: TaskSettings, source: QuestionSet) -> TaskSettings:
    """The settings with the question set's own default scorer, if it has one and nobody named another."""
    scorer = scorer_of(source)
    if scorer is None or settings.scorer_named or scorer == settings.protocol.scorer:
        return settings
    logger.warning(
        "%s: scorer %s, because the accepted answers are whole sentences here (--metadata kft_scorer=%s for the usual "
        "rule)",
        settings.set,
        scorer,
        settings.protocol.scorer,
    )
    return dataclasses.replace(settings, protocol=dataclasses.replace(settings.protocol, scorer=scorer))
