"""Every acquire that took something, or may have, has one release that succeeded, whoever of ours was killed meanwhile."""
import os
import random

import pytest

from killer import Killer
from waiting import wait_for


def lives_of(journal):
    """What a journal of lines "phase lease fence client-is-connected" says, as {fence: [phases in order]}."""
    lives = {}
    with open(journal) as f:
        for line in f:
            phase, fence = line.split()
            lives.setdefault(int(fence), []).append(phase)
    return lives


# What each hook did, in one write a line. A quarter is slow; a quarter of the releases fails at first.
ACQUIRE = """#!/bin/sh
say() {{ printf '%s %s\\n' "$1" "$TCPWARDEN_FENCE" >>'{journal}'; }}
say acquiring
case $TCPWARDEN_FENCE in *[0-4]) sleep 0.0$TCPWARDEN_CLIENT_PORT ;; esac
say acquired
"""
RELEASE = """#!/bin/sh
say() {{ printf '%s %s\\n' "$1" "$TCPWARDEN_FENCE" >>'{journal}'; }}
say releasing
case $TCPWARDEN_FENCE in *[5-9]) sleep 0.0$TCPWARDEN_CLIENT_PORT ;; esac
case $TCPWARDEN_FENCE/$TCPWARDEN_ATTEMPT in *[28]/1) say failed; exit 1 ;; esac
say "released"
"""


@pytest.fixture
def kept(through, load):
    """A daemon whose hooks keep a journal, and a load of short sessions on it."""
    def make(connections, pace):
        server = load.backend()
        warden = through(server.address, start=False, top={"workers": 2})
        journal = os.path.join(warden.directory, "journal")
        with open(journal, "w"):
            os.chmod(journal, 0o666)
        hooks = {}
        for event, text in (("acquire", ACQUIRE), ("release", RELEASE)):
            path = os.path.join(warden.directory, event)
            with open(path, "w") as f:
                f.write(text.format(journal=journal))
            os.chmod(path, 0o755)
            hooks[event] = {"command": [path]}
        warden.configure({"services": [{**warden.settings["services"][0], "hooks": hooks}]})
        warden.expected_log += [".*"]
        warden.start()
        client = load.client(warden.address, connections=connections, parallel=20, kinds="fin,ask,late", up="0:20000", down="0:20000",
                             pace=pace, deadline=200)
        return warden, client, journal
    return make


def check(journal, killed_steward):
    wrong, taken = [], 0
    for fence, phases in lives_of(journal).items():
        taken += "acquired" in phases
        released = phases.count("released")
        if ("acquiring" in phases or "acquired" in phases) and released == 0:
            wrong.append(f"{fence}: never released: {phases}")
        if released > 1 and not killed_steward:
            wrong.append(f"{fence}: released {released} times: {phases}")
        if "acquired" in phases and "releasing" in phases and phases.index("releasing") < phases.index("acquired"):
            wrong.append(f"{fence}: released while it was being acquired: {phases}")
        if phases.count("acquiring") > 1:
            wrong.append(f"{fence}: acquired twice: {phases}")
    return taken, wrong


@pytest.mark.takes(9)
@pytest.mark.parametrize("victims", [["steward"], pytest.param(["steward", "relay 0", "relay 1"], marks=pytest.mark.slow),
                                     pytest.param(["steward", "relay 0", "holder 1"], marks=pytest.mark.slow)], ids="+".join)
def test_killed_at_random(kept, victims):
    count = int(os.environ.get("TCPWARDEN_TEST_KILLS", 25))
    warden, client, journal = kept(count * 90, 1)
    warden.expect_deaths("steward", "relay", "holder")
    chance = random.Random(7)

    def victim():
        p = warden.role(chance.choice(victims))
        return p and p.pid
    with Killer(victim, (0.02, 0.5), seed=3) as killer:
        wait_for(lambda: killer.kills >= count or not client.running, lambda: f"{count} kills ({killer.kills})", 200)
    client.stop(clean=False) if client.running else None
    assert killer.kills >= count // 2
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket", 30)
    warden.wait_sessions(0, deadline=60)
    wait_for(lambda: not check(journal, True)[1], lambda: f"{check(journal, True)[1][:5]}", 60)
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}", 60)
    assert check(journal, True)[0] > count
    warden.note_baseline()


def test_nobody_is_killed(kept):
    """The same without deaths: exactly one release each."""
    warden, client, journal = kept(300, 0)
    client.wait()
    warden.wait_sessions(0, deadline=30)
    wait_for(lambda: not check(journal, False)[1], lambda: f"{check(journal, False)[1][:5]}", 30)
    assert check(journal, False)[0] == 300
