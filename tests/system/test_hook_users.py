"""Hooks that run as another user: who they are, who may end them, and what that takes."""
import grp
import os
import pwd
import re
import shutil
import signal

import pytest

import peers
from daemon import separated
from peers import End, connect, free_port
from process import Process
from settings import service
from waiting import wait_for

pytestmark = pytest.mark.skipif(not separated(), reason="needs root and the system users")

NOBODY, DAEMON = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
BIND, OTHERS = 1 << 10, 1 << 5 | 1 << 6 | 1 << 7  # CAP_NET_BIND_SERVICE; KILL, SETGID, SETUID

SPY = """#!/bin/sh
here='{directory}'
me() {{ sed -n "s/^$1:[[:space:]]*//p" /proc/self/status | tr '\\t' ' '; }}
e=$TCPWARDEN_EVENT
echo "event=$e;uid=$(me Uid);gid=$(me Gid);groups=$(me Groups);caps=$(me CapPrm) $(me CapEff) $(me CapAmb) $(me CapInh);pid=$$;\
directory=$(pwd);lease=$TCPWARDEN_LEASE" >>"$here/journal"
echo "to stderr by name" >/dev/stderr
[ -e "$here/$e.deaf" ] && trap '' TERM
while [ -e "$here/$e.gate" ]; do sleep 0.02; done
[ -e "$here/$e.child" ] && {{ (trap '' TERM; exec sleep 1000) & echo "event=child;pid=$!" >>"$here/journal"; sleep 1000; }}
[ "$e" = acquire ] && echo SEAT=7
exit 0
"""


class Spy:
    """A program that any user may run, and that writes down who did."""

    def __init__(self, directory):
        self.directory = directory
        self.path = os.path.join(directory, "spy")
        with open(self.path, "w") as f:
            f.write(SPY.format(directory=directory))
        os.chmod(self.path, 0o755)
        open(os.path.join(directory, "journal"), "w").close()
        os.chmod(os.path.join(directory, "journal"), 0o666)

    def hook(self, user=None, group=None, **more):
        return {"command": [self.path], **({"user": user} if user else {}), **({"group": group} if group else {}), **more}

    def set(self, *names):
        for name in names:
            open(os.path.join(self.directory, name), "w").close()

    def unset(self, *names):
        for name in names:
            os.unlink(os.path.join(self.directory, name))

    def runs(self, event=None):
        with open(os.path.join(self.directory, "journal")) as f:
            runs = [dict(part.split("=", 1) for part in line.rstrip("\n").split(";")) for line in f if line.endswith("\n")]
        return [run for run in runs if event in (None, run["event"])]

    def wait(self, event, count=1):
        wait_for(lambda: len(self.runs(event)) >= count, f"{count} of {event}")
        return self.runs(event)[count - 1]


@pytest.fixture
def spy(scratch):
    return Spy(scratch)


@pytest.fixture
def watched(through, backend):
    """watched(hooks, ...): a daemon whose service has these hooks."""
    def make(hooks, **more):
        return through(backend(peers.echo).address, hooks=hooks, **more)
    return make


def is_who(run, user, group=None):
    gid = grp.getgrnam(group).gr_gid if group else user.pw_gid
    assert run["uid"].split() == [str(user.pw_uid)] * 4, run
    assert run["gid"].split() == [str(gid)] * 4, run
    assert {int(g) for g in run["groups"].split()} == set(os.getgrouplist(user.pw_name, gid)), run
    assert set(run["caps"]) <= set("0 "), run


def privileges(warden):
    """Of each thread of the steward."""
    found = set()
    for task in os.listdir(f"/proc/{warden.role('steward').pid}/task"):
        with open(f"/proc/{warden.role('steward').pid}/task/{task}/status") as f:
            found.update(re.findall(r"^Cap(?:Prm|Eff):\t(\w+)", f.read(), re.M))
    return {int(word, 16) for word in found}


