"""What makes moto's interpreter slow or large, taken away for the length of a `with` block.

The interpreter does the same things in the same order. It parses a JSONPath each time it evaluates it, which takes a
millisecond; it copies what goes through it with `copy.deepcopy`, which takes ten times as long for plain JSON as it has
to; and for each item of a Map it copies the input of the whole Map, three times, of which nothing is used. And it keeps
every thread that it ever started, two or three for an item of a Map, in a list that nothing reads.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from unittest.mock import patch

from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.program import program
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_map import state_map
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import inline_iteration_component, job
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    inline_item_processor_worker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branch_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.eval import environment, states
from moto.stepfunctions.parser.asl.eval.event import event_manager
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend import execution_worker

T = TypeVar("T")

# Each of a definition's paths is one; those that a context object or an intrinsic function makes are few.
_PATHS_KEPT: Final = 1024
_PARSING: Final = (json_path, result_path)
_COPYING: Final = (environment, event_manager, execute_state, job, result_path, state_map, states, string_expression)
_STARTING_THREADS: Final = (
    branch_worker,
    execute_state,
    execution_worker,
    inline_iteration_component,
    program,
    state_task_service_callback,
)
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


@contextmanager
def quick_interpreter() -> Iterator[None]:
    """Let the interpreter parse a path once, copy JSON quickly and what an item needs, and keep no ended thread."""
    quick: Any = SimpleNamespace(deepcopy=copy_json)
    worker = inline_item_processor_worker.InlineItemProcessorWorker
    with ExitStack() as stack:
        for module in _PARSING:
            parse: Callable[[str], Any] = module.parse
            # An expression keeps nothing of what it was evaluated on, so threads may share it.
            stack.enter_context(patch.object(module, "parse", lru_cache(_PATHS_KEPT)(parse)))
        for module in _COPYING:
            stack.enter_context(patch.object(module, "copy", quick))
        for module in _STARTING_THREADS:
            # One that runs is kept by Python itself.
            stack.enter_context(patch.object(module, "TMP_THREADS", deque[object](maxlen=0)))
        stack.enter_context(patch.object(worker, "_eval_input", _eval_item))
        yield


def copy_json(value: T) -> T:
    """Return a deep copy; the quicker, the more of it is JSON."""
    kind: Any = type(value)
    copied: Any
    if kind in _SCALARS:
        copied = value
    elif kind is dict:
        copied = {name: copy_json(each) for name, each in value.items()}  # type: ignore[attr-defined]  # a dict
    elif kind is list:
        copied = [copy_json(each) for each in value]  # type: ignore[attr-defined]  # a list
    else:
        copied = deepcopy(value)
    result: T = copied
    return result


def _eval_item(worker: Any, env_frame: Any) -> None:
    """Make the input of an item's first state of its `ItemSelector`, as the method this stands in for does.

    That one leaves the Map's input on the frame's stack, of which each state then makes a copy.
    """
    selector = worker._item_selector or worker._parameters
    if selector is None:
        return
    env_frame.stack.append(worker._env.stack[-1])
    selector.eval(env_frame)
    selected = env_frame.stack.pop()
    env_frame.stack.pop()
    env_frame.states.reset(input_value=selected)
