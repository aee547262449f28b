"""Sessions that tcpwarden ends, and sessions whose tcpwarden is no more: what both peers see."""
import pytest

import direct
import peers
from peers import End, connect, free_port
from waiting import wait_for

MB = 1 << 20


# half: the side that has ended its own stream before.
@pytest.mark.parametrize("mode, now, kind", [
    ("reset", False, "reset"),
    ("close", False, "eof"),
    ("reset_now", False, "reset"),
    ("reset", True, "reset"),
    ("close", True, "reset"),
])
@pytest.mark.parametrize("half", [None, "client", "backend"])
def test_kill(through, backend, mode, now, kind, half):
    server = backend(peers.hold)
    warden = through(server.address, hooked=True, on_policy_end=mode)
    with connect(warden.address) as client:
        client.send(1000)
        (peer,) = server.wait()
        peer.read(1000).send(2000)
        client.read(2000)
        ended = {"client": client, "backend": peer}.get(half)
        other = {"client": peer, "backend": client}.get(half)
        if half:
            ended.finish()
            assert other.read_to_end() == End("eof", 0)
        (session,) = warden.sessions()
        warden.ctl("kill", *(["--now"] if now else []), session["id"])
        for one in {client, peer} - {other}:
            assert one.read_to_end() == End(kind, 0)
        if other and kind == "reset":  # it has read its end before; that a reset came now, a send tells
            assert said_to(other) == "EPIPE"
        peer.close()
    (end,) = warden.log.wait_ends()
    assert (end.reason, end.operation, end.errno, end.state) == ("operator.killed", "-", "-", "relaying")
    assert (end.bytes_to_backend, end.bytes_to_client) == ("1000", "2000")
    assert wait_for(warden.hooks["hooks"].released, "a release")[0].reason == "operator.killed"


@pytest.mark.parametrize("death", [False, True])
def test_an_orderly_end_waits_for_the_peers(through, backend, death):
    """Closed by us in order, both may go on to speak for a while, into the void and not into a reset; also over a relay's death."""
    server = backend(peers.hold)
    warden = through(server.address, on_policy_end="close")
    with connect(warden.address) as client:
        client.send(1000)
        (peer,) = server.wait()
        peer.read(1000)
        (session,) = warden.sessions()
        warden.ctl("kill", session["id"])
        for one in (client, peer):
            assert one.read_to_end() == End("eof", 0)
        for _ in range(3):
            for one in (client, peer):
                one.send(100_000)
                wait_for(lambda one=one: one.unacknowledged() == 0, "acknowledgement")
            if death:
                warden.expect_deaths("relay")
                relay = warden.role("relay 0")
                relay.kill()
                warden.wait_role("relay 0", relay)
        client.finish()
        wait_for(lambda: client.sock.getsockopt(6, 11, 1)[0] == 7, "both ends on the client's side")  # TCP_INFO: CLOSE
        assert len(warden.sessions()) == 1  # and the backend is waited for
        peer.close()
    (end,) = warden.log.wait_ends()
    assert end.reason == "operator.killed"


def said_to(peer, deadline=15):
    """What sends are told, as soon as they are told anything."""
    def failed():
        try:
            peer.sock.send(b".")
        except OSError as e:
            return direct.word(e)
        return None
    return wait_for(failed, "a send that fails", deadline)


@pytest.mark.parametrize("now", [False, True])
def test_kill_delivers_what_it_has_unless_now(through, backend, now):
    """More than one socket holds waits for a client that does not read yet."""
    server = backend(peers.hold)
    warden = through(server.address)
    with connect(warden.address, receive_buffer=8192) as client:
        (peer,) = server.wait()
        peer.send_until_full(4 * MB)
        (session,) = warden.sessions()
        warden.ctl("kill", *(["--now"] if now else []), session["id"])
        if now:
            warden.wait_sessions(0)
        end = client.read_to_end()
        (line,) = warden.log.wait_ends()
        taken = int(line.bytes_to_client)
        assert end.kind == "reset" and (end.bytes < taken if now else end.bytes == taken)


# Death of all our processes: a reset, never a clean end, in every state.

def idle(client, peer):
    return [client, peer]


def in_mid_transfer(client, peer):
    peer.send_until_full(4 * MB)
    return [client, peer]


def client_has_ended(client, peer):
    client.finish()
    assert peer.read_to_end() == End("eof", 10)
    return [client]


def backend_has_ended(client, peer):
    peer.finish()
    assert client.read_to_end() == End("eof", 0)
    return [peer]


def client_has_ended_and_the_answer_comes(client, peer):
    client.finish()
    assert peer.read_to_end() == End("eof", 10)
    peer.send_until_full(4 * MB)
    return [client]


def closing_and_the_client_does_not_read(client, peer):
    """Both have ended; the backend's bytes and its end are on their way to a client that takes none."""
    peer.send_until_full(4 * MB)
    peer.finish()
    client.finish()
    return [client]


def backend_has_reset_and_the_client_does_not_read(client, peer):
    peer.send_until_full(4 * MB)
    peer.reset()
    return [client]


STATES = [idle, in_mid_transfer, client_has_ended, backend_has_ended, client_has_ended_and_the_answer_comes,
          closing_and_the_client_does_not_read, backend_has_reset_and_the_client_does_not_read]


def test_power_cut(through, backend):
    server = backend(peers.hold)
    warden = through(server.address)
    watched, kept = [], []
    for state in STATES:
        count = len(server.results)
        client = connect(warden.address, receive_buffer=8192).send(10)
        peer = wait_for(lambda: len(server.results) > count and server.results[-1], "the backend's connection")
        kept += [client, peer]
        watched += [(state.__name__, one) for one in state(client, peer)]
    warden.cut_power()
    warden.ended = True
    ended = [(name, one.read_to_end().kind) for name, one in watched]
    for one in kept:
        one.close()
    assert [e for e in ended if e[1] != "reset"] == []


def test_power_cut_before_there_is_a_backend(through, backend):
    full, waiting = direct.listen(f"127.0.0.1:{free_port()}", full=True)
    acquiring = through(backend(peers.hold).address, hooked=True)
    connecting = through("%s:%d" % full.getsockname(), backend={"connect_timeout": "60s"})
    acquiring.hooks["hooks"].set("acquire", gate=True)
    clients = [connect(acquiring.address).send(10), connect(acquiring.address).finish(), connect(connecting.address).send(10)]
    wait_for(lambda: len(acquiring.hooks["hooks"].runs("acquire")) == 2, "acquire hooks")
    wait_for(lambda: [s["state"] for s in connecting.sessions()] == ["connecting"], "a session that connects")
    for warden in (acquiring, connecting):
        warden.cut_power()
        warden.ended = True
    assert [client.read_to_end().kind for client in clients] == ["reset"] * 3
    for sock in (full, *waiting, *clients):
        sock.close()
    acquiring.hooks["hooks"].set("acquire", gate=None)
    acquiring.start()
    wait_for(lambda: not acquiring.hooks["hooks"].imbalance(twice=True, unknown=True), "releases")
    acquiring.acquire_unknown = acquiring.release_twice = True
