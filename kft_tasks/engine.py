"""Generation over a trie: what many prompts and answers share is computed once.

All prompts of a pack are laid into one sequence as a trie: a token that several prompts share (the exemplars, the
first words of a question) has one slot in the key-value cache, and a 4-D attention mask lets every token see its own
ancestors only. Answers grow on the same trie, so that sixteen samples which begin with the same word are one row
until they part. The results are those of separate calls: positions and visible tokens are the same.

Numbers: in float32 the logits differ from separate calls by about 1e-5. Where two candidates are closer than
``Engine.margin``, the choice is made on logits computed for that context alone, so that an answer does not depend on
what else was in the pack. In bfloat16 rounding is coarser than that and an answer can depend on the pack; a pack of
the same prompts always gives the same answers on the same machine.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kft_tasks.errors import KftError
from kft_tasks.sampling import F64, gumbel, sample_keys
from kft_tasks.segments import Segment

if TYPE_CHECKING:
    import torch

_PREFIXES_KEPT = 64  # prefix caches kept for further packs: all exemplar sets of the types at work
_FORWARD_TOKENS = 4096  # tokens of one forward call at most


class UnsupportedModelError(KftError):
    """The model cannot be run on a trie; use lm-eval's own generation."""


@dataclass
class TokenCount:
    """What the model was made to compute.

    Attributes:
        prefilled: prompt tokens that went through the model.
        decoded: answer tokens that went through the model.
        prompt_tokens: prompt tokens of all generations, as separate calls would prefill them.
        answer_tokens: answer tokens of all generations.
    """

    prefilled: int = 0
    decoded: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass
class _Group:
    """Prompts that begin alike: the beginning, and where its and their tokens lie in the cache."""

    prefix: tuple[int, ...]
    slots: list[int]


@dataclass
class _Node:
    """A token in its context, and what may follow it.

    ``slots`` are the places of its ancestors and itself in ``group.slots``, counted from behind the prefix.
    """

    group: _Group
    slots: tuple[int, ...]
    position: int
    tokens: tuple[int, ...] = ()  # of the answer so far
    best: int = -1  # greedy next token
    gap: float = 0.0  # of the two best logits
    ids: Any = None  # (k,) token ids, best first
    values: F64 | None = None  # (k,) logits
    exact: bool = False  # logits were computed for this context alone
    children: dict[int, _Node | str] = field(default_factory=dict)  # token -> node, or the finished answer


