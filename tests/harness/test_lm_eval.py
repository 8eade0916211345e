"""kft's task inside lm-eval: requests, table, log, and the engine behind ``--model hf``."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.api import registry
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from kft_tasks.answering.engine_answerer import EngineAnswerer
from kft_tasks.answering.hf_engine import encode, engine_for
from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.detection.run import detect
from kft_tasks.detection.target import Target
from kft_tasks.errors import DataError, UsageError
from kft_tasks.harness import hf_model as backend
from kft_tasks.harness.hf_model import KftHF
from kft_tasks.harness.instance import KnowledgeInstance
from kft_tasks.harness.task import KnowledgeTask
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import write_questions
from task_helpers import MODEL, RIGHT, make_exemplars, make_question, mixed_table

TASKS = Path(__file__).parents[2] / "kft_tasks" / "lm_eval_tasks"
TYPES = ("t", "u")
PROTOCOL = Protocol(scorer="exact_match", exemplar_sets=2, shots=2, samples=3, max_tokens=5)
CATEGORIES = ("highly_known", "maybe_known", "weakly_known", "unknown")


def _metadata(path: Path, protocol: Protocol = PROTOCOL, **more: Any) -> dict[str, Any]:
    fields = {f"kft_{name}": value for name, value in protocol.to_json().items() if name != "chat"}
    return {"kft_path": str(path), **fields, **more}


def _manager(metadata: dict[str, Any], folder: Path = TASKS) -> TaskManager:
    return TaskManager(include_defaults=False, include_path=str(folder), metadata=metadata)


def _evaluate(lm: Any, metadata: dict[str, Any], tasks: Sequence[str] = ("kft_questions",), **kwargs: Any) -> Any:
    folder = kwargs.pop("folder", TASKS)
    return simple_evaluate(lm, tasks=list(tasks), task_manager=_manager(metadata, folder), **kwargs)


Given = dict[str, tuple[list[str], list[list[str]]]]


def _given(results: Any, task: str = "kft_questions") -> Given:
    """Greedy and sampled answers by question id, from the sample log."""
    return {
        sample["doc"]["id"]: (
            [texts[0] for texts in sample["filtered_resps"][::2]],
            [list(texts) for texts in sample["filtered_resps"][1::2]],
        )
        for sample in results["samples"][task]
    }


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven questions of two types and their exemplars."""
    path = tmp_path_factory.mktemp("questions") / "q.jsonl"
    under_test = [make_question(f"q{number}", TYPES[number % 2]) for number in range(7)]
    write_questions(path, [*under_test, *make_exemplars(TYPES, 6)])
    return path


class FakeLM(LM):
    """Answers from the table, by question and exemplar set, between ``before`` and ``after``; remembers every call."""

    def __init__(self, world_size: int = 1, largest: int | None = None, before: str = "", after: str = "") -> None:
        super().__init__()
        self._world_size = world_size
        self._device = "cpu"
        self.largest = largest  # number of requests of the largest rank
        self.before, self.after = before, after
        self.calls: list[list[Any]] = []
        self.asked: Counter[int] = Counter()

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
        raise NotImplementedError

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        self.calls.append(list(requests))
        texts = []
        for request in requests:
            kind = "sampled" if request.arguments[1]["do_sample"] else "greedy"
            number = self.asked[id(request)]
            self.asked[id(request)] += 1
            right = mixed_table(request.request.question_id, request.request.exemplar_set, kind, number)
            texts.append(self.before + (f" {RIGHT}" if right else f" no {number}") + self.after)
        return texts

    def all_gather(self, tensor: Any) -> Any:
        import torch

        assert self.largest is not None
        return torch.tensor([int(tensor), self.largest])

    def gather_object(self, obj: Any, dst: int = 0) -> Any:
        return [obj]

    def barrier(self) -> None:
        pass


def _requests(lm: FakeLM) -> list[KnowledgeInstance]:
    (call,) = lm.calls
    return list({id(request): request for request in call}.values())


# --- the table and the log ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "q.jsonl"
    under_test = [make_question(f"q{number}", TYPES[number % 2]) for number in range(40)]
    write_questions(path, [*under_test, *make_exemplars(TYPES, 6)])
    return path


