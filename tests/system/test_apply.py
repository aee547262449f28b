"""reload --apply: new policies for sessions that live. Without it they keep theirs."""
import signal
import subprocess
import time

import pytest

import daemon
import peers
import sockets
from peers import End, connect, free_port
from settings import merged, service
from test_drain import echoes
from waiting import stays, wait_for


def reconfigure(warden, apply=True, **change):
    """Reloads with a changed first service."""
    warden.configure({"services": [merged(warden.settings["services"][0], change)]})
    result = warden.ctl_run("reload", *(["--apply"] if apply else []))
    assert result.returncode == 0, result.stderr


def test_old_sessions_keep_their_policy(through, backend):
    warden = through(backend(peers.echo).address)
    with connect(warden.address) as session:
        echoes(session)
        warden.expected_log += ["user_timeout"]
        before = sockets.connections(warden.relay_pid())
        reconfigure(warden, apply=False, lifetime="1s", client={"nodelay": False, "user_timeout": "7s"})
        assert sockets.connections(warden.relay_pid()) == before
        stays(lambda: echoes(session), "the session", 1.5)
        reconfigure(warden, apply=False, connect_retries=7)  # nor does a later reload without it
        stays(lambda: echoes(session), "the session", 0.5)
        warden.role("relay 0").kill()
        warden.expect_deaths("relay")
        stays(lambda: echoes(session), "the session", 0.5)
    assert warden.log.wait_ends()[0].reason == "client.closed"


