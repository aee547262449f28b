"""Another number of relays at a reload: none of the clients who come, and none who are there, notice."""
import json
import os
import random
import signal
import socket

import pytest

import peers
from daemon import build_directory
from peers import connect, free_port
from settings import service
from test_drain import restart
from test_reload_storm import GROWTH_KB, Talk, size
from test_succession import kept, succeed  # noqa: F401
from test_upgrade import upgrade
from waiting import wait_for


def have(warden, workers):
    warden.configure({"workers": workers})
    result = warden.reload()
    assert result.returncode == 0, f"{workers}: {result.stderr}"


def states(warden):
    """Of each relay, by index; {} while nobody answers."""
    result = warden.ctl_run("status", json_lines=True)
    return {r["relay"]: r["state"] for r in json.loads(result.stdout)["relays"]} if result.returncode == 0 else {}


def wait_only(warden, workers, deadline=30):
    """Relays 0 to workers - 1, and no process of any other."""
    roles = {"steward", *(f"{role} {i}" for role in ("holder", "relay") for i in range(workers))}
    wait_for(lambda: set(warden.roles()) == roles and states(warden) == dict.fromkeys(range(workers), "running"),
             lambda: f"{workers} pairs only: {sorted(warden.roles())}, {states(warden)}", deadline)


def wait_each_accepts(busy, workers):
    """Connections come to every relay, and to none beyond."""
    warden, seen = busy.warden, set()

    def one_more():
        with connect(busy.talk_at) as client:
            client.send(10).read(10)
            name = "%s:%d" % client.sock.getsockname()
            seen.update(int(s["id"], 16) & 63 for s in warden.sessions() if s["client"] == name)
        return seen == set(range(workers))
    wait_for(one_more, lambda: f"connections of each of {workers}: {seen}", 30)


class Busy:
    """A daemon with a service for those who come and one for those who stay; and both kinds of clients."""

    def __init__(self, warden, load, echo):
        self.warden, self.load = warden, load
        self.talk_at = f"127.0.0.1:{free_port()}"
        warden.configure({"services": [warden.settings["services"][0], service("talk", self.talk_at, echo)]})
        if warden.popen:
            assert warden.reload().returncode == 0
        else:
            warden.start()
        self.talks = [Talk(self.talk_at) for _ in range(12)]
        self.come = load.client(warden.address, connections=10**7, parallel=10, kinds="fin,ask", up="0:20000", down="0:20000",
                                deadline=300)

    def go_on(self):
        """Until each session has moved bytes after this, and newcomers were served."""
        before, opened = [talk.rounds for talk in self.talks], self.come.progress()["opened"]
        wait_for(lambda: all(t.rounds > n + 2 or t.failure for t, n in zip(self.talks, before)), "sessions that go on", 30)
        assert [talk.failure for talk in self.talks] == [None] * len(self.talks)
        wait_for(lambda: self.come.progress()["opened"] > opened + 20, "clients that are served", 30)

    def finish(self):
        """Nobody was refused, reset or lost; who was under way when they were stopped does not count."""
        assert self.come.running
        self.come.stop(clean=False)
        result = self.come.events("result")[0]
        wrong = {kind: count for kind, count in result["kinds"].items() if set(count) - {"all", "ok", "stuck"}}
        assert not wrong and sum(count.get("stuck", 0) for count in result["kinds"].values()) <= 10, result
        assert [talk.stop() for talk in self.talks] == [None] * len(self.talks)
        self.warden.wait_sessions(0)


@pytest.fixture
def busy(through, load, backend):
    def make(make_warden=through, **more):
        warden = make_warden(load.backend().address, top={"workers": 2, **more})
        return Busy(warden, load, backend(peers.echo).address)
    return make


def test_grow_and_shrink(busy):
    b = busy()
    warden, first = b.warden, b.warden.roles()["relay 0"]
    for workers in (4, 1, 3):
        have(warden, workers)
        b.go_on()
        now = states(warden)
        assert [now[i] for i in range(workers)] == ["running"] * workers and set(list(now.values())[workers:]) <= {"retiring"}, now
    wait_each_accepts(b, 3)
    assert warden.roles()["relay 0"] == first
    b.finish()
    wait_only(warden, 3)
    have(warden, 2)
    wait_only(warden, 2)
    wait_each_accepts(b, 2)
    warden.note_baseline()  # the sockets of two more


