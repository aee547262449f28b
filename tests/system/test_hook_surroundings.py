"""All that a hook in exec mode finds around it, as config and manual promise it, for each kind of hook."""
import json
import os
import pwd
import sqlite3

import pytest

import peers
from daemon import daemon_user
from peers import connect
from waiting import wait_for

EVENTS = ("acquire", "connected", "renew", "release", "prepare_listen", "shutdown")
OF_LEASES = EVENTS[:4]
ODD = ["", "two words", "$HOME `id` $(id)", "*", "'\"\\", "a\nb", "; exit 1", "\u00e9"]

# Python, since a shell adds to its environment and opens descriptors of its own.
PROGRAM = """#!/usr/bin/python3 -IS
import json, os, shutil, stat, sys
descriptors = sorted(int(n) for n in os.listdir("/proc/self/fd"))
event = os.environ.get("TCPWARDEN_EVENT")
here = {directory!r}
for name in os.listdir({state!r}):  # as they stood when this began to run
    if name.startswith("leases.db"):
        shutil.copy(os.path.join({state!r}, name), os.path.join(here, event + "-" + name))
opened = os.open("/dev/null", os.O_RDONLY)
os.close(opened)
umask = os.umask(0)
os.umask(umask)
with open("/proc/self/status") as f:
    status = dict(line.rstrip("\\n").split(":\\t", 1) for line in f if ":\\t" in line)
with open("/proc/self/stat") as f:
    start = f.read().rsplit(")", 1)[1].split()[19]
seen = {{"argv": sys.argv, "environment": dict(os.environ), "descriptors": descriptors[:-1], "free": opened, "start": int(start),
        "stdin": os.read(0, 1).decode(), "stdin_path": os.readlink("/proc/self/fd/0"), "directory": os.getcwd(), "umask": umask,
        "pid": os.getpid(), "group": os.getpgrp(), "session": os.getsid(0), "uid": os.getuid(), "status": status}}
with open(os.path.join(here, event + ".new"), "w") as f:
    json.dump(seen, f)
os.rename(os.path.join(here, event + ".new"), os.path.join(here, event))
print("SEAT=7", flush=True)
print("first line\\nsecond line", file=sys.stderr, flush=True)
"""

ALWAYS = {"EVENT", "SERVICE"}
OF_A_LEASE = ALWAYS | {"LEASE", "FENCE", "SESSION", "CLIENT", "CLIENT_PORT", "LOCAL", "LOCAL_PORT", "ATTEMPT"}
LATER = OF_A_LEASE | {"BACKEND", "BACKEND_PORT", "BYTES_TO_BACKEND", "BYTES_TO_CLIENT", "DURATION_MS", "ACQUIRED", "VAR_SEAT"}
AT_ITS_END = LATER | {"REASON", "OPERATION", "ERRNO", "UNDELIVERED_TO_BACKEND", "UNDELIVERED_TO_CLIENT", "RECOVERED"}
NAMES = {"acquire": OF_A_LEASE, "connected": LATER, "renew": LATER, "release": AT_ITS_END, "prepare_listen": ALWAYS, "shutdown": ALWAYS}


@pytest.fixture
def looked(scratch, through, backend):
    """looked(): what each found, after one session with 10 bytes each way."""
    def make():
        server = backend(peers.echo)
        work = os.path.join(scratch, "work")
        os.mkdir(work)
        os.chmod(work, 0o777)
        warden = through(server.address, start=False, daemon={"environment": {"LANG": "C.UTF-8", "SECRET": "not theirs"}})
        program = os.path.join(scratch, "look")
        with open(program, "w") as f:
            f.write(PROGRAM.format(directory=scratch, state=warden.state))
        os.chmod(program, 0o755)
        hook = {"command": [program, *ODD], "directory": work, "umask": "0031", "environment": ["LICENCE=27000@licences", "EMPTY="]}
        hooks = {event: {**hook, **({"every": "1s"} if event == "renew" else {})} for event in EVENTS}
        warden.configure({"services": [{**warden.settings["services"][0], "hooks": hooks}]})
        warden.start()
        with connect(warden.address) as client:
            host, port = client.sock.getsockname()
            client.send(10).read(10)
            wait_for(lambda: os.path.exists(os.path.join(scratch, "renew")), "a renewal")
            (session,) = warden.sessions()
        wait_for(lambda: os.path.exists(os.path.join(scratch, "release")), "a release")
        warden.stop()
        found = {event: json.load(open(os.path.join(scratch, event))) for event in EVENTS}
        return warden, server, found, session, (host, str(port))
    return make


def leases_at(scratch, event):
    """The rows on disk when that hook began to run."""
    copy = os.path.join(scratch, f"{event}-leases.db")
    with sqlite3.connect(copy) as database:
        return [json.loads(row) for (row,) in database.execute("SELECT record FROM lease")]


