"""Helper mode of hooks: one process for all events, and what becomes of them when it misbehaves or dies."""
import os
import shutil
import signal

import pytest

import peers
from helper import Helper
from killer import Killer
from peers import End, connect
from process import Process
from waiting import stays, wait_for


def note_baseline(warden, helpers=1):
    """With what each helper adds once it runs: its stdin and its pidfd."""
    warden.note_baseline()
    for kind in ("socket", "anon_inode"):
        warden.baseline["steward"][kind] += helpers


@pytest.fixture
def helped(through):
    """helped(server, ...): a daemon whose service has a helper, as `helper` of it. After the test the books balance."""
    made = []

    def make(server, acquire=None, release=None, connected=None, renew=None, **more):
        warden = through(server.address, start=False, **more)
        held = {event: settings for event, settings in {"connected": connected, "renew": renew}.items() if settings is not None}
        warden.helper = Helper(os.path.join(warden.directory, "helper"), warden.user)
        warden.configure({"services": [{**warden.settings["services"][0], "hooks": warden.helper.config(acquire, release, **held)}]})
        warden.start()
        note_baseline(warden)
        made.append(warden)
        return warden

    yield make
    for warden in made:
        wait_for(lambda w=warden: not w.helper.held(), lambda w=warden: f"no seat held: {w.helper.held()}")
        assert warden.helper.imbalance() == []


def one(warden, count=100):
    with connect(warden.address) as client:
        client.send(count).read(count).finish()
        assert client.read_to_end() == End("eof", 0)


def refused(warden):
    with connect(warden.address) as client:
        return client.read_to_end() == End("reset", 0)


def test_one_process_for_all(helped, backend):
    warden = helped(backend(peers.echo))
    for _ in range(20):
        one(warden)
    wait_for(lambda: len(warden.helper.lines("given")) == 20, "20 releases")
    ((pid, service, descriptors),) = warden.helper.lines("start")
    assert (service, descriptors) == ("echo", "4")  # 0-2 and its journal
    status = open(f"/proc/{pid}/status").read()
    assert "CapEff:\t0000000000000000" in status and os.getsid(int(pid)) == int(pid)
    assert any("says: I live" in line.text for line in warden.log.read())
    warden.stop()
    assert warden.helper.lines("eof") and not Process(int(pid)).alive


def test_answers_in_any_order_and_many_at_once(helped, load):
    server = load.backend()
    warden = helped(server, acquire={"concurrency": 200}, release={"concurrency": 200})
    warden.helper.set(acquire__delay="0.05")
    client = load.client(warden.address, connections=1000, parallel=100, kinds="fin", up="0:2000", down="0:2000", deadline=100)
    client.wait()
    wait_for(lambda: len(warden.helper.lines("given")) == 1000, "1,000 releases", 30)
    assert len(warden.helper.pids) == 1


def test_refusals(helped, backend):
    warden = helped(backend(peers.echo))
    warden.expected_log += ["acquire hook"]
    warden.helper.set(busy=1)
    assert refused(warden)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.limit"
    assert any("acquire hook: no seat" in line.text for line in warden.log.read())
    assert any("exited with 75 (busy)" in line.text for line in warden.log.read())
    warden.helper.set(busy=None)
    one(warden)


def test_one_that_cannot_work_is_left_alone(helped, backend):
    """It says so itself, as a hook with exit status 69, and is not asked again for a while."""
    warden = helped(backend(peers.echo), acquire={"cooldown": "1h"})
    warden.expected_log += ["acquire hook"]
    warden.helper.set(unavailable=1)
    for _ in range(8):
        assert refused(warden)
    assert {end.reason for end in warden.log.wait_ends(8)} == {"hook.failed"}
    assert len(warden.helper.lines("asked")) == 5
    assert warden.log.matching("acquire hook has failed 5 times in a row")
    assert warden.reload().returncode == 0  # which begins anew
    warden.helper.set(unavailable=None)
    one(warden)


def test_release_is_tried_again(helped, backend):
    warden = helped(backend(peers.echo))
    warden.expected_log += ["release hook"]
    warden.helper.set(unwilling=1)
    one(warden)
    wait_for(lambda: len(warden.helper.lines("asked")) >= 3, "a second try")
    warden.helper.set(unwilling=None)
    wait_for(lambda: warden.helper.lines("given"), "a release")


def test_route(helped, backend):
    other = backend(peers.echo)
    warden = helped(backend(peers.echo))
    warden.helper.set(backend=other.address)
    one(warden)
    assert other.accepted == 1  # and not the other backend


