"""The drills: each breaks searches or collections in one way, so many times, and fills an `Outcome`."""

import shutil
import signal
import subprocess
import sys
import time

from . import disks, files
from .ground import HERE, Outcome

DRILLS = {}  # name -> (function, how often, how often at least)


def drill(what, often, least=1):
    "Add a function to the drills."

    def add(function):
        DRILLS[function.__name__] = (function, what, often, least)
        return function

    return add


def _break_at_random(ground, outcome, kind, times, seconds):
    "Kill at random moments; a search or collection that is finished is followed by a new one."
    place = ground.place(kind)
    for _ in range(times):
        victim = place.start()
        if ground.rng.random() < 0.7:  # somewhere in the next evaluations, else while it starts
            place.wait_for(ground.rng.randint(1, 5), victim)
        time.sleep(ground.rng.uniform(0, seconds))
        before = set(place.rows())
        victim.signal()
        outcome.times += 1
        outcome.under_way += 1
        status = victim.wait()
        outcome.expect(before <= set(place.rows()), "results are gone after a kill")
        if status == 0:
            _finish(place, outcome)
            place = ground.place(kind)
    _finish(place, outcome)


def _finish(place, outcome):
    """Run to the end. A collection gives up a network over which five processes died before they had
    trained an epoch; `reopen` measures it all the same."""
    given_up = place.errors()
    outcome.expect(all("died 5 times" in text for text in given_up), f"failed: {given_up[:1]}")
    place.finish(outcome, **({"reopen": True} if given_up else {}))


@drill("kill -9 of a search", 140, 3)
def kill_search(ground, outcome, times):
    _break_at_random(ground, outcome, "search", times, 0.05)


@drill("kill -9 of a collection", 60, 2)
def kill_collection(ground, outcome, times):
    if ground.collections:
        _break_at_random(ground, outcome, "collection", times, 0.3)


def _signal(ground, outcome, times, number, status):
    "Send a signal in the middle; claims are released, and the exit status is that of a shell."
    for kind in ground.kinds:
        for _ in range(times):
            place = ground.place(kind)
            victim = place.start()
            place.wait_for(ground.rng.randint(1, 15), victim)
            victim.signal(number)
            outcome.times += 1
            outcome.under_way += 1
            found = victim.wait()
            outcome.expect(found == status, f"status {found}: {victim.message[-300:]}")
            outcome.expect("interrupted" in victim.message, "the interrupt is not reported")
            outcome.expect(not place.rows("claimed"), "claims are left")
            place.finish(outcome)


@drill("SIGINT (Ctrl-C)", 3)
def sigint(ground, outcome, times):
    _signal(ground, outcome, times, signal.SIGINT, 130)


@drill("SIGTERM", 3)
def sigterm(ground, outcome, times):
    _signal(ground, outcome, times, signal.SIGTERM, 143)


@drill("full disk", 6)
def full_disk(ground, outcome, times):
    for kind in ground.kinds:
        for i in range(times):
            with disks.small_disk(ground, kind, 100_000 + 20_000 * i) as (place, job, enlarge):
                victim = place.run(job)
                outcome.times += 1
                # a finished measurement that could not be written is measured again
                outcome.under_way += 1
                refused = victim.status == 2 and "cannot be written" in victim.message
                outcome.expect(refused, f"status {victim.status}: {victim.message[-300:]}")
                enlarge()
                place.finish(outcome)


@drill("read-only folder", 2)
def read_only(ground, outcome, times):
    for kind in ground.kinds:
        for i in range(times):
            with disks.lockable_disk(ground, kind) as (place, lock, unlock):
                if i % 2 == 0:
                    victim = place.start()
                    place.wait_for(5, victim)
                    victim.signal()
                    victim.wait()
                    outcome.under_way += 1
                lock()
                victim = place.run()
                outcome.times += 1
                outcome.expect(victim.status == 2, f"status {victim.status}")
                outcome.expect(str(place.folder) in victim.message, victim.message[-300:])
                unlock()
                place.finish(outcome)


