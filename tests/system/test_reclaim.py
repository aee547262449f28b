"""Before a full service refuses a newcomer, those who hold are asked whether they live.

All cases run side by side in one lab, and each is a test that looks up what became of it. A case has a service of its own, with
one place, and a client that holds it."""
import collections
import concurrent.futures
import re
import threading
import time

import pytest

import checks
import lab as lab_module
import peers
from daemon import Daemon, build_directory
from holders import TIMEOUT, Case
from lab import Lab
from peers import End, connect
from stage import say, side_by_side
from waiting import wait_for

pytestmark = [pytest.mark.xdist_group("reclaim"), pytest.mark.takes(15)]

SOON = 2.0      # the next client is to be served so soon
SURELY = 10.0   # and so soon on a machine that is short of time: long before dead_after
KINDS = ("place", "client", "seat")  # limits.connections, limits.per_client, and an acquire that says busy
ROLES = ("relay 0", "holder 0", "steward")
CROWD = {"place": 200, "client": 100, "seat": 40}
LOSSY = 10      # holders behind a lossy link
LOSSY_ROUNDS = 4


def pulled_long_ago(case):
    case.hold()
    case.pull()
    time.sleep(1.5)
    case.how, case.took = case.come()


def pulled_just_now(case):
    case.hold()
    time.sleep(1)
    case.pull()
    case.how, case.took = case.come()


def pulled_in_flight(case):
    case.hold()
    case.pull()
    wait_for(lambda: case.backend._peers, "the holder's backend")[0].send(1000)
    time.sleep(0.3)
    case.how, case.took = case.come()


def pulled_while_sending(case):
    """The kernel asks at long intervals by now."""
    case.hold()
    case.pull()
    wait_for(lambda: case.backend._peers, "the holder's backend")[0].send(1000)
    time.sleep(5)
    case.how, case.took = case.come()


def living(case):
    """Idle for longer than any probe needs, and then having spoken just now."""
    holder = case.hold()
    time.sleep(1.5)
    case.results = [case.come()]
    time.sleep(1.5)
    holder.send(1).read(1)
    case.results.append(case.come())
    holder.send(10).read(10).finish()
    case.holder_end = holder.read_to_end()


def not_reading(case):
    """It lives, but its window is closed; the kernel's own questions are rare."""
    holder = case.holder = case.connect(receive_buffer=4096)
    (server,) = case.backend.wait()
    server.send_until_full()
    time.sleep(2)
    case.how, case.took = case.come()
    server.finish()
    holder.finish()
    case.holder_end, case.sent = holder.read_to_end(), server.sent


def lossy(case):
    holder = case.hold()
    dropped = case.lab.lose(holder.host, 30)
    case.results = []
    for _ in range(LOSSY_ROUNDS):
        before = len(case.rounds())
        # Within a second of a round its word stands, and nobody is asked.
        while len(case.rounds()) == before:
            case.results.append(case.come()[0])
            time.sleep(0.2)
    case.dropped = dropped()
    case.lab.heal(holder.host)
    holder.send(10).read(10).finish()
    case.holder_end = holder.read_to_end()


def rebooted(case):
    """It was away for less than a second, and is back with the same address: what is asked of its old connection it resets."""
    case.hold()
    time.sleep(0.1)
    case.forget(say=True)
    case.how, case.took = case.come()


