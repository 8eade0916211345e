"""Prompts laid out as tries in one cache, and the answers grown on them. See :mod:`kft_tasks.engine.engine`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kft_tasks.engine.attention import Segment
from kft_tasks.engine.decoding import F64, gumbel, sample_keys
from kft_tasks.engine.prefix_cache import PrefixCache
from kft_tasks.engine.stop_strings import cut_at
from kft_tasks.engine.transfer import top_on_host

if TYPE_CHECKING:
    import torch

_WORTH_COPYING = 0.7  # a copy of the cache that would keep more than this share is not made
_AHEAD = 0.5  # storage that has to grow gets room for this share more, as long as nobody else needs that memory


@dataclass
class _Group:
    """Prompts with a common prefix: the prefix, and the cache slots of its tokens and of theirs."""

    prefix: tuple[int, ...]
    slots: list[int]


@dataclass
class _Node:
    """A token in its context, and what may follow it; or the end of an answer.

    ``slots`` are the indices of its ancestors and itself in ``group.slots``, counted from the end of the prefix.
    """

    group: _Group
    slots: tuple[int, ...]
    position: int
    tokens: tuple[int, ...] = ()  # of the answer so far
    answer: str = ""  # the whole answer, if ``finished``
    finished: bool = False
    best: int = -1  # greedy next token
    gap: float = 0.0  # of the two best logits
    ids: Any = None  # (k,) token ids, best first
    values: Any = None  # (k,) logits
    exact: bool = False  # logits were computed for this context alone
    children: dict[int, _Node] = field(default_factory=dict)  # by token


class PromptTrie:
    """Prompts that share one cache, and the answers grown on it. Made by :meth:`Engine.open`.

    Args:
        prefixes: of the engine, with its model, memory budget and token count.
        prompts: token ids.
        groups: one per prompt, see :meth:`Engine.open`.
        skip_blank_lines: see :meth:`Engine.open`.

    Attributes:
        slots: tokens that its cache has storage for: a measure of its memory.
    """

    def __init__(
        self,
        prefixes: PrefixCache,
        prompts: Sequence[tuple[int, ...]],
        groups: Sequence[Hashable],
        *,
        max_tokens: int,
        stop: Sequence[str],
        skip_blank_lines: bool,
        top_k: int,
    ) -> None:
        self._model = prefixes.model
        self._prefixes = prefixes
        self._budget = prefixes.budget
        self._count = prefixes.count
        self._prompts = list(prompts)
        self._group_names = list(groups)
        self._max_tokens = max_tokens
        self._stop = stop
        self._skip_blank_lines = skip_blank_lines
        self._top_k = top_k
        self.slots = 0
        self._length = 0  # tokens in the cache
        self._prompt_slots = 0
        self._wanted = list(range(len(self._prompts)))  # prompts that may still be requested
        self._cache: Any = None
        self._groups: list[_Group] = []
        self._leaves: dict[int, _Node] = {}

    def greedy(self, which: Sequence[int]) -> list[str]:
        """Greedy answers to the prompts ``which``, in that order."""
        return [answers[0] for answers in self._answer(which, None, 1, 1.0)]

    def sample(
        self, which: Sequence[int], keys: Sequence[int], count: int, temperature: float
    ) -> list[tuple[str, ...]]:
        """``count`` sampled answers to each prompt of ``which``; ``keys`` are their context keys."""
        return self._answer(which, keys, count, temperature)

    def first(self) -> list[tuple[Any, F64]]:
        """Ids and logits of the ``top_k`` best first tokens of every prompt, for the engine's own check."""
        self._prefill()
        return [(self._leaves[prompt].ids, self._leaves[prompt].values) for prompt in range(len(self._prompts))]

    def keep(self, which: Sequence[int]) -> None:
        """Keep only the prompts ``which``; the slots of the others are freed, unless there are few."""
        self._wanted = list(which)
        if self._cache is not None:
            self._leaves = {index: self._leaves[index] for index in which}
            self._compact([node for leaf in self._leaves.values() for node in _below(leaf)])

    def release(self) -> None:
        """Drop the cache; the next request computes it again."""
        self.slots, self._length, self._cache, self._groups, self._leaves = 0, 0, None, [], {}

    def _answer(
        self, which: Sequence[int], keys: Sequence[int] | None, count: int, temperature: float
    ) -> list[tuple[str, ...]]:
        """Grow answers, as many at a time as fit into memory at their full length."""
        if forgotten := set(which).difference(self._wanted):
            self._wanted = sorted(forgotten.union(self._wanted))
            self.release()
        self._prefill()
        room = self._budget.slots - int(self._prompt_slots / _WORTH_COPYING)
        batch = max(1, room // (count * self._max_tokens))
        answers: list[tuple[str, ...]] = []
        for start in range(0, len(which), batch):
            if start:  # the earlier answers are no longer needed
                for leaf in self._leaves.values():
                    leaf.children.clear()
                self._compact(list(self._leaves.values()))
            part = slice(start, start + batch)
            answers += self._grow(which[part], None if keys is None else keys[part], count, temperature)
        return answers

    def _compact(self, kept_nodes: Sequence[_Node]) -> None:
        """Free all slots but those of these nodes and their ancestors, unless few would be freed."""
        import torch

        nodes = {id(node): node for node in kept_nodes}
        used: dict[int, set[int]] = {}
        for node in nodes.values():
            used.setdefault(id(node.group), set()).update(node.slots)
        kept = [sorted(used.get(id(group), ())) for group in self._groups]
        total = sum(len(group.prefix) + len(local) for group, local in zip(self._groups, kept, strict=True) if local)
        if total > _WORTH_COPYING * self._length:
            return
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
        index = torch.tensor(rows, device=self._model.device)
        with torch.inference_mode():
            self._cache.select(index)
        self.slots = self._length = len(rows)

    def _prefill(self) -> None:
        """Lay out the wanted prompts as tries, group by group, and run them, unless the cache exists."""
        from kft_tasks.engine.kv_cache import KvCache

        if self._cache is not None:
            self._budget.make_room(self, 0)
            return
        self._cache = KvCache()
        members: dict[Hashable, list[int]] = {}
        for index in self._wanted:
            members.setdefault(self._group_names[index], []).append(index)
        prefixes = [common_prefix([self._prompts[index] for index in indices]) for indices in members.values()]
        for prefix in prefixes:
            start = sum(len(group.prefix) for group in self._groups)
            self._groups.append(_Group(prefix, list(range(start, start + len(prefix)))))
        tokens: list[int] = []
        rows: list[_Node] = []
        ends: dict[int, int] = {}
        for group, indices in zip(self._groups, members.values(), strict=True):
            first = len(rows)
            trie: dict[tuple[int, int], int] = {}
            for prompt in indices:
                at = -1
                for token in self._prompts[prompt][len(group.prefix) :]:
                    if (at, token) not in trie:
                        trie[at, token] = len(rows)
                        path = rows[at].slots if at >= 0 else ()
                        rows.append(_Node(group, (*path, len(rows) - first), len(group.prefix) + len(path)))
                        tokens.append(token)
                    at = trie[at, token]
                ends[prompt] = at
        self._count.prefilled += len(tokens)
        shared = sum(map(len, prefixes))
        self._reserve(shared + len(tokens), 0.0)
        self._prefixes.append_to(self._cache, prefixes)
        self._length = shared
        leaves = sorted(set(ends.values()))
        self._run(tokens, rows, leaves)
        self._leaves = {prompt: rows[at] for prompt, at in ends.items()}
        self._prompt_slots = self._length

    def _reserve(self, tokens: int, ahead: float) -> None:
        """Make sure of memory and storage for more tokens; ``ahead``: share to add while nobody else needs it."""
        needed = self._length + tokens
        if needed <= self.slots:
            self._budget.make_room(self, 0)
            return
        capacity = needed + max(0, min(int(ahead * needed), self._budget.spare + self.slots - needed))
        self._budget.make_room(self, capacity - self.slots)
        self.slots = self._cache.capacity = capacity

    def _run(self, tokens: Sequence[int], rows: Sequence[_Node], keep: Sequence[int]) -> None:
        """Run rows in calls of bounded size; the nodes at ``keep`` (ascending indices) get their logits."""
        import torch

        budget = self._budget
        self._reserve(len(tokens), _AHEAD)
        first = 0
        while first < len(tokens):
            part = rows[first : first + budget.rows]
            by_group: dict[int, list[int]] = {}
            for row, node in enumerate(part):
                by_group.setdefault(id(node.group), []).append(row)
                node.group.slots.append(self._length + row)
            here = [index - first for index in keep if first <= index < first + len(part)]
            try:
                logits = self._model.forward(
                    self._cache,
                    tokens[first : first + len(part)],
                    [node.position for node in part],
                    [_segment(part, indices) for indices in by_group.values()],
                    here or [0],
                )
            except torch.OutOfMemoryError:
                if not budget.halve_rows():
                    raise
                self._cache.truncate(self._length)  # some layers hold the new tokens already
                self.slots = self._cache.capacity = self._length + len(tokens) - first  # none ahead of need
                for node in part:
                    node.group.slots.pop()
                continue
            budget.measure(self._cache)
            if here:
                self._set_logits([part[row] for row in here], logits)
            self._length += len(part)
            first += len(part)

    def _set_logits(self, nodes: Sequence[_Node], logits: torch.Tensor) -> None:
        ids, values = top_on_host(logits, min(max(self._top_k, 2), logits.shape[-1]))
        for row, node in enumerate(nodes):
            node.ids, node.values = ids[row, : self._top_k], values[row, : self._top_k]
            node.gap = float(values[row, 0] - values[row, 1])
            # topk does not say which of equal logits comes first; argmax takes the lowest id
            node.best = int(ids[row, 0]) if node.gap else int(logits[row].argmax())

    def _grow(
        self, which: Sequence[int], keys: Sequence[int] | None, count: int, temperature: float
    ) -> list[tuple[str, ...]]:
        """Send ``count`` walkers per prompt down the trie, growing it where no walker has been."""
        where = [self._leaves[index] for index in which for _ in range(count)]
        prompt_of = [self._prompts[index] for index in which for _ in range(count)]
        noise = None if keys is None else np.concatenate([sample_keys(key, count) for key in keys])
        self._count.prompt_tokens += sum(map(len, prompt_of))
        active = list(range(len(where)))
        step = 0
        while active:
            nodes = [where[walker] for walker in active]
            chosen = self._choose(nodes, active, prompt_of, noise, step, temperature)
            fresh: list[tuple[_Node, int, _Node]] = []
            still = []
            for walker, node, token in zip(active, nodes, chosen, strict=True):
                child = node.children.get(token)
                if child is None:
                    child = node.children[token] = self._child(node, token)
                    if not child.finished:
                        fresh.append((node, token, child))
                where[walker] = child
                if not child.finished:
                    still.append(walker)
            self._extend(fresh)
            self._count.answer_tokens += len(active)
            active = still
            step += 1
        texts = [node.answer for node in where]
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
        margin = self._model.margin
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
        scores = np.stack([node.values for node in nodes]) / temperature + gumbel(keys, step, ids)
        if scores.shape[1] == 1:
            return ids[:, 0], np.full(len(nodes), np.inf)
        best = scores.argmax(-1)
        two = np.partition(scores, -2, axis=-1)[:, -2:]
        return ids[np.arange(len(nodes)), best], two[:, 1] - two[:, 0]

    def _settle(self, node: _Node, prompt: tuple[int, ...]) -> None:
        """Replace a node's logits by those of its context alone: near ties must not depend on the rest of the trie.

        Each in a call of its own, without kept prefixes: how a matrix multiplication rounds a row depends on how many
        rows it has, and prefixes were computed beside others.
        """
        if not node.exact:
            self._set_logits([node], self._model.alone([*prompt, *node.tokens])[None])
            self._count.prefilled += len(prompt) + len(node.tokens)
            node.exact = True

    def _child(self, node: _Node, token: int) -> _Node:
        if token in self._model.eos:
            return self._end(node, self._model.text(node.tokens))
        tokens = (*node.tokens, token)
        text = self._model.text(tokens)
        before = cut_at(text, self._stop, skip_blank_lines=self._skip_blank_lines)
        if before != text or len(tokens) >= self._max_tokens:
            return self._end(node, before)
        return _Node(node.group, (), node.position + 1, tokens)

    def _end(self, node: _Node, answer: str) -> _Node:
        return _Node(node.group, (), node.position + 1, answer=answer, finished=True)

    def _extend(self, fresh: Sequence[tuple[_Node, int, _Node]]) -> None:
        """Run new nodes, given as (parent, token, node)."""
        if not fresh:
            return
        added: dict[int, int] = {}
        for parent, _, node in fresh:
            group = id(node.group)
            own = len(node.group.slots) - len(node.group.prefix) + added.get(group, 0)
            added[group] = added.get(group, 0) + 1
            node.slots = (*parent.slots, own)
        self._run([token for _, token, _ in fresh], [node for _, _, node in fresh], range(len(fresh)))
        self._count.decoded += len(fresh)


class PartitionedTrie:
    """Several tries that act as one, for more prompts than fit into one. A trie that was released prefills again."""

    def __init__(self, tries: Sequence[PromptTrie], parts: Sequence[Sequence[int]]) -> None:
        self._tries = list(tries)
        self._places = {index: (number, at) for number, part in enumerate(parts) for at, index in enumerate(part)}

    def greedy(self, which: Sequence[int]) -> list[str]:
        """See :meth:`PromptTrie.greedy`."""
        return self._each(which, lambda trie, local, _: trie.greedy(local))

    def sample(
        self, which: Sequence[int], keys: Sequence[int], count: int, temperature: float
    ) -> list[tuple[str, ...]]:
        """See :meth:`PromptTrie.sample`."""
        return self._each(
            which, lambda trie, local, at: trie.sample(local, [keys[place] for place in at], count, temperature)
        )

    def keep(self, which: Sequence[int]) -> None:
        """See :meth:`PromptTrie.keep`."""
        kept: dict[int, list[int]] = {}
        for index in which:
            number, place = self._places[index]
            kept.setdefault(number, []).append(place)
        for number, trie in enumerate(self._tries):
            trie.keep(kept[number]) if number in kept else trie.release()

    def _each(self, which: Sequence[int], answer: Callable[[PromptTrie, list[int], list[int]], list[Any]]) -> list[Any]:
        """Let every trie answer its own prompts, given with their positions in ``which``; answers in that order."""
        by_trie: dict[int, list[int]] = {}
        for position, index in enumerate(which):
            by_trie.setdefault(self._places[index][0], []).append(position)
        found: dict[int, Any] = {}
        for number, positions in by_trie.items():
            local = [self._places[which[position]][1] for position in positions]
            found |= zip(positions, answer(self._tries[number], local, positions), strict=True)
        return [found[position] for position in range(len(which))]


def _segment(rows: Sequence[_Node], indices: Sequence[int]) -> Segment:
    """The rows of one group as an attention segment."""
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
        stack += [child for child in node.children.values() if not child.finished]


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest common prefix that leaves every prompt at least one token of its own."""
    first, last = min(prompts), max(prompts)
    limit = min(map(len, prompts)) - 1
    shared = 0
    while shared < limit and first[shared] == last[shared]:
        shared += 1
    return first[:shared]