class Engine:
    """Runs one causal language model of transformers on tries of prompts.

    Args:
        model: in evaluation mode, on its device; a PeftModel is used as it is.
        tokenizer: of that model.
        check: compare with plain calls first, and choose the fastest attention that gives the same.

    Raises:
        UnsupportedModelError: the model gives other logits on a trie (absolute positions by mask, recurrent layers,
            an attention kernel without masks).
    """

    def __init__(self, model: Any, tokenizer: Any, *, check: bool = True) -> None:
        import torch

        self.model = model
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype
        self.margin = 1e-3 if self.dtype == torch.float32 else 0.0
        self.count = TokenCount()
        self.window = _window(model.config)
        self.eos = frozenset(_eos_ids(model, tokenizer))
        self.segmented = False
        self._prefixes: OrderedDict[tuple[int, ...], list[tuple[torch.Tensor, torch.Tensor]]] = OrderedDict()
        self._texts: dict[tuple[int, ...], str] = {}
        if check:
            self._check()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole prompts, with the special tokens that the tokenizer adds by itself."""
        encoded: list[list[int]] = self.tokenizer(list(texts), padding=False)["input_ids"] if texts else []
        return encoded

    def open(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str],
        top_k: int = 1,
        groups: Sequence[Hashable] | None = None,
    ) -> Pack:
        """Prefill prompts together; ask the returned pack for answers.

        Args:
            groups: one a prompt; prompts of a group share a long beginning (the same exemplars). None: all are one.

        Raises:
            UnsupportedModelError: a prompt is longer than the model's sliding window.
        """
        longest = max(map(len, prompts)) + max_tokens
        if self.window is not None and longest > self.window:
            raise UnsupportedModelError(
                f"prompt and answer of {longest} tokens exceed the sliding window of {self.window}."
            )
        chosen = [0] * len(prompts) if groups is None else groups
        return Pack(self, prompts, chosen, max_tokens=max_tokens, stop=tuple(filter(None, stop)), top_k=top_k)

    def forward(
        self,
        cache: Any,
        tokens: Sequence[int],
        positions: Sequence[int],
        segments: Sequence[Segment],
        keep: Sequence[int],
    ) -> torch.Tensor:
        """One call on one packed sequence, extending ``cache``; float32 logits of shape (len(keep), vocabulary)."""
        import torch

        from kft_tasks.segments import bias_of, dense_mask, segmented

        with torch.inference_mode(), contextlib.ExitStack() as stack:
            if self.segmented:
                mask = stack.enter_context(segmented(segments, self.dtype, self.device))
            else:
                slots = cache.get_seq_length() + len(tokens)
                mask = bias_of(dense_mask(segments, slots), self.dtype)[None, None].to(self.device)
            output = self.model(
                input_ids=torch.tensor([list(tokens)], device=self.device),
                position_ids=torch.tensor([list(positions)], device=self.device),
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=torch.tensor(list(keep), device=self.device),
            )
        logits: torch.Tensor = output.logits[0].float()
        return logits

    def extend_by_prefix(self, cache: Any, prefix: tuple[int, ...]) -> None:
        """Append a prompt's beginning to ``cache``; its keys and values are computed once and shared."""
        import torch
        from transformers import DynamicCache

        if not prefix:
            return
        if prefix not in self._prefixes:
            own = DynamicCache()
            for start in range(0, len(prefix), _FORWARD_TOKENS):
                part = prefix[start : start + _FORWARD_TOKENS]
                end = start + len(part)
                segment = Segment(range(len(part)), np.arange(end), np.tri(len(part), end, start, dtype=bool))
                self.forward(own, part, range(start, end), [segment], [len(part) - 1])
            self.count.prefilled += len(prefix)
            self._prefixes[prefix] = [(layer.keys, layer.values) for layer in own.layers]
            while len(self._prefixes) > _PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(prefix)
        with torch.inference_mode():
            for index, (keys, values) in enumerate(self._prefixes[prefix]):
                cache.update(keys, values, index)

    def alone(self, tokens: Sequence[int]) -> torch.Tensor:
        """Logits (vocabulary,) after ``tokens``, computed in a plain call of their own."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=self.device)
            keep = torch.tensor([len(tokens) - 1], device=self.device)
            output = self.model(input_ids=ids, use_cache=False, logits_to_keep=keep)
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits

    def text(self, tokens: tuple[int, ...]) -> str:
        """The text of an answer's tokens, special tokens left out."""
        if tokens not in self._texts:
            if len(self._texts) > 200_000:
                self._texts.clear()
            self._texts[tokens] = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return self._texts[tokens]

    def _check(self) -> None:
        """Compare the trie with plain calls, by segments if that works, else with one mask.

        Raises:
            UnsupportedModelError: neither gives the same logits.
        """
        from kft_tasks.segments import use_segments

        reasons = []
        for self.segmented in (True, False):
            if self.segmented and not use_segments(self.model):
                continue
            before, self.count = self.count, TokenCount()
            try:
                reason = self._difference()
            except Exception as error:  # whatever a model raises here means that it cannot be run this way
                reason = f"{type(error).__name__}: {error}"
            finally:
                self.count = before
                self._prefixes.clear()
            if not reason:
                return
            reasons.append(reason)
        raise UnsupportedModelError(f"{type(self.model).__name__} cannot be run on a trie of prompts ({reasons[-1]}).")

    def _difference(self) -> str:
        """What is wrong with the logits of a small trie, or ""."""
        size = int(self.model.get_input_embeddings().weight.shape[0])
        stems = [[(7 * i + 3 + shift) % size for i in range(1, 9)] for shift in (0, 5)]
        prompts = [[*stems[j % 2], *((11 * i + j) % size for i in range(1, 3 + j))] for j in range(4)]
        pack = self.open(prompts, max_tokens=1, stop=(), top_k=1, groups=[0, 1, 0, 1])
        plain = [self.alone(prompt) for prompt in prompts]
        worst = max(float((a - b).abs().max()) for a, b in zip(pack.first_logits, plain, strict=True))
        allowed = max(float(row.std()) for row in plain) * (1e-3 if self.margin else 0.25)
        return "" if worst <= allowed else f"logits are off by {worst:.2g}, {allowed:.2g} allowed"


