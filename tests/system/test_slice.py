"""One session through the whole tree: supervisor, steward, holder and relay."""
import os
import re

import peers
from daemon import separated
from peers import End, connect
from waiting import wait_for


def test_one_session_with_acquire_and_release(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    hooks = warden.hooks["hooks"]
    hooks.set("acquire", output="SEAT=7")
    with connect(warden.address) as client:
        client.send(100_000).read(100_000)
        (session,) = warden.sessions()
        assert (session["service"], session["backend"]) == ("echo", server.address)
        client.finish()
        assert client.read_to_end() == End("eof", 0)
    (acquired,) = hooks.runs("acquire")
    (released,) = wait_for(hooks.released, "a release")
    for run in (acquired, released):
        assert (run.service, run.client, run.local) == ("echo", "127.0.0.1", "127.0.0.1")
        assert run.local_port == warden.address.split(":")[1]
        assert (run.lease, run.fence, run.session) == (acquired.lease, acquired.fence, session["id"])
    assert int(acquired.fence) == int(acquired.lease, 16) > 1_600_000_000_000_000
    assert (released.reason, released.bytes_to_backend, released.bytes_to_client) == ("client.closed", "100000", "100000")
    assert (released.undelivered_to_backend, released.undelivered_to_client) == ("0", "0")
    assert (released.backend, released.backend_port) == tuple(server.address.split(":"))
    assert (released.attempt, released.recovered, released.acquired, released.var_seat) == ("1", "0", "yes", "7")
    (end,) = warden.log.wait_ends()
    assert (end.session, end.lease, end.reason, end.backend) == (session["id"], acquired.lease, "client.closed", server.address)
    assert (end.bytes_to_backend, end.bytes_to_client) == ("100000", "100000")


def test_one_session_without_hooks(through, backend):
    server = backend(peers.echo)
    warden = through(server.address)
    with connect(warden.address) as client:
        client.send(1).read(1).finish()
        assert client.read_to_end() == End("eof", 0)
    (end,) = warden.log.wait_ends()
    assert (end.reason, end.lease, end.bytes_to_backend, end.bytes_to_client) == ("client.closed", "-", "1", "1")


def test_tree_is_what_the_design_says(through, backend):
    warden = through(backend(peers.echo).address, top={"workers": 2})
    roles = warden.roles()
    assert set(roles) == {"steward", "holder 0", "relay 0", "holder 1", "relay 1"}
    if separated():
        users = {title: p.uid for title, p in {"supervisor": warden.role("supervisor"), **roles}.items()}
        assert len({users["supervisor"], users["steward"]}) == 1 and 0 not in users.values()
        assert users["relay 0"] == users["holder 1"] != users["steward"]
        assert roles["relay 0"].capabilities == roles["holder 0"].capabilities == 0
        assert roles["steward"].capabilities == 1 << 10  # CAP_NET_BIND_SERVICE


def test_two_relays_share_the_connections(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"workers": 2})
    clients = [connect(warden.address) for _ in range(30)]
    for client in clients:
        client.send(1000).read(1000)
    assert len({session["id"] for session in warden.sessions()}) == 30
    for client in clients:
        client.finish()
        assert client.read_to_end() == End("eof", 0)
        client.close()
    warden.log.wait_ends(30)


def test_hooks_get_nothing_but_what_is_meant_for_them(through, backend, scratch):
    spy = os.path.join(scratch, "spy")
    with open(spy, "w") as f:
        f.write("#!/bin/sh\nenv >%s/environment\nls -l /proc/$$/fd >%s/descriptors\ngrep Cap /proc/$$/status >%s/capabilities\n"
                "grep Sig[BI] /proc/self/status >%s/signals\ncut -d' ' -f5,6 /proc/$$/stat >%s/groups\necho $$ >>%s/groups\n"
                % ((scratch,) * 6))
    os.chmod(spy, 0o755)
    warden = through(backend(peers.echo).address, hooks={"acquire": {"command": [spy, "take"]}})
    with connect(warden.address) as client:
        client.send(10).read(10)
    read = (lambda name: open(os.path.join(scratch, name)).read())
    names = {line.split("=", 1)[0] for line in read("environment").splitlines()}
    unknown = {n for n in names if not n.startswith("TCPWARDEN_")} - {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "HOME", "USER",
                                                                     "LOGNAME", "SHELL", "TZ"}
    assert not unknown and "TCPWARDEN_LIBEXECDIR" not in names and "TCPWARDEN_FENCE" in names
    # dash itself keeps its script and a saved standard output from 10 on.
    descriptors = {int(n): target for n, target in re.findall(r" (\d+) -> (\S+)", read("descriptors"))}
    assert {n for n in descriptors if n < 10} == {0, 1, 2}, descriptors
    assert all(target.startswith((scratch, "/dev/null", "pipe:")) for target in descriptors.values()), descriptors
    assert all(line.split()[1].strip("0") == "" for line in read("capabilities").splitlines()
               if line.startswith(("CapPrm", "CapEff", "CapAmb", "CapInh"))), read("capabilities")
    assert all(int(line.split()[1], 16) & 0x7fffffff == 0 for line in read("signals").splitlines()), read("signals")
    group, own = read("groups").split("\n")[0].split()[0], read("groups").split("\n")[1]
    assert group == own
