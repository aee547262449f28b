"""The model of a lease's life: it has the states, moves and effects of the table in the code, it holds, and it would not if something were wrong."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
MODEL = (TREE / "tests/model/lease.pml").read_text()
TABLE = (TREE / "src/steward/lease/life_table.h").read_text()

# What is broken, how, and the assertion that must notice it (None: any).
BREAKS = {
    "a new steward does not wait for the hooks of the old one": (
        [("up && !judged && !alive(acquire) && !alive(renew) && !alive(release) ->", "up && !judged && !alive(renew) && !alive(release) ->"),
         ("acquire = NONE; renew = NONE; release = NONE; lease = row;", "renew = NONE; release = NONE; lease = row;")],
        None),
    "a hook passes its gate before the row is on disk": (
        [("#define durable (!queued && !busy)", "#define durable (true)"),
         ("assert(lease == state && durable && (row == state || (state == GONE && row == NEW)))", "skip")],
        "gave"),
    "a helper is told of a release before it has answered an acquire that is overdue": (
        [("!(helped && (alive(acquire) || alive(renew))) ->", "!(helped && alive(renew)) ->")],
        None),
    "a release does not wait for a renewal": (
        [("#define renewal_heard (renew == NONE || (helped && renew == RUNNING))", "#define renewal_heard (true)")],
        "!(began_release)"),
    "a release does not wait for a renewal that is overdue at a helper": (
        [("!(helped && (alive(acquire) || alive(renew))) ->", "!(helped && alive(acquire)) ->")],
        "!(began_release)"),
    "an acquire that was cut off counts as not held": (
        [("acquire = NONE; MOVE(INTENT, CUT_OFF, UNKNOWN);", "acquire = NONE; lease = GONE; save();")],
        None),
    "a release that failed counts as done": (
        [("lease == RELEASING && release == EXITED_0 ->", "lease == RELEASING && release >= KILLED && release <= EXITED_0 ->")],
        "gave"),
    "what no session holds any more is forgotten at a start": (
        [(":: lease == HELD || lease == UNKNOWN -> over = (session == FREE)",
          ":: lease == HELD || lease == UNKNOWN ->\n\t\t\tif\n\t\t\t:: session == FREE -> lease = GONE; save()\n\t\t\t:: else\n\t\t\tfi")],
        "gave"),
    "no death is an excuse for a second release": (
        [("assert(!succeeded || unheard)", "assert(!succeeded)")],
        "!(succeeded)"),
}


def run(command, directory):
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def verify(model, directory, *flags, options=()):
    """What the exhaustive search says."""
    if not shutil.which("spin"):
        pytest.skip("spin is not installed")
    (directory / "lease.pml").write_text(model)
    run(["spin", "-o3", "-a", "lease.pml"], directory)  # -o3: no statement is merged, so each counts as reached or not
    run(["cc", "-w", *flags, "-o", "pan", "pan.c"], directory)
    said = run(["./pan", "-m100000", *options], directory)
    assert "max search depth too small" not in said, said
    return said


def test_same_as_the_table():
    states = dict(re.findall(r'^LIFE_STATE\((\w+), "\w+", (\w+),', TABLE, re.M))
    events = re.findall(r"^LIFE_EVENT\((\w+),", TABLE, re.M)
    moves = re.findall(r"^LIFE_MOVE\((\w+), (\w+), (\w+)\)", TABLE, re.M)
    modelled = re.search(r"mtype = \{([^}]*)\};\s*/\* a lease \*/", MODEL)
    permits = set(re.findall(r"PERMITS\(([A-Z]+), ([A-Z_]+)\)", MODEL))
    assert len(states) == 7 and len(moves) == len(set(moves)) >= 17
    assert set(modelled[1].replace(",", " ").split()) == set(states)
    assert set(re.findall(r"MOVE\(([A-Z]+), ([A-Z_]+), ([A-Z]+)\)", MODEL)) == set(moves)
    assert {event for _, event, _ in moves} == set(events)
    assert permits == {(state, effect) for state, effect in states.items() if effect != "NOTHING"}


@pytest.mark.takes(15)
def test_holds(tmp_path):
    said = verify(MODEL, tmp_path, "-DSAFETY")
    assert "errors: 0" in said, said
    lines = MODEL.splitlines()
    unreached = [lines[int(n) - 1] for n in re.findall(r"lease\.pml:(\d+), state", said)]
    assert not [line for line in unreached if "MOVE(" in line or "PERMITS(" in line], said


@pytest.mark.takes(15)
def test_comes_to_an_end(tmp_path):
    said = verify(MODEL, tmp_path, "-DNP", options=["-l"])
    assert "errors: 0" in said and "non-progress cycles" in said, said


@pytest.mark.parametrize("what", BREAKS)
def test_notices(what, tmp_path):
    changes, notice = BREAKS[what]
    model = MODEL
    for old, new in changes:
        assert model.count(old) == 1, old
        model = model.replace(old, new)
    said = verify(model, tmp_path, "-DSAFETY", options=["-E"])  # a run that gets stuck is not what this asks for
    assert "errors: 1" in said and "assertion violated" in said, said
    assert not notice or notice in said.split("assertion violated")[1].splitlines()[0], said