def one(warden):
    with connect(warden.address) as client:
        client.send(10).read(10).finish()
        assert client.read_to_end() == End("eof", 0)


def set_hooks(warden, hooks):
    """Replaces them."""
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": hooks}]})


def test_without_such_hooks_the_steward_has_nothing_for_them(spy, watched):
    warden = watched({"acquire": spy.hook(), "release": spy.hook(user="tcpwarden")})
    one(warden)
    ours = pwd.getpwnam("tcpwarden")
    is_who(spy.wait("acquire"), ours)
    is_who(spy.wait("release"), ours)
    assert len(os.listdir(f"/proc/{warden.role('steward').pid}/task")) > 1 and privileges(warden) == {BIND}
    # The next one has a lease to release at once, and threads for that.
    warden.expect_deaths("steward")
    warden.expected_log += ["release runs to make sure"]
    spy.set("acquire.gate")
    with connect(warden.address) as client:
        spy.wait("acquire", 2)
        first = warden.role("steward")
        first.kill()
        warden.wait_role("steward", not_this=first)
        spy.wait("release", 2)
        spy.unset("acquire.gate")
        client.send(10).read(10)
    assert privileges(warden) == {BIND}
    warden.note_baseline()


def test_each_runs_as_its_own_user(spy, watched):
    warden = watched({"acquire": spy.hook("nobody"), "connected": spy.hook("daemon"), "renew": spy.hook("nobody", every="1s"),
                      "release": spy.hook("nobody", "daemon"), "prepare_listen": spy.hook("daemon"), "shutdown": spy.hook("nobody")})
    assert privileges(warden) == {BIND | OTHERS}
    is_who(spy.wait("prepare_listen"), DAEMON)
    with connect(warden.address) as client:
        client.send(10).read(10)
        is_who(spy.wait("connected"), DAEMON)
        is_who(spy.wait("renew"), NOBODY)
    is_who(spy.wait("release"), NOBODY, "daemon")
    acquired = spy.wait("acquire")
    is_who(acquired, NOBODY)
    assert acquired["directory"] == "/"
    wait_for(lambda: warden.log.matching("acquire hook: to stderr by name"), "its words")
    warden.stop()
    is_who(spy.wait("shutdown"), NOBODY)


def test_a_directory_that_it_may_not_enter(spy, watched):
    warden = watched({}, start=False)
    os.chmod(warden.state, 0o700)
    set_hooks(warden, {"acquire": spy.hook("nobody", directory=warden.state), "release": spy.hook("nobody")})
    warden.expected_log += ["acquire hook"]
    warden.start()
    with connect(warden.address) as client:
        assert client.read_to_end() == End("reset", 0)
    assert warden.log.wait_ends(1)[0].reason == "hook.failed"
    assert warden.log.matching(rf"Permission denied \(as user {NOBODY.pw_uid}, in directory {warden.state}\)")


@pytest.mark.parametrize("what", ["deaf", "child"])
def test_one_that_takes_too_long_is_ended(spy, watched, what):
    """It is of another user, does not mind SIGTERM, or has left a child that does not."""
    warden = watched({"acquire": spy.hook("nobody", timeout="300ms"), "release": spy.hook("daemon")})
    warden.expected_log += ["acquire hook"]
    spy.set(*(["acquire.deaf", "acquire.gate"] if what == "deaf" else ["acquire.child"]))
    with connect(warden.address) as client:
        assert client.read_to_end() == End("reset", 0)
    assert warden.log.wait_ends(1)[0].reason == "hook.timeout"
    spy.wait("release")  # not before the group is gone
    assert not [run for run in spy.runs() if run["event"] in ("acquire", "child") and Process(int(run["pid"])).alive]


