"""Logs of any lm-eval task become category files, and what they do not say stays unknown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kft_cli.main import main
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.categories.rescore import read_corrections, rescore
from kft_tasks.certainty.measure import measure_certainty
from kft_tasks.errors import DataError, UsageError
from kft_tasks.lm_eval_logs.import_logs import import_logs
from kft_tasks.protocol.identity import NOT_RECORDED

TIME = "2026-01-02T03-04-05.678901"
GREEDY = {"until": ["\n"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 8}
SAMPLED = {"until": ["\n"], "do_sample": True, "temperature": 0.7, "max_gen_toks": 8}
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Peru": "Lima"}

Answers = Mapping[str, Sequence[str]]


def write_log(
    folder: Path,
    task: str,
    answers: Answers,
    settings: Mapping[str, Any] = SAMPLED,
    *,
    prompt: str = "Q: {}\nA:",
    model: str | None = "some/model",
    **changes: Any,
) -> Path:
    """A log as lm-eval writes it: a request per document; with its results file unless ``model`` is None."""
    log = folder / f"samples_{task}_{TIME}.jsonl"
    lines = []
    for number, (country, given) in enumerate(answers.items()):
        question = f"What is the capital of {country}?"
        line = {
            "doc_id": number,
            "doc": {"question": question, "answers": [CAPITALS[country]], "type": "capital"},
            "target": CAPITALS[country],
            "arguments": {"gen_args_0": {"arg_0": prompt.format(question), "arg_1": settings}},
            "resps": [list(given)],
            "filtered_resps": [given[0]],
            "filter": "none",
            **changes,
        }
        lines.append(json.dumps(line) + "\n")
    log.write_text("".join(lines), encoding="utf-8")
    if model:
        tasks = [path.name.split("_")[1] for path in folder.glob("samples_*")]
        results = {
            "config": {"model": "vllm", "model_args": f"pretrained={model},dtype=bfloat16"},
            "configs": {name: {"test_split": "dev"} for name in tasks},
            "versions": dict.fromkeys(tasks, 2.0),
            "n-shot": dict.fromkeys(tasks, 3),
            "chat_template": "{{ messages }}",
            "system_instruction": "Be brief.",
        }
        (folder / f"results_{TIME}.json").write_text(json.dumps(results), encoding="utf-8")
    return log


def categories(path: Path) -> dict[str, str]:
    return {item.question.answers[0]: item.category.value for item in CategoryFile(path)}


def test_several_prompts_and_repeats_decide_the_four_categories(tmp_path: Path) -> None:
    first = {"France": ["Paris"], "Japan": ["Tokyo"], "Italy": ["Milan"], "Peru": ["Quito"]}
    second = {"Peru": ["Cusco"], "France": ["paris."], "Japan": ["Kyoto"], "Italy": ["Turin"]}
    drawn = {"France": ["Lyon", "Nice"], "Japan": ["Tokyo", "Edo"], "Italy": ["Rome", "Pisa"], "Peru": ["A", "B"]}
    logs = [
        write_log(tmp_path, "plain", first, GREEDY),
        write_log(tmp_path, "formal", second, GREEDY, prompt="Kindly tell: {}"),
        write_log(tmp_path, "drawn", drawn),
        write_log(tmp_path, "drawn2", {country: ["?", "?"] for country in drawn}, prompt="Kindly tell: {}"),
    ]
    result = import_logs(logs, tmp_path / "all.categories.jsonl")
    expected = {"Paris": "HighlyKnown", "Tokyo": "MaybeKnown", "Rome": "WeaklyKnown", "Lima": "Unknown"}
    assert categories(result.output) == expected
    file = CategoryFile(result.output)
    assert file.header == result.header
    assert (file.header.protocol.exemplar_sets, file.header.protocol.samples) == (2, 2)
    assert next(iter(file)).sampled_answers == (("Lyon", "Nice"), ("?", "?"))
    assert measure_certainty(result.output).questions == 4


def test_the_results_file_tells_what_the_log_does_not(tmp_path: Path) -> None:
    log = write_log(tmp_path, "task", {"France": ["Paris"]}, {**GREEDY, "top_k": 5})
    header = import_logs([log], tmp_path / "a.jsonl").header
    protocol = header.protocol
    assert (header.model.id, header.model.weights, header.model.dtype) == ("some/model", NOT_RECORDED, "vllm:bfloat16")
    assert (header.questions.set, header.questions.version, header.questions.split) == ("task", "2.0", "validation")
    assert (protocol.shots, protocol.chat, protocol.system, protocol.max_tokens) == (3, True, "Be brief.", 8)
    assert protocol.unrecorded() == ["temperature", "top_k", "seed", "template", "exemplars"]  # nothing was sampled


def test_without_a_results_file_nothing_is_guessed(tmp_path: Path) -> None:
    log = write_log(tmp_path, "task", {"France": ["Paris"]}, {"until": []}, model=None)
    header = import_logs([log], tmp_path / "a.jsonl").header
    assert {header.model.id, header.model.weights, header.model.dtype, header.questions.split} == {NOT_RECORDED}
    known = {name: value for name, value in header.protocol.to_json().items() if value is not None}
    assert known == {"exemplar_sets": 1, "samples": 0, "scorer": "answer_stated", "skip_blank_lines": False}
    assert not header.model.same_weights(header.model)


def test_samples_alone_decide_nothing_unless_they_are_taken_for_prompts(tmp_path: Path) -> None:
    log = write_log(tmp_path, "task", {"France": ["Paris", "Paris"], "Japan": ["Tokyo", "Edo"], "Peru": ["A", "B"]})
    with pytest.raises(UsageError, match="sampled answers only"):
        import_logs([log], tmp_path / "a.jsonl")
    result = import_logs([log], tmp_path / "a.jsonl", samples_as_prompts=True)
    assert categories(result.output) == {"Paris": "HighlyKnown", "Tokyo": "MaybeKnown", "Lima": "Unknown"}
    assert result.header.imported is not None
    assert result.header.imported.samples_as_prompts


def test_questions_that_lack_answers_are_left_out_and_counted(tmp_path: Path) -> None:
    greedy = write_log(tmp_path, "greedy", {"France": ["Paris", "Lyon"], "Japan": ["Tokyo"], "Peru": ["Lima"]}, GREEDY)
    drawn = write_log(tmp_path, "drawn", {"France": ["Nice"], "Japan": ["Edo"], "Italy": ["Pisa"]})
    result = import_logs([greedy, drawn], tmp_path / "a.jsonl")
    assert sorted(categories(result.output)) == ["Paris", "Tokyo"]
    assert result.header.imported is not None
    assert result.header.imported.left_out == 2
    assert result.unsteady == 1


def test_fields_of_documents_are_named(tmp_path: Path) -> None:
    document = {"Frage": "Capital of Peru?", "answer": {"value": "Lima", "aliases": ["Lima", "Ciudad"]}, "kind": 7}
    log = write_log(tmp_path, "task", {"Peru": ["Ciudad"]}, GREEDY, doc=document, target="['Lima', 'Ciudad']")
    with pytest.raises(DataError, match="no column 'question'"):
        import_logs([log], tmp_path / "a.jsonl", columns={"answers": "answer.aliases"})
    with pytest.raises(DataError, match=r"the fields are .*answer\.aliases"):
        import_logs([log], tmp_path / "a.jsonl", columns={"question": "Frage"})
    columns = {"question": "Frage", "answers": "answer.aliases", "type": "kind"}
    result = import_logs([log], tmp_path / "a.jsonl", columns=columns, split="train")
    (item,) = CategoryFile(result.output)
    assert item.question.to_json() | {"id": ""} == {
        "id": "",
        "question": "Capital of Peru?",
        "answers": ["Lima", "Ciudad"],
        "type": "7",
        "split": "train",
        "subject": "",
    }
    assert item.category.value == "HighlyKnown"


def test_answers_are_taken_from_a_filter_that_keeps_them_all(tmp_path: Path) -> None:
    said = "Let me think. The answer is Lima"
    log = write_log(tmp_path, "task", {"Peru": [said, said]}, GREEDY, filtered_resps=[["Lima", "Lima"]])
    lines = log.read_text(encoding="utf-8")
    raw = {"filtered_resps": [said], "filter": "raw"}
    log.write_text(json.dumps({**json.loads(lines), **raw}) + "\n" + lines, encoding="utf-8")
    (item,) = CategoryFile(import_logs([log], tmp_path / "a.jsonl").output)
    assert item.greedy_answers == (said,)
    result = import_logs([log], tmp_path / "b.jsonl", filter_name="none")
    assert next(iter(CategoryFile(result.output))).greedy_answers == ("Lima",)
    assert result.header.imported is not None
    assert result.header.imported.filter == "none"
    with pytest.raises(DataError, match="keeps only some of the answers"):
        import_logs([log], tmp_path / "c.jsonl", filter_name="raw")
    with pytest.raises(DataError, match="no answers of a filter 'nine'"):
        import_logs([log], tmp_path / "c.jsonl", filter_name="nine")


def test_older_logs_list_their_arguments(tmp_path: Path) -> None:
    log = write_log(tmp_path, "task", {"Peru": ["Lima"]}, GREEDY, arguments=[["Q:", GREEDY]])
    assert categories(import_logs([log], tmp_path / "a.jsonl").output) == {"Lima": "HighlyKnown"}


def test_the_target_is_accepted_where_the_document_has_no_answers(tmp_path: Path) -> None:
    log = write_log(tmp_path, "task", {"Peru": ["Lima"]}, GREEDY, doc={"question": "Q?"})
    (item,) = CategoryFile(import_logs([log], tmp_path / "a.jsonl").output)
    assert item.question.answers == ("Lima",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"do_sample": True, "temperature": 0.0}}, "depends on the model's class"),
        ({"resps": [[[-1.5, True]]]}, "output_type is generate_until"),
        ({"resps": [["a"], ["b"]]}, "do not fit"),
        ({"doc_id": 3, "doc": {"question": "Same?", "answers": ["x"]}}, "holds no"),
        ({"filter": 3}, "not a line of a sample log"),
    ],
)
def test_a_log_that_cannot_be_used_is_refused_by_line(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    settings = changes.pop("settings", GREEDY)
    if words == "holds no":
        log = write_log(tmp_path, "task", {"Peru": ["Lima"], "Italy": ["Rome"]}, settings)
        log.write_text("", encoding="utf-8")
        words = "is empty"
    else:
        log = write_log(tmp_path, "task", {"Peru": ["Lima"]}, settings, **changes)
    with pytest.raises(DataError, match=words) as caught:
        import_logs([log], tmp_path / "a.jsonl")
    assert str(caught.value).startswith(str(log))
    assert not (tmp_path / "a.jsonl").exists()


def test_logs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    log = write_log(tmp_path, "task", {"Peru": ["Lima"]}, GREEDY)
    for folder, changes, words in (
        ("model", {"model": "another/model"}, "one model at a time"),
        ("settings", {"settings": {**GREEDY, "max_gen_toks": 99}}, "other generation settings"),
        (
            "answers",
            {"doc": {"question": "What is the capital of Peru?", "answers": ["Cusco"], "type": "capital"}},
            "another text",
        ),
    ):
        (tmp_path / folder).mkdir()
        other = write_log(tmp_path / folder, "task", {"Peru": ["Lima"]}, **{"settings": GREEDY, **changes})
        with pytest.raises(DataError, match=words):
            import_logs([log, other], tmp_path / "a.jsonl")
    twice = write_log(
        tmp_path, "twice", {"Peru": ["Lima"], "Italy": ["Rome"]}, GREEDY, doc={"question": "Q?"}, target="x"
    )
    with pytest.raises(DataError, match="is duplicated"):
        import_logs([twice], tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="is not named"):
        import_logs([log.rename(tmp_path / "mine.jsonl")], tmp_path / "a.jsonl")


def test_only_an_imported_file_may_leave_the_protocol_unknown(tmp_path: Path) -> None:
    path = import_logs([write_log(tmp_path, "task", {"Peru": ["Lima"]}, GREEDY)], tmp_path / "a.jsonl").output
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    without = {key: value for key, value in json.loads(header).items() if key != "imported"}
    path.write_text("\n".join([json.dumps(without), *lines]), encoding="utf-8")
    with pytest.raises(DataError, match="broken header"):
        CategoryFile(path)


@pytest.fixture(scope="module")
def stock_logs(tiny_lm: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Logs of a task of the user's own, run by lm-eval alone: four sampled repeats, then greedily."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("stock")
    rows = [
        {"id": f"c{number}", "question": f"What is the capital of {country}?", "answers": [city], "type": "capital"}
        for number, (country, city) in enumerate(CAPITALS.items())
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "capitals.yaml").write_text(
        f"""
