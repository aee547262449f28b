"""A session goes from one living relay to another, and notices nothing."""
import os
import random
import signal
import time

import pytest

import daemon
import peers
from killer import Killer
from movers import Mover, Shuttle, in_relay, listed, where
from peers import End, connect
from waiting import wait_for


def echo_sessions(warden, count):
    """Connected ones that have spoken once."""
    return [connect(warden.address).send(8).read(8) for _ in range(count)]


def test_idle_sessions_go_over_and_back(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, top={"workers": 2})
    warden.check_descriptors = False  # the bridge stays
    clients = echo_sessions(warden, 40)
    before = {s["id"] for s in warden.sessions()}
    mover = Mover(warden)
    for giver, taker in ((0, 1), (1, 0), (0, 1)):
        mover.move_all(giver, taker, 40, bridge=(giver, taker) == (0, 1))
        for peer in clients:
            peer.send(8).read(8)
    assert {s["id"] for s in warden.sessions()} == before
    for peer in clients:
        peer.close()
    ends = warden.log.wait_ends(40)
    assert all(end.reason == "client.closed" and int(end.bytes_to_client) == 32 for end in ends)


def transfers(warden, load, server, count=400, size="0:3000000", kinds="fin=4,ask=2,late=2,client_rst,backend_rst", parallel=200, **shuttle):
    """Streams of checked bytes through sessions that go to and fro all the time."""
    warden.check_descriptors = False  # the bridge stays
    with Shuttle(warden, **shuttle) as shuttle:
        load.client(warden.address, connections=count, parallel=parallel, up=size, down=size, deadline=240, kinds=kinds).wait()
        gone = shuttle.gone()
    server.stop()
    warden.log.wait_ends(count)
    wait_for(lambda: not warden.status()["sessions"], lambda: f"the end of all sessions: {listed(warden)}", 20)
    assert len(warden.log.ends()) == count  # each told once
    return gone


def test_streams_do_not_notice(through, load):
    server = load.backend()
    warden = through(server.address, top={"workers": 2})
    assert transfers(warden, load, server, count=200) >= 50


def killer(warden, *roles, interval=(0.03, 0.15)):
    """Kills one of them after the other."""
    chosen = random.Random(7)

    def find():
        role = chosen.choice(roles)
        if role.startswith("relay"):
            return warden.relay_pid(int(role.split()[-1]))
        found = warden.role(role)
        return found.pid if found else None
    return Killer(find, interval)


def test_relays_are_killed(through, load):
    server = load.backend()
    warden = through(server.address, top={"workers": 2})
    warden.expect_deaths("relay")
    with killer(warden, "relay 0", "relay 1") as kills:
        assert transfers(warden, load, server, count=300) >= 20
    assert kills.kills >= 5


