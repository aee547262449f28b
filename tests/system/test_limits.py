"""Limits are exact over all relays, through their deaths and at reloads."""
import os
import signal
import socket
import threading

import pytest

import daemon
import peers
from peers import End, connect, free_port
from waiting import wait_for

BUSY = b"busy\r\n"
LIMIT = 5


def limits(per_client=LIMIT, **more):
    """None: no such limit."""
    return {**({"per_client": per_client} if per_client else {}), "reject_message": BUSY.decode(), **more}


def change(warden, **settings):
    warden.configure({"services": [{**warden.settings["services"][0], **settings}]})


def come(warden, source, address=None):
    """(the peer, True) if it is served, (None, False) if it is told why not."""
    peer = connect(address or warden.address, source=source)
    try:
        peer.send(1)
    except (ConnectionResetError, BrokenPipeError):
        pass  # refused already
    if peer.sock.recv(1, socket.MSG_PEEK) == BUSY[:1]:
        assert peer.read_raw() == (BUSY, "eof")
        peer.close()
        return None, False
    return peer.read(1), True


def fill(warden, source, count, address=None):
    """So many are served, and no more."""
    served = []
    for _ in range(count):
        peer, taken = come(warden, source, address)
        assert taken, f"the place {len(served) + 1} of {count} was refused"
        served.append(peer)
    for _ in range(3):
        assert come(warden, source, address) == (None, False)
    return served


def go(served):
    for peer in served:
        peer.finish()
        assert peer.read_to_end() == End("eof", 0)
        peer.close()


def relay_of(session):
    return int(session["id"], 16) & 63


def crowd(warden, source, count):
    """So many at once from one address; those who are served, as they stay."""
    served, lock = [], threading.Lock()

    def one():
        peer, taken = come(warden, source)
        if taken:
            with lock:
                served.append(peer)
    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return served


def over_both_relays(warden, source, served):
    """The same number of sessions, at least one of them at each relay: the kernel chooses whose a connection is."""
    def mine():
        return {relay_of(s) for s in warden.sessions() if s["client"].startswith(source + ":")}
    while mine() != {0, 1}:
        go([served.pop(0)])
        wait_for(lambda: len([s for s in warden.sessions() if s["client"].startswith(source + ":")]) == len(served), "a free place")
        peer, taken = come(warden, (source, 0))
        assert taken
        served.append(peer)
    return served


@pytest.mark.parametrize("family", ["ipv4", "ipv6", "both"])
def test_each_address_has_its_own(through, backend, family):
    """Whatever the port is. On a listener of both families a client of IPv4 is the same as elsewhere."""
    host = {"ipv4": "127.0.0.1", "ipv6": "[::1]", "both": "*"}[family]
    port = free_port("::" if family != "ipv4" else "127.0.0.1")
    more = f"127.0.0.1:{free_port()}"
    warden = through(backend(peers.echo).address, top={"workers": 2}, limits=limits(), start=False)
    change(warden, listen=[f"{host}:{port}"] + ([more] if family == "both" else []))
    warden.start()
    served = []
    if family != "ipv6":
        at = f"127.0.0.1:{port}"
        for source in ("127.0.0.1", "127.0.0.2", "127.1.0.1"):
            served += fill(warden, (source, 0), LIMIT, at)
    if family != "ipv4":
        served += fill(warden, ("::1", 0), LIMIT, f"[::1]:{port}")
    if family == "both":
        assert come(warden, ("127.0.0.2", 0), more) == (None, False)
        wait_for(lambda: (p := warden.log.ends()) and {e.fields["errno"] for e in p} == {"EUSERS"}, "refusals in the log")
    go(served)
    warden.wait_sessions(0)
    served = fill(warden, ("127.0.0.2", 0) if family != "ipv6" else ("::1", 0), LIMIT,
                  f"127.0.0.1:{port}" if family != "ipv6" else f"[::1]:{port}")
    go(served)


