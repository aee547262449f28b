"""`tcpwardenctl probe`: proof of life on demand."""
import json
import re
import socket
import threading
import time

import peers
from daemon import Daemon
from lab import Lab, with_port
from peers import connect
from settings import service
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


def test_hundreds_at_once(through, backend):
    """More than may be asked in the time that one question lasts, by as many as may ask at once."""
    warden = through(backend(peers.hold).address)
    clients = [connect(warden.address) for _ in range(400)]
    warden.wait_sessions(len(clients))
    ids = [o["id"] for o in warden.sessions()]
    answers = []

    def ask():
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(20)
            asker.connect(warden.control)
            lines = asker.makefile()
            while ids:
                asker.sendall(json.dumps({"request": "probe", "id": ids.pop()}).encode() + b"\n")
                answers.append(json.loads(lines.readline()))

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(answers) == len(clients)
    assert {(a["ok"], a.get("client"), a.get("backend")) for a in answers} == {(True, "alive", "alive")}
    for client in clients:
        client.close()


def test_lost_question_ends_nobody():
    """Not even where user_timeout has long passed since the peer's last sign of life: the kernel would end it at the second question."""
    with Lab() as lab:
        with lab.backends.inside():
            backend = peers.Backend(peers.echo, with_port(lab.backends.host(4), 5000))
        door, host = with_port(lab.clients.gateway[4], 7000), lab.clients.host(4)
        quiet = {"keepalive": {"idle": "1h", "interval": "60s", "count": 3}, "user_timeout": "2s"}
        warden = Daemon({"services": [service("echo", door, backend.address, client=quiet)]})
        try:
            with lab.warden.inside():
                warden.start()
            with lab.clients.inside():
                client = connect(door, source=(host, 0))
            client.send(10).read(10)
            (session,) = warden.sessions()
            time.sleep(3)  # silent for longer than user_timeout
            lab.cut(host)
            threading.Timer(2.5, lab.heal, [host]).start()
            (answer,) = warden.ctl_json("probe", session["id"])
            assert answer["client"] == "alive", answer
            client.send(10).read(10)
            client.close()
            backend.close()
            warden.stop()
        finally:
            warden.end_by_force()
            warden.discard()
