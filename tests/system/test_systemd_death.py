"""The supervisor dies under systemd: its unit brings a successor, or the end of all that is left."""
import json
import os
import subprocess
import time

import pytest

from installed import (CLIENT, DEADLINE, PORT, configure, connect, installed, journal_text, processes, seats, service, show, unbalanced,  # noqa: F401
                       wait_for)

pytestmark = [pytest.mark.xdist_group("systemd_death"), pytest.mark.takes(55)]

LOAD = 7000
SESSIONS = 12
CONFIG = """\
workers = 2;
state_directory = "/var/lib/tcpwarden";
control: { socket = "/run/tcpwarden/control.sock"; };
shutdown_timeout = "%%s"; orphan_timeout = "%%s"; hang_after = "2s";
services: (
  { name = "load"; listen = "127.0.0.1:%%d"; backends = "127.0.0.1:%d";
    hooks = { acquire = { command = "/etc/tcpwarden/seat"; }; release = { command = "/etc/tcpwarden/seat"; }; }; }
);
""" % LOAD


@pytest.fixture
def lab(installed):
    """start(shutdown, orphan, lines of the unit): the service, with a tcpload behind it."""
    drop_in = "/run/systemd/system/tcpwarden.service.d/test.conf"

    def start(shutdown="2s", orphan="10s", unit=""):
        configure(installed, (shutdown, orphan, PORT), CONFIG)
        installed.write(drop_in, "[Service]\n" + unit)
        installed.run("rm", "-f", "/var/lib/tcpwarden/seats")
        installed.run("systemctl", "daemon-reload")
        installed.run("systemctl", "start", "tcpwarden")
        return installed

    if installed.run("systemctl", "is-active", "load", check=False).returncode:
        installed.run("systemd-run", "--unit=load", "/opt/tcpload", "backend", "--listen", f"127.0.0.1:{LOAD}")
        wait_for(lambda: installed.run("sh", "-c", f"ss -Hltn sport = :{LOAD}").stdout, installed, "no backend")
    yield start
    installed.run("systemctl", "stop", "tcpwarden", check=False)
    installed.run("rm", "-f", drop_in)
    installed.run("systemctl", "daemon-reload")


def load(lab, connections, parallel, kinds="fin,ask", size="0:20000", pace=0):
    return lab.popen("/opt/tcpload", "client", "--connect", f"127.0.0.1:{PORT}", "--connections", connections, "--parallel", parallel,
                     "--kinds", kinds, "--up", size, "--down", size, "--pace", pace, "--deadline", 60, stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def all_well(client):
    text = client.communicate(timeout=90)[0]
    result = [line for line in map(json.loads, text.splitlines()) if line["event"] == "result"][0]
    assert client.returncode == 0 and not result["failures"], text
    return result


def hold(lab, count=1):
    """So many sessions that last."""
    client = lab.popen("/opt/tcpload", "client", "--connect", f"127.0.0.1:{PORT}", "--connections", count, "--parallel", count, "--kinds", "fin",
                       "--up", 40_000_000, "--down", 40_000_000, "--pace", 20, "--deadline", 60,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: lab.run("tcpwardenctl", "--json", "sessions", check=False).stdout.count('"client"') >= count, lab, "no sessions")
    return client


def kill(lab, *titles, then="true"):
    """The supervisor and whoever is named, at one moment."""
    names = "|".join(("/sbin/tcpwarden --config", *(f"tcpwarden: {title}" for title in titles)))
    lab.run("sh", "-c", f"kill -KILL $(pgrep -f '^[^ ]*({names})'); {then}")


def send(lab, signal):
    lab.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "tcpwarden")


def succeeded(lab, restarts):
    wait_for(lambda: int(show(lab, "NRestarts")) > restarts and show(lab, "ActiveState") == "active", lab, "no successor")


def pid(lab, title):
    return lab.run("pgrep", "-f", f"^tcpwarden: {title}").stdout.split()[0]


def test_a_killed_supervisor_is_succeeded(lab):
    lab = lab()
    wait_for(lambda: show(lab, "NFileDescriptorStore") == str(11 + 2 * 6), lab, "not all was left")
    steward = pid(lab, "steward")
    held = load(lab, 40, 40, size=300_000, pace=5)
    come = load(lab, 600, 4)
    for n in range(3):
        kill(lab)
        succeeded(lab, n)
    assert pid(lab, "steward") == steward and "took up the tree" in journal_text(lab)
    # It watches over them, as the first one did.
    for victim in ("steward", "relay 0", "relay 1"):
        before = pid(lab, victim)
        lab.run("kill", "-STOP" if victim == "relay 1" else "-KILL", before)
        wait_for(lambda: (p := lab.run("pgrep", "-f", f"^tcpwarden: {victim}", check=False).stdout.split()) and before not in p, lab, victim)
    lab.run("systemctl", "reload", "tcpwarden")
    all_well(held)
    all_well(come)
    lab.run("systemctl", "stop", "tcpwarden")
    assert show(lab, "Result") == "success" and not processes(lab) and not unbalanced(lab, twice=True)
    assert "cannot be taken up" not in journal_text(lab)


@pytest.mark.parametrize("signal", ["SEGV", "STOP"])
def test_any_other_death(lab, signal):
    """One that hangs is ended by systemd's watchdog."""
    lab = lab(unit="WatchdogSec=1s\n")
    steward = pid(lab, "steward")
    held = load(lab, 20, 20, size=100_000, pace=5)
    come = load(lab, 200, 2)
    send(lab, signal)
    succeeded(lab, 0)
    assert pid(lab, "steward") == steward
    all_well(held)
    all_well(come)


