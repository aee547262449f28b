"""Hooks that behave as badly as programs can: what they took is given back all the same, and everybody else is served."""
import os
import signal
import stat
import time

import pytest

import peers
from peers import End, connect
from waiting import stays, wait_for


def script(warden, name, text):
    """A program of the test's own beside the daemon's files."""
    path = os.path.join(warden.directory, name)
    with open(path + ".new", "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)
    return path


def note(warden):
    """A file that scripts can append to."""
    path = os.path.join(warden.directory, "noted")
    with open(path, "w"):
        os.chmod(path, 0o666)
    return path


def noted(warden):
    with open(os.path.join(warden.directory, "noted")) as f:
        return f.read().split("\n")[:-1]


@pytest.fixture
def abused(through, backend):
    """abused(acquire text, release text, settings of hooks): started, before an echo server. `say` in a script notes a line."""
    def make(acquire, release, /, **settings):
        warden = through(backend(peers.echo).address, start=False)
        say = f'say() {{ printf "%s\\n" "$*" >>{note(warden)}; }}\n'
        hooks = {}
        if acquire is not None:
            hooks["acquire"] = {"command": [script(warden, "acquire", say + acquire)], **settings.get("acquire", {})}
        if release is not None:
            hooks["release"] = {"command": [script(warden, "release", say + release)], **settings.get("release", {})}
        warden.configure({"services": [{**warden.settings["services"][0], "hooks": hooks}]})
        warden.expected_log += ["acquire", "release", "hook"]
        return warden.start()
    return make


def serves(warden):
    with connect(warden.address) as client:
        client.send(10).read(10).finish()
        return client.read_to_end() == End("eof", 0)


def refused(warden):
    with connect(warden.address) as client:
        return client.read_to_end() == End("reset", 0)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def test_daemon_of_a_hook_is_left_alone(abused):
    """It goes on after acquire, holds its stdout and stderr open, and nobody waits for it."""
    warden = abused("sleep 60 & say $!; exit 0", "say released", acquire={"timeout": "5s"})
    began = time.monotonic()
    assert serves(warden)
    assert time.monotonic() - began < 4
    wait_for(lambda: "released" in noted(warden), "a release")
    child = int(noted(warden)[0])
    assert alive(child)
    warden.wait_sessions(0)
    os.kill(child, signal.SIGKILL)


def test_hook_that_ignores_sigterm(abused):
    warden = abused("trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & say $!; while :; do sleep 0.1; done",
                    "say released $TCPWARDEN_ACQUIRED", acquire={"timeout": "300ms"})
    assert refused(warden)
    wait_for(lambda: "released unknown" in noted(warden), lambda: f"a release {noted(warden)}", 20)
    assert not alive(int(noted(warden)[0]))  # before its release ran, all of its group was gone


def test_hundred_megabytes_of_output(abused):
    """At the one hook and the other, on the one descriptor and the other; the memory stays, and others are served meanwhile."""
    warden = abused("head -c 100000000 /dev/zero | tr '\\0' 'x'; head -c 30000000 /dev/urandom >&2; echo SEAT=7; exit 0",
                    "head -c 30000000 /dev/urandom; say released $TCPWARDEN_VAR_SEAT; exit 0",
                    acquire={"timeout": "60s", "concurrency": 4}, release={"timeout": "60s"})
    warden.expected_log += ["session"]
    steward = warden.role("steward")
    before = steward.rss_kb
    assert serves(warden)
    wait_for(lambda: any(line.startswith("released") for line in noted(warden)), "a release", 60)
    assert noted(warden) == ["released"]  # SEAT came after the 64 KiB that are kept
    warden.wait_sessions(0, deadline=30)
    assert len(warden.log.matching("(acquire|release) hook:")) < 2100  # a thousand lines of each run
    assert len(warden.log.matching("more lines are not logged")) == 2
    assert warden.role("steward") == steward
    assert steward.rss_kb < before + 50_000


def test_seventy_thousand_variables_and_rubbish(abused):
    warden = abused("echo FIRST=1; printf 'a b\\n=x\\n1A=2\\nNO\\n\\000\\001\\377=\\n'; seq 1 70000 | sed 's/.*/V&=&/'; exit 0",
                    "say released $TCPWARDEN_VAR_FIRST $TCPWARDEN_VAR_V1 [$TCPWARDEN_VAR_V70000] $(env | grep -c ^TCPWARDEN_VAR_)")
    assert serves(warden)
    wait_for(lambda: noted(warden) == ["released 1 1 [] 64"], lambda: f"a release: {noted(warden)}")


def test_hook_that_kills_its_parent_and_its_group(abused):
    """It may: it runs as the same user. The steward is started again, and what is unknown is released."""
    warden = abused("say acquire; [ -e killed ] || { touch killed; kill -9 $PPID; sleep 5; }; exit 0",
                    "say release $TCPWARDEN_ACQUIRED; exit 0")
    warden.expect_deaths("steward")
    with connect(warden.address) as client:
        client.send(10).read(10).finish()
        client.read_to_end()
    wait_for(lambda: noted(warden).count("release unknown") == 1 and noted(warden).count("release yes") == 1,
             lambda: f"two releases: {noted(warden)}")
    script(warden, "acquire", f"echo acquire >>{warden.directory}/noted; kill -9 0")
    assert refused(warden)
    wait_for(lambda: noted(warden).count("release unknown") == 2, lambda: f"a third release: {noted(warden)}")


def test_release_that_is_gone_is_waited_for(abused):
    """Deleted, not executable, no interpreter, a directory: the lease stays, and the release runs when the program is there again."""
    warden = abused("exit 0", "say released")
    path = os.path.join(warden.directory, "release")
    os.rename(path, path + ".away")
    assert serves(warden)
    warden.log.wait("release.*No such file")
    os.mkdir(path)
    warden.log.wait("release.*Permission denied", deadline=20)
    os.rmdir(path)
    with open(path, "w") as f:
        f.write("#!/nowhere/at/all\n")
    os.chmod(path, 0o755)
    assert warden.status()["leases"]["releasing"] == 1
    stays(lambda: not noted(warden), "no release", 0.3)
    os.unlink(path)
    os.rename(path + ".away", path)
    wait_for(lambda: noted(warden) == ["released"], "a release", 30)


def test_acquire_that_is_gone_refuses(abused):
    warden = abused("exit 0", "say released")
    path = os.path.join(warden.directory, "acquire")
    os.chmod(path, stat.S_IRUSR)
    assert refused(warden)
    os.unlink(path)
    assert refused(warden)
    assert [end.reason for end in warden.log.wait_ends(2)] == ["hook.failed"] * 2
    script(warden, "acquire", "exit 0")
    assert serves(warden)
    wait_for(lambda: noted(warden) == ["released"], "one release")


def test_stopped_hook_is_ended_at_its_timeout(abused):
    warden = abused("kill -STOP $$; exit 0", "say released $TCPWARDEN_ACQUIRED", acquire={"timeout": "300ms"})
    assert refused(warden)
    wait_for(lambda: noted(warden) == ["released unknown"], "a release", 20)


def test_two_thousand_at_once(through, load):
    """Four run at a time and ten wait: all others are refused, quickly, and the books balance."""
    server = load.backend()
    warden = through(server.address, hooked=True, hook={"acquire": {"concurrency": 4, "queue": 10}, "release": {"concurrency": 4}})
    warden.expected_log += ["acquire"]
    client = load.client(warden.address, connections=2000, parallel=2000, kinds="fin", up=1000, down=1000, deadline=60)
    client.wait(90, clean=False)
    ends = warden.log.wait_ends(2000, deadline=60)
    reasons = {end.reason for end in ends}
    assert "hook.limit" in reasons and reasons <= {"hook.limit", "client.closed", "backend.closed"}, reasons
    hooks = warden.hooks["hooks"]
    assert hooks.most_at_once("acquire") <= 4
    wait_for(lambda: len(hooks.released()) == len(hooks.runs("acquire")), "a release for each acquire", 60)