CHANGES = {
    "lifetime": dict(lifetime="1s"),
    "idle": dict(idle_timeout="1s"),
    "half_close": dict(half_close_timeout="1s"),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_deadline_that_has_passed_ends_it_at_once(through, backend, how):
    server = backend(peers.hold)
    warden = through(server.address, hooked=True)
    with connect(warden.address) as client:
        client.send(10)
        (peer,) = server.wait()
        peer.read(10)
        if how == "half_close":
            client.finish()
            assert peer.read_to_end() == End("eof", 0)
        time.sleep(1.5)  # so long nothing moves: that is the fact
        reconfigure(warden, **CHANGES[how])
        begin = time.monotonic()
        wait_for(lambda: not warden.sessions(), "its end")
        assert time.monotonic() - begin < 5
        for one in (client, peer):
            assert one.read_to_end().kind in ("reset", "eof")
        peer.close()
    assert warden.log.wait_ends()[0].reason == f"policy.{how}"
    assert wait_for(warden.hooks["hooks"].released, "a release")[0].reason == f"policy.{how}"


def test_a_deadline_that_is_lengthened_does_not_come_early(through, backend):
    warden = through(backend(peers.echo).address, lifetime="3s", idle_timeout="2s")
    with connect(warden.address) as session, connect(warden.address) as idle:
        echoes(session), echoes(idle)
        reconfigure(warden, lifetime="1h", idle_timeout="off")
        stays(lambda: echoes(session), "the session", 4)
        echoes(idle)
        reconfigure(warden, lifetime=None, idle_timeout="1s")
        begin = time.monotonic()
        assert idle.read_to_end() == End("reset", 0)
        assert time.monotonic() - begin < 10
    assert "policy.idle" in {end.reason for end in warden.log.wait_ends(2)}


def test_stall_after(through, backend):
    server = backend(lambda peer: peer.send(64 << 20))
    warden = through(server.address)
    with connect(warden.address, receive_buffer=4096) as client:
        wait_for(lambda: (s := warden.sessions()) and "client not reading" in s[0]["waits"], lambda: str(warden.sessions()))
        reconfigure(warden, client={"stall_after": "1s", "linger_timeout": "500ms"}, backend={"linger_timeout": "500ms"})
        wait_for(lambda: not warden.sessions(), "its end")
    assert warden.log.wait_ends()[0].reason == "client.stalled"


def kernel_terms(warden, index=0):
    return sorted(sockets.connections(warden.wait_role(f"relay {index}").pid).values(), key=str)


def terms(keepalive=None, user_timeout=0, nodelay=True):
    return {"keepalive": keepalive, "user_timeout": user_timeout, "nodelay": nodelay}


@pytest.mark.parametrize("rto_max", [True, False])
def test_sockets_follow(through, backend, rto_max):
    more = {} if rto_max else {"daemon": {"environment": {"TCPWARDEN_NO_RTO_MAX": "1"}}}
    warden = through(backend(peers.echo).address, client={"keepalive": False}, backend={"keepalive": False}, **more)
    warden.expected_log += ["client.keepalive: without", "backend.keepalive: without", "warning", "user_timeout"]
    with connect(warden.address) as session:
        echoes(session)
        assert kernel_terms(warden) == [terms(), terms()]
        explicit = {"keepalive": {"idle": "30s", "interval": "5s", "count": 4}, "user_timeout": "70s", "nodelay": False}
        reconfigure(warden, client=explicit, backend=explicit)
        assert kernel_terms(warden) == [terms((30, 5, 4), 70000, False)] * 2
        echoes(session)
        back = {"keepalive": False, "user_timeout": None, "nodelay": None}
        reconfigure(warden, client=back, backend=back)
        assert kernel_terms(warden) == [terms(), terms()]
        echoes(session)
        # As a session that begins under it has it.
        derived = {"keepalive": None, "dead_after": "30s"}
        reconfigure(warden, client=derived, backend=derived)
        mine = kernel_terms(warden)
        assert all(t["keepalive"] for t in mine)
        echoes(session)
    wait_for(lambda: not warden.sessions(), "its end")
    with connect(warden.address) as session:
        echoes(session)
        assert kernel_terms(warden) == mine


def test_a_session_of_a_removed_service_keeps_its_policy(through, backend):
    """Also when that service comes back, in a reload that does not ask for it."""
    server = backend(peers.echo)
    warden = through(server.address)
    first = warden.settings["services"][0]
    with connect(warden.address) as session:
        echoes(session)
        warden.configure({"services": [service("other", f"127.0.0.1:{free_port()}", server.address)]})
        warden.ctl("reload", "--apply")
        echoes(session)
        warden.configure({"services": [{**first, "lifetime": "1s"}]})
        warden.ctl("reload")
        stays(lambda: echoes(session), "the session", 1.5)
        warden.ctl("reload", "--apply")
        assert session.read_to_end() == End("reset", 0)
    assert warden.log.wait_ends()[0].reason == "policy.lifetime"


def test_hooks_are_those_it_began_with(through, backend):
    """A lease is not taken, nor forgotten, in the middle of a session."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    hooks = warden.hooks["hooks"]
    with connect(warden.address) as leased:
        echoes(leased)
        reconfigure(warden, hooks=None)
        echoes(leased)
        with connect(warden.address) as bare:
            echoes(bare)
            reconfigure(warden, hooks=hooks.config())
            echoes(bare)
    wait_for(hooks.released, "a release")
    warden.wait_sessions(0)
    assert len(hooks.runs("acquire")) == 1


def test_steward_dies_before_all_have_taken_it(through, backend):
    """Some have the new terms then. The next steward goes on with them: it is one config for all, and for those that come."""
    warden = through(backend(peers.echo).address, top={"workers": 2, "hang_after": "60s"})
    warden.expect_deaths("steward")
    warden.expected_log += ["has not taken plan"]
    sessions = []

    def spread():
        sessions.append(connect(warden.address))
        return echoes(sessions[-1]) and {s["relay"] for s in warden.sessions()} == {0, 1}
    wait_for(spread, "sessions of both relays")
    steward, other = warden.role("steward"), warden.role("relay 1")
    other.kill(signal.SIGSTOP)
    side = {"keepalive": {"idle": "111s", "interval": "9s", "count": 5}}
    warden.configure({"services": [merged(warden.settings["services"][0], {"client": side, "backend": side})]})
    warden.expected_log += ["an idle dead peer is noticed"]
    asking = subprocess.Popen([warden.program("ctl", "tcpwardenctl"), "--socket", warden.control, "reload", "--apply"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def follows(index):
        return all(t["keepalive"] == (111, 9, 5) for t in kernel_terms(warden, index))
    wait_for(lambda: follows(0), "new terms at the relay that runs")
    assert asking.poll() is None and not follows(1)
    steward.kill()
    assert asking.wait(10) != 0  # nobody knows how it went
    warden.wait_role("steward", not_this=steward)
    other.kill(signal.SIGCONT)
    wait_for(lambda: follows(0) and follows(1), "new terms everywhere")
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket")
    sessions.append(connect(warden.address))
    assert echoes(sessions[-1]) and follows(0) and follows(1)
    for session in sessions:
        echoes(session)
        session.close()
    warden.wait_sessions(0)


@pytest.mark.parametrize("victim", ["relay 0", "steward"])
def test_death_in_the_middle(through, backend, victim):
    """The walk over 100 sessions is cut off at random moments; in the end all of them have one policy, in the slot and in the kernel."""
    kill_points = victim == "relay 0" and daemon.build_directory(kill_points=True)
    more = {"daemon": {"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "700"}}} if kill_points else {}
    server = backend(peers.echo)
    warden = through(server.address, **more)
    warden.expect_deaths(victim.split()[0])
    warden.expected_log += ["an idle dead peer is noticed"]
    sessions = [connect(warden.address) for _ in range(100)]
    for session in sessions:
        echoes(session)

    def asked(turn):
        side = {"keepalive": {"idle": f"{100 + turn}s", "interval": "9s", "count": 5}, "nodelay": bool(turn % 2)}
        warden.configure({"services": [merged(warden.settings["services"][0], {"client": side, "backend": side})]})
        if victim == "steward" or not kill_points:
            old = warden.role(victim)
            old.kill()
            warden.wait_role(victim, not_this=old)
        return warden.ctl_run("reload", "--apply").returncode == 0
    for turn in range(12):
        wait_for(lambda: asked(turn), "a reload")
    want = [terms((111, 9, 5), 0, True)] * 200
    wait_for(lambda: kernel_terms(warden) == want, lambda: f"{kernel_terms(warden)[:3]}")
    assert victim == "steward" or warden.status()["relays"][0]["starts"] > 1
    for session in sessions:
        echoes(session)
        session.close()
    warden.wait_sessions(0)
