"""The watch for dead peers costs nothing where nothing is outstanding."""
import contextlib
import threading

import pytest

import peers
import syscalls
from peers import connect
from waiting import wait_for

MB = 1 << 20
SESSIONS = 200
WATCHED = {"client": {"dead_after": "3s"}, "backend": {"dead_after": "3s"}}
WAITS = {"epoll_wait", "epoll_pwait", "restart_syscall"}  # all that a relay needs to let time pass
SECONDS = 10
BEATS_A_SECOND = 4


@pytest.fixture(autouse=True)
def strace():
    if not syscalls.available():
        pytest.skip("needs strace")


@pytest.mark.takes(15)
@pytest.mark.parametrize("rto_max", [True, False], ids=["rto_max", "paced"])
def test_idle_sessions_cost_no_system_calls(through, backend, rto_max):
    server = backend(peers.hold)
    warden = through(server.address, daemon={"environment": {} if rto_max else {"TCPWARDEN_NO_RTO_MAX": "1"}}, **WATCHED)
    relay = warden.role("relay 0")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(warden.address)) for _ in range(SESSIONS)]
        for client, answerer in zip(clients, server.wait(SESSIONS)):
            client.send(10)
            answerer.send(10)
        for client in clients:
            client.read(10)
        # Each was looked at once more after its bytes, and found to be owed nothing.
        wait_for(lambda: not set(syscalls.counted(relay.pid, 1)) - WAITS, "a second in which the relay only waits")
        calls = syscalls.counted(relay.pid, SECONDS)
        assert not set(calls) - WAITS, calls
        # Each beat is a turn of two loops; any that are woken besides would be woken for the sessions.
        assert sum(calls.values()) <= SECONDS * BEATS_A_SECOND * 2 + 10, calls
        warden.wait_sessions(SESSIONS)
        # One that has something to wait for is looked at, and the counting sees it.
        talk = threading.Timer(0.5, lambda: clients[0].send(10))
        talk.start()
        calls = syscalls.counted(relay.pid, 3)
        talk.join()
        assert calls.get("getsockopt", 0) >= 1 and calls.get("recvfrom", 0) >= 1, calls


@pytest.mark.takes(10)
def test_look_at_a_stalled_session_is_one_system_call(through, backend):
    server = backend(peers.hold, send_buffer=16384)
    warden = through(server.address, **WATCHED)
    relay = warden.role("relay 0")
    with connect(warden.address, receive_buffer=4096):
        (answerer,) = server.wait()
        answerer.send_until_full(64 * MB)
        looks = {"getsockopt"}
        wait_for(lambda: not set(syscalls.counted(relay.pid, 1)) - WAITS - looks, "a second in which the relay only looks")
        calls = syscalls.counted(relay.pid, 5)
        assert not set(calls) - WAITS - looks, calls
        assert 3 <= calls.get("getsockopt", 0) <= 20, calls
        answerer.reset()
    warden.wait_sessions(0)
