"""prepare_listen before addresses are bound, shutdown when a service is no more."""
import signal

import pytest

import peers
from peers import End, connect, free_port
from settings import service
from waiting import stays, wait_for


def own_hooks(hooks, **more):
    return {event: {"command": [hooks.path(event)], **more.get(event, {})} for event in ("prepare_listen", "shutdown")}


def refuses(address):
    try:
        connect(address, deadline=5).close()
        return False
    except ConnectionRefusedError:
        return True


def serves(address):
    with connect(address) as client:
        client.send(10).read(10).finish()
        return client.read_to_end() == End("eof", 0)


@pytest.fixture
def prepared(through, backend):
    """A daemon that is not started yet, its service with both hooks; warden.hooks["hooks"]."""
    def make(**more):
        warden = through(backend(peers.echo).address, start=False)
        hooks = own_hooks(warden.new_hooks(), **more)
        warden.configure({"services": [{**warden.settings["services"][0], "hooks": hooks}]})
        return warden, warden.hooks["hooks"]
    return make


def test_start_and_stop(prepared):
    warden, hooks = prepared()
    hooks.set("prepare_listen", gate=True, complaint="adds an address")
    warden.start(ready=False)
    wait_for(lambda: hooks.runs("prepare_listen"), "prepare_listen")
    stays(lambda: refuses(warden.address), "nothing listens", 0.3)
    hooks.set("prepare_listen", gate=None)
    warden.wait_ready()
    assert serves(warden.address)
    assert warden.log.matching("echo: prepare_listen hook: adds an address")
    assert not hooks.runs("shutdown")
    warden.stop()
    (run,) = hooks.runs("prepare_listen")
    (last,) = hooks.runs("shutdown")
    assert last.status == 0 and (run.event, run.service, run.lease, run.client) == ("prepare_listen", "echo", "", "")
    assert last.service == "echo"


def test_shutdown_comes_after_the_last_release(prepared):
    warden, hooks = prepared()
    settings = warden.settings["services"][0]
    warden.configure({"services": [{**settings, "hooks": {**settings["hooks"], **hooks.config()}}]})
    hooks.set("release", delay="0.5")
    warden.start()
    with connect(warden.address) as client:
        client.send(10).read(10)
        warden.stop()
    assert [run.event for run in hooks.runs()] == ["prepare_listen", "acquire", "release", "shutdown"]


@pytest.mark.parametrize("what", ["exit", "timeout"])
def test_start_is_refused(prepared, what):
    warden, hooks = prepared(prepare_listen={"timeout": "300ms"})
    hooks.set("prepare_listen", **({"exit": 3} if what == "exit" else {"gate": True}))
    warden.expected_log += ["prepare_listen", "the steward .* exited with status 69", "the holder is dead"]
    warden.exit_status = 69
    warden.start(ready=False)
    assert warden.wait_exit() == 69
    warden.ended = True
    words = "exited with 3" if what == "exit" else "took longer than its timeout of 300 ms"
    assert warden.log.matching(f"tcpwarden.conf: services.echo.hooks.prepare_listen: {words}")
    assert not hooks.runs("shutdown")


def test_reloads(prepared, backend):
    warden, hooks = prepared()
    warden.start()
    server = backend(peers.echo)
    echo = warden.settings["services"][0]
    other, third = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    assert warden.reload().returncode == 0
    assert len(hooks.runs("prepare_listen")) == 1  # it listens there already

    # One of two fails: nothing changes, and what was prepared is taken back.
    hooks.set("prepare_listen", exit=1)
    new = service("new", other, server.address, hooks=own_hooks(hooks))
    warden.configure({"services": [echo, new]})
    warden.expected_log += ["prepare_listen hook|prepare_listen: exited with 1", "reload"]
    result = warden.reload()
    assert result.returncode == 1 and "services.new.hooks.prepare_listen: exited with 1" in result.stdout + result.stderr
    assert refuses(other) and serves(warden.address)
    wait_for(lambda: [run.service for run in hooks.runs("shutdown") if run.status == 0] == ["new"], "shutdown of the new service")

    hooks.set("prepare_listen", exit=None)
    assert warden.reload().returncode == 0
    assert serves(other)
    assert [run.service for run in hooks.runs("prepare_listen")] == ["echo", "new", "new"]

    # A new address of a service is prepared, too.
    warden.configure({"services": [{**echo, "listen": [warden.address, third]}, new]})
    assert warden.reload().returncode == 0
    assert serves(third)
    assert [run.service for run in hooks.runs("prepare_listen")] == ["echo", "new", "new", "echo"]

    # Removed, and at once put back: that waits for its shutdown.
    hooks.set("shutdown", delay="0.5")
    warden.configure({"services": [echo]})
    assert warden.reload().returncode == 0
    warden.configure({"services": [echo, new]})
    assert warden.reload().returncode == 0
    assert [run.event for run in hooks.runs() if run.service == "new"][-2:] == ["shutdown", "prepare_listen"]
    assert hooks.runs("shutdown")[-1].status == 0 and serves(other)
    warden.stop()
    assert sorted(run.service for run in hooks.runs("shutdown")) == ["echo", "new", "new", "new"]


def test_stopped_while_preparing(prepared):
    warden, hooks = prepared()
    warden.start()
    server = warden.settings["services"][0]["backends"][0]["address"]
    hooks.set("prepare_listen", gate=True)
    echo = warden.settings["services"][0]
    warden.configure({"services": [echo, service("new", f"127.0.0.1:{free_port()}", server, hooks=own_hooks(hooks))]})
    warden.signal(signal.SIGHUP)
    wait_for(lambda: len(hooks.runs("prepare_listen")) == 2, "prepare_listen")
    assert serves(warden.address)
    warden.expected_log += ["reload"]
    warden.stop()
    assert sorted(run.service for run in hooks.runs("shutdown") if run.status == 0) == ["echo", "new"]


def test_steward_dies_while_preparing(prepared):
    """What it was running dies with it; the reload is done again."""
    warden, hooks = prepared()
    warden.start()
    server = warden.settings["services"][0]["backends"][0]["address"]
    hooks.set("prepare_listen", gate=True)
    echo = warden.settings["services"][0]
    other = f"127.0.0.1:{free_port()}"
    warden.configure({"services": [echo, service("new", other, server, hooks=own_hooks(hooks))]})
    warden.signal(signal.SIGHUP)
    wait_for(lambda: len(hooks.runs("prepare_listen")) == 2, "prepare_listen")
    warden.expect_deaths("steward")
    warden.role("steward").kill()
    wait_for(lambda: len(hooks.runs("prepare_listen")) == 3, "prepare_listen again")
    hooks.set("prepare_listen", gate=None)
    wait_for(lambda: not refuses(other), "the new service")
    assert serves(warden.address) and serves(other)
    assert [run.status for run in hooks.runs("prepare_listen")] == [0, None, 0]
    warden.note_baseline()
