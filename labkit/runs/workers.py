"""One runner of many tasks: here, in processes of this machine, or on a cluster; each worker process has one lab.

The tasks run through `joblib.Parallel` and no backend is named, so the caller's one line decides where:

    with joblib.parallel_config(n_jobs=4): ...                        # processes of this machine
    client = distributed.Client("scheduler:8786")
    with joblib.parallel_config(backend="dask"): run_all(...)         # a Dask cluster

A worker makes its lab for its first task and keeps it. It then also turns to one thread: several processes of one thread each
are faster than one process with all threads, as the pocket models' tensors are small. What runs in the caller's own process
uses the caller's lab and leaves its thread count as it is.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import joblib
import torch

from labkit.lab import Lab
from labkit.spec import SpecError

LabSource = Lab | dict[str, Any] | Callable[[], Any] | None
Task, Made = TypeVar("Task"), TypeVar("Made")

_LOCK = threading.RLock()
_CALLS: dict[str, tuple[int, list]] = {}  # calls of this process that are under way: its id, and their lab once it is there
_LAB: dict[str, Any] = {}  # of a worker process: at most one, by what it was made from


def run_all(work: Callable[[Task, Any], Made], tasks: Iterable[Task], lab: LabSource = None, n_jobs: int | None = None,
            done: Callable[[int, Made], None] | None = None) -> list[Made]:
    """`work(task, lab)` of every task, in the order of the tasks.

    work    a function that other processes can import, or a `functools.partial` of one.
    tasks   any number of them; of an iterator, each is asked for when a worker is about to need it.
    lab     a `Lab` (workers make one like it, by its `arguments`), the arguments of `Lab` as a table, or a top-level function
            that makes one. None: the pocket models.
    n_jobs  as joblib's: 1 runs here, -1 in one process per core; None leaves it to `joblib.parallel_config`.
    done    called here with the task's number and what it made as each one ends, in whatever order they end.
    What a task raises ends the call; tasks that others need not suffer from catch their own errors.
    """
    if lab is not None and not isinstance(lab, Lab | dict) and not callable(lab):
        raise SpecError(f"lab: is a Lab, a table of its arguments or a function; got {type(lab).__name__}")
    source = lab.arguments if isinstance(lab, Lab) else {} if lab is None else lab
    call = uuid.uuid4().hex
    _CALLS[call] = os.getpid(), [lab] if isinstance(lab, Lab) else []
    worker, found = _Worker(work, source, call), {}
    # one task at a time: a batch would be told of at its end only
    parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    try:
        for k, made in parallel(joblib.delayed(worker)(k, task) for k, task in enumerate(tasks)):
            found[k] = made
            if done:
                done(k, made)
    finally:
        del _CALLS[call]
    return [found[k] for k in range(len(found))]


@dataclass(frozen=True)
class _Worker:
    """What goes to a worker: never the models themselves."""

    work: Callable
    source: dict | Callable
    call: str

    def __call__(self, k: int, task: Any) -> tuple[int, Any]:
        return k, self.work(task, self.lab())

    def lab(self) -> Any:
        """The lab of this process."""
        with _LOCK:
            process, here = _CALLS.get(self.call, (0, []))
            if process == os.getpid():
                if not here:
                    here.append(self._made())
                return here[0]
            key = json.dumps(self.source, sort_keys=True, default=str) if isinstance(self.source, dict) else self.call
            if key not in _LAB:
                torch.set_num_threads(1)
                _LAB.clear()
                _LAB[key] = self._made()
            return _LAB[key]

    def _made(self) -> Any:
        return Lab(**self.source) if isinstance(self.source, dict) else self.source()