def test_the_table_has_the_shares_of_the_categories_and_what_stands_behind_them(many: Path) -> None:
    results = _evaluate(FakeLM(), _metadata(many))
    table = results["results"]["kft_questions"]
    values = {name.removesuffix(",none"): value for name, value in table.items()}
    shares = [values[name] for name in CATEGORIES]
    assert sum(shares) == pytest.approx(1)
    assert all(share > 0 for share in shares)

    numbers = range(PROTOCOL.samples)
    right = {
        f"q{q}": (
            [mixed_table(f"q{q}", s, "greedy", 0) for s in range(2)],
            [mixed_table(f"q{q}", s, "sampled", n) for s in range(2) for n in numbers],
        )
        for q in range(40)
    }
    greedy = [flag for flags, _ in right.values() for flag in flags]
    sampled = [flag for _, flags in right.values() for flag in flags]
    assert values["p_correct_greedy"] == pytest.approx(sum(greedy) / len(greedy))
    assert values["p_correct_sampled"] == pytest.approx(sum(sampled) / len(sampled))
    assert values["greedy_accuracy"] == pytest.approx(sum(flags[0] for flags, _ in right.values()) / 40)
    assert values["highly_known"] == pytest.approx(sum(all(flags) for flags, _ in right.values()) / 40)
    assert values["unknown"] == pytest.approx(sum(not any(a + b) for a, b in right.values()) / 40)
    stderr = [name for name in table if name.endswith("_stderr,none")]
    assert len(stderr) == 7
    assert all(isinstance(table[name], float) for name in stderr)
    assert results["higher_is_better"]["kft_questions"] == {
        **dict.fromkeys(["highly_known", "maybe_known", "weakly_known"], True),
        **dict.fromkeys(["p_correct_greedy", "p_correct_sampled", "greedy_accuracy"], True),
        "unknown": False,
    }
    assert results["n-shot"]["kft_questions"] == PROTOCOL.shots


def test_the_log_has_every_generation_and_the_category_of_every_question(many: Path) -> None:
    results = _evaluate(FakeLM(), _metadata(many))
    samples = results["samples"]["kft_questions"]
    assert {sample["doc"]["id"] for sample in samples} == {f"q{number}" for number in range(40)}
    names = dict(zip(("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"), CATEGORIES, strict=True))
    for sample in samples:
        assert [len(texts) for texts in sample["resps"]] == [1, 3, 1, 3]
        assert sample["filtered_resps"] == [[text.strip() for text in texts] for texts in sample["resps"]]
        metrics = {name: sample[name] for name in CATEGORIES}
        assert metrics == {**dict.fromkeys(CATEGORIES, 0.0), names[sample["doc"]["category"]]: 1.0}
        assert sample["target"] == RIGHT
    json.dumps(samples[0]["doc"])


@pytest.mark.parametrize("skip", [True, False], ids=["skipped", "stopped"])
def test_what_a_model_says_past_its_answer_is_cut_and_the_log_has_both(many: Path, skip: bool) -> None:
    """A model that lm-eval runs on its own is sent no stop strings if blank lines are skipped."""
    protocol = dataclasses.replace(PROTOCOL, skip_blank_lines=skip)
    expected = _evaluate(FakeLM(), _metadata(many, protocol))
    lm = FakeLM(after="\nQuestion: yes?\n")
    longer = _evaluate(lm, _metadata(many, protocol))
    assert longer["results"]["kft_questions"] == expected["results"]["kft_questions"]
    assert _given(longer) == _given(expected)
    assert all(text.endswith("yes?\n") for one in longer["samples"]["kft_questions"] for (text,) in one["resps"][::2])

    lower = _evaluate(FakeLM(before="\n\n", after="\nmore"), _metadata(many, protocol))
    if skip:
        assert _given(lower) == _given(expected)
        assert lower["results"]["kft_questions"] == expected["results"]["kft_questions"]
    else:
        assert {text for greedy, _ in _given(lower).values() for text in greedy} == {""}
        assert lower["results"]["kft_questions"]["unknown,none"] == 1.0


def test_the_effective_protocol_is_in_the_results(many: Path) -> None:
    recorded = _evaluate(FakeLM(), _metadata(many))["configs"]["kft_questions"]["metadata"]
    for name, value in PROTOCOL.to_json().items():
        if name != "chat":
            assert recorded[f"kft_{name}"] == value
    assert (recorded["kft_set"], recorded["kft_split"]) == ("questions", "test")