def test_what_a_dead_steward_leaves_is_ended(spy, watched):
    warden = watched({"acquire": spy.hook("nobody", timeout="60s"), "release": spy.hook("daemon")})
    warden.expected_log += ["release runs to make sure"]
    warden.expect_deaths("steward")
    spy.set("acquire.deaf", "acquire.gate")
    with connect(warden.address) as client:
        left = Process(int(spy.wait("acquire")["pid"]))
        first = warden.role("steward")
        first.kill()
        warden.wait_role("steward", not_this=first)
        spy.wait("release")
        assert not left.alive
        spy.unset("acquire.gate")
        client.send(10).read(10)
    spy.wait("release", 2)
    assert privileges(warden) == {BIND | OTHERS}
    warden.note_baseline()


def test_a_lease_keeps_who_acquired_it(spy, watched):
    """Also when all of it has died, and the new config knows no such user."""
    warden = watched({"acquire": spy.hook("nobody"), "release": spy.hook("nobody", "daemon")})
    client = connect(warden.address)
    client.send(10).read(10)
    warden.cut_power()
    client.close()
    set_hooks(warden, {"acquire": spy.hook(), "release": spy.hook()})
    warden.start()
    is_who(spy.wait("release"), NOBODY, "daemon")
    assert privileges(warden) == {BIND | OTHERS}  # the lease had a use for them
    one(warden)
    is_who(spy.wait("release", 2), pwd.getpwnam("tcpwarden"))


def test_what_a_tree_left_is_ended_whatever_the_new_config_says(spy, watched):
    warden = watched({"acquire": spy.hook("nobody", timeout="60s"), "release": spy.hook()})
    warden.expected_log += ["a hook of an earlier steward still runs"]
    spy.set("acquire.deaf", "acquire.gate")
    client = connect(warden.address)
    left = Process(int(spy.wait("acquire")["pid"]))
    warden.cut_power(hooks=False)
    client.close()
    assert left.alive
    set_hooks(warden, {"acquire": spy.hook(), "release": spy.hook()})
    warden.start()
    spy.wait("release")
    assert not left.alive and privileges(warden) == {BIND}


def test_the_first_such_hook_takes_a_restart(spy, watched):
    warden = watched({"acquire": spy.hook(), "release": spy.hook()})
    one(warden)
    set_hooks(warden, {"acquire": spy.hook("nobody"), "release": spy.hook()})
    warden.expected_log += ["reload", "gave up"]
    result = warden.reload()
    assert result.returncode == 1
    assert re.search(r"tcpwarden\.conf:\d+: services\[0\]\.hooks\.acquire\.user: hooks of another user need privileges that this "
                     r"steward gave up at its start \(restart tcpwarden\)", result.stdout + result.stderr)
    one(warden)
    is_who(spy.wait("acquire", 2), pwd.getpwnam("tcpwarden"))
    warden.stop()
    warden.start()
    one(warden)
    is_who(spy.wait("acquire", 3), NOBODY)
    # From now on it may come and go.
    set_hooks(warden, {"acquire": spy.hook(), "release": spy.hook()})
    assert warden.reload().returncode == 0
    set_hooks(warden, {"acquire": spy.hook("daemon"), "release": spy.hook()})
    assert warden.reload().returncode == 0
    one(warden)
    is_who(spy.wait("acquire", 4), DAEMON)


def test_an_ordinary_user_has_none_but_himself(spy, watched):
    warden = watched({"acquire": spy.hook("daemon"), "release": spy.hook()}, start=False)
    warden.user = "nobody"
    for path in (warden.state, warden.run):
        shutil.chown(path, "nobody")
    warden.expected_log += ["hooks.acquire.user", "1 error"]
    warden.exit_status = 78
    warden.start(ready=False)
    assert warden.wait_exit() == 78
    warden.ended = True
    assert warden.log.matching(r"tcpwarden\.conf:\d+: services\[0\]\.hooks\.acquire\.user: tcpwarden was started without the privileges")
    set_hooks(warden, {"acquire": spy.hook("nobody"), "release": spy.hook()})
    warden.exit_status = 0
    warden.start()
    one(warden)
    assert spy.wait("acquire")["uid"].split() == [str(NOBODY.pw_uid)] * 4  # and whatever groups he started it with