def test_of_all_of_them(looked, scratch):
    warden, server, found, session, client = looked()
    program = os.path.join(scratch, "look")
    user = daemon_user()
    for event, it in found.items():
        assert it["argv"] == [program, *ODD], event  # whole, and no shell has seen it
        assert it["descriptors"] == [0, 1, 2] and it["free"] == 3, event
        assert (it["stdin"], it["stdin_path"]) == ("", "/dev/null"), event
        assert it["directory"] == os.path.join(scratch, "work") and it["umask"] == 0o031, event
        assert it["pid"] == it["group"] == it["session"], event
        assert all(int(it["status"][f"Cap{name}"], 16) == 0 for name in ("Inh", "Prm", "Eff", "Amb")), event
        assert int(it["status"]["SigBlk"], 16) == 0, event
        assert user is None or it["uid"] == pwd.getpwnam(user).pw_uid, event
        own = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LICENCE": "27000@licences", "EMPTY": ""}
        theirs = {name: value for name, value in it["environment"].items() if not name.startswith("TCPWARDEN_")}
        theirs.pop("LC_CTYPE", None)  # Python's own, where LANG was C
        assert theirs == own, event
        assert {name.removeprefix("TCPWARDEN_") for name in it["environment"] if name.startswith("TCPWARDEN_")} == NAMES[event], event

    def told(event, *names):
        return tuple(found[event]["environment"][f"TCPWARDEN_{name}"] for name in names)
    for event in EVENTS:
        assert told(event, "EVENT", "SERVICE") == (event, "echo")
    lease, fence = told("acquire", "LEASE", "FENCE")
    assert int(lease, 16) == int(fence)
    for event in OF_LEASES:
        assert told(event, "LEASE", "FENCE", "SESSION") == (lease, fence, session["id"])
        assert told(event, "CLIENT", "CLIENT_PORT") == client
        assert ":".join(told(event, "LOCAL", "LOCAL_PORT")) == warden.address
        assert told(event, "ATTEMPT") == ("1",) or event == "renew"
    for event in ("connected", "renew", "release"):
        assert ":".join(told(event, "BACKEND", "BACKEND_PORT")) == server.address
        assert told(event, "ACQUIRED", "VAR_SEAT") == ("yes", "7")
    assert told("renew", "BYTES_TO_BACKEND", "BYTES_TO_CLIENT") == ("10", "10") and int(*told("renew", "DURATION_MS")) >= 900
    assert told("release", "BYTES_TO_BACKEND", "BYTES_TO_CLIENT", "UNDELIVERED_TO_BACKEND", "UNDELIVERED_TO_CLIENT") == ("10", "10", "0", "0")
    assert told("release", "REASON", "OPERATION", "ERRNO", "RECOVERED") == ("client.closed", "receive", "0", "0")

    # Before any of them ran, its process group was on disk: number, and the time since boot when it began.
    for event in OF_LEASES:
        (row,) = leases_at(scratch, event)
        assert (row["hook"]["pgid"], int(row["hook"]["start"], 16)) == (found[event]["pid"], found[event]["start"]), event
        assert row["hook"]["boot"] == open("/proc/sys/kernel/random/boot_id").read().strip()

    # What they say, by the line, with the session.
    for event in OF_LEASES:
        for words in ("first line", "second line"):
            (line, *_) = warden.log.matching(f"{event} hook: {words}")
            assert session["id"] in line.text


def test_turns_come_in_the_order_of_arrival(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"concurrency": 1, "queue": 10}})
    hooks = warden.hooks["hooks"]
    hooks.set("acquire", gate=True)
    clients = []
    for n in range(8):
        clients.append(connect(warden.address))
        warden.wait_sessions(n + 1)
    assert len(hooks.runs("acquire")) == 1
    hooks.set("acquire", gate=None)
    for client in clients:
        client.send(10).read(10)
    assert [run.client_port for run in hooks.runs("acquire")] == [str(c.sock.getsockname()[1]) for c in clients]
    for client in clients:
        client.close()


def test_releases_wait_and_are_never_refused(through, backend):
    """Also by far more than acquires may."""
    warden = through(backend(peers.echo).address, hooked=True, hook={"acquire": {"concurrency": 40}, "release": {"concurrency": 1}})
    hooks = warden.hooks["hooks"]
    hooks.set("release", gate=True)
    clients = [connect(warden.address) for _ in range(30)]
    for client in clients:
        client.send(10).read(10)
    for client in clients:
        client.close()
    wait_for(lambda: hooks.runs("release"), "the first release")
    warden.log.wait_ends(30)
    assert len(hooks.runs("release")) == 1
    hooks.set("release", gate=None)
    wait_for(lambda: len(hooks.released()) == 30, "30 releases")
    assert hooks.most_at_once("release") == 1
