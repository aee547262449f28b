"""Exactly one release for every acquire, whatever happens between them."""
import pytest

import peers
from peers import End, connect
from waiting import stays, wait_for


def hooks_of(warden):
    return warden.hooks["hooks"]


def refused(address):
    with connect(address) as client:
        return client.read_to_end() == End("reset", 0)


@pytest.mark.parametrize("status, reason", [(1, "hook.refused"), (75, "hook.limit"), (69, "hook.failed")])
def test_refused_acquire(through, backend, status, reason):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    hooks_of(warden).set("acquire", exit=status)
    assert refused(warden.address)
    (end,) = warden.log.wait_ends()
    assert end.reason == reason and server.accepted == 0
    warden.expected_log += ["acquire"]
    warden.wait_sessions(0)
    assert not hooks_of(warden).runs("release")
    hooks_of(warden).set("acquire", exit=None)
    with connect(warden.address) as client:
        client.send(1).read(1)


def test_on_error_allow(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"on_error": "allow"}})
    warden.expected_log += ["on_error", "acquire hook exited"]
    hooks_of(warden).set("acquire", exit=3)
    with connect(warden.address) as client:
        client.send(10).read(10)
        (session,) = warden.sessions()
        assert session["lease"] == "-"
    warden.log.wait_ends()
    warden.wait_sessions(0)
    assert not hooks_of(warden).runs("release")


def test_busy_is_allowed_too(through, backend):
    """Also who waited until the holder was asked whether he lives goes on without a lease."""
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"on_error": "allow"}},
                     limits={"reclaim_timeout": "1s"})
    warden.expected_log += ["on_error", "acquire hook exited"]
    with connect(warden.address) as holder:
        holder.send(10).read(10)
        hooks_of(warden).set("acquire", exit=75)
        with connect(warden.address) as client:
            client.send(10).read(10)
            assert sorted(session["lease"] == "-" for session in warden.sessions()) == [False, True]
        holder.send(10).read(10)
    assert warden.log.matching("asked whether they live")
    wait_for(hooks_of(warden).released, "a release")
    warden.wait_sessions(0)
    assert len(hooks_of(warden).runs("release")) == 1


def test_acquire_timeout_is_unknown_and_released(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"timeout": "300ms"}})
    warden.expected_log += ["acquire"]
    hooks_of(warden).set("acquire", gate=True)
    assert refused(warden.address)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.timeout"
    (released,) = wait_for(hooks_of(warden).released, "a release")
    assert released.acquired == "unknown"


def test_acquire_killed_by_a_signal_is_unknown_and_released(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expected_log += ["acquire"]
    hooks_of(warden).set("acquire", signal=9)
    assert refused(warden.address)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.failed"
    (released,) = wait_for(hooks_of(warden).released, "a release")
    assert released.acquired == "unknown"


def test_failing_acquire_is_left_alone_then_tried(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"cooldown": "1s"}})
    warden.expected_log += ["acquire hook"]
    hooks_of(warden).set("acquire", exit=69)
    for _ in range(20):
        assert refused(warden.address)
    ends = warden.log.wait_ends(20)
    assert {end.reason for end in ends} == {"hook.failed"} and ends[-1].operation == "accept"
    assert len(hooks_of(warden).runs("acquire")) == 5
    hooks_of(warden).set("acquire", exit=None)

    def served():
        with connect(warden.address) as client:
            try:
                client.send(10).read(10)
            except (OSError, AssertionError):
                return False
        return True
    wait_for(served, "a client that is served again")
    assert served()
    assert len(warden.log.matching("in a row")) == len(warden.log.matching("works again")) == 1