class Pack:
    """Prompts that share one cache, and the answers grown on it. Made by :meth:`Engine.open`."""

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Sequence[int]],
        groups: Sequence[Hashable],
        *,
        max_tokens: int,
        stop: tuple[str, ...],
        top_k: int,
    ) -> None:
        from transformers import DynamicCache

        self.engine = engine
        self.max_tokens = max_tokens
        self.stop = stop
        self.top_k = top_k
        self.prompts = [tuple(prompt) for prompt in prompts]
        self._cache = DynamicCache()
        self._slots = 0
        members: dict[Hashable, list[int]] = {}
        for index, group in enumerate(groups):
            members.setdefault(group, []).append(index)
        self._groups = [self._begin([self.prompts[index] for index in indices]) for indices in members.values()]
        self._leaves = self._prefill(list(members.values()))

    @property
    def slots(self) -> int:
        """Slots of the cache in use: a measure of its memory."""
        return self._slots

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers of the prompts ``which``, in that order."""
        return [answers[0] for answers in self._grow(which, None, 1, 1.0)]

    def sample(
        self, which: Sequence[int], keys: Sequence[int], count: int, temperature: float
    ) -> list[tuple[str, ...]]:
        """``count`` sampled answers for each prompt of ``which``; ``keys`` are their context keys."""
        return self._grow(which, keys, count, temperature)

    def keep(self, which: Sequence[int]) -> None:
        """Forget every prompt but ``which``: their slots are freed, unless few are."""
        import torch

        nodes = {id(node): node for index in which for node in _below(self._leaves[index])}
        used: dict[int, set[int]] = {}
        for node in nodes.values():
            used.setdefault(id(node.group), set()).update(node.slots)
        kept = [sorted(used.get(id(group), ())) for group in self._groups]
        total = sum(len(group.prefix) + len(local) for group, local in zip(self._groups, kept, strict=True) if local)
        if total > 0.7 * self._slots:
            return  # not worth a copy
        rows: list[int] = []
        for group, local in zip(self._groups, kept, strict=True):
            old = group.slots
            wanted = [*range(len(group.prefix)), *(len(group.prefix) + slot for slot in local)] if local else []
            group.slots = list(range(len(rows), len(rows) + len(wanted)))
            rows += [old[place] for place in wanted]
        moved = {
            id(group): {slot: new for new, slot in enumerate(local)}
            for group, local in zip(self._groups, kept, strict=True)
        }
        for node in nodes.values():
            node.slots = tuple(moved[id(node.group)][slot] for slot in node.slots)
        index = torch.tensor(rows, device=self.engine.device)
        with torch.inference_mode():
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys.index_select(2, index), layer.values.index_select(2, index)
        self._slots = len(rows)

    def _begin(self, prompts: Sequence[tuple[int, ...]]) -> _Group:
        prefix = _common_prefix(prompts)
        self.engine.extend_by_prefix(self._cache, prefix)
        self._slots += len(prefix)
        return _Group(prefix, list(range(self._slots - len(prefix), self._slots)))

    def _prefill(self, members: Sequence[Sequence[int]]) -> list[_Node]:
        """Lay the rest of all prompts out as tries, group by group, and run them; gives every prompt's last node."""
        tokens: list[int] = []
        rows: list[_Node] = []
        ends: dict[int, int] = {}
        for group, indices in zip(self._groups, members, strict=True):
            first, index = len(rows), {}
            for prompt in indices:
                at = -1
                for token in self.prompts[prompt][len(group.prefix) :]:
                    if (at, token) not in index:
                        index[at, token] = len(rows)
                        path = rows[at].slots if at >= 0 else ()
                        rows.append(_Node(group, (*path, len(rows) - first), len(group.prefix) + len(path)))
                        tokens.append(token)
                    at = index[at, token]
                ends[prompt] = at
        self.engine.count.prefilled += len(tokens)
        leaves = sorted(set(ends.values()))
        logits = self._run(tokens, rows, leaves)
        self._set_logits([rows[at] for at in leaves], logits)
        # the first logits of a small pack are kept for the engine's own check
        self.first_logits = [logits[leaves.index(ends[prompt])] for prompt in sorted(ends)] if len(ends) < 8 else []
        return [rows[ends[prompt]] for prompt in range(len(self.prompts))]

    def _run(self, tokens: Sequence[int], rows: Sequence[_Node], keep: Sequence[int]) -> torch.Tensor:
        """Run rows in calls of bounded size; float32 logits of the rows ``keep`` (ascending)."""
        import torch

        parts = []
        for first in range(0, len(tokens), _FORWARD_TOKENS):
            part = rows[first : first + _FORWARD_TOKENS]
            by_group: dict[int, list[int]] = {}
            for row, node in enumerate(part):
                by_group.setdefault(id(node.group), []).append(row)
                node.group.slots.append(self._slots + row)
            segments = [_segment(part, indices) for indices in by_group.values()]
            here = [index - first for index in keep if first <= index < first + len(part)]
            logits = self.engine.forward(
                self._cache, tokens[first : first + len(part)], [node.position for node in part], segments, here or [0]
            )
            parts.append(logits if here else logits[:0])
            self._slots += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _set_logits(self, nodes: Sequence[_Node], logits: torch.Tensor) -> None:
        top = logits.topk(min(max(self.top_k, 2), logits.shape[-1]), dim=-1)
        best = logits.argmax(-1).tolist()
        ids, values = top.indices.cpu().numpy(), top.values.double().cpu().numpy()
        for row, node in enumerate(nodes):
            node.best, node.ids, node.values = best[row], ids[row, : self.top_k], values[row, : self.top_k]
            node.gap = float(values[row, 0] - values[row, 1])

    def _grow(
        self, which: Sequence[int], keys: Sequence[int] | None, count: int, temperature: float
    ) -> list[tuple[str, ...]]:
        """Let ``count`` walkers a prompt go down the trie, growing it where nobody has been."""
        where: list[_Node | str] = [self._leaves[index] for index in which for _ in range(count)]
        prompt_of = [self.prompts[index] for index in which for _ in range(count)]
        noise = None if keys is None else np.concatenate([sample_keys(key, count) for key in keys])
        self.engine.count.prompt_tokens += sum(map(len, prompt_of))
        active = list(range(len(where)))
        step = 0
        while active:
            nodes = [where[walker] for walker in active]
            chosen = self._choose(
                [node for node in nodes if isinstance(node, _Node)], active, prompt_of, noise, step, temperature
            )
            fresh: list[tuple[_Node, int]] = []
            for node, token in zip(nodes, chosen, strict=True):
                assert isinstance(node, _Node)
                if token not in node.children:
                    node.children[token] = self._child(node, token)
                    if isinstance(node.children[token], _Node):
                        fresh.append((node, token))
            self._extend(fresh)
            for walker, node, token in zip(active, nodes, chosen, strict=True):
                assert isinstance(node, _Node)
                where[walker] = node.children[token]
            self.engine.count.answer_tokens += len(active)
            active = [walker for walker in active if isinstance(where[walker], _Node)]
            step += 1
        texts = [str(answer) for answer in where]
        return [tuple(texts[start : start + count]) for start in range(0, len(texts), count)]

    def _choose(
        self,
        nodes: Sequence[_Node],
        walkers: Sequence[int],
        prompt_of: Sequence[tuple[int, ...]],
        noise: Any,
        step: int,
        temperature: float,
    ) -> list[int]:
        margin = self.engine.margin
        if noise is None:
            for node, walker in zip(nodes, walkers, strict=True):
                if margin and node.gap < margin:
                    self._settle(node, prompt_of[walker])
            return [node.best for node in nodes]
        chosen, gaps = self._draw(nodes, noise[list(walkers)], step, temperature)
        if margin:
            close = [int(row) for row in np.flatnonzero(gaps < margin / temperature)]
            close = [row for row in close if not nodes[row].exact]
            for row in close:
                self._settle(nodes[row], prompt_of[walkers[row]])
            if close:
                chosen, gaps = self._draw(nodes, noise[list(walkers)], step, temperature)
        return [int(token) for token in chosen]

    def _draw(self, nodes: Sequence[_Node], keys: Any, step: int, temperature: float) -> tuple[Any, Any]:
        ids = np.stack([node.ids for node in nodes])
        scores = np.stack([node.values for node in nodes if node.values is not None]) / temperature + gumbel(
            keys, step, ids
        )
        if scores.shape[1] == 1:
            return ids[:, 0], np.full(len(nodes), np.inf)
        best = scores.argmax(-1)
        two = np.partition(scores, -2, axis=-1)[:, -2:]
        return ids[np.arange(len(nodes)), best], two[:, 1] - two[:, 0]

    def _settle(self, node: _Node, prompt: tuple[int, ...]) -> None:
        """Replace the logits of a node by those of its context alone: near ties must not depend on the pack."""
        if not node.exact:
            self._set_logits([node], self.engine.alone([*prompt, *node.tokens])[None])
            self.engine.count.prefilled += len(prompt) + len(node.tokens)
            node.exact = True

    def _child(self, node: _Node, token: int) -> _Node | str:
        tokens = (*node.tokens, token)
        if token in self.engine.eos:
            return self.engine.text(node.tokens)
        text = self.engine.text(tokens)
        cuts = [at for stop in self.stop if (at := text.find(stop)) >= 0]
        if cuts or len(tokens) >= self.max_tokens:
            return text[: min(cuts)] if cuts else text
        return _Node(node.group, (), node.position + 1, tokens)

    def _extend(self, fresh: Sequence[tuple[_Node, int]]) -> None:
        if not fresh:
            return
        nodes = []
        added: dict[int, int] = {}
        for parent, token in fresh:
            node = parent.children[token]
            assert isinstance(node, _Node)
            group = id(node.group)
            own = len(node.group.slots) - len(node.group.prefix) + added.get(group, 0)
            added[group] = added.get(group, 0) + 1
            node.slots = (*parent.slots, own)
            nodes.append(node)
        logits = self._run([token for _, token in fresh], nodes, range(len(nodes)))
        self.engine.count.decoded += len(nodes)
        self._set_logits(nodes, logits)


