"""What stands in conf/examples, run as it stands there: only addresses and paths are those of the test."""
import os
import shutil
import socket
import subprocess

import pytest

import peers
from settings import config_text
from installed import BACKEND, CLIENT, DEADLINE, PORT, installed, journal_text  # noqa: F401 (installed is a fixture)
from waiting import wait_for

EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "conf", "examples")


@pytest.fixture
def example(through):
    """example(name, backend, {text: other text}): a daemon with that example's config, and `address` where it listens."""
    def make(name, backend, changes):
        warden = through(backend.address, start=False)
        shutil.copy(os.path.join(EXAMPLES, name), warden.directory)
        with open(os.path.join(EXAMPLES, f"{name}.conf")) as f:
            text = f.read()
        old_backend = text.split('backends = "')[1].split('"')[0]
        for old, new in {"/etc/tcpwarden/hooks": warden.directory, "0.0.0.0:5020": warden.address, old_backend: backend.address,
                         "/var/lib/tcpwarden": warden.state, **changes}.items():
            assert old in text or old == "/var/lib/tcpwarden", old
            text = text.replace(old, new)
        warden.write_config(config_text({k: v for k, v in warden.settings.items() if k != "services"}) + text)
        return warden.start()
    return make


def released(warden):
    wait_for(lambda: not any(warden.status()["leases"].values()), lambda: f"no leases: {warden.status()['leases']}")


def test_seats(example, backend):
    server = backend(peers.echo)
    warden = example("seat", server, {"COUNT=4": "COUNT=2"})
    warden.expect_deaths("steward")
    warden.expected_log += ["no seat is left", "acquire hook exited with 75"]
    seats = os.path.join(warden.state, "seats")

    def taken():
        return {os.readlink(os.path.join(seats, n)) for n in os.listdir(seats)} if os.path.isdir(seats) else set()
    clients = [peers.connect(warden.address) for _ in range(10)]  # all at once
    warden.wait_sessions(2)
    assert {end.reason for end in warden.log.wait_ends(8)} == {"hook.limit"}
    assert taken() == {s["lease"] for s in warden.sessions()}
    warden.role("steward").kill()
    for client in clients:
        client.close()
    wait_for(lambda: not taken(), lambda: f"empty seats: {taken()}")
    with peers.connect(warden.address) as client:
        client.send(100).read(100)
        assert len(taken()) == 1
    released(warden)
    assert not taken()


def test_seats_that_cannot_be_seen_are_neither_taken_nor_given_back(example, backend):
    warden = example("seat", backend(peers.echo), {"COUNT=4": "COUNT=2"})
    warden.expected_log += ["hook exited with 69"]
    seats = os.path.join(warden.state, "seats")
    with peers.connect(warden.address) as client:
        client.send(100).read(100)
        os.chmod(seats, 0)
        with peers.connect(warden.address) as other:
            assert other.read_to_end().kind == "reset"
    assert sorted(end.reason for end in warden.log.wait_ends(2)) == ["client.closed", "hook.failed"]
    wait_for(lambda: warden.log.matching("release hook exited with 69"), "a release that says that it failed")
    os.chmod(seats, 0o755)
    assert len(os.listdir(seats)) == 1
    released(warden)
    assert not os.listdir(seats)


FIREWALL = """
table inet tcpwarden {
	chain holes { }
	chain input {
		type filter hook input priority filter;
		udp dport 5021 jump holes
		udp dport 5021 drop
	}
}
"""