def test_connected_and_renew(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, hook={"connected": {}, "renew": {"every": "1s"}})
    hooks = hooks_of(warden)
    hooks.set("acquire", output="SEAT=7")
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: len([run for run in hooks.runs("renew") if run.status == 0]) >= 2, "two renewals")
        client.finish()
        assert client.read_to_end() == End("eof", 0)
    wait_for(hooks.released, "a release")
    (acquired,) = hooks.runs("acquire")
    (connected,) = hooks.runs("connected")
    renewals = hooks.runs("renew")
    assert f"{connected.backend}:{connected.backend_port}" == server.address and connected.client == "127.0.0.1"
    assert [int(run.attempt) for run in renewals] == list(range(1, len(renewals) + 1))
    assert int(renewals[-1].bytes_to_client) == 10 and int(renewals[-1].duration_ms) >= 1000
    assert {run.var_seat for run in [connected, *renewals]} == {"7"}
    assert {run.lease for run in [connected, *renewals]} == {acquired.lease}


@pytest.mark.parametrize("event", ["connected", "renew"])
def test_session_is_ended_that_cannot_be_renewed(through, backend, event):
    warden = through(backend(peers.echo).address, hooked=True,
                     hook={"connected": {"on_error": "refuse"}, "renew": {"every": "1s", "on_error": "refuse"}})
    warden.expected_log += [f"{event} hook exited with 1: its session is ended"]
    hooks_of(warden).set(event, exit=1)
    with connect(warden.address) as client:
        assert client.read_to_end().kind == "reset"
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.failed" and end.state == "relaying"
    (released,) = wait_for(hooks_of(warden).released, "a release")
    assert released.reason == "hook.failed"


def test_failures_that_are_allowed(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"connected": {}, "renew": {"every": "1s", "on_error": "allow"}})
    warden.expected_log += ["connected hook exited with 1", "renew hook exited with 1"]
    hooks_of(warden).set("connected", exit=1)
    hooks_of(warden).set("renew", exit=1)
    with connect(warden.address) as client:
        wait_for(lambda: len(hooks_of(warden).runs("renew")) >= 2, "two failed renewals")
        client.send(10).read(10).finish()
        assert client.read_to_end() == End("eof", 0)
    assert len(hooks_of(warden).runs("connected")) == 1
    wait_for(hooks_of(warden).released, "a release")


def test_renewing_goes_on_under_a_new_steward(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"connected": {}, "renew": {"every": "1s"}})
    hooks = hooks_of(warden)
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: hooks.runs("connected"), "connected")
        hooks.set("renew", gate=True)
        wait_for(lambda: hooks.runs("renew"), "a renewal")
        warden.expect_deaths("steward")
        warden.expected_log += ["a hook of an earlier steward"]
        warden.role("steward").kill()
        wait_for(lambda: len(hooks.runs("renew")) == 2, "another renewal")
        hooks.set("renew", gate=None)
        wait_for(lambda: hooks.runs("renew")[1].status == 0, "the end of that")
        client.send(10).read(10)
    first, second = hooks.runs("renew")[:2]
    assert first.status is None and int(second.attempt) == 2
    assert len(hooks.runs("connected")) == 1
    wait_for(hooks.released, "a release")


@pytest.mark.parametrize("on_error", ["refuse", "allow"])
def test_connected_cut_off_by_the_death_of_the_steward(through, backend, on_error):
    """Nobody knows what it did, and it is not run again: on_error decides, as of any failure."""
    warden = through(backend(peers.echo).address, hooked=True, hook={"connected": {"on_error": on_error}})
    hooks = hooks_of(warden)
    hooks.set("connected", gate=True)
    warden.expect_deaths("steward")
    warden.expected_log += ["connected hook was cut off"]
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: hooks.runs("connected"), "connected")
        warden.role("steward").kill()
        wait_for(lambda: warden.log.matching("connected hook was cut off"), "a new steward that knows of it")
        if on_error == "allow":
            client.send(10).read(10).finish()
        assert client.read_to_end().kind == ("eof" if on_error == "allow" else "reset")
    (end,) = warden.log.wait_ends()
    assert end.reason == ("client.closed" if on_error == "allow" else "hook.failed")
    wait_for(hooks.released, "a release")
    assert len(hooks.runs("connected")) == 1


