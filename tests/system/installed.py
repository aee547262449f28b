"""The service as its unit runs it, installed under a real systemd (systemd_lab.py)."""
import contextlib
import json
import os
import shutil
import subprocess
import time

import pytest

import systemd_lab

BUILD = os.environ.get("TCPWARDEN_BUILD", os.getcwd())
DEADLINE = 30.0
PORT = 5020

CONFIG = """\
workers = 1;
state_directory = "/var/lib/tcpwarden";
control: { socket = "/run/tcpwarden/control.sock"; };
shutdown_timeout = "2s";
services: (
  { name = "echo"; listen = "127.0.0.1:%d"; backends = "127.0.0.1:7";
    hooks = { acquire = { command = "/etc/tcpwarden/seat"; }; release = { command = "/etc/tcpwarden/seat"; }; }; }
);
"""
HOOK = '#!/bin/sh\necho "$TCPWARDEN_EVENT $TCPWARDEN_LEASE" >>/var/lib/tcpwarden/seats\n'

BACKEND = """
import os, socket, threading
def echo(c):
    try:
        while data := c.recv(65536):
            c.sendall(data)
    except OSError:
        pass
    c.close()
s = socket.create_server(("127.0.0.1", 7))
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
"""
CLIENT = """
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
c.sendall(b"hello")
assert c.recv(5, socket.MSG_WAITALL) == b"hello"
if len(sys.argv) > 2:
    print("talked", flush=True)
    sys.stdin.read(1)
    c.sendall(b"again")
    assert c.recv(5, socket.MSG_WAITALL) == b"again"
c.shutdown(socket.SHUT_WR)
assert c.recv(1) == b""
"""


@contextlib.contextmanager
def booted(stage):
    """A container with `make install` done, by way of that directory, and the users made."""
    made = subprocess.run(["make", "-C", BUILD, "install", f"DESTDIR={stage}"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    with systemd_lab.SystemdLab() as lab:
        lab.install(stage)
        lab.run("systemd-sysusers")
        yield lab


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Booted; the service does not run yet."""
    reason = systemd_lab.why_not()
    if reason:
        pytest.skip(reason)
    tools = tmp_path_factory.mktemp("tools")
    os.mkdir(tools / "opt")
    shutil.copy(os.path.join(BUILD, "tests", "load", "tcpload"), tools / "opt" / "tcpload")
    with booted(tmp_path_factory.mktemp("stage")) as lab:
        lab.write("/etc/tcpwarden/seat", HOOK)
        lab.run("chmod", "755", "/etc/tcpwarden", "/etc/tcpwarden/seat")
        lab.install(tools)
        configure(lab, PORT)
        if "ASAN_OPTIONS" in os.environ:
            # LeakSanitizer traces, which the sandbox does not let it.
            lab.write("/etc/systemd/system/tcpwarden.service.d/asan.conf", "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")
        lab.run("systemctl", "daemon-reload")
        # As a unit of its own, so that it ends with the container: what comes in by nsenter has its parent outside.
        lab.write("/opt/backend.py", BACKEND)
        lab.run("systemd-run", "--unit=backend", "--property=Type=notify", "--property=NotifyAccess=all", "/usr/bin/python3", "/opt/backend.py")
        yield lab


@pytest.fixture
def service(installed):
    """Runs; what it was left as is brought to order before and after."""
    configure(installed, PORT)
    installed.run("systemctl", "reset-failed", "tcpwarden", check=False)
    started = installed.run("systemctl", "start", "tcpwarden", check=False)
    assert started.returncode == 0, journal_text(installed)
    yield installed
    installed.run("systemctl", "stop", "tcpwarden", check=False)


def configure(lab, port, text=CONFIG):
    lab.write("/etc/tcpwarden/tcpwarden.conf", text % port)


def journal(lab, *matches):
    lab.run("journalctl", "--sync")
    out = lab.run("journalctl", "--no-pager", "-o", "json", "_SYSTEMD_UNIT=tcpwarden.service", *matches, check=False).stdout
    return [json.loads(line) for line in out.splitlines()]


def journal_text(lab):
    lab.run("journalctl", "--sync")
    return lab.run("journalctl", "--no-pager", "-u", "tcpwarden", check=False).stdout


def show(lab, name):
    return lab.run("systemctl", "show", "--value", "-p", name, "tcpwarden").stdout.strip()


def wait_for(fact, lab, what):
    end = time.monotonic() + DEADLINE
    while not (got := fact()):
        assert time.monotonic() < end, f"{what}\n{journal_text(lab)}"
        time.sleep(0.1)
    return got


def seats(lab):
    """What the hooks noted: (event, lease)."""
    return [tuple(line.split()) for line in lab.run("cat", "/var/lib/tcpwarden/seats", check=False).stdout.splitlines()]


def unbalanced(lab, twice=False):
    """Leases that were taken and not given back, once each, or (twice: a steward was killed meanwhile) at least once."""
    noted = seats(lab)
    given_back = [noted.count(("release", lease)) for event, lease in noted if event == "acquire"]
    return [count for count in given_back if count < 1 or count > (2 if twice else 1)]


def processes(lab):
    """Who is left in the cgroup of the service, by title."""
    out = lab.run("sh", "-c", "for p in $(cat /sys/fs/cgroup/system.slice/tcpwarden.service/cgroup.procs 2>/dev/null); do "
                  "tr '\\0' ' ' </proc/$p/cmdline; echo; done", check=False).stdout
    return [line.strip() for line in out.splitlines() if line.strip()]


def connect(lab, port=PORT):
    lab.run("/usr/bin/python3", "-c", CLIENT, port)
