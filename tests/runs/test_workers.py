"""The one runner: whose lab a task meets, on how many threads, what is told as it goes. Workers import this module."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import joblib
import pytest
import torch

from labkit.lab import Lab
from labkit.runs.workers import run_all
from labkit.spec import SpecError

ROOT = Path(__file__).resolve().parents[2]


class Bench:
    """Stands for a lab: it knows which process made it."""

    def __init__(self):
        self.made_in, self.number = os.getpid(), next_number()


def next_number(count=[0]):  # noqa: B006 (counts the labs of a process)
    count[0] += 1
    return count[0]


def seen(task, lab):
    return task, os.getpid(), torch.get_num_threads(), lab.made_in, lab.number


def names(task, lab):
    time.sleep(0.05)
    return lab.names["clip"], lab.device.type, os.getpid()


def fail(task, lab):
    raise RuntimeError(f"task {task}")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_one_job_runs_here_with_the_given_lab_and_the_caller_s_threads(threads):
    lab = Lab(device="cpu")
    assert run_all(lambda task, given: given is lab, [1, 2], lab, n_jobs=1) == [True, True]
    made = run_all(seen, "abc", Bench, n_jobs=1)
    assert [task for task, *_ in made] == list("abc") and {pid for _, pid, *_ in made} == {os.getpid()}
    assert {n for _, _, n, *_ in made} == {threads} and torch.get_num_threads() == threads
    assert len({number for *_, number in made}) == 1, "one lab for all tasks of a call"
    again = run_all(seen, "a", Bench, n_jobs=1)
    assert again[0][-1] != made[0][-1], "no lab outlives its call here: another function of the same name may follow"


def test_processes_have_a_lab_and_a_thread_each(threads):
    with joblib.parallel_config("loky", inner_max_num_threads=threads):  # what the workers' processes would begin with
        made = run_all(seen, list(range(12)), Bench, n_jobs=2)
    assert [task for task, *_ in made] == list(range(12)), "in order, whoever was first"
    assert os.getpid() not in {pid for _, pid, *_ in made}
    assert {n for _, _, n, *_ in made} == {1} and torch.get_num_threads() == threads
    assert all(pid == maker for _, pid, _, maker, _ in made)
    labs = {(pid, number) for _, pid, _, _, number in made}
    assert len(labs) == len({pid for pid, _ in labs}), "one lab per process, not per task"


def test_workers_make_a_lab_like_the_given_one():
    for lab in (Lab(clip="pocket-robust", device="cpu"), {"clip": "pocket-robust", "device": "cpu"}):
        assert {made[:2] for made in run_all(names, [1, 2, 3], lab, n_jobs=2)} == {("pocket-robust", "cpu")}
    assert {made[0] for made in run_all(names, [1, 2, 3], None, n_jobs=2)} == {"pocket"}, "a worker that has another lab"


def test_each_end_is_told_once_as_it_comes():
    told = []
    made = run_all(partial(seen), [3, 4, 5], Bench, n_jobs=2, done=lambda k, one: told.append((k, one)))
    assert sorted(told) == list(enumerate(made))
    with joblib.parallel_config(n_jobs=1):
        run_all(seen, [1, 2], Bench, done=lambda k, one: told.append(k))
    assert told[3:] == [0, 1] and run_all(seen, [], Bench) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_a_task_raises_ends_the_call(n_jobs):
    with pytest.raises(RuntimeError, match="task [12]"):
        run_all(fail, [1, 2], Bench, n_jobs)


def test_a_lab_that_is_none():
    with pytest.raises(SpecError, match="lab: is a Lab, a table of its arguments or a function; got Bench"):
        run_all(seen, [1], Bench())


@pytest.mark.parametrize(("mine", "policy", "spin"), [({}, "passive", "0"), ({"OMP_WAIT_POLICY": "active"}, "active", "0")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(mine, policy, spin):
    """Set before torch is imported, which reads them once."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} | mine
    ask = "import labkit, os, sys; print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [policy, spin, "False"], done.stderr