@drill("folder or database removed under way", 2)
def removed(ground, outcome, times):
    for kind in ground.kinds:
        for i in range(times):
            place = ground.place(kind)
            victim = place.start()
            place.wait_for(5, victim)
            if i % 2:
                place.database.unlink()
            else:
                shutil.rmtree(place.database.parent)
            outcome.times += 1
            outcome.expect(victim.wait() == 2, f"status {victim.status}")
            outcome.expect("was removed" in victim.message, victim.message[-300:])
            made = place.database.exists()
            outcome.expect(not made, "a new database has taken the place of the removed one")
            anew = ground.place(kind)
            anew.finish(outcome)


@drill("folder renamed under way", 1)
def renamed(ground, outcome, times):
    for kind in ground.kinds:
        for _ in range(times):
            place = ground.place(kind)
            victim = place.start()
            place.wait_for(5, victim)
            folder = place.database.parent
            elsewhere = folder.with_name(folder.name + "-elsewhere")
            folder.rename(elsewhere)
            outcome.times += 1
            outcome.under_way += 1
            outcome.expect(victim.wait() == 2, f"status {victim.status}")
            outcome.expect("renamed" in victim.message, victim.message[-300:])
            outcome.expect(not place.database.exists(), "a folder was made anew")
            shutil.rmtree(folder, ignore_errors=True)  # a collection's checkpoints
            elsewhere.rename(folder)
            place.finish(outcome)


@drill("another search put in the place of the folder", 2)
def replaced(ground, outcome, times):
    other = ground.unbroken("search", small=True)
    before = other.database.read_bytes()
    for _ in range(times):
        place = ground.place("search")
        victim = place.start()
        place.wait_for(5, victim)
        run = place.folder / "run"
        victim.signal(signal.SIGSTOP)  # it must not notice that there is none for a moment
        run.rename(place.folder / "elsewhere")
        shutil.copytree(other.folder / "run", run)
        victim.signal(signal.SIGCONT)
        outcome.times += 1
        outcome.under_way += 1
        outcome.expect(victim.wait() == 2, f"status {victim.status}")
        outcome.expect("was replaced" in victim.message, victim.message[-300:])
        outcome.expect(place.database.read_bytes() == before, "the other search was changed")
        shutil.rmtree(run)
        (place.folder / "elsewhere").rename(run)
        place.finish(outcome)


@drill("two processes on one folder", 2)
def shared(ground, outcome, times):
    for kind in ground.kinds:
        for i in range(times):
            place = ground.place(kind)
            pair = [place.start(), place.start()]
            if i % 2:  # one of them is killed, and the other takes over
                place.wait_for(8, pair[0])
                pair[0].signal()
                outcome.under_way += 1
            outcome.times += 1
            statuses = [victim.wait() for victim in pair]
            outcome.expect(statuses[1] == 0, f"status {statuses}: {pair[1].message[-300:]}")
            place.finish(outcome)


@drill("a process of a pool killed", 3)
def pool_child_killed(ground, outcome, times):
    for _ in range(times):
        place = ground.place("search")
        victim = place.run(executor="pool", wrong="dies once")
        outcome.times += 1
        outcome.under_way += 4  # tasks of two processes that were submitted
        outcome.expect(victim.status == 2, f"status {victim.status}")
        outcome.expect("The executor broke" in victim.message, victim.message[-300:])
        place.finish(outcome, executor="threads")


@drill("a process with limits killed", 1)
def isolated_child_killed(ground, outcome, times):
    unbroken = ground.unbroken("search", small=True)
    for _ in range(times):
        place = ground.place("search")
        outcome.times += 1
        outcome.under_way += 1
        place.finish(outcome, unbroken=unbroken, small=True, executor="isolated", wrong="dies once")


def _dask(ground, outcome, how, message):
    "Run a search on a Dask cluster that is broken, and go on without it."
    place = ground.place("search")
    run = subprocess.run(
        [sys.executable, str(HERE / "dask_search.py"), str(place.folder), str(place.log), how],
        env=ground.environment,
        capture_output=True,
        text=True,
    )
    outcome.times += 1
    said = run.stderr[-300:]
    outcome.expect(run.returncode == (2 if message else 0), f"status {run.returncode}: {said}")
    outcome.expect(message in run.stderr, said)
    place.finish(outcome)