@pytest.mark.parametrize("when", ["crash", "crash_late", "mute"])
def test_crash_in_acquire(helped, backend, when):
    """The client that waits is served by the next helper, after what the first may have taken is given back."""
    warden = helped(backend(peers.echo))
    warden.expected_log += ["helper", "unknown whether"]
    warden.helper.set(**{when: 1})
    one(warden)
    assert len(warden.helper.pids) == 2
    said = "it closed its output" if when == "mute" else "ended by itself (exit status 3)"
    assert len([line for line in warden.log.read() if said in line.text]) == 1
    wait_for(lambda: len(warden.helper.lines("given")) == 1 + (when == "crash_late"), "its release")


def test_who_was_acquired_for_again_is_connected_and_renewed(helped, backend):
    warden = helped(backend(peers.echo), connected={}, renew={"every": "1s"})
    warden.expected_log += ["helper", "unknown whether"]
    warden.helper.set(crash_late=1)
    with connect(warden.address) as client:
        client.send(10).read(10)
        for event in ("connected", "renew"):
            wait_for(lambda e=event: warden.helper.lines(e), event)
    assert len(warden.helper.pids) == 2


def test_crash_in_release(helped, backend):
    warden = helped(backend(peers.echo))
    warden.expected_log += ["helper"]
    with connect(warden.address) as client:
        client.send(10).read(10)
        warden.helper.set(crash=1)
    wait_for(lambda: warden.helper.lines("given"), "its release")
    assert len(warden.helper.pids) == 2


def test_connected_and_renew(helped, backend):
    server = backend(peers.echo)
    warden = helped(server, connected={}, renew={"every": "1s"})
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: len(warden.helper.lines("renew")) >= 2, "two renewals")
    wait_for(lambda: warden.helper.lines("given"), "its release")
    ((fence, attempt, port),) = warden.helper.lines("connected")
    assert (attempt, port) == ("1", server.address.rsplit(":", 1)[1])
    assert [line[:2] for line in warden.helper.lines("renew")][:2] == [[fence, "1"], [fence, "2"]]
    assert len(warden.helper.pids) == 1


@pytest.mark.parametrize("event", ["connected", "renew"])
def test_crash_while_held(helped, backend, event):
    """What it was told of a session that lives is told again to the next helper."""
    warden = helped(backend(peers.echo), **{event: {"on_error": "refuse", **({"every": "1s"} if event == "renew" else {})}})
    warden.expected_log += ["helper"]
    warden.helper.set(**{f"{event}__crash": 1})
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: warden.helper.lines(event), "what was lost, again")
        assert len(warden.helper.pids) == 2
        client.send(10).read(10)
    assert warden.log.wait_ends(1)[0].reason == "client.closed"


def test_session_that_cannot_be_renewed_is_ended(helped, backend):
    warden = helped(backend(peers.echo), renew={"every": "1s", "on_error": "refuse"})
    warden.expected_log += ["renew hook"]
    warden.helper.set(renew__unwilling=1)
    with connect(warden.address) as client:
        client.send(10).read(10)
        assert client.read_to_end() == End("reset", 0)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.failed"
    assert any("renew hook: not now" in line.text for line in warden.log.read())


def test_overdue_renewals_are_one_at_a_time(helped, backend):
    """A renewal that timed out keeps the next one and the release waiting."""
    warden = helped(backend(peers.echo), renew={"every": "1s", "timeout": "1s", "on_error": "allow"})
    warden.expected_log += ["renew hook"]
    warden.helper.set(renew__delay="1.6")
    with connect(warden.address) as client:
        client.send(10).read(10)
        wait_for(lambda: len(warden.helper.lines("renew")) >= 2, "two late renewals")
    wait_for(lambda: warden.helper.lines("given"), "its release")
    order = [line[1] for line in warden.helper.lines("asked")]
    assert order == ["acquire"] + ["renew"] * (len(order) - 2) + ["release"]
    assert len(warden.helper.pids) == 1


@pytest.mark.parametrize("command", ["/bin/false", "/nonexistent"])
def test_helper_that_always_dies(helped, backend, command):
    """It is not started as fast as it dies, and clients are refused."""
    warden = helped(backend(peers.echo))
    warden.expected_log += ["helper", "hook"]
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": {"acquire": {"mode": "helper", "command": [command]}}}]})
    warden.reload()
    assert refused(warden)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.failed"
    assert len([line for line in warden.log.read() if "ended by itself" in line.text or
                "could not be run" in line.text]) <= 5
    os.makedirs(os.path.join(warden.helper.directory, "seats"), exist_ok=True)
    open(os.path.join(warden.helper.directory, "journal"), "a").close()