def dying(through, address, one_in, **more):
    """A tree whose relays die at one of so many of the steps that are marked for it."""
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    warden = through(address, top={"workers": 2},
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": str(one_in)}}, **more)
    warden.expect_deaths("relay")
    return warden


def test_relays_die_at_every_step_of_a_stream(through, load):
    server = load.backend()
    warden = dying(through, server.address, 3000)
    assert transfers(warden, load, server, count=150, size="0:4000000", every=(0.02, 0.1)) >= 20
    assert len(warden.log.matching("relay.*signal 9")) >= 10


@pytest.mark.parametrize("hooked, one_in", [(False, 150), (True, 300)])
def test_relays_die_at_every_step_of_a_move(through, backend, hooked, one_in):
    """Few bytes, so that most of the deaths are those of a move, or of what follows from one."""
    server = backend(peers.echo)
    warden = dying(through, server.address, one_in, hooked=hooked)
    warden.check_descriptors = False
    clients = echo_sessions(warden, 30)
    with Shuttle(warden, every=(0.01, 0.05)) as shuttle:
        for _ in range(40):
            for peer in clients:
                peer.send(8).read(8)
            time.sleep(0.05)
        gone = shuttle.gone()
    for peer in clients:
        peer.finish()
        assert peer.read_to_end() == End("eof", 0)
    warden.log.wait_ends(30)
    wait_for(lambda: not warden.status()["sessions"], lambda: f"the end of all sessions: {listed(warden)}", 20)
    assert len(warden.log.ends()) == 30
    assert gone >= 50 and len(warden.log.matching("relay.*signal 9")) >= 10


def test_holders_and_steward_are_killed(through, backend):
    """One after the other, each once the pair is whole again."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"workers": 2})
    warden.expect_deaths("relay", "holder", "steward")
    warden.check_descriptors = False
    clients = echo_sessions(warden, 60)
    chosen = random.Random(3)
    with Shuttle(warden, every=(0.02, 0.1)) as shuttle:
        for _ in range(40):
            index = chosen.randrange(2)
            title = chosen.choice((f"holder {index}", f"relay {index}", "steward"))
            victim = warden.wait_role(title)
            victim.kill()
            warden.wait_role(title, not_this=victim)
            warden.wait_role(f"relay {index}")
            for peer in clients:
                peer.send(8).read(8)
        assert shuttle.gone() >= 50
    for peer in clients:
        peer.finish()
        assert peer.read_to_end() == End("eof", 0)
    ends = warden.log.wait_ends(60, deadline=30)
    assert all(end.reason == "client.closed" for end in ends)
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 60, lambda: f"60 releases: {warden.ctl_json('leases')} {warden.status()['sessions']} {len(warden.hooks['hooks'].released())}", 10)


def test_a_pair_dies_in_the_middle(through, backend):
    """What it had is lost, each session once; what the other has is not touched."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"workers": 2})
    warden.expect_deaths("relay", "holder")
    warden.expected_log += ["system.lost", "their sessions are lost"]
    warden.check_descriptors = False
    chosen, lost, kept = random.Random(5), 0, 0
    with Shuttle(warden, every=(0.01, 0.03), rebridge=1):
        for _ in range(12):
            clients = echo_sessions(warden, 20)
            time.sleep(chosen.uniform(0, 0.1)) # into whatever goes on
            index = chosen.randrange(2)
            victims = [warden.wait_role(f"holder {index}"), warden.wait_role(f"relay {index}")]
            for victim in victims:
                victim.kill(signal.SIGSTOP)
            for victim in victims:
                victim.kill()
            for title, victim in zip((f"holder {index}", f"relay {index}"), victims):
                warden.wait_role(title, not_this=victim)
            for peer in clients:
                try:
                    peer.send(8).read(8)
                    peer.finish()
                    assert peer.read_to_end() == End("eof", 0)
                    kept += 1
                except (ConnectionResetError, BrokenPipeError):
                    lost += 1
    assert lost and kept
    ends = warden.log.wait_ends(240, deadline=30)
    assert [end.reason for end in ends].count("system.lost") == lost
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 240, "240 releases", 30)
    wait_for(lambda: not warden.status()["sessions"], lambda: f"the end of all sessions: {listed(warden)}", 20)
    assert len(warden.log.ends()) == 240


@pytest.mark.parametrize("kind", ["connections", "per_client"])
def test_nobody_is_refused_since_sessions_move(through, backend, kind):
    """They count in both relays for a moment; newcomers for whom there is room find it all the same, and the others are refused."""
    warden = through(backend(peers.echo).address, top={"workers": 2}, limits={kind: 60})
    warden.check_descriptors = False
    held = echo_sessions(warden, 55)
    with Shuttle(warden, every=(0.02, 0.05)) as shuttle:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            with connect(warden.address) as peer:
                peer.send(8).read(8)
                peer.finish()
                assert peer.read_to_end() == End("eof", 0)
        assert shuttle.gone() >= 50
    held += echo_sessions(warden, 60 - len(held))
    with connect(warden.address) as peer:
        assert peer.read_to_end() == End("reset", 0)
    for peer in held:
        peer.send(8).read(8)


def ledgers_of(relay):
    links = (os.readlink(f"/proc/{relay.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{relay.pid}/fd"))
    return sum(link.startswith("/memfd:tcpwarden-ledger") for link in links)


def test_fewer_workers(through, backend):
    """A pair that is one too many gives its sessions away, and ends; those that stay have them all."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"workers": 4})
    clients = echo_sessions(warden, 80)
    for workers in (2, 3, 1, 2, 1):
        warden.configure({"workers": workers})
        assert warden.reload().returncode == 0
        wait_for(lambda: len([r for r in warden.roles() if r.startswith("relay")]) == workers,
                 lambda: f"{workers} relays: {warden.roles()} {where(warden)}", 30)
        for peer in clients:
            peer.send(8).read(8)
    assert len(in_relay(warden, 0)) == 80
    for peer in clients:
        peer.finish()
        assert peer.read_to_end() == End("eof", 0)
    ends = warden.log.wait_ends(80)
    assert all(end.reason == "client.closed" for end in ends)
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 80, "80 releases")
    relay = warden.role("relay 0")
    wait_for(lambda: ledgers_of(relay) == 1, lambda: f"the end of {ledgers_of(relay) - 1} bridges")
    warden.check_descriptors = False  # it has the listeners of those that went
