"""Another version is installed over the service as its unit runs it, and taken."""
import base64
import json
import os

import pytest

from installed import BUILD, PORT, configure, installed, journal_text, processes, show, unbalanced, wait_for  # noqa: F401
from test_systemd_death import CONFIG, all_well, kill, lab, load, pid, send, succeeded  # noqa: F401
from versions import ROLES, another_version  # noqa: F401

pytestmark = [pytest.mark.xdist_group("systemd_upgrade"), pytest.mark.takes(30)]

ALL = str(11 + 2 * 6)  # what a successor needs of two pairs
SOCKET = f"[Socket]\nListenStream=127.0.0.1:{PORT}\nFileDescriptorName=front\nService=tcpwarden.service\n"


def install(lab, build=BUILD):  # noqa: F811
    """As a package manager does it: one file after the other, each renamed into place."""
    for role, name in ROLES.items():
        path = lab.run("sh", "-c", f"ls /usr/local/sbin/{name} /usr/local/libexec/tcpwarden/{name} 2>/dev/null", check=False).stdout.strip()
        with open(os.path.join(build, "src", role, name), "rb") as program:
            text = base64.b64encode(program.read()).decode()
        lab.run("sh", "-c", 'base64 -d >"$1.new" && chmod 755 "$1.new" && mv -f "$1.new" "$1"', "sh", path, input=text)


def status(lab):  # noqa: F811
    result = lab.run("tcpwardenctl", "--json", "status", check=False)
    return json.loads(result.stdout) if result.returncode == 0 else {}


def gone(lab):  # noqa: F811
    """Programs that run and are not installed any more."""
    out = lab.run("sh", "-c", "for p in $(cat /sys/fs/cgroup/system.slice/tcpwarden.service/cgroup.procs); do readlink /proc/$p/exe; done",
                  check=False).stdout
    return [line for line in out.splitlines() if line.endswith("(deleted)")]


def wait_taken(lab, state="done"):  # noqa: F811
    """All run what is installed, and systemd keeps what a successor would need."""
    wait_for(lambda: status(lab).get("upgrade", {}).get("state") == state, lab, f"the upgrade is not {state}")
    wait_for(lambda: not gone(lab) and show(lab, "NFileDescriptorStore") == ALL, lab, "the version before is not gone")


def fed(lab):  # noqa: F811
    return int(show(lab, "WatchdogTimestampMonotonic"))


def ended_well(lab, *clients):  # noqa: F811
    for client in clients:
        all_well(client)
    lab.run("systemctl", "stop", "tcpwarden")
    assert show(lab, "Result") == "success" and not processes(lab) and not unbalanced(lab, twice=True)


def test_a_package_is_upgraded(lab):  # noqa: F811
    lab = lab(unit="WatchdogSec=1s\n")
    main, restarts = show(lab, "MainPID"), show(lab, "NRestarts")
    held = load(lab, 30, 30, size=400_000, pace=5)
    come = load(lab, 600, 3)
    for _ in range(2):
        install(lab)
        assert len(gone(lab)) >= 6
        lab.run("tcpwardenctl", "upgrade")
        wait_taken(lab)
        # It feeds the watchdog as the one before did.
        since = fed(lab)
        wait_for(lambda: fed(lab) > since + 2_000_000, lab, "the watchdog is not fed")
        assert show(lab, "MainPID") == main and show(lab, "NRestarts") == restarts and show(lab, "ActiveState") == "active"
    configure(lab, ("3s", "10s", PORT), CONFIG)
    lab.run("systemctl", "reload", "tcpwarden")
    assert show(lab, "MainPID") == main
    kill(lab)
    succeeded(lab, int(restarts))
    wait_taken(lab)
    assert "cannot be taken up" not in journal_text(lab)
    ended_well(lab, held, come)


def test_the_supervisor_is_killed_in_it(lab):  # noqa: F811
    """Soon after the order, and later: each time its successor is of the new version, and finishes."""
    lab = lab()
    held = load(lab, 30, 30, size=400_000, pace=5)
    come = load(lab, 600, 3)
    for n, moment in enumerate(("to the programs that are installed now", "the supervisor is of version", "relay 0 is handed over")):
        install(lab)
        seen, restarts = journal_text(lab).count(moment), int(show(lab, "NRestarts"))
        send(lab, "USR2")
        wait_for(lambda: journal_text(lab).count(moment) > seen, lab, f"not: {moment}")
        kill(lab)
        succeeded(lab, restarts)
        wait_taken(lab)
        assert status(lab)["upgrade"]["number"] == n + 1
    assert "cannot be taken up" not in journal_text(lab)
    ended_well(lab, held, come)


def test_a_death_takes_nothing_that_was_only_installed(lab):  # noqa: F811
    lab = lab()
    relay, restarts = pid(lab, "relay 0"), int(show(lab, "NRestarts"))
    held = load(lab, 30, 30, size=200_000, pace=5)
    install(lab)
    kill(lab)
    succeeded(lab, restarts)
    wait_for(lambda: len(gone(lab)) >= 6 and show(lab, "NFileDescriptorStore") == ALL, lab, "what served does not serve any more")
    assert status(lab)["upgrade"]["state"] == "never" and pid(lab, "relay 0") == relay
    lab.run("tcpwardenctl", "upgrade")
    wait_taken(lab)
    ended_well(lab, held)


def test_sockets_of_systemd_stay(lab):  # noqa: F811
    """Who connects meanwhile waits in their queue."""
    def listening(lab):
        return lab.run("ss", "-Hltn", f"sport = :{PORT}").stdout

    lab = lab()
    lab.run("systemctl", "stop", "tcpwarden")
    lab.write("/etc/tcpwarden/tcpwarden.conf", (CONFIG % ("2s", "10s", PORT)).replace(f'"127.0.0.1:{PORT}"', '"systemd:front"'))
    lab.write("/run/systemd/system/front.socket", SOCKET)
    lab.run("systemctl", "daemon-reload")
    lab.run("systemctl", "start", "front.socket", "tcpwarden")
    try:
        held = load(lab, 30, 30, size=300_000, pace=5)
        come = load(lab, 1000, 3)
        for n in range(3):
            install(lab)
            lab.run("tcpwardenctl", "upgrade")
            wait_taken(lab)
            assert listening(lab)
        kill(lab)
        succeeded(lab, 0)
        all_well(held)
        all_well(come)
        lab.run("systemctl", "stop", "tcpwarden")
        assert listening(lab)
    finally:
        lab.run("systemctl", "stop", "front.socket", "tcpwarden", check=False)
        lab.run("rm", "-f", "/run/systemd/system/front.socket")


@pytest.mark.slow  # for the other build
def test_another_version_and_back(lab, another_version):  # noqa: F811
    lab = lab(unit="WatchdogSec=1s\n")
    held = load(lab, 30, 30, size=400_000, pace=5)
    come = load(lab, 600, 3)
    for build in (another_version, BUILD) * 2:
        install(lab, build)
        lab.run("tcpwardenctl", "upgrade")
        wait_taken(lab)
        now = status(lab)
        assert now["version"].endswith("-test") == (build == another_version)
        assert {relay["version"] for relay in now["relays"]} == {now["version"]}
    ended_well(lab, held, come)