def test_a_helper(spy, scratch, watched):
    path = os.path.join(scratch, "helper")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexec 3>>'%s/journal'\n"
                'me() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status | tr "\\t" " "; }\n'
                'echo "event=helper;uid=$(me Uid);gid=$(me Gid);groups=$(me Groups);caps=$(me CapPrm) $(me CapEff);pid=$$" >&3\n'
                "while read -r line; do id=${line#*:}; echo \"{\\\"id\\\":${id%%%%,*},\\\"ok\\\":true}\"; done\n" % scratch)
    os.chmod(path, 0o755)
    hook = {"command": [path], "mode": "helper", "user": "nobody"}
    warden = watched({"acquire": hook, "release": {**hook, "user": "daemon"}})
    one(warden)
    wait_for(lambda: len(spy.runs("helper")) == 2, "a helper each")  # of one command, but two users
    is_who(spy.wait("helper"), NOBODY)
    is_who(spy.wait("helper", 2), DAEMON)
    left = [Process(int(run["pid"])) for run in spy.runs("helper")]
    first = warden.role("steward")
    warden.expect_deaths("steward")
    warden.expected_log += ["helper"]
    first.kill()
    warden.wait_role("steward", not_this=first)
    one(warden)
    wait_for(lambda: len(spy.runs("helper")) == 4, "both, anew")
    assert not [p for p in left if p.alive]
    warden.note_baseline()


def test_what_is_not_recorded_dies_with_the_steward(spy, watched, backend):
    """A change of user takes that from a process, so it is asked for anew."""
    warden = watched({"prepare_listen": spy.hook("nobody", timeout="60s")})
    spy.set("prepare_listen.gate", "prepare_listen.deaf")
    warden.configure({"services": [warden.settings["services"][0],
                                   service("new", f"127.0.0.1:{free_port()}", backend(peers.echo).address,
                                           hooks={"prepare_listen": spy.hook("nobody", timeout="60s")})]})
    warden.signal(signal.SIGHUP)
    left = Process(int(spy.wait("prepare_listen", 2)["pid"]))
    warden.expect_deaths("steward")
    warden.role("steward").kill()
    wait_for(lambda: not left.alive, "its end")
    spy.unset("prepare_listen.gate")
    spy.wait("prepare_listen", 3)
    wait_for(lambda: warden.log.matching("reloaded: serving 2"), "the reload")
    one(warden)
    warden.note_baseline()


def test_one_that_became_root_cannot_be_ended(through, backend):
    """Who waits for it is refused; its release comes when it has ended by itself."""
    warden = through(backend(peers.echo).address, hooked=True, start=False)
    hooks = warden.hooks["hooks"]
    interpreter = os.path.join(warden.directory, "interpreter")
    shutil.copy("/usr/bin/python3", interpreter)
    os.chmod(interpreter, 0o4755)
    gate = os.path.join(warden.directory, "gate")
    open(gate, "w").close()
    program = f"import os, time\nos.setresuid(0, 0, 0)\nwhile os.path.exists({gate!r}): time.sleep(0.02)"
    echo = warden.settings["services"][0]
    acquire = {"command": [interpreter, "-ISc", program], "timeout": "1s", "on_error": "allow"}
    warden.configure({"services": [{**echo, "hooks": {**echo["hooks"], "acquire": acquire}}]})
    warden.start()
    warden.expected_log += ["acquire hook"]
    warden.acquire_unknown = True
    with connect(warden.address) as client:
        assert client.read_to_end() == End("reset", 0)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.timeout"
    assert warden.log.matching("acquire hook does not end, though it was killed")
    assert not hooks.runs("release")
    os.unlink(gate)
    (run,) = wait_for(hooks.released, "its release")
    assert run.acquired == "unknown"
