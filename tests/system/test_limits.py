"""Limits are exact over all relays, through their deaths and at reloads."""
import os
import signal
import socket
import threading

import peers
from peers import End, connect
from waiting import wait_for

BUSY = b"busy\r\n"


def limits(**numbers):
    return {**numbers, "reject_message": BUSY.decode()}


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


def test_exact_through_deaths_of_relays(through, backend):
    """Held by both relays; while the one or the other is dead or adopts, no one more is served, and after it as many as before."""
    count = 300
    warden = through(backend(peers.echo).address, top={"workers": 2},
                     limits=limits(connections=count))
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