@pytest.mark.parametrize("text, times", [("hello", 1), ('{"id":99,"ok":true}', 1), ('{"id":1,"ok":"yes"}', 1), ("x" * 100, 1000)],
                         ids=["no JSON", "unknown id", "wrong type", "too long"])
def test_garbage(helped, backend, text, times):
    warden = helped(backend(peers.echo))
    warden.expected_log += ["helper", "unknown whether"]
    warden.helper.set(times=times)
    warden.helper.set(garbage=text)
    one(warden)
    (line,) = [line for line in warden.log.read() if "it is replaced" in line.text]
    assert text[:50] in line.text.replace('\\"', '"')
    assert len(warden.helper.pids) == 2


def test_slow_acquire_times_out_and_its_release_waits_for_it(helped, backend):
    warden = helped(backend(peers.echo), acquire={"timeout": "500ms"})
    warden.expected_log += ["acquire hook"]
    warden.helper.set(acquire__delay="0.8")
    assert refused(warden)
    (end,) = warden.log.wait_ends()
    assert end.reason == "hook.timeout"
    wait_for(lambda: warden.helper.lines("given"), "a release, after it was taken")
    assert len(warden.helper.pids) == 1
    warden.helper.set(acquire__delay=None)
    one(warden)


RELEASE = """\
if rm seats/$TCPWARDEN_LEASE 2>/dev/null; then word=given; else word=nothing; fi
echo $word $TCPWARDEN_FENCE $TCPWARDEN_ACQUIRED $TCPWARDEN_ATTEMPT >>journal
"""


@pytest.mark.parametrize("mode", ["helper", "exec"])
def test_release_by_another_waits_for_a_slow_acquire(helped, backend, mode):
    """Also where another process releases: it would find nothing yet, and what is taken after that is never given back."""
    warden = helped(backend(peers.echo), acquire={"timeout": "1s"})
    warden.expected_log += ["acquire hook"]
    helper = warden.helper
    release = {"command": [helper.path, helper.directory, "release"]} if mode == "helper" else \
        {"mode": "exec", "command": ["/bin/sh", "-c", RELEASE], "directory": helper.directory}
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": helper.config({"timeout": "1s"}, release)}]})
    warden.reload()
    note_baseline(warden, 2 if mode == "helper" else 1)
    helper.set(acquire__delay="1.5")
    assert refused(warden)
    wait_for(lambda: helper.lines("given") or helper.lines("nothing"), "a release")
    assert helper.lines("taken") and helper.lines("given") and not helper.lines("nothing")


def test_answer_that_never_comes(helped, backend):
    warden = helped(backend(peers.echo), acquire={"timeout": "300ms"})
    warden.expected_log += ["helper", "acquire hook"]
    warden.helper.set(acquire__delay="3000")
    assert refused(warden)
    wait_for(lambda: warden.helper.lines("nothing"), "the release, told to the next one")
    assert len(warden.helper.pids) == 2 and not Process(warden.helper.pids[0]).alive
    assert any("twice its timeout" in line.text for line in warden.log.read())
    warden.helper.set(acquire__delay=None)


def test_helper_that_does_not_read_holds_up_no_other(helped, backend, through):
    server = backend(peers.echo)
    warden = helped(server, acquire={"timeout": "1s", "concurrency": 1024}, release={"timeout": "1s"})
    warden.expected_log += ["helper", "hook"]
    services = warden.settings["services"]
    other = f"127.0.0.1:{peers.free_port()}"
    warden.configure({"services": [services[0], {**services[0], "name": "other", "listen": [other], "hooks": {}}]})
    warden.reload()
    note_baseline(warden)
    one(warden)
    warden.helper.set(deaf=1)
    os.kill(warden.helper.pids[0], signal.SIGSTOP)
    clients = [connect(warden.address) for _ in range(300)]
    wait_for(lambda: warden.ctl_json("sessions"), "sessions")
    with connect(other) as client:
        client.send(100).read(100)
    for client in clients:
        assert client.read_to_end() == End("reset", 0)
        client.close()
    warden.helper.set(deaf=None)
    wait_for(lambda: not Process(warden.helper.pids[0]).alive, "the end of the deaf one")
    wait_for(lambda: not warden.sessions(), "no session")
    one(warden)


def test_stubborn_at_the_end(helped, backend):
    warden = helped(backend(peers.echo))
    one(warden)
    wait_for(lambda: warden.helper.lines("given"), "its release")
    warden.helper.set(stubborn=1)
    warden.stop()
    assert not Process(warden.helper.pids[0]).alive


