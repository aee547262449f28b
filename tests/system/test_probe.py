"""`tcpwardenctl probe`: proof of life on demand."""
import re

import peers
from peers import connect
from test_waits import TIME, says, stopped


def probe(warden):
    (session,) = warden.sessions()
    return warden.ctl("probe", session["id"]).strip(), warden.ctl_json("probe", session["id"])[0]


def test_alive(through, backend):
    warden = through(backend(peers.echo).address)
    with connect(warden.address) as client:
        client.send(10).read(10)
        text, answer = probe(warden)
        assert re.fullmatch(r"client alive in \d+ m?s, backend alive in \d+ m?s", text)
        assert (answer["ok"], answer["client"], answer["backend"]) == (True, "alive", "alive")
        assert 0 < answer["client_ms"] < 2000 and 0 < answer["backend_ms"] < 2000
        assert warden.ctl_run("probe", "123456").returncode == 1
        client.send(10).read(10)


def test_unix_sockets_are_not_asked(through, backend, scratch):
    warden = through(backend(peers.echo).address, listen=f"unix:{scratch}/front")
    with connect(warden.address) as client:
        client.send(10).read(10)
        text, answer = probe(warden)
        assert text.startswith("client not asked (unix socket), backend alive in ")
        assert answer["client"] == "not asked (unix socket)" and "client_ms" not in answer


def test_a_stopped_reader_lives(small_buffers, through, backend):
    """With bytes outstanding it is the kernel that asks, ever more seldom: its next question is waited for."""
    warden, client, peer = stopped(small_buffers, through, backend, "client")
    says(warden, r"client not reading for ([7-9]) s")
    (answer,) = warden.ctl_json("probe", warden.sessions()[0]["id"])
    assert (answer["client"], answer["backend"]) == ("alive", "alive")
    says(warden, rf"client not reading for {TIME}")
    client.close()
    peer.close()