def test_no_byte_is_taken_while_acquiring(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    hooks_of(warden).set("acquire", gate=True)
    with connect(warden.address) as client:
        client.send(100_000)
        wait_for(lambda: hooks_of(warden).runs("acquire"), "the acquire hook")
        stays(lambda: server.accepted == 0, "no connection to the backend", 0.3)
        assert [s["state"] for s in warden.sessions()] == ["acquiring"]
        hooks_of(warden).set("acquire", gate=None)
        client.read(100_000).finish()
        assert client.read_to_end() == End("eof", 0)


def test_client_resets_while_acquiring(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    hooks_of(warden).set("acquire", gate=True)
    client = connect(warden.address).send(10)
    wait_for(lambda: hooks_of(warden).runs("acquire"), "the acquire hook")
    client.reset()
    (end,) = warden.log.wait_ends()
    assert end.reason == "client.reset"
    hooks_of(warden).set("acquire", gate=None)
    wait_for(hooks_of(warden).released, "a release")
    assert server.accepted == 0


def test_half_close_while_acquiring_still_wants_its_answer(through, backend):
    server = backend(peers.answer(50_000))
    warden = through(server.address, hooked=True)
    hooks_of(warden).set("acquire", gate=True)
    with connect(warden.address) as client:
        client.send(10).finish()
        wait_for(lambda: hooks_of(warden).runs("acquire"), "the acquire hook")
        hooks_of(warden).set("acquire", gate=None)
        assert client.read_to_end() == End("eof", 50_000)
    assert server.wait() == [End("eof", 10)]


def test_abort_on_close(through, backend):
    server = backend(peers.answer(50_000))
    warden = through(server.address, hooked=True, abort_on_close=True)
    hooks_of(warden).set("acquire", gate=True)
    with connect(warden.address) as client:
        client.send(10)
        wait_for(lambda: hooks_of(warden).runs("acquire"), "the acquire hook")
        client.finish()
        (end,) = warden.log.wait_ends()
        assert end.reason == "client.closed"
    hooks_of(warden).set("acquire", gate=None)
    wait_for(hooks_of(warden).released, "a release")
    assert server.accepted == 0


def test_release_is_tried_until_it_succeeds(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expected_log += ["release"]
    hooks_of(warden).set("release", exit=4)
    with connect(warden.address) as client:
        client.send(1).read(1)
    wait_for(lambda: len(hooks_of(warden).runs("release")) >= 2, "a second try")
    hooks_of(warden).set("release", exit=None)
    (released,) = wait_for(hooks_of(warden).released, "a release")
    runs = hooks_of(warden).runs("release")
    assert [int(run.attempt) for run in runs] == list(range(1, len(runs) + 1)) and released is not runs[0]


def test_release_that_hangs_is_ended_and_tried_again(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"release": {"timeout": "300ms"}})
    warden.expected_log += ["release"]
    hooks_of(warden).set("release", gate=True)
    with connect(warden.address) as client:
        client.send(1).read(1)
    wait_for(lambda: hooks_of(warden).runs("release"), "the release hook")
    hooks_of(warden).set("release", gate=None)
    wait_for(hooks_of(warden).released, "a release")


def test_concurrency(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"concurrency": 2}, "release": {"concurrency": 3}})
    hooks_of(warden).set("acquire", delay="0.05")
    clients = [connect(warden.address) for _ in range(12)]
    for client in clients:
        client.send(100)
    for client in clients:
        client.read(100).finish()
        assert client.read_to_end() == End("eof", 0)
        client.close()
    wait_for(lambda: len(hooks_of(warden).released()) == 12, "releases")
    assert hooks_of(warden).most_at_once("acquire") == 2
    assert hooks_of(warden).most_at_once("release") <= 3