def greedy_answers(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str], pack_tokens: int = 1024
) -> list[str]:
    """Greedy answers of many prompts, in their order; what neighbours in sorted order share is computed once.

    Raises:
        UnsupportedModelError: see :class:`Engine`.
    """
    engine = Engine(model, tokenizer, check=False)
    encoded = engine.encode(prompts)
    answers = [""] * len(prompts)
    for part in plan_packs(encoded, pack_tokens):
        pack = engine.open([encoded[index] for index in part], max_tokens=max_tokens, stop=stop)
        for index, answer in zip(part, pack.greedy(range(len(part))), strict=True):
            answers[index] = answer
    return answers


def plan_packs(prompts: Sequence[Sequence[int]], pack_tokens: int) -> Iterator[list[int]]:
    """Indices of prompts that go into a pack together: neighbours in sorted order, about ``pack_tokens`` new tokens."""
    part: list[int] = []
    size = 0
    last: Sequence[int] = ()
    for index in sorted(range(len(prompts)), key=lambda i: list(prompts[i])):
        new = len(prompts[index]) - len(_common_prefix([tuple(last), tuple(prompts[index])]))
        if part and size + new > pack_tokens:
            yield part
            part, size, new = [], 0, len(prompts[index])
        part.append(index)
        size += new
        last = prompts[index]
    if part:
        yield part


