"""What happens in the midst of an upgrade that has nothing to do with it: orders, deaths, a full disk."""
import json
import os
import shutil
import signal
import subprocess

import pytest

import peers
from peers import connect
from settings import service
from versions import Pings, another_version, installed  # noqa: F401
from waiting import wait_for

BEGUN, CROSSED, PAIR = "to the programs that are installed now", "the supervisor is of version", "relay . is handed over"
MOMENTS = pytest.mark.parametrize("moment", [BEGUN, CROSSED, PAIR], ids=["asking", "crossed", "pair"])


@pytest.fixture
def begun(installed, backend):  # noqa: F811
    """begun(moment, ...): a daemon with sessions that talk all the time, and an upgrade in it that has come to that moment."""
    def make(moment, faults=None, top=None, **more):
        warden, programs = installed(backend(peers.echo).address, top={"workers": 3, **(top or {})}, **more)
        warden.expected_log += ["upgrade", "handed over", "relay", "holder", "steward", "given up"]
        pings = Pings(warden.address, 20)
        programs.turn(copy="2", **(faults or {}))
        warden.signal(signal.SIGUSR2)
        wait_for(lambda: warden.log.matching(moment), "that moment", 30)
        return warden, pings
    return make


def over(warden):
    """How it ended, once it has and the steward knows."""
    def state():
        result = warden.ctl_run("status", json_lines=True)
        return result.returncode == 0 and json.loads(result.stdout)["upgrade"]["state"]
    return wait_for(lambda: (s := state()) in ("done", "failed") and s, lambda: f"the upgrade's end\n{warden.log_tail()}", 60)


def well(warden, pings):
    pings.stop()
    assert {end.reason for end in warden.log.wait_ends(20)} == {"client.closed"}
    warden.note_baseline()


@MOMENTS
def test_a_reload(begun, backend, address, moment):
    """It is not lost, and the new version has it."""
    warden, pings = begun(moment)
    other = backend(peers.echo)
    warden.configure({"services": [*warden.settings["services"], service("other", address, other.address)]})
    warden.signal(signal.SIGHUP)
    assert over(warden) == "done"
    wait_for(lambda: warden.status()["config"]["content"] == "same", "the config")
    with connect(address) as client:
        client.send(10).read(10)
        client.finish().read_to_end()
    pings.stop()
    assert {end.reason for end in warden.log.wait_ends(21)} == {"client.closed"}
    warden.note_baseline()


@MOMENTS
def test_a_stop(begun, moment):
    warden, pings = begun(moment, hooked=True)
    warden.stop()
    assert pings.wait_failed()
    assert len(warden.hooks["hooks"].released()) == 20


@MOMENTS
def test_another_upgrade(begun, moment):
    """One at a time."""
    warden, pings = begun(moment)
    warden.signal(signal.SIGUSR2)
    wait_for(lambda: len(warden.log.matching("upgrade: done")) + len(warden.log.matching("under way already")) == 2, "an answer to both", 30)
    assert over(warden) == "done"
    well(warden, pings)


@pytest.mark.parametrize("victim,number", [("steward", signal.SIGKILL), ("steward", signal.SIGSTOP), ("relay 2", signal.SIGKILL),
                                           ("relay 2", signal.SIGSTOP), ("holder 2", signal.SIGKILL)],
                         ids=lambda v: v.name if isinstance(v, signal.Signals) else v.replace(" ", "-"))
def test_a_role_dies_or_hangs(begun, victim, number):
    """The version before it is back, or the new one has all: one of the two."""
    warden, pings = begun(CROSSED, top={"upgrade_timeout": "2s", "hang_after": "2s"})
    warden.expect_deaths("steward", "relay", "holder")
    try:
        warden.wait_role(victim).kill(number)
    except ProcessLookupError:
        pass  # it has been replaced already
    state = over(warden)
    print(f"{victim}, {number.name}: {state}")
    want = {"", "-2"} - {"" if state == "done" else "-2"}
    wait_for(lambda: {program(p) for p in warden.roles().values()} <= {f"steward{s}" for s in want} | {f"relay{s}" for s in want},
             lambda: f"all of one version: {state}, {[program(p) for p in warden.roles().values()]}", 30)
    well(warden, pings)


def program(p):
    try:
        return os.path.basename(os.readlink(f"/proc/{p.pid}/exe"))
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("faults", [{"steward": "hangs"}, {"relay": "adoption-hangs"}, {"relay": "hangs"}],
                         ids=lambda f: "-".join(f"{k}-{v}" for k, v in f.items()))
def test_little_time(begun, faults):
    warden, pings = begun(CROSSED, faults, top={"upgrade_timeout": "1s", "hang_after": "2s"})
    assert over(warden) == "failed"
    well(warden, pings)


@pytest.mark.slow  # for the other build
def test_supervisor_that_fails_to_arrive(installed, another_version, backend):  # noqa: F811
    warden, programs = installed(backend(peers.echo).address, environment={"TCPWARDEN_TEST_ARRIVAL": "fails"}, top={"upgrade_timeout": "1s"})
    warden.expected_log += ["upgrade"]
    pings = Pings(warden.address, 20)
    programs.turn(another_version)
    result = warden.ctl_run("upgrade", timeout=90)
    assert result.returncode == 1 and "the new supervisor cannot go on" in result.stderr, result
    assert not warden.status()["version"].endswith("-test")
    well(warden, pings)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_full_disk(installed, backend):  # noqa: F811
    """The new steward can write nothing: it serves, and releases wait, as with the one before."""
    mounted = []

    def before(warden):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=0755", "none", warden.state], check=True)
        mounted.append(warden.state)
        if warden.user:
            shutil.chown(warden.state, warden.user)
        warden.expected_log += ["leases.db", "acquire", "lease", "disk"]
    try:
        warden, programs = installed(backend(peers.echo).address, hooked=True, top={"workers": 2}, before=before)
        pings = Pings(warden.address, 20)
        filler = os.path.join(warden.state, "filler")
        with open(filler, "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        programs.turn(copy="2")
        assert warden.ctl_run("upgrade", timeout=90).returncode == 0
        pings.wait_round()
        os.unlink(filler)
        pings.stop()
        # A hook has its steward's title at first, which the baseline must not be taken from.
        wait_for(lambda: len(warden.hooks["hooks"].released()) == 20, "releases", 60)
        wait_for(lambda: [p.title for p in warden.tree()].count("tcpwarden: steward") == 1, "the end of hooks")
        warden.note_baseline()
    finally:
        for path in mounted:
            subprocess.run(["umount", "-l", path], check=False)