@pytest.mark.parametrize("change", ["none", "other directory"])
def test_reload_ends_what_is_not_named_any_more(helped, backend, change):
    warden = helped(backend(peers.echo))
    client = connect(warden.address)
    client.send(1).read(1)
    service = warden.settings["services"][0]
    hooks = {event: {**hook, "directory": "/"} for event, hook in service["hooks"].items()}
    warden.configure({"services": [{**service, "hooks": {} if change == "none" else hooks}]})
    warden.reload()
    client.close()
    wait_for(lambda: warden.helper.lines("given"), "the release by the helper of its time")
    wait_for(lambda: warden.helper.lines("eof"), "the end of its input")


def test_steward_killed(helped, backend):
    """The next one ends the helper of the first before it touches a lease, and serves who waits."""
    warden = helped(backend(peers.echo))
    warden.expect_deaths("steward")
    warden.expected_log += ["helper of an earlier steward"]
    warden.helper.set(acquire__delay="1000", stubborn=1)
    client = connect(warden.address)
    wait_for(lambda: warden.helper.lines("asked"), "the acquire")
    first = Process(warden.helper.pids[0])
    warden.role("steward").kill()
    warden.helper.set(acquire__delay=None)
    client.send(10).read(10)
    assert not first.alive and len(warden.helper.pids) == 2
    client.close()
    wait_for(lambda: warden.helper.lines("given"), "its release")
    warden.helper.set(stubborn=None)


def test_the_example(through, load):
    """conf/examples/seat-helper: more clients than seats, and what it holds is in its journal through its death."""
    source = os.path.join(os.path.dirname(__file__), "../../conf/examples/seat-helper")
    warden = through(load.backend().address, start=False)
    warden.expected_log += ["acquire hook", "helper"]
    directory = os.path.join(warden.directory, "seats")
    os.mkdir(directory)
    shutil.copy(source, directory)
    shutil.chown(directory, warden.user)
    hook = {"mode": "helper", "command": [os.path.join(directory, "seat-helper"), os.path.join(directory, "journal"), "40"], "concurrency": 100}
    warden.configure({"services": [{**warden.settings["services"][0], "hooks": {"acquire": hook, "release": hook}}]})
    warden.start()
    note_baseline(warden)

    def held():
        journal = [line.split() for line in open(os.path.join(directory, "journal"))]
        return {line[1] for line in journal if line[0] == "take"} - {line[1] for line in journal if line[0] == "give"}

    clients = [connect(warden.address).send(1) for _ in range(42)]
    wait_for(lambda: len(warden.log.ends()) == 2, "two refusals")
    assert [end.reason for end in warden.log.ends()] == ["hook.limit"] * 2 and len(held()) == 40
    (helper,) = [p for p in warden.tree() if b"seat-helper" in open(f"/proc/{p.pid}/cmdline", "rb").read()]
    helper.kill()
    wait_for(lambda: not helper.alive, "its end")
    with connect(warden.address) as client:  # the next one knows what the first gave
        assert client.send(1).read_to_end() == End("reset", 0)
    for client in clients:
        client.close()
    wait_for(lambda: not held(), "no seat taken")
    load.client(warden.address, connections=1000, parallel=15, kinds="fin", deadline=60).wait()
    warden.wait_sessions(0)
    wait_for(lambda: not held(), "no seat taken")


@pytest.mark.takes(10)
@pytest.mark.parametrize("victims", [["helper"], ["steward"], ["helper", "steward"]], ids="+".join)
def test_killed_at_random(helped, load, victims):
    server = load.backend()
    warden = helped(server, acquire={"concurrency": 50, "timeout": "5s"}, release={"concurrency": 50, "timeout": "5s"})
    warden.expected_log += [".*"]
    if "steward" in victims:
        warden.expect_deaths("steward")
    client = load.client(warden.address, connections=1000, parallel=50, kinds="fin,ask", up="0:2000", down="0:2000", pace=150, deadline=100)

    def find_helper():
        pids = warden.helper.pids
        return pids[-1] if pids and Process(pids[-1]).alive else None

    def find_steward():
        steward = warden.role("steward")
        return steward.pid if steward else None
    find = {"helper": find_helper, "steward": find_steward}
    turn = iter(range(10**9))
    with Killer(lambda: find[victims[next(turn) % len(victims)]](), (0.2, 0.6), seed=7) as killer:
        client.wait(clean=False)
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket", 30)
    warden.wait_sessions(0, deadline=60)
    wait_for(lambda: not warden.helper.held(), lambda: f"no seat held: {warden.helper.held()}", 60)
    taken = {line[0] for line in warden.helper.lines("taken")}
    again = len(warden.helper.lines("nothing"))
    print(f"{killer.kills} kills, {len(taken)} leases taken, {again} releases of what was not held")
    assert killer.kills >= 5 and len(taken) >= 500
