"""What tcpwardenctl tells of leases that there are and that are gone, and what it has done about those whose release fails."""
import time

import peers
from peers import connect
from waiting import wait_for


def leases(warden, *arguments):
    *listed, last = warden.ctl_json("leases", *arguments)
    assert last["ok"] is True and last["listed"] == len(listed)
    return listed, last["leases"]


def hold(warden, source="127.0.0.1"):
    client = connect(warden.address, source=(source, 0))
    client.send(10).read(10)
    return client


def test_list(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    assert leases(warden) == ([], {"acquiring": 0, "held": 0, "releasing": 0, "failed": 0})
    warden.hooks["hooks"].set("acquire", output="SEAT=7")
    with hold(warden) as one, hold(warden, "127.0.0.2") as two:
        listed, totals = leases(warden)
        assert totals["held"] == 2
        assert {(o["state"], o["service"], o["client"], o["attempts"], *o["variables"]) for o in listed} == \
               {("held", "echo", "%s:%d" % c.sock.getsockname(), 0, "SEAT=7") for c in (one, two)}
        assert {o["session"] for o in listed} == {s["id"] for s in warden.sessions()}
        assert all(0 <= o["age_ms"] < 60000 and "why" not in o for o in listed)
        assert [o["client"] for o in leases(warden, "--client", "127.0.0.2")[0]] == ["%s:%d" % two.sock.getsockname()]
        assert leases(warden, "--service", "other")[0] == []
        head, *lines = warden.ctl("leases").splitlines()
        assert head.split()[:4] == ["LEASE", "SERVICE", "CLIENT", "STATE"]
        assert [line.split()[0] for line in lines[:2]] == sorted(o["lease"] for o in listed)
        refused = warden.ctl_run("release", listed[0]["lease"])
        assert refused.returncode == 1 and "session that lives" in refused.stderr
    warden.log.wait_ends(2)
    wait_for(lambda: not leases(warden)[0], "no lease")


def test_history(through, backend):
    """Which resource did that client hold, and why did it end?"""
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expect_deaths("steward")
    began_us = time.time() * 1e6
    assert leases(warden, "--history") == ([], {"acquiring": 0, "held": 0, "releasing": 0, "failed": 0})
    hooks = warden.hooks["hooks"]
    for seat, source in enumerate(["127.0.0.2", "127.0.0.3", "127.0.0.2"]):
        hooks.set("acquire", output=f"SEAT={seat}")
        hold(warden, source).finish().read_to_end()
        wait_for(lambda: len(hooks.released()) == seat + 1 and not leases(warden)[0], "its release")
    hooks.set("acquire", exit=1)
    with connect(warden.address, source=("127.0.0.2", 0)) as client:  # never held: not in the history
        client.read_to_end()
    hooks.set("acquire", exit=None)
    warden.log.wait_ends(4)

    old = warden.role("steward")
    old.kill()
    warden.wait_role("steward", not_this=old)
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket")

    listed, _ = leases(warden, "--history")
    assert [(o["client"].split(":")[0], *o["variables"]) for o in listed] == \
           [("127.0.0.2", "SEAT=2"), ("127.0.0.3", "SEAT=1"), ("127.0.0.2", "SEAT=0")]
    assert [o["lease"] for o in reversed(listed)] == [run.lease for run in hooks.released()]
    for o in listed:
        assert (o["service"], o["reason"], o["acquired"], o["recovered"], o["attempts"]) == ("echo", "client.closed", "yes", False, 1)
        assert began_us < o["acquired_us"] <= o["ended_us"] <= o["released_us"] < time.time() * 1e6
    assert [o["variables"] for o in leases(warden, "--client", "127.0.0.2", "--history")[0]] == [["SEAT=2"], ["SEAT=0"]]
    assert [o["variables"] for o in leases(warden, "--client", "::ffff:127.0.0.2", "--history", "1")[0]] == [["SEAT=2"]]
    assert leases(warden, "--history", "--service", "other")[0] == []
    head, *lines = warden.ctl("leases", "--history").splitlines()
    assert head.split()[-2:] == ["REASON", "VARIABLES"]
    assert [line.split()[-2:] for line in lines] == [["client.closed", f"SEAT={n}"] for n in (2, 1, 0)]


def test_release(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    warden.expected_log += ["release"]
    hooks = warden.hooks["hooks"]
    hooks.set("release", exit=3)
    hold(warden).close()
    wait_for(lambda: [o.get("why") for o in leases(warden)[0]] == ["exited with 3"], "a failed release")
    for attempt in range(2, 6):
        (o,), _ = leases(warden)
        wait_for(lambda: warden.ctl_run("release", o["lease"]).returncode == 0, "a try")
        wait_for(lambda: len(hooks.runs("release")) >= attempt and "next_try_ms" in leases(warden)[0][0], "the end of it")
    (o,), totals = leases(warden)
    assert o["state"] == "releasing" and o["attempts"] >= 5 and totals["releasing"] == 1
    assert o["next_try_ms"] > 4000  # so what comes is not the try that was due
    assert "exited with 3" in warden.ctl("leases")
    hooks.set("release", exit=None)
    warden.ctl("release", o["lease"])
    wait_for(lambda: len(hooks.released()) == 1, "a release", 3)
    wait_for(lambda: not leases(warden)[0], "no lease")
    again = warden.ctl_run("release", o["lease"])
    assert again.returncode == 1 and "there is no lease" in again.stderr
    assert [(e["lease"], e["attempts"]) for e in leases(warden, "--history")[0]] == [(o["lease"], o["attempts"] + 1)]


def test_wrong_use(through, backend):
    warden = through(backend(peers.echo).address)
    for arguments, status, words in [
            (["leases", "5"], 64, "--history"), (["leases", "--history", "x"], 64, "--history"),
            (["leases", "--history", "0"], 1, "from 1 to"), (["leases", "--client", "plc.lan"], 1, "is no address"),
            (["sessions", "--history"], 64, "for leases only"), (["release"], 64, "release LEASE"),
            (["release", "plc"], 1, "is no lease's id")]:
        said = warden.ctl_run(*arguments)
        assert said.returncode == status and words in said.stderr, (arguments, said)
