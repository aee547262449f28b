"""SIGTERM: sessions may end by themselves for a while, then they are ended; every release runs; exit 0."""
import signal
import time

import peers
from peers import End, connect
from waiting import stays, wait_for


def test_drains(through, backend):
    """No newcomers, but the old session goes on; when it ends so does the daemon, long before the deadline."""
    server = backend(peers.echo)
    warden = through(server.address, hooked=True, top={"shutdown_timeout": "20s"})
    with connect(warden.address) as client:
        own_port = client.sock.getsockname()[1]
        client.send(10).read(10)
        warden.tree()
        warden.signal(signal.SIGTERM)
        warden.wait_notified("STOPPING=1")

        def refuses():
            try:
                connect(warden.address, deadline=2).close()
            except ConnectionRefusedError:
                return True
        wait_for(refuses, "no newcomers")
        stays(lambda: warden.popen.poll() is None, "the daemon", 0.5)
        client.send(100_000).read(100_000).finish()
        assert client.read_to_end() == End("eof", 0)
    began = time.monotonic()
    assert warden.wait_exit() == 0
    assert time.monotonic() - began < 8
    warden.ended = True
    # One of those who asked whether there is still service may have been let in.
    (released,) = [run for run in warden.hooks["hooks"].released() if run.client_port == str(own_port)]
    assert released.reason == "client.closed"


def test_deadline(through, backend):
    server = backend(peers.collect)
    warden = through(server.address, hooked=True, top={"shutdown_timeout": "500ms"})
    with connect(warden.address) as client:
        client.send(10)
        wait_for(lambda: server.accepted, "the backend's connection")
        warden.stop()
        assert client.read_to_end() == End("reset", 0)
    assert server.wait() == [End("reset", 10)]
    (released,) = warden.hooks["hooks"].released()
    assert (released.reason, released.recovered) == ("operator.shutdown", "0")
    (end,) = warden.log.ends()
    assert end.reason == "operator.shutdown"


def test_on_policy_end_close(through, backend):
    server = backend(peers.collect)
    warden = through(server.address, on_policy_end="close", top={"shutdown_timeout": "300ms"})
    with connect(warden.address) as client:
        client.send(10)
        wait_for(lambda: server.accepted, "the backend's connection")
        warden.signal(signal.SIGTERM)
        assert client.read_to_end() == End("eof", 0)
        client.finish()
    assert warden.wait_exit() == 0
    warden.ended = True
    assert server.wait() == [End("eof", 10)]


def test_release_under_way_is_waited_for(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, top={"shutdown_timeout": "300ms"})
    hooks = warden.hooks["hooks"]
    hooks.set("release", gate=True)
    with connect(warden.address) as client:
        client.send(10).read(10)
    wait_for(lambda: hooks.runs("release"), "the release hook")
    warden.tree()
    warden.signal(signal.SIGTERM)
    stays(lambda: warden.popen.poll() is None, "the daemon", 1)
    hooks.set("release", gate=None)
    assert warden.wait_exit() == 0
    warden.ended = True


def test_client_that_waits_for_its_lease_is_ended(through, backend):
    warden = through(backend(peers.echo).address, hooked=True, top={"shutdown_timeout": "300ms"})
    hooks = warden.hooks["hooks"]
    hooks.set("acquire", gate=True)
    with connect(warden.address) as client:
        wait_for(lambda: hooks.runs("acquire"), "the acquire hook")
        warden.tree()
        warden.signal(signal.SIGTERM)
        assert client.read_to_end() == End("reset", 0)
        hooks.set("acquire", gate=None)
        assert warden.wait_exit() == 0
    warden.ended = True
    wait_for(hooks.released, "a release")


def test_second_interrupt_ends_at_once(through, backend):
    """What is still leased is released by the next start."""
    server = backend(peers.collect)
    warden = through(server.address, hooked=True, top={"shutdown_timeout": "60s"})
    warden.expected_log += [".*"]
    with connect(warden.address) as client:
        client.send(10)
        wait_for(lambda: server.accepted, "the backend's connection")
        warden.tree()
        warden.signal(signal.SIGINT)
        warden.wait_notified("STOPPING=1")
        warden.signal(signal.SIGINT)
        began = time.monotonic()
        assert warden.wait_exit(10) != 0
        assert time.monotonic() - began < 5
        assert client.read_to_end() == End("reset", 0)
    wait_for(lambda: not warden.tree(), lambda: f"the end of the tree: {warden.tree()}")
    assert not warden.hooks["hooks"].released()
    warden.release_twice = warden.acquire_unknown = True
    warden.start()
    (released,) = wait_for(warden.hooks["hooks"].released, "a release")
    assert released.recovered == "1"