@pytest.fixture
def nft_of_hooks(scratch):
    """nft as hooks can run it: they have no capability, so the file has. A machine's administrator would take sudo(8)."""
    for program in ("nft", "setcap"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    path = os.path.join(scratch, "nft")
    shutil.copy(shutil.which("nft"), path)
    subprocess.run(["setcap", "cap_net_admin+ep", path], check=True)
    return path


def test_firewall_hole(small_buffers, example, backend, nft_of_hooks):
    subprocess.run(["nft", "-f", "-"], input=FIREWALL, text=True, check=True)
    server = backend(peers.echo)
    warden = example("firewall-hole", server, {"sudo -n /usr/sbin/nft": nft_of_hooks})
    warden.expect_deaths("steward")
    host, port = warden.address.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 5021))
        receiver.settimeout(0.1)

        def gets_through(source):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((source, 0))
                sender.sendto(source.encode(), ("127.0.0.1", 5021))
            try:
                return receiver.recv(100) == source.encode()
            except TimeoutError:
                return False

        def connect(source):
            return socket.create_connection((host, int(port)), source_address=(source, 0))
        assert not gets_through("127.0.0.5")
        first, second = connect("127.0.0.5"), connect("127.0.0.5")
        warden.wait_sessions(2)
        wait_for(lambda: warden.status()["leases"]["held"] == 2, "two leases")
        assert gets_through("127.0.0.5") and not gets_through("127.0.0.6")
        first.close()
        warden.wait_sessions(1)
        wait_for(lambda: warden.status()["leases"]["releasing"] == 0, "the first one's release")
        assert gets_through("127.0.0.5")
        warden.role("steward").kill()
        second.close()
        wait_for(lambda: not gets_through("127.0.0.5"), "the hole is closed")
    warden.wait_sessions(0)
    released(warden)
    assert "comment" not in subprocess.run(["nft", "list", "chain", "inet", "tcpwarden", "holes"], capture_output=True, text=True,
                                           check=True).stdout


SESSION_UNIT = """\
[Unit]
Description=What connection %i holds
[Service]
Type=exec
ExecStart=/bin/sleep infinity
"""


def test_unit_per_connection(installed):  # noqa: F811
    lab = installed
    if lab.run("sh", "-c", "command -v pkaction", check=False).returncode:
        pytest.skip("needs polkit")
    with open(os.path.join(EXAMPLES, "unit")) as f:
        script = f.read()
    with open(os.path.join(EXAMPLES, "unit.conf")) as f:
        config = f.read().replace("192.0.2.10:5900", "127.0.0.1:7")
    rule = [line[4:] for line in script.splitlines() if line.startswith("#   ")]
    lab.write("/etc/tcpwarden/hooks/unit", script)
    lab.run("chmod", "755", "/etc/tcpwarden/hooks", "/etc/tcpwarden/hooks/unit")
    lab.write("/etc/tcpwarden/tcpwarden.conf", config)
    lab.write("/etc/systemd/system/session@.service", SESSION_UNIT)
    lab.write("/etc/polkit-1/rules.d/50-tcpwarden.rules", "\n".join(rule) + "\n")
    lab.run("chmod", "-R", "a+rX", "/etc/polkit-1")
    lab.run("systemctl", "daemon-reload")
    lab.run("systemctl", "start", "tcpwarden")

    def units():
        out = lab.run("systemctl", "list-units", "--plain", "--no-legend", "session@*").stdout
        return [line.split()[0] for line in out.splitlines() if " active " in line]
    clients = [lab.popen("/usr/bin/python3", "-c", CLIENT, PORT, "hold", stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for client in clients:
        line = client.stdout.readline()
        assert line == b"talked\n", journal_text(lab)
    held = units()
    assert len(held) == 2, held
    clients[0].communicate(b"x", DEADLINE)
    wait_for(lambda: len(units()) == 1, lambda: f"{units()}\n{journal_text(lab)}")
    # Whatever dies, the unit ends with its connection, not later.
    lab.run("systemctl", "kill", "--signal=KILL", "--kill-whom=all", "tcpwarden")
    wait_for(lambda: not units(), lambda: f"{units()}\n{journal_text(lab)}", 60)
    clients[1].stdin.close()
    clients[1].wait(DEADLINE)
    lab.run("systemctl", "stop", "tcpwarden", check=False)