@pytest.mark.parametrize("signal", [pytest.param("KILL", marks=pytest.mark.slow), "SEGV", "STOP"])
@pytest.mark.parametrize("role", ["steward", "relay 0", "holder 0"])
def test_any_single_process(lab, role, signal):
    """No session is lost, no connect refused. A holder that is stopped is missed when its relay dies."""
    lab = lab()
    held = load(lab, 40, 40, size=300_000, pace=5)
    come = load(lab, 400, 4)
    wait_for(lambda: lab.run("tcpwardenctl", "--json", "sessions", check=False).stdout.count('"client"') >= 40, lab, "no sessions")
    victim = "relay 0" if (role, signal) == ("holder 0", "STOP") else role
    before = pid(lab, victim)
    lab.run("kill", f"-{signal}", pid(lab, role))
    if victim != role:
        lab.run("kill", "-KILL", before)
    wait_for(lambda: (p := lab.run("pgrep", "-f", f"^tcpwarden: {victim}", check=False).stdout.split()) and before not in p, lab, victim)
    all_well(held)
    all_well(come)
    lab.run("systemctl", "stop", "tcpwarden")
    assert show(lab, "Result") == "success" and not processes(lab) and not unbalanced(lab, twice=role == "steward")


@pytest.mark.parametrize("role", ["steward", "relay 0", "holder 1"])
def test_a_role_dies_with_it(lab, role):
    lab = lab()
    restarts = int(show(lab, "NRestarts"))
    held = load(lab, 40, 40, size=200_000, pace=5)
    before = pid(lab, role)
    kill(lab, role)
    succeeded(lab, restarts)
    wait_for(lambda: (p := lab.run("pgrep", "-f", f"^tcpwarden: {role}", check=False).stdout.split()) and before not in p, lab, role)
    all_well(held)
    lab.run("systemctl", "stop", "tcpwarden")
    assert not processes(lab)
    assert not unbalanced(lab, twice=role == "steward")


def test_stop_while_no_supervisor_runs(lab):
    """orphan_timeout ends what is left."""
    lab = lab(orphan="1s", unit="RestartSec=60s\n")
    client = hold(lab)
    kill(lab)
    wait_for(lambda: show(lab, "SubState") == "auto-restart", lab, "it does not wait for its restart")
    assert int(show(lab, "NFileDescriptorStore")) > 11
    lab.run("systemctl", "stop", "tcpwarden")
    wait_for(lambda: not processes(lab), lab, "the tree does not end")
    assert client.wait(DEADLINE) != 0 and not unbalanced(lab)
    lab.run("systemctl", "start", "tcpwarden")
    assert "cannot be taken up" not in journal_text(lab)


def test_a_drain_longer_than_systemd_allows(lab):
    lab = lab(shutdown="4s", unit="TimeoutStopSec=1s\n")
    client = hold(lab)
    began = time.monotonic()
    lab.run("systemctl", "stop", "tcpwarden")
    assert time.monotonic() - began >= 4
    assert show(lab, "Result") == "success" and show(lab, "ExecMainStatus") == "0"
    assert client.wait(DEADLINE) != 0 and not processes(lab) and not unbalanced(lab)


def test_killed_while_it_is_stopped(lab):
    lab = lab(shutdown="60s", orphan="60s")
    client = hold(lab)
    stop = lab.popen("systemctl", "stop", "tcpwarden")
    wait_for(lambda: show(lab, "ActiveState") == "deactivating", lab, "it does not stop")
    kill(lab)
    assert stop.wait(DEADLINE) == 0
    assert not processes(lab) and not unbalanced(lab) and client.wait(DEADLINE) != 0
    assert "the rest of the tree is ended" in journal_text(lab)


ROLES = ["steward", "holder 0", "holder 1", "relay 0", "relay 1"]
TOGETHER = [["steward"], ["relay 0", "relay 1"], ["holder 0", "holder 1"], ["steward", "holder 0", "holder 1"],
            ["steward", "relay 0", "relay 1"], ["holder 0", "relay 0"], ROLES]


@pytest.mark.parametrize("roles", TOGETHER, ids=" and ".join)
def test_others_are_killed_with_it_while_it_is_stopped(lab, roles):
    """When the stop is over nobody is left, and what they had leased is released."""
    lab = lab(shutdown="60s", orphan="60s")
    client = hold(lab, SESSIONS)
    stop = lab.popen("systemctl", "stop", "tcpwarden")
    wait_for(lambda: show(lab, "ActiveState") == "deactivating", lab, "it does not stop")
    kill(lab, *roles)
    assert stop.wait(DEADLINE) == 0
    assert not processes(lab), journal_text(lab)
    assert seats(lab) and not unbalanced(lab, twice=True), journal_text(lab)
    assert client.wait(DEADLINE) != 0


@pytest.mark.parametrize("roles", [["steward"], ROLES], ids=" and ".join)
def test_others_are_killed_with_it_and_it_is_stopped_at_once(lab, roles):
    lab = lab(orphan="60s")
    client = hold(lab, SESSIONS)
    kill(lab, *roles, then="systemctl stop tcpwarden")
    assert not processes(lab), journal_text(lab)
    assert seats(lab) and not unbalanced(lab, twice=True), journal_text(lab)
    assert client.wait(DEADLINE) != 0 and show(lab, "ActiveState") != "active"


def test_killed_and_stopped_at_once(lab):
    """Whichever of the two systemd hears of first."""
    lab = lab(orphan="1s")
    client = hold(lab)
    kill(lab, then="systemctl stop tcpwarden")
    wait_for(lambda: not processes(lab), lab, "the tree does not end")
    assert client.wait(DEADLINE) != 0 and not unbalanced(lab) and show(lab, "ActiveState") != "active"