def _segment(rows: Sequence[_Node], indices: Sequence[int]) -> Segment:
    """The rows of one group, as attention sees them."""
    group = rows[indices[0]].group
    start = len(group.prefix)
    mask = np.zeros((len(indices), len(group.slots)), dtype=bool)
    mask[:, :start] = True
    for place, index in enumerate(indices):
        mask[place, [start + slot for slot in rows[index].slots]] = True
    return Segment(indices, np.array(group.slots), mask)


def _below(root: _Node) -> Iterator[_Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += [child for child in node.children.values() if isinstance(child, _Node)]


def _common_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all prompts begin with, less the last token of the shortest: every prompt keeps a token of its own."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    shared = 0
    while shared < most and first[shared] == last[shared]:
        shared += 1
    return first[:shared]


def _window(config: Any) -> int | None:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kinds = set(getattr(text, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "attention"}:
        raise UnsupportedModelError(f"layers of kind {', '.join(sorted(kinds))} have no cache that a trie could share.")
    window = getattr(text, "sliding_window", None)
    return int(window) if window and (not kinds or "sliding_attention" in kinds) else None


def _eos_ids(model: Any, tokenizer: Any) -> set[int]:
    found = {tokenizer.eos_token_id}
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found |= set(configured) if isinstance(configured, (list, tuple)) else {configured}
    return {token for token in found if token is not None}
