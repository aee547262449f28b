"""Sessions and newcomers while everything that can happen to the daemon happens all the time (tests/storm)."""
import copy
import os
import sys

import pytest

import systemd_lab
from versions import another_version  # noqa: F401

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "storm"))
import judge  # noqa: E402
import run  # noqa: E402


def good():
    """Books in which nothing is wrong."""
    result = {"opened": 10, "kinds": {"fin": {"all": 8, "ok": 8}, "ask": {"all": 2, "ok": 2}}, "failures": [], "received": 1,
              "gap_ms": {"p50": 1, "p99": 1, "max": 1, "whose": "client 1 fin: received 1"}}
    size = {"steward": (1000, {"socket": 4, "pipe": 2}), "relay 0": (500, {"socket": 2})}
    return judge.Books(sessions=10, faults={"steward SIGKILL": 1}, loads={"sessions open": result, "connects open": copy.deepcopy(result)},
                       idle=(size, copy.deepcopy(size)), loaded=(size, copy.deepcopy(size)), log=["supervisor: ready"])


def spoil(loads=None, **verdicts):
    def change(books):
        books.loads[loads]["kinds"]["fin"] = {"all": 8, "ok": 7, **verdicts}
    return change


SPOILT = {
    "refused": spoil("connects open", refused=1), "reset": spoil("sessions open", reset=1), "wrong byte": spoil("sessions open", wrong_byte=1),
    "stuck": spoil("sessions open", stuck=1),
    "fewer sessions": lambda books: books.loads["sessions open"].update(opened=9),
    "no fault": lambda books: books.faults.clear(),
    "never whole": lambda books: books.failures.append("pair 0 was not whole within 90 s"),
    "lease": lambda books: books.leases_wrong.append("a: never given back"),
    "process": lambda books: books.left.append("after its end: tcpwarden: relay 0"),
    "another role": lambda books: books.idle[1].update({"relay 2": (1, {})}),
    "descriptors": lambda books: books.idle[1].update({"steward": (1000, {"socket": 5})}),
    "memory": lambda books: books.loaded[1].update({"steward": (1000 + judge.GROWTH_KB + 1, {})}),
    "log": lambda books: books.log.append("supervisor: holder and relay 0 have died, and their sessions with them"),
}


def test_judge_finds_nothing_wrong():
    assert judge.wrong(good()) == []


@pytest.mark.parametrize("what", SPOILT)
def test_judge(what):
    books = good()
    SPOILT[what](books)
    assert len(judge.wrong(books)) == 1


@pytest.mark.takes(90)
@pytest.mark.xdist_group("machine")
@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_storm(tmp_path, another_version, seconds):  # noqa: F811
    if reason := systemd_lab.why_not():
        pytest.skip(reason)
    seed = int(os.environ.get("TCPWARDEN_TEST_SEED", 1))
    books = run.storm(str(tmp_path), "tcpwarden", seconds, sessions=1000, connects=100, seed=seed, other_build=another_version,
                      story=os.environ.get("TCPWARDEN_TEST_STORY"))
    print(judge.told(books))
    assert not (wrong := judge.wrong(books)), "\n".join(wrong[:40])
