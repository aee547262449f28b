"""One tree for each state directory, and what a start says when it cannot be."""
import glob
import os
import re
import shutil
import socket
import subprocess

import pytest

import peers
from daemon import separated
from peers import connect, free_port
from settings import service
from waiting import wait_for


def run(warden, *arguments, timeout=30):
    return subprocess.run([warden.program("supervisor", "tcpwarden"), *arguments], capture_output=True, text=True, timeout=timeout,
                          env={"TCPWARDEN_LIBEXECDIR": f"{warden.program('steward')}:{warden.program('relay')}"})


def processes_with(state):
    """Who has the lock of that state directory open."""
    found = []
    for fds in glob.glob("/proc/[0-9]*/fd"):
        try:
            if any(os.readlink(os.path.join(fds, fd)) == f"{state}/lock" for fd in os.listdir(fds)):
                found.append(int(fds.split("/")[2]))
        except OSError:
            continue
    return found


def test_same_state_directory(through, backend):
    warden = through(backend(peers.echo).address)
    second = run(warden, "--config", warden.config_path)
    assert second.returncode == 69
    assert warden.state in second.stderr and str(warden.popen.pid) in second.stderr
    with connect(warden.address) as client:
        client.send(10).read(10)


def test_another_state_directory(through, backend):
    """Two daemons side by side; the second may not have the first one's addresses."""
    server = backend(peers.echo)
    first, second = through(server.address), through(server.address)
    for warden in (first, second):
        with connect(warden.address) as client:
            client.send(10).read(10)
    third = through(server.address, listen=first.address, start=False)
    third.expected_log += [".*"]
    result = run(third, "--config", third.config_path)
    assert result.returncode not in (0, None) and first.address in result.stderr
    with connect(first.address) as client:
        client.send(10).read(10)


def test_start_after_an_orderly_stop(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    for _ in range(3):
        with connect(warden.address) as client:
            client.send(10).read(10)
        wait_for(lambda: warden.hooks["hooks"].released(), "a release")
        warden.stop()
        warden.start()
    fences = [int(run.fence) for run in warden.hooks["hooks"].runs("acquire")]
    assert fences == sorted(set(fences)) and len(fences) == 3


def test_bad_config_at_start(tcpwarden):
    warden = tcpwarden({"services": [{"name": "a", "listen": "127.0.0.1:http", "bakends": "127.0.0.1:1"}]}, start=False)
    for arguments in (["--config", warden.config_path], ["--check", "--config", warden.config_path]):
        result = run(warden, *arguments)
        assert result.returncode == 78, result.stderr
        assert "backends" in result.stderr and warden.config_path in result.stderr


def test_check_of_a_good_config(through):
    warden = through("127.0.0.1:1", start=False)
    result = run(warden, "--check", "--config", warden.config_path)
    assert result.returncode == 0, result.stderr + result.stdout


def test_explain(tcpwarden):
    """What times come to on this kernel, of all services or of one, and which service was meant."""
    warden = tcpwarden({"services": [
        {"name": "plc", "listen": "127.0.0.1:1", "backends": "127.0.0.1:3", "client": {"dead_after": "20s"}},
        {"name": "vpn", "listen": "127.0.0.1:2", "backends": "127.0.0.1:3"}]}, start=False)
    both = run(warden, "--explain", "--config", warden.config_path)
    one = run(warden, "--config", warden.config_path, "--explain", "plc")
    wrong = run(warden, "--config", warden.config_path, "--explain", "plcs")
    assert both.returncode == 0 and both.stderr == "", both.stderr
    assert [line for line in both.stdout.splitlines() if line and " " not in line] == ["plc", "vpn"]
    assert one.returncode == 0 and both.stdout.startswith(one.stdout.split("\nTimes")[0])
    assert re.search(r"^  bytes unacknowledged +20 s +60 s +dead_after$", one.stdout, re.M)
    assert wrong.returncode == 64 and wrong.stderr.endswith('there is no service "plcs" (did you mean "plc"?)\n') and not wrong.stdout


def test_privileged_port(through, backend):
    if not separated():
        pytest.skip("needs root and the system users")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = next(p for p in range(600, 1000) if s.connect_ex(("127.0.0.1", p)))
    warden = through(backend(peers.echo).address, listen=f"127.0.0.1:{port}")
    with connect(warden.address) as client:
        client.send(10).read(10)


def test_corrupt_lease_database_is_set_aside(through, backend):
    warden = through(backend(peers.echo).address, hooked=True)
    with connect(warden.address) as client:
        client.send(10).read(10)
    wait_for(warden.hooks["hooks"].released, "a release")
    warden.stop()
    with open(f"{warden.state}/leases.db", "r+b") as f:
        f.write(b"no database at all" * 200)
    for suffix in ("-wal", "-shm"):
        try:
            shutil.os.unlink(f"{warden.state}/leases.db{suffix}")
        except FileNotFoundError:
            pass
    warden.expected_log += ["corrupt", "set aside", "leases.db"]
    warden.start()
    with connect(warden.address) as client:
        client.send(10).read(10)
    wait_for(lambda: len(warden.hooks["hooks"].released()) == 2, "a release")
    fences = [int(run.fence) for run in warden.hooks["hooks"].runs("acquire")]
    assert fences[1] > fences[0]
    warden.stop()
    aside = [p for p in shutil.os.listdir(warden.state) if "corrupt" in p]
    assert aside
    for name in aside:
        shutil.os.unlink(f"{warden.state}/{name}")


def test_systemd_passes_a_socket(tcpwarden, backend):
    """LISTEN_FDS and LISTEN_FDNAMES, as systemd.socket(5) gives them."""
    server = backend(peers.echo)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        address = "%s:%d" % listener.getsockname()
        warden = tcpwarden({"services": [service("echo", "systemd:front", server.address)]}, start=False)
        warden.pass_sockets = {"front": listener.fileno()}
        warden.start()
        with connect(address) as client:
            client.send(10).read(10)


def test_a_start_that_fails_leaves_nothing_behind(tcpwarden, backend):
    """All is killed while relays are only just being cloned: none may take its holder's place, and keep the lock."""
    taken = backend(peers.echo)
    warden = tcpwarden({"workers": 4, "orphan_timeout": "30s", "services": [service("echo", taken.address, "127.0.0.1:1")]}, start=False)
    for _ in range(12):
        result = run(warden, "--config", warden.config_path, timeout=10)  # of who has its stderr: also of those left behind
        # Were the lock still held, it would be 69, and "held by the sessions of a tcpwarden that has died".
        assert taken.address in result.stderr and "died" not in result.stderr, result.stderr
        wait_for(lambda: not processes_with(warden.state), lambda: f"the end of {processes_with(warden.state)}", 5)