def test_without_samples_there_is_no_sampled_column(many: Path) -> None:
    protocol = dataclasses.replace(PROTOCOL, samples=0)
    table = _evaluate(FakeLM(), _metadata(many, protocol))["results"]["kft_questions"]
    assert "p_correct_sampled,none" not in table
    assert table["weakly_known,none"] == 0.0
    assert sum(table[f"{name},none"] for name in CATEGORIES) == pytest.approx(1)


# --- what the model is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [True, False])
def test_every_setting_that_a_models_own_config_could_change_is_named_in_the_request(
    questions: Path, skip: bool
) -> None:
    lm = FakeLM()
    _evaluate(lm, _metadata(questions, dataclasses.replace(PROTOCOL, skip_blank_lines=skip)))
    neutral = {"until": [] if skip else ["\n"], "max_gen_toks": 5, "repetition_penalty": 1.0, "top_p": 1.0}
    for request in _requests(lm):
        sampled = request.repeats == PROTOCOL.samples
        chosen = {"do_sample": True, "temperature": 0.5, "top_k": 40, "min_p": 0.0} if sampled else {"do_sample": False}
        assert request.arguments[1] == {**neutral, **chosen}


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"max_gen_toks": 3}, "Use --metadata kft_max_tokens=3,"),
        ({"max_new_tokens": 3}, "Use --metadata kft_max_tokens=3,"),
        ({"temperature": 2.0}, "Use --metadata kft_temperature=2.0,"),
        ({"temperature": 0}, "Use --metadata kft_samples=0,"),
        ({"top_k": 1}, "Use --metadata kft_top_k=1,"),
        ({"do_sample": False}, "Use --metadata kft_samples=0 (greedy answers only),"),
        ({"until": ["END"]}, "Use --metadata kft_template=NAME (the template"),
        ({"until": "END"}, "Use --metadata kft_template=NAME (the template"),
        ({"top_p": 0.1}, "The protocol has no such setting: leave it out."),
        ({"num_beams": 4}, "The protocol has no such setting: leave it out."),
    ],
    ids=str,
)
def test_gen_kwargs_that_are_not_the_protocols_are_refused(questions: Path, given: dict[str, Any], remedy: str) -> None:
    lm = FakeLM()
    (name,) = given
    own = {"task": "own", "kft": {"set": "questions"}, "generation_kwargs": dict(given)}
    for where, stage in (
        ("--gen_kwargs", lambda: _evaluate(lm, _metadata(questions), gen_kwargs=dict(given))),
        ("generation_kwargs", lambda: KnowledgeTask(own)),
    ):
        with pytest.raises(UsageError) as caught:
            stage()
        assert str(caught.value).startswith(f"{where} {name}={given[name]!r} contradicts the protocol")
        assert remedy in str(caught.value)
    assert not lm.calls


def test_gen_kwargs_that_are_the_protocols_are_taken_and_change_nothing(questions: Path) -> None:
    plain, lm = FakeLM(), FakeLM()
    _evaluate(plain, _metadata(questions))
    given = {"max_gen_toks": 5, "until": ["\n"], "do_sample": True, "temperature": 0.5, "top_k": 40, "top_p": 1.0}
    recorded = _evaluate(lm, _metadata(questions), gen_kwargs=given)["configs"]["kft_questions"]
    assert [r.arguments for r in _requests(lm)] == [r.arguments for r in _requests(plain)]
    assert recorded["generation_kwargs"] == {"until": [], "max_gen_toks": 5}
    _evaluate(lm, _metadata(questions), gen_kwargs=recorded["generation_kwargs"])
    with pytest.raises(UsageError, match=r"until=\[\] contradicts"):
        _evaluate(
            lm, _metadata(questions, dataclasses.replace(PROTOCOL, skip_blank_lines=False)), gen_kwargs={"until": []}
        )
    greedy = dataclasses.replace(PROTOCOL, samples=0)
    _evaluate(FakeLM(), _metadata(questions, greedy), gen_kwargs={"do_sample": False})
    with pytest.raises(UsageError, match="kft_samples=16"):
        _evaluate(FakeLM(), _metadata(questions, greedy), gen_kwargs={"do_sample": True})


@pytest.mark.parametrize(("options", "warned"), [({}, False), ({"fewshot_random_seed": 7}, True)])
def test_a_seed_of_lm_eval_that_reaches_nothing_is_said(
    questions: Path, caplog: pytest.LogCaptureFixture, options: dict[str, int], warned: bool
) -> None:
    plain, lm = FakeLM(), FakeLM()
    _evaluate(plain, _metadata(questions))
    _evaluate(lm, _metadata(questions), **options)
    assert [r.arguments for r in _requests(lm)] == [r.arguments for r in _requests(plain)]
    assert ("Use --metadata kft_seed=7." in caplog.text) is warned


