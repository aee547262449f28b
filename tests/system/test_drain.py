"""Sessions of what a reload or an operator takes out of use."""
import os
import socket
import time
import types

import pytest

import peers
from peers import End, connect, free_port
from settings import service
from test_reload import refuses
from versions import upgrade
from waiting import stays, wait_for

DRAIN_S = 2


def drained(through, server, **more):
    return through(server.address, top={"drain_timeout": f"{int(DRAIN_S * 1000)}ms"}, **more)


def restart(warden, role):
    """By its death; or all of them, by an upgrade to the same version."""
    if role == "upgrade":
        assert upgrade(warden)
        return
    old = warden.role(role)
    warden.expect_deaths(role.split()[0])
    old.kill()
    warden.wait_role(role, not_this=old)
    if role == "steward":
        wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket")


def configure(warden, *services):
    """Reloads with these, or as it was."""
    warden.configure({"services": list(services) or [warden.first]})
    result = warden.reload()
    assert result.returncode == 0, result.stderr


def echoes(session):
    session.send(100).read(100)
    return True


@pytest.fixture
def pair(through, backend):
    """A daemon with a short drain_timeout, two backends, of which it knows the first, and an address for another service."""
    def make(**more):
        first, second = backend(peers.echo), backend(peers.echo)
        warden = drained(through, first, **more)
        warden.first = warden.settings["services"][0]
        warden.spare = f"127.0.0.1:{free_port()}"
        return warden, first, second
    return make


@pytest.mark.parametrize("death", [None, "relay 0", "steward", "upgrade"])
def test_sessions_of_a_removed_service_end_at_drain_timeout(pair, death):
    warden, first, _ = pair(hooked=True)
    with connect(warden.address) as session:
        echoes(session)
        begin = time.monotonic()
        configure(warden, service("other", warden.spare, first.address))
        wait_for(lambda: refuses(warden.address), "the old address is closed")
        echoes(session)
        if death:
            restart(warden, death)
            echoes(session)
        assert session.read_to_end() == End("reset", 0)
        assert time.monotonic() - begin >= DRAIN_S
    (end,) = warden.log.wait_ends()
    assert end.reason == "policy.drained"
    assert wait_for(warden.hooks["hooks"].released, "a release")[0].reason == "policy.drained"


@pytest.mark.parametrize("death", [None, "relay 0", "steward"])
def test_a_service_that_comes_back_keeps_its_sessions(pair, death):
    warden, first, _ = pair()
    with connect(warden.address) as session:
        echoes(session)
        configure(warden, service("other", warden.spare, first.address))
        if death:
            restart(warden, death)
        configure(warden)
        stays(lambda: echoes(session), "the session", DRAIN_S + 0.7)
    assert warden.log.wait_ends()[0].reason == "client.closed"


def test_drain_timeout_off(pair):
    warden, first, _ = pair()
    with connect(warden.address) as session:
        echoes(session)
        warden.configure({"drain_timeout": "off", "services": [service("other", warden.spare, first.address)]})
        assert warden.reload().returncode == 0
        stays(lambda: echoes(session), "the session", 1)
        warden.configure({"drain_timeout": "100ms"})  # it counts for those that were let be, too
        assert warden.reload().returncode == 0
        assert session.read_to_end() == End("reset", 0)


@pytest.mark.parametrize("mode, kind", [("close", "eof"), ("reset", "reset"), ("drain", "reset")])
def test_backend_gone(pair, mode, kind):
    warden, _, second = pair(on_backend_gone=mode)
    with connect(warden.address) as session:
        echoes(session)
        begin = time.monotonic()
        configure(warden, {**warden.first, "backends": [{"address": second.address}]})
        if mode == "drain":
            echoes(session)
        assert session.read_to_end() == End(kind, 0)
        assert mode != "drain" or time.monotonic() - begin >= DRAIN_S
        with connect(warden.address) as client:
            echoes(client)
    assert sorted(end.reason for end in warden.log.wait_ends(2)) == ["client.closed", "policy.drained"]
    assert second.accepted == 1


NAME = "plc.test"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("mode, kind", [("keep", None), ("close", "eof"), ("reset", "reset"), ("drain", "reset")])
def test_backend_resolved_away(through, backend, scratch, mode, kind):
    """Its name has another address, which is found when the old one does not serve any more."""
    port, hosts = free_port(), os.path.join(scratch, "hosts")

    def resolve_to(address):
        with open(hosts, "w") as f:  # in place: it is mounted
            f.write(f"127.0.0.1 localhost\n{address} {NAME}\n")

    def comes_through():
        with connect(warden.address) as client:
            try:
                return echoes(client)
            except (OSError, AssertionError):
                return False
    old = backend(peers.echo, f"127.0.0.2:{port}")
    resolve_to("127.0.0.2")
    warden = drained(through, types.SimpleNamespace(address=f"{NAME}:{port}"), on_backend_gone=mode, start=False)
    warden.expected_log += ["connect", "refused"]
    warden.start(inside=["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"])
    with connect(warden.address) as session:
        echoes(session)
        begin = time.monotonic()
        new = backend(peers.echo, f"127.0.0.3:{port}")
        resolve_to("127.0.0.3")
        old.listener.shutdown(socket.SHUT_RDWR)
        old.listener.close()
        wait_for(comes_through, "a session with the new address", 30)
        if mode == "keep":
            stays(lambda: echoes(session), "the session", DRAIN_S + 0.7)
        else:
            if mode == "drain":
                echoes(session)
            assert session.read_to_end() == End(kind, 0)
            assert mode != "drain" or time.monotonic() - begin >= DRAIN_S
    wanted = "client.closed" if mode == "keep" else "policy.drained"
    wait_for(lambda: [end.reason for end in warden.log.ends() if end.backend == old.address].count(wanted) == 1, "its end, with its reason")
    assert old.accepted == 1 and new.accepted >= 1