def test_shared_sockets(tcpwarden, backend, scratch):
    """Unix and inherited ones: a relay that retires closes its copy only; one that comes later gets one, also of a later steward."""
    inherited = socket.create_server(("127.0.0.1", 0), backlog=100)
    warden = tcpwarden({"workers": 3}, start=False)
    warden.pass_sockets = {"web": inherited.fileno()}
    path = f"{warden.run}/front.sock"
    at = [f"unix:{path}", "127.0.0.1:%d" % inherited.getsockname()[1]]
    warden.configure({"services": [service("echo", [at[0], "systemd:web"], backend(peers.echo).address)]})
    warden.start()
    node = os.stat(path).st_ino

    def served():
        for address in at:
            with connect(address) as client:
                client.send(10).read(10)
    for workers in (1, 3, 2):
        have(warden, workers)
        wait_only(warden, workers)
        served()
        restart(warden, "steward")
        wait_only(warden, workers)
        served()
    assert os.stat(path).st_ino == node
    warden.check_descriptors = False  # of an address that is wanted a later steward has a copy, or not
    inherited.close()


@pytest.mark.parametrize("whom", ["steward", "relay 0", "relay 1", "holder 0", "holder 1", "supervisor", "upgrade"])
def test_death_while_a_pair_retires(busy, kept, whom):  # noqa: F811
    """It goes on as if nothing had happened, and comes back when it is wanted again."""
    b = busy(kept)
    warden = b.warden
    warden.expect_deaths("relay", "holder", "steward")
    with connect(b.talk_at) as stays:
        have(warden, 1)
        for _ in range(2):
            if whom == "supervisor":
                succeed(warden)
            elif whom in ("steward", "upgrade"):
                restart(warden, whom)
            elif victim := warden.role(whom):  # else it has retired by now
                victim.kill()
            b.go_on()
        stays.send(10).read(10)
        have(warden, 2)
        b.go_on()
        wait_only(warden, 2)
        wait_each_accepts(b, 2)
        have(warden, 1)
        b.go_on()
        stays.send(10).read(10)
    b.finish()
    wait_only(warden, 1)
    warden.note_baseline()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_deaths_while_workers_change(busy, kept, seed):  # noqa: F811
    b = busy(kept)
    warden, rng = b.warden, random.Random(seed)
    warden.expect_deaths("relay", "holder", "steward")
    warden.expected_log += ["reload", "retire", "descriptor"]
    for workers in [4, 1, 3, *(rng.randint(1, 4) for _ in range(5))]:
        warden.configure({"workers": workers})
        warden.signal(signal.SIGHUP)
        for _ in range(2):
            title = rng.choice(["supervisor", *sorted(warden.roles())])
            if title == "supervisor":
                succeed(warden)
            elif victim := warden.role(title):
                victim.kill()
                wait_for(lambda: victim not in warden.roles().values(), f"the end of {title}")
            # Two deaths in one pair are the end of its sessions: the next one waits until it is whole again.
            wait_for(lambda: whole(warden), lambda: f"pairs that are whole: {warden.roles()}", 30)
        b.go_on()
    b.finish()
    have(warden, 2)
    wait_only(warden, 2)
    warden.note_baseline()


def test_relays_die_at_every_step(through, load, backend):
    """While a listener goes from the one to the other, too."""
    if not build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    b = Busy(through(load.backend().address, top={"workers": 2},
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "200"}}), load, backend(peers.echo).address)
    b.warden.expect_deaths("relay")
    for workers in (4, 1, 3, 2, 4, 1, 2, 1, 3, 2):
        have(b.warden, workers)
        b.go_on()
    b.finish()
    wait_for(lambda: set(states(b.warden)) == {0, 1}, lambda: f"two pairs: {states(b.warden)}", 60)
    deaths = sum("starting another" in line.text for line in b.warden.log.read())
    print(f"{deaths} deaths")
    assert deaths > 20
    b.warden.check_descriptors = False  # of relays that die on