def test_full_queue_refuses(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"concurrency": 1, "queue": 1}})
    warden.expected_log += ["acquire"]
    hooks_of(warden).set("acquire", gate=True)
    clients = [connect(warden.address) for _ in range(4)]
    ends = warden.log.wait_ends(2)
    assert {end.reason for end in ends} == {"hook.limit"}
    hooks_of(warden).set("acquire", gate=None)
    outcomes = []
    for client in clients:
        try:
            client.send(10).read(10)
            outcomes.append("served")
        except (OSError, AssertionError):
            outcomes.append("refused")
        client.close()
    assert sorted(outcomes) == ["refused"] * 2 + ["served"] * 2


def test_acquire_names_the_backend(through, backend):
    first, second = backend(peers.echo), backend(peers.echo)
    warden = through(first.address, hooked=True)
    hooks_of(warden).set("acquire", output=f"backend={second.address}")
    with connect(warden.address) as client:
        client.send(10).read(10).finish()
        client.read_to_end()
    assert (first.accepted, second.accepted) == (0, 1)
    (released,) = wait_for(hooks_of(warden).released, "a release")
    assert f"{released.backend}:{released.backend_port}" == second.address


def test_complaints_come_to_the_log_with_the_session(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    hooks_of(warden).set("acquire", complaint="licence server \x1b[31mis slow")
    warden.expected_log += ["licence server"]
    with connect(warden.address) as client:
        client.send(1).read(1)
        (session,) = warden.sessions()
    line = warden.log.wait("licence server")
    assert session["id"] in line.text and "\x1b" not in line.text


def test_only_a_release_hook(through, backend):
    warden = through(backend(peers.echo).address, start=False)
    hooks = warden.new_hooks()
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": {"release": hooks.config()["release"]}}]})
    warden.start()
    with connect(warden.address) as client:
        client.send(1).read(1)
    (released,) = wait_for(hooks.released, "a release")
    assert released.reason == "client.closed" and int(released.fence)
    warden.hooks.clear()  # there is no acquire to balance it with


def test_power_cut(through, backend):
    """Everything is killed at once, while some hold, some acquire and some release. The next start gives all of it back."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    hooks = hooks_of(warden)
    holders = [connect(warden.address) for _ in range(5)]
    for client in holders:
        client.send(10).read(10)
    hooks.set("acquire", gate=True)
    waiting = [connect(warden.address) for _ in range(3)]
    wait_for(lambda: len(hooks.runs("acquire")) == 8, "acquire hooks")
    hooks.set("release", gate=True)
    holders[0].finish()
    wait_for(lambda: hooks.runs("release"), "a release hook")
    warden.cut_power()
    for client in holders[1:] + waiting:
        assert client.read_to_end().kind == "reset"  # never a clean end
    hooks.set("acquire", gate=None)
    hooks.set("release", gate=None)
    warden.expected_log = [".*"]  # what a killed tree had to say does not matter
    warden.release_twice = warden.acquire_unknown = True
    warden.start()
    wait_for(lambda: len({run.lease for run in hooks.released()}) == 8, "eight releases")
    by_fence = {run.fence: run for run in hooks.released()}
    recovered = [by_fence[run.fence] for run in hooks.runs("acquire")]
    assert [run.recovered for run in recovered].count("1") >= 7  # all but perhaps the one that was being released
    assert [run.acquired for run in recovered].count("unknown") == 3
    with connect(warden.address) as client:
        client.send(1).read(1)
    assert max(int(run.fence) for run in hooks.runs("acquire")) > max(int(run.fence) for run in recovered)
    for client in holders + waiting:
        client.close()


def test_many_clients_at_once(through, load):
    server = load.backend()
    warden = through(server.address, hooked=True)
    load.client(warden.address, connections=300, parallel=40, kinds="fin,ask,late,client_rst,backend_rst,abrupt", up="0:3000",
                down="0:3000", deadline=60).wait()
    warden.log.wait_ends(300, deadline=30)
    wait_for(lambda: len(hooks_of(warden).released()) == 300, "300 releases", 30)