def crowd(case):
    case.hold()
    time.sleep(0.5)
    case.pull()
    time.sleep(0.5)
    results, began = [], time.monotonic()
    threads = [threading.Thread(target=lambda: results.append(case.come()[0])) for _ in range(CROWD[case.kind])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    case.results, case.lasted = collections.Counter(results), time.monotonic() - began


def gives_up(case):
    case.hold()
    case.pull()
    first = case.connect()
    case.waited = case.waits()["waits"]
    first.reset()
    case.how, case.took = case.come()


def is_refused(case):
    case.hold()
    case.pull()
    case.how, case.took = case.come()
    case.again = case.come()[0]
    case.lab.heal(case.holder.host)


def kill(role):
    def act(case):
        case.hold()
        case.pull()
        newcomer = threading.Thread(target=lambda: setattr(case, "result", case.come()))
        newcomer.start()
        case.waits()
        if case.barrier.wait(20) == 0:  # for both kinds at once
            case.daemon.role(role).kill()
        newcomer.join()
        case.how, case.took = case.result
    return act


PULLED = (pulled_long_ago, pulled_just_now, pulled_in_flight, pulled_while_sending)


def cases():
    made = [Case(f"{act.__name__}-{kind}", act, kind) for act in PULLED + (living, crowd, gives_up)
            for kind in KINDS]
    made += [Case("pulled_just_now-helper", pulled_just_now, "helper", daemon="helper")]
    made += [Case("rebooted", rebooted, "client", reclaim_timeout=None)]
    made += [Case("not_reading", not_reading, script=peers.hold)]
    made += [Case(f"lossy-{i}", lossy, reclaim_timeout=None) for i in range(LOSSY)]
    made += [Case("off-place", is_refused, reclaim_timeout="0s"), Case("off-seat", is_refused, "seat", reclaim_timeout="0s"),
             Case("reject", is_refused, on_limit=None)]
    for role in ROLES:
        pair = [Case(f"kill-{role.split()[0]}-{kind}", kill(role), kind, daemon=role) for kind in KINDS]
        barrier = threading.Barrier(len(pair))
        for case in pair:
            case.barrier = barrier
        made += pair
    return made


@pytest.fixture(scope="module")
def stage(request):
    if lab_module.why_not():
        pytest.skip(lab_module.why_not())
    with Lab() as lab:
        made = cases()
        daemons = {name: Daemon({}) for name in {case.on for case in made}}
        try:
            for i, case in enumerate(made):
                config = case.prepare(lab, daemons[case.on], 5000 + i)
                case.daemon.configure({"services": [*case.daemon.settings.get("services", ()), config]})
            with lab.warden.inside():
                for name, daemon in daemons.items():
                    daemon.start()
                    daemon.check_descriptors = name != "helper"  # it starts when it likes
                    if name in ROLES:
                        daemon.expect_deaths(*{name.split()[0], "holder" if "relay" in name else name.split()[0]})
            side_by_side([case.play for case in made])
            for case in made:
                case.close()
            faults = {}
            for name, daemon in daemons.items():
                daemon.expected_log += ["acquire hook exited with 75"]
                try:
                    checks.before_stop(daemon)
                    daemon.stop()
                    checks.after_stop(daemon)
                except AssertionError as e:
                    faults[name] = e
            yield {case.name: case for case in made}, faults
            say(request, [f"{case.name:28} {case.how} after {case.took:.2f} s" for case in made if hasattr(case, "took")])
        finally:
            for case in made:
                if hasattr(case, "backend"):
                    case.backend.close()
            for daemon in daemons.values():
                daemon.end_by_force()
                daemon.discard()


def look_up(stage, name):
    case = stage[0][name]
    if case.error:
        raise case.error
    return case


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [act.__name__ for act in PULLED])
def test_a_dead_holder_makes_room(stage, name, kind):
    case = look_up(stage, f"{name}-{kind}")
    assert case.how == "served" and case.took < SURELY, f"{case.how} after {case.took} s"
    assert case.came_at - case.word_at >= TIMEOUT
    (holder, *_) = case.ends()
    assert holder.reason == "client.dead" and holder.operation == ("send" if name in ("pulled_in_flight", "pulled_while_sending") else "receive")
    assert case.rounds()[0][:2] == (1, 1)
    # Given back before it was taken again, and once.
    runs = [(run.event, run.status, run.reason) for run in case.seats.runs() if (run.event, run.status) != ("acquire", 75)]
    assert runs == [("acquire", 0, "-"), ("release", 0, "client.dead"), ("acquire", 0, "-"), ("release", 0, "client.closed")]


def test_a_helper_says_busy(stage):
    case = look_up(stage, "pulled_just_now-helper")
    assert case.how == "served" and case.ends()[0].reason == "client.dead"
    with open(case.journal) as journal:
        assert [line.split()[0] for line in journal] == ["take", "give", "take", "give"]


def test_soon(stage):
    took = [look_up(stage, f"{act.__name__}-{kind}").took for act in PULLED for kind in KINDS]
    assert min(took) < SOON, took  # what the others took on this machine is printed


def test_a_machine_that_is_back_has_its_place(stage):
    case = look_up(stage, "rebooted")
    assert case.how == "served" and case.ends()[0].reason == "client.reset"
    assert case.rounds()[0][:2] == (1, 0) and case.rounds()[0][2] < 5000  # it was not waited for


