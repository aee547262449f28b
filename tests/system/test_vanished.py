"""What sessions say whose peers have vanished, and what a probe of them says."""
import contextlib
import json
import re
import socket
import threading
import time

import pytest

import lab as lab_module
import peers
from lab import Lab, with_port
from peers import connect
from stage import stamp
from test_waits import TIME, says
from waiting import wait_for


@pytest.fixture
def lab():
    if lab_module.why_not():
        pytest.skip(lab_module.why_not())
    with Lab() as made:
        yield made


class Far:
    """A session whose peers can be cut off: their addresses are host["client"] and host["backend"]."""

    def __init__(self, lab, through, make_backend, **settings):
        self.lab = lab
        self.host = {"client": lab.clients.host(4), "backend": lab.backends.host(4)}
        with lab.backends.inside():
            server = make_backend(peers.hold, with_port(self.host["backend"], 5000))
        with lab.warden.inside():
            self.warden = through(server.address, listen=with_port(lab.clients.gateway[4], 5000), **settings)
        with lab.clients.inside():
            self.client = connect(self.warden.address, source=(self.host["client"], 0))
        (self.backend,) = server.wait()
        self.id = self.warden.sessions()[0]["id"]

    def probe(self):
        """(exit status, what it says)"""
        done = self.warden.ctl_run("probe", self.id)
        return done.returncode, done.stdout.strip() + done.stderr.strip()

    def ask(self):
        """A probe whose answer nobody waits for."""
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(self.warden.control)
            asker.sendall(json.dumps({"request": "probe", "id": self.id}).encode() + b"\n")


@pytest.mark.takes(13)
@pytest.mark.parametrize("side", ["client", "backend"])
def test_cut_off(lab, through, backend, side):
    """Idle, and then with bytes outstanding; a peer that is back is alive."""
    far = Far(lab, through, backend)
    cut, other = (far.client, far.backend) if side == "client" else (far.backend, far.client)
    alive, silent = "alive in \\d+ m?s", "no answer in \\d+ s"
    expected = rf"client {silent}, backend {alive}" if side == "client" else rf"client {alive}, backend {silent}"
    lab.cut(far.host[side])
    status, text = far.probe()
    assert status == 1 and re.fullmatch(expected, text), text
    other.send(1000)
    seconds, retry = says(far.warden, rf"no ACK from {side} for {TIME}, retry ([2-9])")
    assert seconds >= 5 and retry >= 2
    status, text = far.probe()
    assert status == 1 and re.fullmatch(expected, text), text
    lab.heal(far.host[side])
    cut.read(1000)
    status, text = far.probe()
    assert status == 0 and re.fullmatch(rf"client {alive}, backend {alive}", text), text
    far.client.close()


def test_keepalive_unanswered(lab, through, backend):
    far = Far(lab, through, backend, client={"dead_after": "30s", "keepalive": {"idle": "1s", "interval": "1s", "count": 20}})
    lab.cut(far.host["client"])
    seconds, probes = says(far.warden, rf"client has not answered a keepalive for {TIME} \((\d) probes?\)")
    assert seconds >= 1 and probes >= 1
    lab.heal(far.host["client"])
    says(far.warden, rf"idle {TIME}, last .*")
    far.client.close()


@pytest.mark.takes(14)
@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_probe_postpones_no_death(lab, through, backend, side):
    """One that was not answered then does not count later."""
    far = Far(lab, through, backend, **{side: {"dead_after": "5s"}})
    dead, alive = (far.client, far.backend) if side == "client" else (far.backend, far.client)
    lab.cut(far.host[side])
    far.ask()
    time.sleep(3.5)
    lab.heal(far.host[side])
    time.sleep(4)  # the kernel asks again, and the policy's numbers come back
    dead.send(1)
    alive.read(1)
    lab.cut(far.host[side])
    began = time.time()
    line = far.warden.log.wait_ends()[0]
    assert line.reason == f"{side}.dead" and 4.9 < stamp(line) - began < 6.5, line
    far.client.close()


@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_death_while_probed(lab, through, backend, side):
    far = Far(lab, through, backend, **{side: {"dead_after": "5s"}})
    dead, alive = (far.client, far.backend) if side == "client" else (far.backend, far.client)
    dead.send(1)
    alive.read(1)
    lab.cut(far.host[side])
    began = time.time()
    while not far.warden.log.ends() and time.time() < began + 20:
        far.ask()
        time.sleep(0.5)
    (line,) = far.warden.log.ends()
    assert line.reason == f"{side}.dead" and 4.9 < stamp(line) - began < 6.5, line
    far.client.close()


def test_gone_meanwhile(lab, through, backend):
    far = Far(lab, through, backend)
    lab.cut(far.host["client"])
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(10)
        asker.connect(far.warden.control)
        asker.sendall(json.dumps({"request": "probe", "id": far.id}).encode() + b"\n")
        far.warden.ctl("kill", "--now", far.id)
        answer = json.loads(asker.makefile().readline())
    assert answer["ok"] and answer["client"] == "gone" and answer["backend"] in ("gone", "alive")
    far.client.close()


def test_who_asks_may_leave(lab, through, backend):
    far = Far(lab, through, backend)
    lab.cut(far.host["client"])
    for _ in range(40):  # more than there may be at once: those that left do not count for long
        # As many as may be at once may not have been noticed to have left: then this one is turned away.
        with socket.socket(socket.AF_UNIX) as asker, contextlib.suppress(BrokenPipeError):
            asker.connect(far.warden.control)
            asker.sendall(json.dumps({"request": "probe", "id": far.id}).encode() + b"\n")
    wait_for(lambda: far.warden.ctl_run("status").returncode == 0, "an answer")
    lab.heal(far.host["client"])
    far.client.close()


@pytest.mark.parametrize("every", [1.0, 4.0])
def test_asking_buys_no_time(lab, through, backend, every):
    """However often it is asked, a dead peer is noticed within dead_after."""
    far = Far(lab, through, backend, client={"dead_after": "5s"})
    lab.cut(far.host["client"])
    over = threading.Event()

    def ask():
        while not over.wait(every):
            with socket.socket(socket.AF_UNIX) as asker:
                asker.connect(far.warden.control)
                asker.sendall(json.dumps({"request": "probe", "id": far.id}).encode() + b"\n")
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        far.warden.wait_sessions(0, 5 * 1.1 + 1 + 0.5)
    finally:
        over.set()
        asking.join()
    (end,) = far.warden.log.ends()
    assert end.reason == "client.dead", end
    lab.heal(far.host["client"])
    far.client.close()


def test_many_requests_behind_one_that_waits(lab, through, backend):
    """They wait for their turn, more of them than a line may be long."""
    far = Far(lab, through, backend)
    lab.cut(far.host["client"])
    lines = [json.dumps({"request": "probe", "id": far.id})] + [json.dumps({"request": "show", "id": far.id})] * 300
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(15)
        asker.connect(far.warden.control)
        asker.sendall("".join(line + "\n" for line in lines).encode())
        asker.shutdown(socket.SHUT_WR)
        answers = [json.loads(line) for line in asker.makefile()]
    assert len(answers) == len(lines) and answers[0]["client"] == "no answer" and all(a["ok"] for a in answers)
    lab.heal(far.host["client"])
    far.client.close()
