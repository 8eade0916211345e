"""vLLM and SGLang as far as possible without them: lm-eval's classes on stand-ins that record what they receive."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_helpers import PROTOCOL, detection, few_facts_task, greedy, harness_samples, items
from kft_tasks.models.backends import identify_choice
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import load_model

VLLM = {
    "vllm/__init__.py": """
from types import SimpleNamespace
made, asked = [], []
class SamplingParams:
    def __init__(self, *, max_tokens, stop, temperature, top_k=0, top_p=1.0, min_p=0.1, seed=None, repetition_penalty=1.0,
                 skip_special_tokens=True, spaces_between_special_tokens=True):
        self.__dict__.update({key: value for key, value in locals().items() if key != "self"})
class TokensPrompt(dict): pass
class LLM:
    def __init__(self, **kwargs):
        made.append(kwargs)
        from vllm.platforms import current_platform
        config = SimpleNamespace(
            device_config=SimpleNamespace(device_type="cpu" if current_platform.is_cpu() else "cuda"),
            scheduler_config=SimpleNamespace(enable_chunked_prefill=kwargs.get("enable_chunked_prefill", True)))
        self.llm_engine = SimpleNamespace(
            vllm_config=config, model_config=SimpleNamespace(max_model_len=kwargs["max_model_len"] or 2048))
    def generate(self, prompts, sampling_params, use_tqdm, lora_request):
        from tqdm.auto import tqdm
        asked.append((prompts, sampling_params, lora_request))
        bar = tqdm(total=len(prompts), disable=not use_tqdm, desc="Processed prompts")
        results = []
        for p, s in zip(prompts, sampling_params, strict=True):
            outputs = [SimpleNamespace(text=" %s %s\\n" % (sum(p["prompt_token_ids"]), s.seed), token_ids=[1, 2])]
            results.append(SimpleNamespace(outputs=outputs, prompt_token_ids=p["prompt_token_ids"], num_cached_tokens=3))
            if use_tqdm:
                bar.update(1)
                bar.postfix = "%s toks/s" % (len(results) / bar.format_dict["elapsed"])
        return results
""",
    "vllm/platforms.py": """
class current_platform:
    cpu = False
    @classmethod
    def is_cpu(cls): return cls.cpu
""",
    "vllm/lora/__init__.py": "",
    "vllm/lora/request.py": """
class LoRARequest:
    def __init__(self, name, number, path): self.name, self.path = name, path
""",
    "vllm/renderers/__init__.py": "",
    "vllm/renderers/hf.py": "def resolve_chat_template(**kwargs): return None",
    "vllm/tokenizers.py": """
def get_tokenizer(name, tokenizer_mode, trust_remote_code, revision):
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(name)
""",
    "vllm-0.20.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: 0.20.0\n",
}
SGLANG = {
    "sglang/__init__.py": """
from types import SimpleNamespace
made, asked = [], []
class Engine:
    def __init__(self, **kwargs):
        from transformers import AutoTokenizer
        made.append(kwargs)
        tokenizer = AutoTokenizer.from_pretrained(kwargs["model_path"])
        self.tokenizer_manager = SimpleNamespace(tokenizer=tokenizer, context_len=2048)
    def generate(self, input_ids, sampling_params, **kwargs):
        asked.append((input_ids, sampling_params))
        return [{"text": " %s %s\\n" % (sum(ids), number if params["temperature"] else "")}
                for number, (ids, params) in enumerate(zip(input_ids, sampling_params, strict=True))]
""",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The stand-ins, imported once: lm-eval keeps the classes that it built on them."""
    folder = tmp_path_factory.mktemp("packages")
    for name, text in {**VLLM, **SGLANG}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield {name: importlib.import_module(name) for name in ("vllm", "sglang")}
    for name in set(sys.modules) - before:
        if name.startswith(("vllm", "sglang", "lm_eval.models.vllm", "lm_eval.models.sglang")):
            del sys.modules[name]


