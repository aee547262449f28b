"""The service as its unit runs it."""
import subprocess

import pytest

from installed import (BUILD, CLIENT, CONFIG, DEADLINE, PORT, configure, connect, installed, journal, journal_text, service, show,  # noqa: F401
                       wait_for)

pytestmark = [pytest.mark.xdist_group("systemd"), pytest.mark.takes(15)]


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


def test_a_hook_of_another_user(service):
    """The sandbox and the bounding set let the steward do that; without such a hook it has given up the means."""
    def capabilities():
        steward = service.run("pgrep", "-f", "^tcpwarden: steward").stdout.split()[0]
        return service.run("sh", "-c", f"sed -n 's/^CapPrm:[[:space:]]*//p' /proc/{steward}/task/*/status").stdout.split()
    connect(service)
    assert set(capabilities()) == {f"{1 << 10:016x}"}
    text = CONFIG % PORT
    service.write("/etc/tcpwarden/who", '#!/bin/sh\necho "$TCPWARDEN_EVENT as $(id -un):$(id -gn)" >&2\n')
    service.run("chmod", "755", "/etc/tcpwarden/who")
    service.write("/etc/tcpwarden/tcpwarden.conf", text.replace(
        "release = {", 'prepare_listen = { command = "/etc/tcpwarden/who"; user = "nobody"; }; release = {'))
    reloaded = service.run("systemctl", "reload", "tcpwarden", check=False)
    assert reloaded.returncode != 0 and "gave up at its start (restart tcpwarden)" in journal_text(service)
    service.run("systemctl", "restart", "tcpwarden")
    assert "prepare_listen hook: prepare_listen as nobody:nogroup" in journal_text(service)
    connect(service)


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