task: capitals
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/rows.jsonl}}, cache_dir: {folder}/cache}}
test_split: train
output_type: generate_until
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: "{{{{answers[0]}}}}"
repeats: 4
generation_kwargs: {{until: ["\\n"], do_sample: true, temperature: 0.7, max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
metadata: {{version: 1.0}}
""",
        encoding="utf-8",
    )
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("torch.utils.collect_env.get_pretty_env_info", lambda: "")  # lists all packages, by pip
    lm = tiny_lm("llama")
    for name, settings in (("sampled", None), ("greedy", "do_sample=False,temperature=0")):
        tracker = EvaluationTracker(output_path=str(folder / name))
        results = simple_evaluate(
            model=lm,
            tasks=["capitals"],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            evaluation_tracker=tracker,
            gen_kwargs=settings,
            bootstrap_iters=0,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        tracker.save_results_samples(task_name="capitals", samples=samples["capitals"])
    monkeypatch.undo()
    return sorted(folder.glob("*/**/samples_*.jsonl"))


def test_a_stock_log_is_imported_rescored_and_trained_on(
    stock_logs: list[Path], tiny_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kft_cli.pipeline.stages import stage_request
    from kft_train.recipes.recipe import load_recipe
    from kft_train.stage.train import train_stage

    output = tmp_path / "capitals.categories.jsonl"
    with pytest.raises(SystemExit) as stopped:
        main(["import", *map(str, stock_logs), "-o", str(output)])
    assert stopped.value.code == 0
    assert "not recorded" in capsys.readouterr().out
    header = CategoryFile(output).header
    assert (header.protocol.samples, header.protocol.temperature, header.questions.split) == (4, 0.7, "train")
    assert set(categories(output).values()) == {"Unknown"}  # a random model

    given = {item.question.id: item for item in CategoryFile(output)}
    said = [given["c0"].greedy_answers[0], (given["c1"].sampled_answers[0] or ("",))[0]]
    corrections = tmp_path / "corrections.jsonl"
    rows = [
        {"id": id_, "question": given[id_].question.question, "answers": [text]}
        for id_, text in zip(("c0", "c1"), said, strict=True)
    ]
    corrections.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    again = rescore(output, tmp_path / "b.jsonl", scorer="exact_match", corrections=read_corrections(corrections))
    found = {item.question.id: item.category.value for item in CategoryFile(again.output)}
    assert (found["c0"], found["c1"]) == ("HighlyKnown", "WeaklyKnown")
    assert CategoryFile(again.output).header.imported == header.imported

    own = tmp_path / "questions"
    own.mkdir()
    for split, text in (("exemplars", "Largest city of {}?"), ("validation", "Where does {} begin?")):
        rows = [{"question": text.format(name), "answers": [name], "type": "capital"} for name in ("Spain", "Chile")]
        (own / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    overrides = {
        "model.id": tiny_folder("llama"),
        "model.dtype": "float32",
        "questions.set": "questions",
        "questions.path": own,
        "protocol.shots": 1,
        "protocol.exemplar_sets": 1,
        "evaluation.shots": "[1]",
        "stages.0.mixture": '[{"name": "all", "now": ["WeaklyKnown", "Unknown"]}]',
    }
    recipe = load_recipe("demo", tuple(f"{key}={value}" for key, value in overrides.items()))
    asked: dict[str, Any] = {"before": None, "previous": None, "work": tmp_path / "work", "output": tmp_path / "stage"}
    with pytest.raises(DataError, match="weights are not recorded"):
        stage_request(recipe, recipe.stages[0], now=again.output, **asked)
    request = stage_request(recipe, recipe.stages[0], now=again.output, any_model=True, max_steps=1, **asked)
    assert sorted(item.question.id for item in request.mixture.items) == ["c1", "c2", "c3"]
    assert (train_stage(request).adapter / "adapter_model.safetensors").is_file()