@pytest.fixture
def vllm(packages: dict[str, Any]) -> Any:
    packages["vllm"].made.clear()
    packages["vllm"].asked.clear()
    return packages["vllm"]


@pytest.fixture
def sglang(packages: dict[str, Any]) -> Any:
    packages["sglang"].made.clear()
    packages["sglang"].asked.clear()
    return packages["sglang"]


def _adapter(folder: Path, rank: int) -> Path:
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "rank_pattern": None}))
    save_file({"weight": torch.zeros(2)}, folder / "adapter_model.safetensors")
    return folder


def test_vllm_is_built_with_prefix_caching_the_adapter_and_the_users_arguments(
    vllm: Any, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = _adapter(tmp_path / "adapter", 20)
    arguments = {"tensor_parallel_size": 2, "max_model_len": 512, "gpu_memory_utilization": 0.5}
    model = load_model(ModelChoice(str(tiny_model), adapter, "bfloat16", backend="vllm", backend_args=arguments))
    (made,) = vllm.made
    expected = {"model": str(tiny_model), "dtype": "bfloat16", "enable_prefix_caching": True, "enable_lora": True}
    expected |= {"max_lora_rank": 32, **arguments}
    assert made.items() >= expected.items()
    local = identify_choice(ModelChoice(str(tiny_model), adapter, "bfloat16"))
    assert model.identity.same_weights(local)
    assert model.identity.dtype == "vllm:bfloat16"
    asked = model.answerer(PROTOCOL)
    assert getattr(asked, "resumes_mid_chunk", False)
    model.lm.model.generate([], [], False, None)
    assert model.lm.lora_request.path == str(adapter)
    load_model(ModelChoice(str(tiny_model), backend="vllm", backend_args={"enable_prefix_caching": False}))
    assert vllm.made[1]["enable_prefix_caching"] is False
    assert vllm.made[1]["enable_lora"] is False


def test_vllm_on_a_cpu_shares_short_blocks_and_prefills_a_prompt_in_one_piece(
    vllm: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = ModelChoice(str(tiny_model), backend="vllm")
    load_model(choice)
    assert not {"block_size", "enable_chunked_prefill"} & set(vllm.made[0])
    monkeypatch.setattr(sys.modules["vllm.platforms"].current_platform, "cpu", True)
    load_model(choice)
    assert vllm.made[1].items() >= {"block_size": 32, "enable_chunked_prefill": False}.items()
    load_model(dataclasses.replace(choice, backend_args={"block_size": 64}))
    assert vllm.made[2]["block_size"] == 64


def test_vllm_on_a_cpu_that_would_prefill_in_chunks_is_refused_before_it_fails(
    vllm: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kft_tasks.errors import UsageError

    monkeypatch.setattr(sys.modules["vllm.platforms"].current_platform, "cpu", True)
    choice = ModelChoice(str(tiny_model), backend="vllm", backend_args={"enable_chunked_prefill": True})
    with pytest.raises(UsageError, match="Add enable_chunked_prefill=False,block_size=32"):
        detection(choice, tmp_path / "x")
    detection(ModelChoice(str(tiny_model), backend="vllm"), tmp_path / "x")


def test_vllms_tokens_are_counted_as_it_reports_them(vllm: Any, tiny_model: Path, tmp_path: Path) -> None:
    cost = detection(ModelChoice(str(tiny_model), backend="vllm"), tmp_path / "x").cost
    prompts = [len(prompt["prompt_token_ids"]) for asked, _, _ in vllm.asked for prompt in asked]
    assert cost["prompt_tokens"] == sum(prompts)
    assert cost["prefilled"] == sum(prompts) - 3 * len(prompts)
    assert cost["decoded"] == cost["answer_tokens"] == 2 * len(prompts)


def test_vllms_progress_bar_is_hidden_and_still_measures_time(
    vllm: Any, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    detection(ModelChoice(str(tiny_model), backend="vllm"), tmp_path / "x")
    assert "Processed prompts" not in "".join(capfd.readouterr())


def test_vllm_gets_every_sample_as_a_request_with_its_own_seed(vllm: Any, tiny_model: Path, tmp_path: Path) -> None:
    choice = ModelChoice(str(tiny_model), backend="vllm")
    one = detection(choice, tmp_path / "one", chunk_questions=1)
    alone = {(str(p), s.seed) for prompts, params, _ in vllm.asked for p, s in zip(prompts, params, strict=True)}
    vllm.asked.clear()
    all_ = detection(choice, tmp_path / "all", chunk_questions=128)
    pairs = [(str(p), s.seed) for prompts, params, _ in vllm.asked for p, s in zip(prompts, params, strict=True)]
    assert one.path.read_bytes() == all_.path.read_bytes()
    assert len(pairs) == len(alone) == 4 * 2 * (1 + 3)
    assert set(pairs) == alone
    for _, params, _ in vllm.asked:
        for one_ in params:
            assert (one_.max_tokens, one_.top_p, one_.repetition_penalty) == (4, 1.0, 1.0)
            assert one_.min_p == 0 or not one_.temperature
            assert one_.stop == ["\n", "<|end|>"]  # no answer is empty: none is asked for again
            assert (one_.temperature, one_.top_k, one_.seed is None) in [(0.0, 0, True), (0.5, 40, False)]
    drawn = [texts for item in items(all_).values() for texts in item.sampled_answers]
    assert all(texts is not None and len(set(texts)) == 3 for texts in drawn)


def test_vllm_in_the_harness_gets_the_seeds_of_kft_detect(
    vllm: Any, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stock_lm_eval: None
) -> None:
    expected = items(detection(ModelChoice(str(tiny_model), backend="vllm"), tmp_path / "x"))
    task = few_facts_task(monkeypatch)
    for sample in harness_samples(task, model="vllm", model_args=f"pretrained={tiny_model}"):
        texts = tuple(tuple(text.strip() for text in given) for given in sample["resps"][1::2])
        assert texts == expected[sample["doc"]["id"]].sampled_answers
        assert all(len(set(drawn)) == 3 for drawn in texts)


def test_sglang_gets_no_temperature_on_greedy_requests_and_no_seed(
    sglang: Any, tiny_model: Path, tmp_path: Path
) -> None:
    arguments = {"tp_size": 2, "mem_fraction_static": 0.5}
    result = detection(ModelChoice(str(tiny_model), backend="sglang", backend_args=arguments), tmp_path / "x")
    assert sglang.made[0].items() >= {"model_path": str(tiny_model), "trust_remote_code": False, **arguments}.items()
    params = [one for _, all_ in sglang.asked for one in all_]
    assert {json.dumps(one, sort_keys=True) for one in params} == {
        json.dumps(one, sort_keys=True)
        for one in (
            {**_SGLANG, "temperature": 0.0},
            {
                **_SGLANG,
                "stop": ["<|end|>"],
                "temperature": 0.5,
                "top_k": 40,
                "min_p": 0.0,
            },  # it could not be asked again
        )
    }
    assert len(params) == 4 * 2 * (1 + 3)
    assert all(len(set(texts)) == 1 for texts in zip(*greedy(result).values(), strict=True)) is False


_SGLANG: dict[str, Any] = {
    "max_new_tokens": 4,
    "stop": ["\n", "<|end|>"],
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
}


def test_an_engine_that_does_not_start_is_one_error(
    vllm: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kft_tasks.errors import UnavailableError

    def fail(self: Any, **kwargs: Any) -> None:
        raise RuntimeError("no\nGPU")

    monkeypatch.setattr(vllm.LLM, "__init__", fail)
    with pytest.raises(UnavailableError, match=r"vllm does not start \(RuntimeError: no GPU\)"):
        load_model(ModelChoice(str(tiny_model), backend="vllm"))