@drill("a Dask worker killed", 1)
def dask_worker_killed(ground, outcome, times):
    for _ in range(times):
        outcome.under_way += 10  # a batch: what the worker held is evaluated again
        _dask(ground, outcome, "worker", "")


@drill("the Dask scheduler gone", 1)
def dask_scheduler_gone(ground, outcome, times):
    for _ in range(times):
        outcome.under_way += 160  # Dask may have evaluated all that was submitted
        _dask(ground, outcome, "scheduler", "The executor broke")


def _misbehaving(ground, outcome, times, wrong, message, **options):
    "An evaluator fails over some architectures: each is marked, with its reason."
    unbroken = ground.unbroken("search", small=True, wrong="raises")
    for _ in range(times):
        place = ground.place("search")
        outcome.times += 1
        place.finish(outcome, unbroken=unbroken, small=True, wrong=wrong, **options)
        failed = place.rows("failed")
        outcome.expect(sorted(failed) == sorted(unbroken.rows("failed")), "others have failed")
        outcome.expect(failed, "none has failed")
        summary = (place.folder / "run" / "summary.json").read_text()
        outcome.expect(f'"failed": {len(failed)}' in summary, "the summary does not count them")
        errors = files.errors_of(place.database)
        outcome.expect(all(message in error for error in errors), f"{errors[:1]}")


@drill("an evaluator raises", 2)
def raises(ground, outcome, times):
    _misbehaving(ground, outcome, times, "raises", "this architecture is wrong")


@drill("an evaluator returns NaN", 2)
def nan(ground, outcome, times):
    _misbehaving(ground, outcome, times, "nan", "Noting predicted NaN or infinity")


@drill("an evaluator returns another shape", 2)
def shape(ground, outcome, times):
    _misbehaving(ground, outcome, times, "shape", "Noting must return arrays of shape")


@drill("an evaluator returns 1,090 %", 2)
def out_of_range(ground, outcome, times):
    _misbehaving(ground, outcome, times, "range", "Noting predicted acc_1d")


@drill("an evaluator hangs", 1)
def hangs(ground, outcome, times):
    outcome.under_way = 0
    message = "It took longer than 5 s"
    _misbehaving(ground, outcome, times, "hangs", message, executor="isolated", chunksize=1)


@drill("an evaluator takes too much memory", 1)
def memory(ground, outcome, times):
    _misbehaving(ground, outcome, times, "memory", "MemoryError", executor="isolated")


DAY = 86_400


@drill("the clock set back by three days", 1)
def clock(ground, outcome, times):
    for kind in ground.kinds:
        for _ in range(times):
            place = ground.place(kind)
            victim = place.start()
            place.wait_for(5, victim)
            victim.signal()
            victim.wait()
            outcome.times += 1
            outcome.under_way += 1
            # its claims are three days in the future, and the clock jumps again under way
            place.finish(outcome, job={"clock": (-3 * DAY, 0)})
            place = ground.place(kind)
            pair = [place.start({"clock": (-3 * DAY, 9)}), place.start()]
            outcome.expect([v.wait() for v in pair] == [0, 0], pair[0].message[-300:])
            place.finish(outcome)


@drill("a file truncated, corrupt, or of another kind", 1)
def foreign_files(ground, outcome, times):
    for round_ in range(times):
        for what, damage, path, place in files.damaged(ground, round_):
            victim = place.run({"victim": "read_file"}, what=what)
            outcome.times += 1
            case = f"{what} {damage}: status {victim.status}: {victim.message[-400:]}"
            outcome.expect(victim.status in (0, 2), case)
            if victim.status == 2:
                named = path.name in victim.message or place.folder.name in victim.message
                outcome.expect(named, f"no file name: {case}")


def run_drill(ground, name, times):
    "Run a drill and return its outcome."
    function, what, _, _ = DRILLS[name]
    outcome = Outcome(what)
    start = time.perf_counter()
    function(ground, outcome, times)
    outcome.seconds = time.perf_counter() - start
    return outcome