def test_services_count_for_themselves_and_the_log_says_which_limit_it_was(through, backend, scratch):
    server = backend(peers.echo)
    warden = through(server.address, limits=limits(2, connections=3), start=False)
    other = f"127.0.0.1:{free_port()}"
    warden.configure({"services": [*warden.settings["services"],
                                   {**warden.settings["services"][0], "name": "other", "listen": [other, f"unix:{scratch}/front"],
                                    "limits": limits(1)}]})
    warden.start()
    served = fill(warden, ("127.0.0.2", 0), 2)
    served += fill(warden, ("127.0.0.2", 0), 1, other)
    served += fill(warden, ("127.0.0.3", 0), 1)  # the service is full
    ends = warden.log.wait_ends(9)
    assert {(end.reason, end.operation) for end in ends} == {("policy.limit", "accept")}
    assert sorted(end.fields["errno"] for end in ends) == ["-"] * 3 + ["EUSERS"] * 6
    served += [connect(f"unix:{scratch}/front").send(1).read(1) for _ in range(3)]  # no address, no limit
    go(served)


def test_a_crowd_from_one_address_never_gets_more(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, top={"workers": 2}, limits=limits())
    for _ in range(5):
        before = server.accepted
        served = crowd(warden, ("127.0.0.2", 0), 80)
        # Of two that race for the last place both may be refused. Nobody has left, so the backend has seen whoever was served.
        assert 1 <= len(served) <= LIMIT and server.accepted - before == len(served)
        served += fill(warden, ("127.0.0.2", 0), LIMIT - len(served))
        over_both_relays(warden, "127.0.0.2", served)
        assert come(warden, ("127.0.0.2", 0)) == (None, False)
        go(served)
        warden.wait_sessions(0)


@pytest.mark.takes(8)
@pytest.mark.parametrize("which", ["per_client", "connections"])
def test_exact_through_deaths_of_relays(through, backend, which):
    """Held by both relays; while the one or the other is dead or adopts, no one more is served, and after it as many as before."""
    count = 300
    warden = through(backend(peers.echo).address, top={"workers": 2},
                     limits=limits(count) if which == "per_client" else limits(None, connections=count))
    warden.expect_deaths("relay")
    served = over_both_relays(warden, "127.0.0.2", fill(warden, ("127.0.0.2", 0), count))
    for turn in range(6):
        over = threading.Event()
        wrongly = []

        def press():
            while not over.is_set():
                peer, taken = come(warden, ("127.0.0.2", 0))
                if taken:
                    wrongly.append(peer)
        pressing = [threading.Thread(target=press) for _ in range(4)]
        for thread in pressing:
            thread.start()
        relay = warden.role(f"relay {turn % 2}")
        os.kill(relay.pid, signal.SIGKILL)
        warden.wait_role(f"relay {turn % 2}", not_this=relay)
        for peer in served:
            peer.send(10).read(10)  # both have adopted
        over.set()
        for thread in pressing:
            thread.join(60)
            assert not thread.is_alive()
        assert not wrongly, f"{len(wrongly)} were served beside the {count}"
    go([served.pop()])
    wait_for(lambda: len([s for s in warden.sessions() if s["client"].startswith("127.0.0.2:")]) == count - 1, "a free place")
    served += fill(warden, ("127.0.0.2", 0), 1)
    go(served)


def test_exact_after_deaths_at_any_point(through, backend):
    if not daemon.build_directory(kill_points=True):
        pytest.skip("TCPWARDEN_BUILD_KILLPOINTS names no build with --enable-kill-points")
    warden = through(backend(peers.echo).address, limits=limits(),
                     daemon={"kill_points": True, "environment": {"TCPWARDEN_KILL_ONE_IN": "300"}})
    warden.expect_deaths("relay")
    for _ in range(20):
        served = fill(warden, ("127.0.0.2", 0), LIMIT) + fill(warden, ("127.0.0.3", 0), LIMIT)
        go(served)
        warden.wait_sessions(0)


def test_a_reload_changes_it(through, backend):
    """A session counts or not as its service did when it began."""
    warden = through(backend(peers.echo).address, top={"workers": 2})

    def reload(per_client):
        change(warden, limits=limits(per_client) if per_client else {})
        assert warden.reload().returncode == 0  # each relay has taken it
    before = [come(warden, ("127.0.0.2", 0))[0] for _ in range(3)]
    assert all(before)
    reload(2)
    served = fill(warden, ("127.0.0.2", 0), 2)
    reload(4)
    served += fill(warden, ("127.0.0.2", 0), 2)
    reload(1)
    assert come(warden, ("127.0.0.2", 0)) == (None, False)
    reload(0)
    uncounted = [come(warden, ("127.0.0.2", 0))[0] for _ in range(4)]
    assert all(uncounted)
    reload(5)
    served += fill(warden, ("127.0.0.2", 0), 1)  # those four, from before, count again
    go(before + uncounted + served)
