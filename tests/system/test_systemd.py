"""The service as its unit runs it, under a real systemd (systemd_lab.py)."""
import json
import os
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


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Booted, with `make install` done and the users made; the service does not run yet."""
    reason = systemd_lab.why_not()
    if reason:
        pytest.skip(reason)
    stage = tmp_path_factory.mktemp("stage")
    made = subprocess.run(["make", "-C", BUILD, "install", f"DESTDIR={stage}"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    with systemd_lab.SystemdLab() as lab:
        lab.install(stage)
        lab.run("systemd-sysusers")
        lab.write("/etc/tcpwarden/seat", HOOK)
        lab.run("chmod", "755", "/etc/tcpwarden", "/etc/tcpwarden/seat")
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


def configure(lab, port):
    lab.write("/etc/tcpwarden/tcpwarden.conf", CONFIG % port)


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


def connect(lab, port=PORT):
    lab.run("/usr/bin/python3", "-c", CLIENT, port)


def test_unit_is_sound(installed):
    verified = installed.run("systemd-analyze", "verify", "--man=no", "tcpwarden.service", check=False)
    assert verified.returncode == 0 and verified.stderr == ""
    unit = subprocess.run(["make", "-s", "-C", BUILD, "systemd/tcpwarden.service"], capture_output=True)
    assert unit.returncode == 0
    scored = installed.run("systemd-analyze", "security", "--offline=yes", "--threshold=29",
                           installed.run("systemctl", "show", "--value", "-p", "FragmentPath", "tcpwarden").stdout.strip(), check=False)
    assert scored.returncode == 0, scored.stdout[-300:]


def test_roles_run_as_who_they_should(service):
    main = int(show(service, "MainPID"))
    text = service.run("ps", "-eo", "pid,ppid,user:20,args").stdout
    users = {line.split(None, 3)[3].split(" --")[0]: line.split()[2] for line in text.splitlines()[1:]}
    assert users["tcpwarden: steward"] == "tcpwarden"
    assert users["tcpwarden: holder 0"] == users["tcpwarden: relay 0"] == "tcpwarden-relay"
    assert show(service, "NRestarts") == "0" and main


def test_a_session_is_told_in_fields(service):
    connect(service)
    end = wait_for(lambda: journal(service, "TCPWARDEN_SERVICE=echo", "TCPWARDEN_REASON=client.closed"), service, "no end of a session")[-1]
    assert end["TCPWARDEN_BYTES_TO_BACKEND"] == "5" and end["TCPWARDEN_BYTES_TO_CLIENT"] == "5"
    assert end["TCPWARDEN_LEASE"] and end["MESSAGE_ID"]
    seats = wait_for(lambda: (s := service.run("cat", "/var/lib/tcpwarden/seats").stdout.split("\n")[:-1]) and len(s) % 2 == 0 and s,
                     service, "no release")
    assert {s.split()[0] for s in seats[-2:]} == {"acquire", "release"} and len({s.split()[1] for s in seats[-2:]}) == 1


def test_reload(service):
    main = show(service, "MainPID")
    configure(service, PORT + 1)
    service.run("systemctl", "reload", "tcpwarden")
    connect(service, PORT + 1)  # in force when reload returns
    assert show(service, "MainPID") == main and show(service, "ActiveState") == "active" and show(service, "SubState") == "running"


def test_a_bad_config_is_refused_at_reload(service):
    main = show(service, "MainPID")
    service.write("/etc/tcpwarden/tcpwarden.conf", CONFIG % PORT + "frobnicate = true;\n")
    assert service.run("systemctl", "reload", "tcpwarden", check=False).returncode != 0
    wait_for(lambda: "tcpwarden.conf:9: frobnicate" in journal_text(service), service, "no error in the journal")
    assert show(service, "MainPID") == main and show(service, "ActiveState") == "active" and show(service, "SubState") == "running"
    connect(service)


def test_stop_drains_and_exits_in_order(service):
    client = service.popen("/usr/bin/python3", "-c", CLIENT, PORT, "hold", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"talked\n"
    stop = service.popen("systemctl", "stop", "tcpwarden")
    wait_for(lambda: show(service, "ActiveState") == "deactivating", service, "it does not stop")
    client.stdin.write(b"x")
    client.stdin.close()
    assert client.wait(DEADLINE) == 0
    assert stop.wait(DEADLINE) == 0
    assert show(service, "Result") == "success" and show(service, "ExecMainStatus") == "0"
    seats = service.run("cat", "/var/lib/tcpwarden/seats").stdout
    assert seats.count("acquire ") == seats.count("release ")


def test_a_killed_supervisor_comes_back(service):
    restarts = int(show(service, "NRestarts"))
    client = service.popen("/usr/bin/python3", "-c", CLIENT, PORT, "hold", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    assert client.stdout.readline() == b"talked\n"
    service.run("kill", "-KILL", show(service, "MainPID"))
    wait_for(lambda: int(show(service, "NRestarts")) > restarts and show(service, "ActiveState") == "active", service, "no restart")
    connect(service)
    client.stdin.close()
    assert client.wait(DEADLINE) != 0  # its session died, and it was told so by a reset
    # What it held was released by the next start.
    def balanced():
        seats = service.run("cat", "/var/lib/tcpwarden/seats").stdout
        return seats.count("acquire ") == seats.count("release ")
    wait_for(balanced, service, "a lease was not released")


def test_a_bad_config_is_not_tried_again(installed):
    installed.run("systemctl", "stop", "tcpwarden")
    installed.write("/etc/tcpwarden/tcpwarden.conf", "services = 5;\n")
    assert installed.run("systemctl", "start", "tcpwarden", check=False).returncode != 0
    assert show(installed, "ExecMainStatus") == "78" and show(installed, "ActiveState") == "failed"
    assert "tcpwarden.conf:1" in journal_text(installed)
    configure(installed, PORT)
    installed.run("systemctl", "reset-failed", "tcpwarden")
    installed.run("systemctl", "start", "tcpwarden")
    installed.run("systemctl", "stop", "tcpwarden")
