"""The graph of a state machine: what its definition says, and how an execution has gone through it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from workflows.console.states import IterationCounts, StateStatus, Visit, counts_of, worst
from workflows.console.visits import Visits

# A choice's rule is told on its edge, in this many characters.
_CONDITION_CHARACTERS: Final = 60


class EdgeKind(StrEnum):
    """Why one state follows another."""

    NEXT = "next"
    CHOICE = "choice"
    DEFAULT = "default"
    CATCH = "catch"


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one state to another of the same scope."""

    source: str
    target: str
    kind: EdgeKind
    label: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """The states between one StartAt and its ends: a machine's own, a Map's or a branch's."""

    start: str
    nodes: "list[Node]"
    edges: list[Edge]
    ends: list[str]


@dataclass(frozen=True, slots=True)
class Node:
    """A state.

    Attributes
    ----------
    name, type, comment : str
    distributed : bool
        Whether it is a Map whose iterations are executions of their own.
    in_children : bool
        Whether it lies in such a Map: its visits stand in the histories of those executions.
    inner : list of Scope
        The scopes in it, one for a Map and one for each branch of a Parallel state.
    """

    name: str
    type: str
    comment: str = ""
    distributed: bool = False
    in_children: bool = False
    inner: list[Scope] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NodeState:
    """How a state has gone in an execution.

    Attributes
    ----------
    status : StateStatus
    counts : dict
        How often it was visited, by how that went.
    iterations : IterationCounts or None
        Of a Map that has been entered.
    retries : int
        Attempts beyond the first, of all visits.
    visit : int or None
        The visit, where there is one alone.
    """

    status: StateStatus
    counts: Mapping[StateStatus, int]
    iterations: IterationCounts | None
    retries: int
    visit: int | None


def graph_of(definition: str) -> Scope:
    """Return the graph of a definition.

    Parameters
    ----------
    definition
        Amazon States Language.

    Raises
    ------
    ValueError
        It is not JSON.
    """
    return _scope(json.loads(definition))


def node_states(visits: Visits) -> Mapping[str, NodeState]:
    """Return how each state that was entered has gone."""
    of_state: defaultdict[str, list[Visit]] = defaultdict(list)
    for visit in visits.visits:
        of_state[visit.name].append(visit)
    return {name: _state(found) for name, found in of_state.items()}


def items_of(counts: Mapping[str, int]) -> IterationCounts:
    """Return the counts of a Map Run's items, as DescribeMapRun has them."""
    return IterationCounts(
        total=counts["total"],
        succeeded=counts["succeeded"],
        failed=counts["failed"] + counts["timedOut"],
        aborted=counts["aborted"],
        running=counts["running"],
        pending=counts.get("pending", 0),
    )


def taken(visits: Visits) -> frozenset[tuple[str, str]]:
    """Return the pairs of states that were entered one after the other in one scope."""
    last: dict[int, str] = {}
    found = set()
    for visit in visits.visits:
        # Branches of a Parallel state share a key, so a pair may be none of the graph's edges; those are not drawn.
        key = id(visit.iteration) if visit.iteration else id(visit.parent)
        if key in last:
            found.add((last[key], visit.name))
        last[key] = visit.name
    return frozenset(found)


def _state(visits: list[Visit]) -> NodeState:
    counts = Counter(visit.status for visit in visits)
    maps = [visit for visit in visits if visit.type == "Map" and visit.attempts]
    iterations = None
    if maps:
        every = [iteration for visit in maps for iteration in visit.iterations]
        iterations = counts_of(every, sum(visit.total for visit in maps))
    return NodeState(
        worst(counts),
        dict(counts),
        iterations,
        sum(max(len(visit.attempts) - 1, 0) for visit in visits),
        visits[0].id if len(visits) == 1 else None,
    )


def run_in_children(scope: Scope) -> frozenset[str]:
    """Return the names of the states that lie in a distributed Map, at any depth."""
    return frozenset(
        name
        for node in scope.nodes
        for name in ({node.name} if node.in_children else set[str]()).union(*map(run_in_children, node.inner))
    )


def _scope(machine: Mapping[str, Any], *, in_children: bool = False) -> Scope:
    states: Mapping[str, Any] = machine.get("States", {})
    nodes = [_node(name, state, in_children=in_children) for name, state in states.items()]
    edges = [edge for name, state in states.items() for edge in _edges(name, state) if edge.target in states]
    ends = [name for name, state in states.items() if state.get("End") or state.get("Type") in {"Succeed", "Fail"}]
    return Scope(machine.get("StartAt", ""), nodes, edges, ends)


def _node(name: str, state: Mapping[str, Any], *, in_children: bool) -> Node:
    # `Iterator` is the older name of ItemProcessor.
    processor = state.get("ItemProcessor") or state.get("Iterator")
    inner = [processor] if processor else state.get("Branches", [])
    distributed = processor is not None and processor.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
    scopes = [_scope(each, in_children=in_children or distributed) for each in inner]
    return Node(name, state.get("Type", ""), state.get("Comment", ""), distributed, in_children, scopes)


def _edges(name: str, state: Mapping[str, Any]) -> Iterator[Edge]:
    if "Next" in state:
        yield Edge(name, state["Next"], EdgeKind.NEXT)
    for rule in state.get("Choices", ()):
        yield Edge(name, rule.get("Next", ""), EdgeKind.CHOICE, condition(rule))
    if "Default" in state:
        yield Edge(name, state["Default"], EdgeKind.DEFAULT, "otherwise")
    for catcher in state.get("Catch", ()):
        yield Edge(name, catcher.get("Next", ""), EdgeKind.CATCH, _errors(catcher.get("ErrorEquals", ())))


def _errors(names: Iterable[str]) -> str:
    first, *more = names or ["?"]
    return f"{first} +{len(more)}" if more else first


def condition(rule: Mapping[str, Any]) -> str:
    """Return a choice's rule in short: `calculated = 0`."""
    text = _condition(rule)
    return text if len(text) <= _CONDITION_CHARACTERS else text[: _CONDITION_CHARACTERS - 1] + "…"


def _condition(rule: Mapping[str, Any]) -> str:
    for word, joint in (("And", " and "), ("Or", " or ")):
        if word in rule:
            parts = [_condition(part) for part in rule[word]]
            return joint.join(f"({part})" if " and " in part or " or " in part else part for part in parts)
    if "Not" in rule:
        return f"not ({_condition(rule['Not'])})"
    if "Condition" in rule:  # JSONata
        return str(rule["Condition"])
    variable = str(rule.get("Variable", "")).removeprefix("$.")
    for operator, value in rule.items():
        if operator in {"Variable", "Next", "Comment"}:
            continue
        for ending, sign in _SIGNS:
            if operator.removesuffix("Path").endswith(ending):
                return f"{variable} {sign} {json.dumps(value) if not isinstance(value, str) else value}"
        return f"{variable} {operator} {value}"
    return variable


_SIGNS: Final = (
    ("GreaterThanEquals", "≥"),
    ("LessThanEquals", "≤"),
    ("GreaterThan", ">"),
    ("LessThan", "<"),
    ("Equals", "="),
    ("Matches", "matches"),
)
