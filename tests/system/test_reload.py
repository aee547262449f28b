"""A good config is taken as a whole, a bad one not at all; old sessions live on."""
import errno
import signal
import socket
import subprocess

import pytest

import peers
from peers import End, connect, free_port
from settings import service
from waiting import wait_for


def refuses(address):
    try:
        connect(address, deadline=5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_listener_added_and_removed(through, backend):
    server = backend(peers.echo)
    warden = through(server.address)
    old, new = warden.address, f"127.0.0.1:{free_port()}"
    with connect(old) as session:
        session.send(10).read(10)
        warden.configure({"services": [service("echo", [old, new], server.address)]})
        result = warden.reload()
        assert result.returncode == 0, result.stderr
        for address in (old, new):
            with connect(address) as client:
                client.send(10).read(10)
        warden.configure({"services": [service("echo", new, server.address)]})
        assert warden.reload().returncode == 0
        wait_for(lambda: refuses(old), "the old address is closed")
        with connect(new) as client:
            client.send(10).read(10)
        session.send(100_000).read(100_000).finish()
        assert session.read_to_end() == End("eof", 0)
    warden.note_baseline()


def test_service_added_and_removed(through, backend):
    first, second = backend(peers.echo), backend(peers.echo)
    warden = through(first.address)
    other = f"127.0.0.1:{free_port()}"
    echo = warden.settings["services"][0]
    hooks = warden.new_hooks()
    with connect(warden.address) as session:
        session.send(1).read(1)
        warden.configure({"services": [service("other", other, second.address, hooks=hooks.config())]})
        assert warden.reload().returncode == 0
        wait_for(lambda: refuses(warden.address), "the old address is closed")
        with connect(other) as client:
            client.send(10).read(10)
        session.send(1).read(1)
        warden.configure({"services": [echo]})
        assert warden.reload().returncode == 0
        with connect(warden.address) as client:
            client.send(10).read(10)
        session.send(1).read(1)
    wait_for(hooks.released, "a release")


def test_backends_change_for_new_sessions(through, backend):
    first, second = backend(peers.echo), backend(peers.echo)
    warden = through(first.address)
    with connect(warden.address) as session:
        session.send(10).read(10)
        warden.configure({"services": [service("echo", warden.address, second.address)]})
        assert warden.reload().returncode == 0
        with connect(warden.address) as client:
            client.send(10).read(10)
        session.send(10).read(10)
    assert (first.accepted, second.accepted) == (1, 1)


def test_session_keeps_the_hooks_it_began_with(through, backend):
    server = backend(peers.echo)
    warden = through(server.address, hooked=True)
    with connect(warden.address) as session:
        session.send(10).read(10)
        warden.configure({"services": [service("echo", warden.address, server.address)]})
        assert warden.reload().returncode == 0
        with connect(warden.address) as client:
            client.send(10).read(10)
    wait_for(warden.hooks["hooks"].released, "a release")
    assert len(warden.hooks["hooks"].runs("acquire")) == 1


BAD = {
    "syntax": 'workers = 1;\nservices = ( { name = "a" ',
    "many": 'workers = "x";\nnonsense = 1;\nservices = ( { name = "a"; listen = "127.0.0.1:99999"; } );\n',
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_config_changes_nothing(through, backend, kind):
    warden = through(backend(peers.echo).address)
    warden.expected_log += ["tcpwarden.conf", "reload", "config"]
    roles = warden.roles()
    with connect(warden.address) as session:
        session.send(10).read(10)
        warden.write_config(BAD[kind])
        result = warden.reload()
        assert result.returncode == 1
        assert f"{warden.config_path}:" in result.stderr + result.stdout
        if kind == "many":
            told = result.stderr + result.stdout
            assert all(word in told for word in (":1: workers", ":2: nonsense", ":3: services[0]")), told
            assert warden.log.matching("nonsense")
        session.send(10).read(10)
        with connect(warden.address) as client:
            client.send(10).read(10)
    assert warden.roles() == roles


def test_address_in_use_changes_nothing(through, backend):
    server = backend(peers.echo)
    taken = backend(peers.echo)
    warden = through(server.address)
    warden.expected_log += ["in use", "reload"]
    new = f"127.0.0.1:{free_port()}"
    warden.configure({"services": [service("echo", [new, taken.address], server.address)]})
    result = warden.reload()
    assert result.returncode == 1 and taken.address in result.stderr + result.stdout
    assert refuses(new)
    with connect(warden.address) as client:
        client.send(10).read(10)


def is_bound(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as s:
        try:
            s.bind((host, int(port)))
            return False
        except OSError as e:
            assert e.errno == errno.EADDRINUSE
            return True


@pytest.mark.parametrize("how", ["reload", "drain"])
def test_switch(through, backend, how):
    """What is new is bound before the switch and listens at it; who waits at what is removed, or drained, is served."""
    server = backend(peers.echo)
    warden = through(server.address)
    old, new = warden.address, f"127.0.0.1:{free_port()}"
    relay = warden.role("relay 0")
    relay.kill(signal.SIGSTOP)
    queued = [connect(old).send(10) for _ in range(100)]
    if how == "reload":
        warden.configure({"services": [service("echo", new, server.address)]})
    command = [warden.program("ctl", "tcpwardenctl"), "--socket", warden.control, *(["reload"] if how == "reload" else ["drain", "echo"])]
    ctl = subprocess.Popen(command)
    if how == "reload":
        wait_for(lambda: warden.status()["state"] == "reloading" and is_bound(new), "the new address is bound")
        assert refuses(new)
    else:
        wait_for(lambda: warden.status()["services"][0]["drained"], "it is drained")
    assert ctl.poll() is None
    relay.kill(signal.SIGCONT)
    assert ctl.wait(20) == 0
    assert refuses(old)
    for client in queued:
        with client:
            client.read(10)
    if how == "reload":
        with connect(new) as client:
            client.send(10).read(10)


def test_hangup_signal_is_told_to_the_service_manager(through, backend):
    server = backend(peers.echo)
    warden = through(server.address)
    new = f"127.0.0.1:{free_port()}"
    warden.configure({"services": [service("echo", [warden.address, new], server.address)]})
    warden.signal(signal.SIGHUP)
    warden.wait_notified("RELOADING=1")
    warden.wait_notified("READY=1", count=2)
    with connect(new) as client:
        client.send(10).read(10)
    warden.note_baseline()
    warden.expected_log += ["tcpwarden.conf:", "reload failed"]
    warden.write_config("nonsense = 1;\n")
    warden.signal(signal.SIGHUP)
    warden.wait_notified("READY=1", count=3)
    with connect(new) as client:
        client.send(10).read(10)


def test_steward_restarts_with_the_accepted_config(through, backend):
    """Not with what stands in the file, which may be half-written; status says that they differ."""
    warden = through(backend(peers.echo).address)
    warden.expect_deaths("steward")
    assert warden.reload().returncode == 0
    before = warden.status()["config"]
    assert before["loads"] == 2
    warden.write_config("nonsense = 1;\n")
    old = warden.role("steward")
    old.kill()
    warden.wait_role("steward", not_this=old)
    with connect(warden.address) as client:
        client.send(10).read(10)
    wait_for(lambda: warden.ctl_run("status").returncode == 0, "the control socket")
    shown = warden.ctl("status")
    assert "the file has changed" in shown and f"in force since {before['loaded']}, reloaded 1 time;" in shown
    assert warden.status()["config"]["loads"] == 2


def test_reload_under_load(through, load):
    server = load.backend()
    warden = through(server.address, hooked=True)
    client = load.client(warden.address, connections=600, parallel=20, kinds="fin,ask", up="0:20000", down="0:20000", deadline=60)
    reloads = 0
    while client.running and reloads < 20:
        extra = f"127.0.0.1:{free_port()}"
        warden.configure({"services": [{**warden.settings["services"][0], "listen": [warden.address, extra]}]})
        result = warden.reload()
        assert result.returncode == 0, result.stderr
        reloads += 1
    client.wait()
    assert reloads >= 3
    warden.configure({"services": [{**warden.settings["services"][0], "listen": [warden.address]}]})
    assert warden.reload().returncode == 0
    warden.wait_sessions(0)
    warden.note_baseline()


def test_reload_tells_what_check_warns_of(through, backend):
    """What is right but likely a mistake takes effect, and who asked is told what --check would have said."""
    server = backend(peers.echo)
    warden = through(server.address)
    warden.expected_log += ["client.keepalive: without it"]
    warden.configure({"services": [{**service("echo", warden.address, server.address), "client": {"keepalive": False}}]})
    result = warden.reload()
    assert result.returncode == 0
    assert "services[0].client.keepalive: without it a dead peer" in result.stdout + result.stderr
    assert warden.log.matching("without it a dead peer")
    with connect(warden.address) as client:
        client.send(10).read(10)