@pytest.mark.parametrize("kind", KINDS)
def test_a_living_holder_keeps_it(stage, kind):
    case = look_up(stage, f"living-{kind}")
    assert [how for how, _ in case.results] == ["refused", "refused"] and max(s for _, s in case.results) < SURELY
    assert case.holder_end == End("eof", 0)
    assert [r[:2] for r in case.rounds()] == [(1, 0), (1, 0)]
    refused = [e for e in case.ends() if e.reason != "client.closed"]
    assert {e.reason for e in refused} == {"policy.limit" if kind != "seat" else "hook.limit"}
    assert len([r for r in case.seats.runs("release")]) == 1


def test_a_stopped_reader_lives(stage):
    case = look_up(stage, "not_reading")
    assert case.how == "refused" and case.holder_end == End("eof", case.sent)


@pytest.mark.parametrize("i", range(LOSSY))
def test_a_lossy_path_kills_nobody(stage, i):
    case = look_up(stage, f"lossy-{i}")
    assert set(case.results) == {"refused"}
    assert case.holder_end == End("eof", 0)
    assert [r[:2] for r in case.rounds()][:LOSSY_ROUNDS] == [(1, 0)] * LOSSY_ROUNDS


def test_packets_were_lost(stage):
    assert sum(look_up(stage, f"lossy-{i}").dropped for i in range(LOSSY)) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_makes_one_round(stage, kind):
    case = look_up(stage, f"crowd-{kind}")
    assert case.results == {"served": 1, "refused": CROWD[kind] - 1}
    rounds = case.rounds()
    assert rounds[0][:2] == (1, 1)
    # Its word stands for a second; who came later may have met the next holder, which lives.
    assert all(r[1] == 0 for r in rounds[1:]) and len(rounds) <= 1 + case.lasted, rounds
    if kind == "seat":
        again = [n for n in collections.Counter(run.session for run in case.seats.runs("acquire")).values() if n > 1]
        assert len(again) == 1  # what was given back was tried for once
    (asks,) = re.findall(r"(\d+) questions were not answered", "\n".join(
        line.text for line in case.daemon.log.read() if f"session {case.ends()[0].session} is ended to make room" in line.text))
    assert 4 <= int(asks) <= 40


@pytest.mark.parametrize("kind", KINDS)
def test_who_gives_up_is_not_waited_for(stage, kind):
    case = look_up(stage, f"gives_up-{kind}")
    assert re.fullmatch(r"waiting for a place .* s" if kind != "seat" else r"waiting for acquire .* s \(busy\)", case.waited)
    assert case.how == "served"
    assert [e.state for e in case.ends() if e.reason == "client.reset"] == ["waiting" if kind != "seat" else "acquiring"]


@pytest.mark.parametrize("name", ["off-place", "off-seat", "reject"])
def test_nobody_is_asked(stage, name):
    case = look_up(stage, name)
    assert (case.how, case.again) == ("refused", "refused") and not case.rounds()
    assert not [e for e in case.ends() if e.reason == "client.dead"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_the_round(stage, role, kind):
    case = look_up(stage, f"kill-{role.split()[0]}-{kind}")
    assert case.how == "served", f"{case.how} after {case.took} s"
    assert [e.reason for e in case.ends()][:1] == ["client.dead"]


@pytest.mark.parametrize("daemon", ["plain", "helper", *ROLES])
def test_nothing_is_left(stage, daemon):
    if daemon in stage[1]:
        raise stage[1][daemon]


def test_deaths_at_any_point(through, backend):
    """Two relays that die all the time: who holds keeps his place, nobody else gets one, and none is lost."""
    if not build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    warden = through(backend(peers.echo).address, top={"workers": 2},
                     limits={"connections": 2, "on_limit": "reclaim", "reclaim_timeout": "1s"},
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "60"}})
    warden.expect_deaths("relay")

    def come(_):
        client = connect(warden.address, deadline=60)
        try:
            return client.send(1).read(1)
        except (ConnectionResetError, BrokenPipeError):
            client.close()
            return None
    for _ in range(3):
        holders = [come(0), come(0)]
        assert all(holders)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            assert not any(pool.map(come, range(20)))
        for holder in holders:
            holder.send(10).read(10).finish()
            assert holder.read_to_end() == End("eof", 0)
            holder.close()
        warden.wait_sessions(0)
    assert sum(relay["starts"] for relay in warden.status()["relays"]) > 4