def test_upgrades_while_workers_change(busy):
    b = busy()
    for workers in (4, 1, 3, 1, 2):
        have(b.warden, workers)
        assert upgrade(b.warden)
        assert [states(b.warden).get(i) for i in range(workers)] == ["running"] * workers, states(b.warden)
        b.go_on()
    b.finish()
    wait_only(b.warden, 2)
    b.warden.note_baseline()


def whole(warden):
    roles = warden.roles()
    return "steward" in roles and all(f"{'relay' if t.startswith('holder') else 'holder'} {t.split()[1]}" in roles
                                      for t in roles if t != "steward")


def test_that_cannot_grow(through, load, backend, scratch):
    """Refused as a whole: what else stands in the config changes nothing, either."""
    warden, wrapper = through(load.backend().address, start=False, top={"workers": 2}), os.path.join(scratch, "few-descriptors")
    with open(wrapper, "w") as f:
        f.write(f'#!/bin/sh\nulimit -n 128\nexec {warden.program("supervisor", "tcpwarden")} "$@"\n')
    os.chmod(wrapper, 0o755)
    of_build = warden.program
    warden.program = lambda *parts: wrapper if parts == ("supervisor", "tcpwarden") else of_build(*parts)
    b = Busy(warden, load, backend(peers.echo).address)
    roles, loads = warden.roles(), warden.status()["config"]["loads"]
    warden.expected_log += ["reload failed", "workers = 30"]
    for _ in range(2):
        warden.configure({"workers": 30, "services": warden.settings["services"][:1]})
        result = warden.reload()
        assert result.returncode == 1 and "workers = 30: relay " in result.stderr and "(LimitNOFILE=)" in result.stderr, result.stderr
        wait_only(warden, 2)
        assert warden.roles() == roles and warden.status()["config"]["loads"] == loads
        b.go_on()
    warden.configure({"workers": 3})
    assert warden.reload().returncode == 0
    b.finish()
    have(warden, 2)
    wait_only(warden, 2)
    warden.note_baseline()


def test_who_died_retiring_counts_no_more(through):
    """Its sessions are lost, as ever when both die; no successor comes to count them out. Those that connect stay where they are."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waits = [socket.socket() for _ in range(3)]
    for s in waits:
        s.setblocking(False)
        s.connect_ex(full.getsockname())
    warden = through("127.0.0.1:%d" % full.getsockname()[1], top={"workers": 2}, limits={"connections": 100, "per_client": 50},
                     backend={"connect_timeout": "60s"})
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["system.lost", "sessions are lost", "sessions with them"]
    clients = []

    def one_more():
        clients.append(connect(warden.address))
        return any(int(s["id"], 16) & 63 for s in warden.sessions() if s["state"] == "connecting")
    wait_for(one_more, "one that connects in relay 1")
    have(warden, 1)
    holder, relay = warden.role("holder 1"), warden.role("relay 1")
    holder.kill(signal.SIGSTOP)  # else it might start another relay in between
    relay.kill()
    holder.kill()
    wait_only(warden, 1)
    for client in clients:
        client.reset()
    warden.wait_sessions(0)
    assert warden.status()["services"][0]["sessions"] == 0
    for s in (full, *waits):
        s.close()
    warden.note_baseline()  # a socket of the other


@pytest.mark.slow
def test_twenty_changes_leave_nothing(busy):
    b = busy()
    warden = b.warden
    at_first = None
    for turn in range(21):
        for workers in (3 + turn % 2, 1 + turn % 2):
            have(warden, workers)
        b.go_on()
        have(warden, 2)
        if turn == 4:
            at_first = size(warden)
    b.finish()
    wait_only(warden, 2)
    now = size(warden)
    grown = {title: (at_first[title], new) for title, new in now.items()
             if title in at_first and (new[0] - at_first[title][0] > GROWTH_KB or new[1] > at_first[title][1])}
    assert not grown, grown
    warden.note_baseline()  # the sockets of two more
