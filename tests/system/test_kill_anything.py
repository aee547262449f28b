"""Whatever of ours is killed, at whatever moment, under load: what was taken is given back, once; and once more only where one of us
died between the success of that and the record of it. The resource itself says so."""
import os
import random
import signal
import time

import pytest

import peers
import scribble
from conftest import FULL
from crowd import Crowd
from process import Process
from resource_journal import Resource
from waiting import wait_for

VICTIMS = {"relay 0": 3, "relay 1": 3, "holder 0": 2, "steward": 6, "hook": 6, "supervisor": 2, "tree": 2, "power": 2}


class Reaper:
    """Kills one thing of a daemon, notes it in the resource's journal, and starts the daemon again where that is for an operator."""

    def __init__(self, warden, resource, seed):
        self.warden, self.resource, self.random = warden, resource, random.Random(seed)

    def hook(self):
        """A hook that runs now, or waits at its gate."""
        steward = self.warden.role("steward")
        try:
            with open(f"/proc/{steward.pid}/task/{steward.pid}/children") as f:
                pids = f.read().split()
        except (OSError, AttributeError):
            return None
        return Process(int(self.random.choice(pids))) if pids else None

    def kill_one(self):
        """False: what was to die is dead already, or there is none of it now."""
        what = self.random.choices(list(VICTIMS), VICTIMS.values())[0]
        if what in ("tree", "power"):
            self.resource.note_kill(what)
            self.warden.cut_power(hooks=what == "power")
        else:
            victim = self.hook() if what == "hook" else self.warden.role(what)
            if not victim:
                return False
            if what == "supervisor":
                victim.kill(signal.SIGSTOP)  # it starts no one whom we do not know
                wait_for(lambda: victim.state == "T", "that the supervisor stands still")
            self.warden.tree()  # none is lost from sight when the supervisor dies
            self.resource.note_kill(what.split()[0], victim.pid)
            victim.kill()
            wait_for(lambda: not victim.alive, f"the death of {what}")
        if what in ("tree", "power", "supervisor"):
            self.warden.popen.wait()
            wait_for(lambda: not self.warden.roles(), lambda: f"the end of the tree: {self.warden.tree()}", 60)
            self.warden.start()
            self.resource.reapers.add(str(self.warden.popen.pid))
        return True


GOOD = "taking a 1 10 5", "taken a 1 10 5", "giving a 1 11 5", "given a 1 11 5"


@pytest.mark.parametrize("lines, verdict", [
    (GOOD, None),
    (GOOD[:2], "never given back"),
    ((*GOOD, "giving a 1 12 5", "again a 1 12 5"), "given back twice"),
    ((*GOOD, "giving a 1 12 6", "again a 1 12 6"), None),  # by another steward
    (("killed hook - 11 -", *GOOD, "giving a 1 12 5", "again a 1 12 5"), None),
    ((*GOOD, "taken a 1 10 5"), "taken after"),
    (("taking a 1 10 5", "refused a 1 10 5", *GOOD[2:]), "though refused"),
    ((*GOOD, "giving a 2 12 6"), "two fences"),
])
def test_judge(scratch, lines, verdict):
    resource = Resource(os.path.join(scratch, "resource"))
    with open(os.path.join(resource.directory, "journal"), "w") as f:
        f.writelines(line + "\n" for line in lines)
    wrong = resource.judge()[1]
    assert not wrong if verdict is None else len(wrong) == 1 and verdict in wrong[0], wrong


@pytest.mark.takes(11)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_kill_anything(through, load, seed):
    sessions, kills, stay_s = (1000, 60, 30) if FULL else (60, 14, 2)
    kills = int(os.environ.get("TCPWARDEN_TEST_KILLS", kills))
    warden = through(load.backend().address, start=False, top={"workers": 2, "orphan_timeout": "500ms"})
    warden.expect_deaths("supervisor", "steward", "relay", "holder")
    warden.expected_log += [".*"]
    warden.check_descriptors = False
    resource = Resource(os.path.join(warden.directory, "resource"))
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": resource.config()}]})
    warden.start()
    resource.reapers.add(str(warden.popen.pid))
    reaper = Reaper(warden, resource, seed)
    with Crowd(warden.address, sessions, stay_s, seed):
        wait_for(lambda: resource.judge()[0]["most held"] >= sessions * 0.8, lambda: f"leases: {resource.judge()[0]}", 120)
        done = 0
        while done < kills:
            time.sleep(reaper.random.uniform(0.02, 0.7))  # a random moment
            done += reaper.kill_one()
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket", 30)
    warden.wait_sessions(0, deadline=120)
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}", 120)
    counts, wrong = resource.judge()
    print(dict(counts))
    assert not wrong, f"{len(wrong)} of {counts['leases']}:\n" + "\n".join(wrong[:20])
    assert counts["taken"] > sessions and counts["given back"] >= counts["taken"]


def test_session_that_its_ledger_forgot(through, backend):
    """No crash of ours does that: a slot stays until its lease's end is durable. But a lease is not for ever because of a wrong byte."""
    server = backend(peers.collect)
    warden = through(server.address, hooked=True)
    warden.expect_deaths("relay")
    warden.expected_log += ["stands in no ledger", "system.lost", "descriptor"]
    with peers.connect(warden.address) as lost, peers.connect(warden.address) as other:
        lost.send(1)
        other.send(1)
        wait_for(lambda: [s["state"] for s in warden.sessions()] == ["relaying"] * 2, lambda: f"two that relay: {warden.sessions()}")
        hooks = warden.hooks["hooks"]
        relay = warden.role("relay 0")
        forgotten = next(s for s in warden.sessions() if s["client"] == "%s:%d" % lost.sock.getsockname())
        with scribble.ledger_of(relay) as ledger:
            scribble.set_state(ledger, forgotten["id"], 0)  # free
        relay.kill()
        released = wait_for(hooks.released, "a release", 20)
        assert [(run.session, run.reason, run.recovered) for run in released] == [(forgotten["id"], "system.lost", "1")]
        assert other.send(1)
    wait_for(lambda: len(hooks.released()) == 2, "the release of the other")
