"""No peer can tell from what it reads, and from how it ends, that something stands between: each case is played over a direct connection
and through tcpwarden, and both peers' stories must be the same. Where they are not, DIFFERENCES says so, and tcpwarden(8) why."""
import collections
import concurrent.futures
import os
import re

import pytest

import direct
from differences import DIFFERENCES, SOMETIMES, UNIX_DIFFERENCES
from direct_cases import CASES
from peers import End, connect, free_port
from settings import service
from waiting import wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def addresses(kind, scratch, count):
    if kind == "unix":
        return [f"unix:{scratch}/{os.urandom(4).hex()}" for _ in range(count)]
    host, form = {"ipv4": ("127.0.0.1", "{}:{}"), "ipv6": ("::1", "[{}]:{}")}[kind]
    return [form.format(host, free_port(host)) for _ in range(count)]


def played(tcpwarden, scratch, kind):
    """(case, the two stories without, the two stories through tcpwarden, what the log says) of all cases."""
    cases = [c for c in CASES if not (c.tcp and kind == "unix")]
    fronts, backs, plain = (addresses(kind, scratch, len(cases)) for _ in range(3))
    warden = tcpwarden({"services": [service(f"case-{i}", fronts[i], backs[i], **c.settings) for i, c in enumerate(cases)]})

    def one(i):
        return direct.play(cases[i], plain[i], plain[i]), direct.play(cases[i], fronts[i], backs[i])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        stories = list(pool.map(one, range(len(cases))))
    ends = {end.service: end for end in warden.log.wait_ends(len(cases))}
    assert warden.status()["ends"] == collections.Counter(end.reason for end in ends.values())
    said = [" ".join((end.reason, end.operation, end.errno, end.state)) for end in (ends[f"case-{i}"] for i in range(len(cases)))]
    return [(c, without, through, log) for c, (without, through), log in zip(cases, stories, said)]


@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "unix"])
def test_peers_tell_the_same_story(tcpwarden, scratch, kind):
    differences = UNIX_DIFFERENCES if kind == "unix" else DIFFERENCES
    wrong = []
    for c, without, through, log in played(tcpwarden, scratch, kind):
        known = differences.get(c.name)
        if known and not (c.name in SOMETIMES and through == without):
            for who, a, b, listed in zip(("client", "backend"), without, through, (known.client, known.backend)):
                if listed is not None and b not in listed:
                    wrong.append(f"{c.name}: {who}: {b}, listed is {listed}")
                elif listed is not None and a in listed:
                    wrong.append(f"{c.name}: {who}: {b}, as without us: that difference is none any more")
                elif listed is None and a != b:
                    wrong.append(f"{c.name}: {who}: {b}, without us {a}")
        elif through != without:
            wrong.append(f"{c.name}: {through}, without us {without}")
        if kind != "unix" and log not in c.log:
            wrong.append(f"{c.name}: the log says {log}, not {c.log}")
    assert not wrong, "\n".join(wrong)


def test_resets_between_tcp_and_unix_sockets(through, backend, scratch):
    """A unix peer is told of none; of its own, that bytes were left unread when it closed."""
    def over_unread_bytes(peer):
        wait_for(lambda: peer.unread() == 1000, "unread bytes")
        peer.close()
    server = backend(over_unread_bytes, address=f"unix:{scratch}/back")
    warden = through(server.address)
    with connect(warden.address) as client:
        assert client.send(1000).read_to_end() == End("reset", 0)
    server = backend(lambda peer: peer.read(1000).send(500) and peer.reset())
    warden = through(server.address, listen=f"unix:{scratch}/front")
    with connect(warden.address) as client:
        assert client.send(1000).read_to_end() == End("eof", 500)
    assert warden.log.wait_ends()[0].reason == "backend.reset"


def test_the_manual_has_each_difference():
    with open(os.path.join(ROOT, "doc", "tcpwarden.8")) as f:
        section = f.read().split(".Sh DIFFERENCES FROM A DIRECT CONNECTION")[1].split(".Sh")[0]
    listed = set(re.findall(r"^\.It (.*)$", section, re.M))
    table = {**DIFFERENCES, **UNIX_DIFFERENCES}
    assert {known.because for known in table.values()} == listed
    assert set(table) <= {c.name for c in CASES} and set(SOMETIMES) <= set(table)