def test_backend_gone_is_kept_unless_said_otherwise(pair):
    warden, _, second = pair()
    with connect(warden.address) as session:
        echoes(session)
        configure(warden, {**warden.first, "backends": [{"address": second.address}]})
        stays(lambda: echoes(session), "the session", DRAIN_S + 0.7)


def test_backend_that_comes_back_keeps_its_sessions(pair):
    warden, _, second = pair(on_backend_gone="drain")
    with connect(warden.address) as session:
        echoes(session)
        configure(warden, {**warden.first, "backends": [{"address": second.address}]})
        configure(warden)
        stays(lambda: echoes(session), "the session", DRAIN_S + 0.7)


def test_backend_gone_while_it_is_being_connected(through, backend):
    """Its queue is full, so that the connection comes only after the reload that took it away."""
    other = backend(peers.echo)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        full.settimeout(0.1)
        here = "%s:%d" % full.getsockname()
        warden = through(here, on_backend_gone="reset", backend={"connect_timeout": "20s"})
        with connect(warden.address) as client:
            wait_for(lambda: [s["state"] for s in warden.sessions()] == ["connecting"], "a session that connects")
            configure(warden, {**warden.settings["services"][0], "backends": [{"address": other.address}]})
            taken = []

            def over():
                try:
                    taken.append(full.accept()[0])
                except TimeoutError:
                    pass
                return not warden.sessions()
            wait_for(over, "the session's end")
            assert client.read_to_end() == End("reset", 0)
            for one in taken:
                one.close()
    assert warden.log.wait_ends()[0].reason == "policy.drained"


@pytest.mark.parametrize("death", [None, "relay 0", "steward", "upgrade"])
def test_drained_service_accepts_nobody(pair, death):
    warden, _, _ = pair()
    with connect(warden.address) as session, connect(warden.address) as other:
        echoes(session), echoes(other)
        warden.ctl("drain", "echo")
        wait_for(lambda: refuses(warden.address), "it is closed")
        echoes(session)
        if death:
            restart(warden, death)
        else:
            configure(warden)  # a reload changes nothing of it
        assert refuses(warden.address)
        assert warden.status()["services"][0]["drained"] and "drained" in warden.ctl("status")
        assert session.read_to_end() == End("reset", 0)
    assert {end.reason for end in warden.log.wait_ends(2)} == {"operator.drained"}
    warden.ctl("resume", "echo")
    with connect(warden.address) as session:
        echoes(session)
    assert not warden.status()["services"][0]["drained"]


def test_resumed_service_keeps_its_sessions(pair):
    warden, _, _ = pair()
    with connect(warden.address) as session:
        echoes(session)
        warden.ctl("drain", "echo")
        warden.ctl("resume", "echo")
        stays(lambda: echoes(session), "the session", DRAIN_S + 0.7)
        with connect(warden.address) as client:
            echoes(client)


def test_resume_that_cannot_listen_changes_nothing(pair, backend):
    warden, _, _ = pair()
    warden.expected_log += ["in use", "resume"]
    warden.ctl("drain", "echo")
    wait_for(lambda: refuses(warden.address), "it is closed")
    squatter = backend(peers.hold, address=warden.address)
    result = warden.ctl_run("resume", "echo")
    assert result.returncode == 1 and warden.address in result.stderr
    assert warden.status()["services"][0]["drained"]
    squatter.close()
    warden.ctl("resume", "echo")
    with connect(warden.address) as client:
        echoes(client)


@pytest.mark.parametrize("balance, death", [
    ("round-robin", None), ("round-robin", "relay 0"), ("round-robin", "steward"),
    ("failover", None), ("source-hash", None), ("least-connections", None),
])
def test_drained_backend_gets_no_new_sessions(through, backend, balance, death):
    first, second = backend(peers.echo), backend(peers.echo)
    warden = drained(through, first, balance=balance)
    warden.first = {**warden.settings["services"][0], "backends": [{"address": first.address}, {"address": second.address}]}
    configure(warden, {**warden.first, "backends": [{"address": first.address}]})
    with connect(warden.address) as session:
        echoes(session)
        configure(warden)
        warden.ctl("drain", f"echo/{first.address}")
        if death:
            restart(warden, death)
        for _ in range(4):
            with connect(warden.address) as client:
                echoes(client)
        assert (first.accepted, second.accepted) == (1, 4)
        shown = {b["address"]: b["drained"] for b in warden.status()["services"][0]["backends"]}
        assert shown == {first.address: True, second.address: False}
        echoes(session)
        if balance == "round-robin":
            assert session.read_to_end() == End("reset", 0)
    warden.ctl("resume", f"echo/{first.address}")
    warden.ctl("drain", f"echo/{second.address}")
    with connect(warden.address) as client:
        echoes(client)
    assert (first.accepted, second.accepted) == (2, 4)


@pytest.mark.parametrize("what", ["nobody", "echo/127.0.0.1:9", "", "/", "echo/"])
def test_what_cannot_be_drained(through, backend, what):
    warden = through(backend(peers.echo).address)
    result = warden.ctl_run("drain", what)
    assert result.returncode == 1 and "no service" in result.stderr