@pytest.mark.parametrize("key", ["gen_prefix", "description", "fewshot_delimiter", "repeats", "doc_to_text"])
def test_keys_of_a_yaml_that_would_be_passed_over_are_refused(questions: Path, key: str) -> None:
    config = {"task": "own", "kft": {"set": "questions", "path": str(questions)}, key: "x"}
    with pytest.raises(UsageError, match=f"task own: '{key}' has no effect on a kft task"):
        KnowledgeTask(config)


def test_a_gen_prefix_of_a_subclass_is_refused(questions: Path) -> None:
    class Prefixed(KnowledgeTask):
        def fewshot_context(self, *args: Any, **kwargs: Any) -> Any:
            return super().fewshot_context(*args, **{**kwargs, "gen_prefix": "Sure:"})

    task = Prefixed({"task": "own", "kft": {"set": "questions", "path": str(questions)}})
    with pytest.raises(UsageError, match="gen_prefix has no effect on a kft task"):
        task.build_all_requests()


def test_prompts_are_those_of_detection(questions: Path) -> None:
    lm = FakeLM()
    _evaluate(lm, _metadata(questions))
    source = open_set("questions", questions)
    prompts = PromptMaker(PROTOCOL, ExemplarPool(source.split("exemplars"), PROTOCOL))
    expected = [prompts.request(q, number) for q in source.split("test") for number in range(2) for _ in range(2)]
    assert [request.request for request in _requests(lm)] == expected
    assert [request.arguments[0] for request in _requests(lm)] == [request.prompt for request in expected]


def _first_prompt(lm: Any, path: Path, monkeypatch: pytest.MonkeyPatch, **kwargs: Any) -> str:
    """Prompt of question q0 with exemplar set 0, exemplars replaced by E1 and E2."""
    seen: list[Any] = []

    def generate(self: Any, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        seen.extend(requests)
        return ["x"] * len(requests)

    monkeypatch.setattr(type(lm), "generate_until", generate)
    protocol = dataclasses.replace(PROTOCOL, **kwargs.pop("protocol", {}))
    _evaluate(lm, _metadata(path, protocol), limit=1, **kwargs)
    text: str = seen[0].arguments[0]
    source = open_set("questions", path)
    for number, shot in enumerate(ExemplarPool(source.split("exemplars"), PROTOCOL).sets("t")[0], start=1):
        text = text.replace(shot.question, f"Q{number}?").replace(f" {shot.answers[0]}\n", f" A{number}\n")
        text = text.replace(f"assistant\n{shot.answers[0]}<", f"assistant\nA{number}<")
    return text


PLAIN = "Question: Q1?\nAnswer: A1\n\nQuestion: Q2?\nAnswer: A2\n\nQuestion: Is it q0?\nAnswer:"
TURNS = (
    "<|start|>user\nQ1?<|end|>\n<|start|>assistant\nA1<|end|>\n"
    "<|start|>user\nQ2?<|end|>\n<|start|>assistant\nA2<|end|>\n"
    "<|start|>user\nIs it q0?<|end|>\n<|start|>assistant\n"
)


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({}, PLAIN),
        ({"system_instruction": "Be brief."}, "Be brief.\n\n" + PLAIN),
        ({"apply_chat_template": True}, TURNS),
        (
            {"apply_chat_template": True, "system_instruction": "Be brief."},
            "<|start|>system\nBe brief.<|end|>\n" + TURNS,
        ),
        (
            {"apply_chat_template": True, "fewshot_as_multiturn": False},
            f"<|start|>user\n{PLAIN}<|end|>\n<|start|>assistant\n",
        ),
    ],
    ids=["plain", "system", "chat", "chat and system", "chat in one turn"],
)
def test_system_instruction_and_chat_template(
    tiny_lm: Any, questions: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], prompt: str
) -> None:
    class Tiny(HFLM):
        pass

    assert _first_prompt(tiny_lm("llama", cls=Tiny), questions, monkeypatch, **options) == prompt


def test_chat_in_one_turn_uses_the_template_of_the_protocol(
    tiny_lm: Any, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tiny(HFLM):
        pass

    options = {"apply_chat_template": True, "fewshot_as_multiturn": False, "protocol": {"template": "slick"}}
    prompt = _first_prompt(tiny_lm("llama", cls=Tiny), questions, monkeypatch, **options)
    assert prompt == "<|start|>user\nQ: Q1?\nA: A1\nQ: Q2?\nA: A2\nQ: Is it q0?\nA:<|end|>\n<|start|>assistant\n"


# --- wrong settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"kft_sample": 3}, "--metadata: unknown key 'kft_sample'. Did you mean 'kft_samples'"),
        ({"kft_set": "wikiqa"}, "unknown key 'kft_set'"),
        ({"samples": 3}, "'samples' is not used. Did you mean 'kft_samples'"),
        ({"exemplar_sets": 3}, "Did you mean 'kft_exemplar_sets'"),
        ({"kft_samples": "3x"}, "samples is '3x'"),
        ({"kft_samples": -1}, "samples is -1"),
        ({"kft_split": "dev"}, "kft_split is 'dev'. Use one of train, validation, test, exemplars."),
        ({"kft_scorer": "exact"}, "Did you mean 'exact_match'"),
        ({"kft_options": "exemplars"}, "kft_options is 'exemplars'"),
        ({"kft_chat": True}, "--apply_chat_template"),
    ],
)
def test_wrong_metadata_is_refused_with_a_hint(questions: Path, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        _manager(_metadata(questions, **metadata)).load(["kft_questions"])
    assert message in str(caught.value)


def test_metadata_of_others_is_left_alone(questions: Path) -> None:
    metadata = _metadata(questions, pretrained="x", dtype="float32", max_length=5)
    assert _manager(metadata).load(["kft_questions"])["tasks"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"set": "questions", "sample": 3}, "unknown key 'sample'. Did you mean 'samples'"),
        ({"set": "questions", "limit": 3}, "unknown key 'limit'"),
        ({"samples": 3}, "names its question set"),
        (None, "names its question set"),
        ({"set": "question"}, "Did you mean 'questions'"),
    ],
)
def test_a_wrong_kft_block_is_refused(questions: Path, block: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        KnowledgeTask({"task": "own", "kft": block, "metadata": {"kft_path": str(questions)}})
    assert message in str(caught.value)


def test_the_yaml_sets_the_protocol_and_metadata_overrides_it(questions: Path) -> None:
    config = {"task": "own", "kft": {"set": "questions", "samples": 7, "shots": 1}}
    task = KnowledgeTask({**config, "metadata": {"kft_path": str(questions), "kft_shots": 2}})
    assert (task.settings.protocol.samples, task.settings.protocol.shots) == (7, 2)
    assert config["kft"] == {"set": "questions", "samples": 7, "shots": 1}  # not changed


def test_a_split_without_questions_is_refused(questions: Path) -> None:
    with pytest.raises(DataError, match="there is no split 'train'"):
        KnowledgeTask({"task": "own", "kft": {"set": "questions", "path": str(questions), "split": "train"}})


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_num_fewshot_that_is_not_the_protocols_is_refused(questions: Path, shots: int) -> None:
    with pytest.raises(
        UsageError, match=f"--num_fewshot {shots} contradicts the protocol's 2 shots. Use --metadata kft_shots={shots}"
    ):
        _evaluate(FakeLM(), _metadata(questions), num_fewshot=shots)


def test_num_fewshot_that_is_the_protocols_is_taken(questions: Path) -> None:
    assert _evaluate(FakeLM(), _metadata(questions), num_fewshot=2)["n-shot"]["kft_questions"] == 2


# --- lm-eval's own machinery ----------------------------------------------------------------------------------------


def test_the_request_cache_is_never_used(questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval.caching.cache

    monkeypatch.setattr(lm_eval.caching.cache, "PATH", str(tmp_path / "requests"))
    for limit in (5, 4):
        lm = FakeLM()
        protocol = dataclasses.replace(PROTOCOL, max_tokens=limit)
        _evaluate(lm, _metadata(questions, protocol), cache_requests=True)
        assert {request.arguments[1]["max_gen_toks"] for request in _requests(lm)} == {limit}
    assert not (tmp_path / "requests").exists() or not list((tmp_path / "requests").iterdir())


def test_responses_to_requests_that_pad_a_short_rank_are_not_counted(
    questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = "lm_eval.evaluator.torch_gather_object"  # of 0.5; 0.4 asks the model's class
    monkeypatch.setattr(gather, lambda obj, **_: [obj], raising=False)
    alone = _evaluate(FakeLM(), _metadata(questions), samples={"kft_questions": [0, 2, 4, 6]}, log_samples=False)
    lm = FakeLM(world_size=2, largest=24)
    padded = _evaluate(lm, _metadata(questions))
    assert len(lm.calls[0]) == 4 * (1 + 3) * 2 + (24 - 16) * 3  # the last request, repeated as padding
    assert len(padded["samples"]["kft_questions"][-1]["resps"][-1]) == 3 + 8 * 3
    assert padded["results"]["kft_questions"] == alone["results"]["kft_questions"]


def test_too_few_responses_are_an_error_not_a_category(questions: Path) -> None:
    task = KnowledgeTask(
        {"task": "own", "kft": {"set": "questions", "exemplar_sets": 2, "samples": 3, "path": str(questions)}}
    )
    doc = next(iter(task.test_docs()))
    task.process_results(doc, [["x"], ["x"] * 3, ["x"], ["x"] * 3])
    for results in ([["x"], ["x"] * 3], [["x"], ["x"] * 3, ["x"], ["x"] * 2], [["x"], ["x"], ["x"], ["x"]]):
        with pytest.raises(DataError, match="the model gave too few responses. Run without lm-eval's caches."):
            task.process_results(doc, results)


# --- the engine behind lm-eval's transformers model -----------------------------------------------------------------


@pytest.fixture(scope="module")
def by_harness(tiny_lm: Any, questions: Path) -> Given:
    """All answers of the tiny model, by ``--model hf``."""
    return _given(_evaluate(tiny_lm("llama"), _metadata(questions)))


def test_answers_differ_enough_to_compare(by_harness: Given) -> None:
    greedy = [text for texts, _ in by_harness.values() for text in texts]
    sampled = [text for _, sets in by_harness.values() for texts in sets for text in texts]
    assert len(greedy) == 14
    assert len(set(greedy)) > 4
    assert len(sampled) == 42
    assert len(set(sampled)) > 20


def test_kft_hf_and_hf_give_the_same_answers(tiny_lm: Any, questions: Path, by_harness: Given) -> None:
    assert _given(_evaluate(tiny_lm("llama", cls=KftHF), _metadata(questions))) == by_harness


def test_without_the_engine_greedy_answers_are_the_same(
    tiny_lm: Any, questions: Path, by_harness: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    stock = backend.stock_generate_until
    monkeypatch.setattr(
        backend,
        "stock_generate_until",
        lambda lm, requests, **kwargs: calls.append(len(requests)) or stock(lm, requests, **kwargs),
    )
    monkeypatch.setenv("KFT_FAST", "0")
    slow = _given(_evaluate(tiny_lm("llama"), _metadata(questions)))
    assert sum(calls) == 7 * 2 * 4
    assert {id_: greedy for id_, (greedy, _) in slow.items()} == {
        id_: greedy for id_, (greedy, _) in by_harness.items()
    }


def _detect(
    lm: Any, path: Path, output: Path, *, lazy: bool, protocol: Protocol = PROTOCOL
) -> list[CategorizedQuestion]:
    source = open_set("questions", path)
    pool = ExemplarPool(source.split("exemplars"), protocol)
    engine = engine_for(lm)
    assert engine is not None
    answerer = EngineAnswerer(engine, protocol, lambda prompts: encode(lm, prompts))
    prompts = PromptMaker(protocol, pool)
    result = detect(
        Target(source, "test"), protocol, MODEL, lambda: (answerer, prompts), output, lazy=lazy, chunk_questions=3
    )
    return list(CategoryFile(result.path))


def test_detection_gives_the_harness_answers_greedy_and_sampled(
    tiny_lm: Any, questions: Path, by_harness: Given, tmp_path: Path
) -> None:
    items = _detect(tiny_lm("llama"), questions, tmp_path / "x.jsonl", lazy=False)
    given = {
        item.question.id: (list(item.greedy_answers), [list(texts or ()) for texts in item.sampled_answers])
        for item in items
    }
    assert given == by_harness


@pytest.fixture(scope="module")
def answerable(questions: Path, by_harness: Given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same questions with accepted answers such that the tiny model's categories differ."""
    path = tmp_path_factory.mktemp("answerable") / "q.jsonl"
    rows = []
    for number, question in enumerate(open_set("questions", questions).split("test")):
        greedy, sampled = by_harness[question.id]
        drawn = [text for texts in sampled for text in texts if text and text not in greedy]
        accepted = [greedy, greedy[:1], drawn[:1], ["never"]][number % 4]
        answers = tuple(dict.fromkeys(text for text in accepted if text.strip())) or ("never",)
        rows.append(dataclasses.replace(question, answers=answers))
    write_questions(path, [*rows, *open_set("questions", questions).split("exemplars")])
    return path


def test_lazy_detection_gives_the_harness_categories(tiny_lm: Any, answerable: Path, tmp_path: Path) -> None:
    protocol = dataclasses.replace(PROTOCOL, scorer="paper_substring")  # the tiny model does not answer in words
    results = _evaluate(tiny_lm("llama"), _metadata(answerable, protocol))
    harness = {sample["doc"]["id"]: sample["doc"]["category"] for sample in results["samples"]["kft_questions"]}
    items = _detect(tiny_lm("llama"), answerable, tmp_path / "x.jsonl", lazy=True, protocol=protocol)
    assert {item.question.id: str(item.category) for item in items} == harness
    assert len(set(harness.values())) >= 3


def test_answers_do_not_depend_on_limit(tiny_lm: Any, questions: Path, by_harness: Given) -> None:
    limited = _given(_evaluate(tiny_lm("llama"), _metadata(questions), limit=3))
    assert limited == {f"q{number}": by_harness[f"q{number}"] for number in range(3)}


@pytest.mark.skipif(
    hasattr(registry, "scorer_registry"), reason="lm-eval 0.5.0.dev1 itself fails to log chosen samples"
)
def test_answers_do_not_depend_on_choice(tiny_lm: Any, questions: Path, by_harness: Given) -> None:
    chosen = _given(_evaluate(tiny_lm("llama"), _metadata(questions), samples={"kft_questions": [1, 6]}))
    assert chosen == {name: by_harness[name] for name in ("q1", "q6")}


def test_lm_evals_response_cache_gives_the_same_answers(
    tiny_lm: Any, questions: Path, by_harness: Given, tmp_path: Path
) -> None:
    for _ in range(2):
        results = _evaluate(tiny_lm("llama"), _metadata(questions), use_cache=str(tmp_path / "responses"))
        assert _given(results) == by_harness


def test_a_models_own_generation_config_changes_nothing(
    tiny_lm: Any, questions: Path, by_harness: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lm(**leak: float) -> Any:
        made = tiny_lm("llama")
        for name, value in leak.items():
            setattr(made.model.generation_config, name, value)
        return made

    leaks = {"repetition_penalty": 5.0, "top_p": 0.01}
    assert _given(_evaluate(lm(**leaks), _metadata(questions))) == by_harness
    monkeypatch.setenv("KFT_FAST", "0")
    assert _given(_evaluate(lm(**leaks), _metadata(questions))) == _given(_evaluate(lm(), _metadata(questions)))


def _write_task(folder: Path, name: str, block: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        f"class: !function kft_tasks.harness.task.KnowledgeTask\ntask: {name}\nmetadata:\n  version: 1.0\nkft:\n{block}"
    )


def test_tasks_that_ask_the_same_questions_in_one_run_do_not_mix(tiny_lm: Any, questions: Path, tmp_path: Path) -> None:
    base = {"exemplar_sets": 2, "shots": 2, "samples": 3, "max_tokens": 5, "set": "questions", "path": str(questions)}
    changes: list[dict[str, Any]] = [
        {},
        {"shots": 1},
        {"template": "slick"},
        {"temperature": 3.0},
        {"samples": 5},
        {"top_k": 2},
        {"max_tokens": 2},
        {"exemplar_sets": 1},
    ]
    names = [f"task{number}" for number in range(len(changes))]
    folder = tmp_path / "yaml"
    for name, change in zip(names, changes, strict=True):
        _write_task(folder, name, "".join(f"  {key}: {value}\n" for key, value in {**base, **change}.items()))
    lm = tiny_lm("llama")
    together = _evaluate(lm, {}, names, folder=folder)
    for name, change in zip(names, changes, strict=True):
        assert _given(together, name) == _given(_evaluate(lm, {}, [name], folder=folder), name), change


def test_requests_of_other_tasks_get_lm_evals_own_answers_in_their_places(tiny_lm: Any, questions: Path) -> None:
    lm = tiny_lm("llama", cls=KftHF)
    task = _manager(_metadata(questions)).load(["kft_questions"])["tasks"]["kft_questions"]
    task.build_all_requests(limit=2, rank=0, world_size=1)
    ours = task.instances
    chosen = {"until": ["\n"], "max_gen_toks": 5, "do_sample": False}
    others = [plain_instance(f"Say {n}:", chosen, task="other", doc_id=n) for n in range(3)]
    cloned = [request for request in ours for _ in range(request.repeats)]
    padding = [ours[-1]] * (2 * ours[-1].repeats)
    expected_ours = lm.generate_until(cloned, disable_tqdm=True)
    expected_others = HFLM.generate_until(lm, others, disable_tqdm=True)
    mixed = [others[0], *cloned, others[1], *padding, others[2]]
    answers = lm.generate_until(mixed, disable_tqdm=True)
    assert [answers[0], answers[1 + len(cloned)], answers[-1]] == expected_others
    assert answers[1 : 1 + len(cloned)] == expected_ours
    assert answers[2 + len(cloned) : -1] == expected_ours[-3:] * 2  # a padded rank's answers start over


def test_a_prompt_that_lm_eval_would_cut_goes_to_lm_eval(tiny_lm: Any, questions: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KFT_FAST", "0")
        stock = _given(_evaluate(tiny_lm("llama", max_length=60), _metadata(questions)))
    fast = _given(_evaluate(tiny_lm("llama", max_length=60), _metadata(questions)))
    assert {id_: greedy for id_, (greedy, _) in fast.items()} == {id_: greedy for id_, (greedy, _) in stock.items()}


def test_a_subclass_with_generation_of_its_own_is_left_alone(tiny_lm: Any, questions: Path) -> None:
    class Own(HFLM):
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return ["own"] * len(requests)

    given = _given(_evaluate(tiny_lm("llama", cls=Own), _metadata(questions)))
    assert {text for texts, _ in given.values() for text in texts} == {"own"}


@pytest.mark.parametrize("architecture", ["llama", "gemma"], ids=["without bos", "with bos"])
@pytest.mark.parametrize("add_bos", [None, True, False])
@pytest.mark.parametrize("prompt", ["Who?", "<|bos|>Who?"])
def test_prompts_are_encoded_as_lm_eval_encodes_them(
    tiny_lm: Any, architecture: str, add_bos: bool | None, prompt: str
) -> None:
    lm = tiny_lm(architecture, add_bos_token=add_bos)
    prompts = [prompt, prompt + " And more?"]
    ids, mask = lm.tok_batch_encode(prompts)
    expected = [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]
    assert encode(lm, prompts) == expected


@pytest.fixture
def recurrent_lm(tiny_lm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    from kft_tasks.engine import engine

    def refuse(self: Any) -> None:
        raise engine.UnsupportedModelError("it is recurrent.")

    monkeypatch.setattr(engine.Engine, "_check", refuse)
    yield lambda: tiny_lm("llama")


def test_a_model_that_the_engine_refuses_is_asked_by_lm_eval_and_that_is_said_once(
    recurrent_lm: Callable[[], Any], questions: Path, by_harness: Given, caplog: pytest.LogCaptureFixture
) -> None:
    lm = recurrent_lm()
    for _ in range(2):
        given = _given(_evaluate(lm, _metadata(questions)))
        assert {i: greedy for i, (greedy, _) in given.items()} == {i: greedy for i, (greedy, _) in by_harness.items()}
    said = [record.getMessage() for record in caplog.records if record.name.startswith("kft_tasks.")]
    assert said == ["Using lm-eval's own generation, which is slower: it is recurrent."]


def test_options_of_every_set_come_through_metadata_and_stand_in_the_results(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    copies = [
        dataclasses.replace(make_question(f"q{n}", "t"), question="The same?", answers=(f"A{n}",)) for n in (1, 2)
    ]
    write_questions(path, [*copies, *make_exemplars(("t",), 6)])
    metadata = _metadata(path, kft_options={"deduplicate": True})
    results = _evaluate(FakeLM(), metadata, log_samples=True)
    (sample,) = results["samples"]["kft_questions"]
    assert sample["doc"]["answers"] == ["A1", "A2"]
    assert results["configs"]["kft_questions"]["metadata"]["kft_options"] == {"deduplicate": True}
