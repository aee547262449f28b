"""What the benches have in common: a tcpwarden of the build directory that they are run from, and what /proc says of processes."""
import os
import socket
import subprocess
import sys
import time

BUILD = os.getcwd()
HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_open(port):
    for _ in range(500):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit(f"bench: nothing listens on port {port}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        found = [int(p) for p in f.read().split()]
    return found + [g for p in found for g in children(p)]


def title(pid):
    with open(f"/proc/{pid}/comm") as f:
        return f.read().strip()


def open_directory(path):
    """One that the daemon's users may write to, and in it another for its state."""
    for each in (path, f"{path}/state"):
        os.makedirs(each, exist_ok=True)
        os.chmod(each, 0o777)
    return path


def build_load(directory):
    load = f"{directory}/load"
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", load, os.path.join(HERE, "load.c")], check=True)
    return load


def processor_s(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def start_with_config(directory, text, port, environment=None):
    """The supervisor's process, when that port is open."""
    config = os.path.join(directory, "tcpwarden.conf")
    with open(config, "w") as f:
        f.write(text)
    environment = {**os.environ, "TCPWARDEN_LIBEXECDIR": f"{BUILD}/src/steward:{BUILD}/src/relay", **(environment or {})}
    process = subprocess.Popen([f"{BUILD}/src/supervisor/tcpwarden", "--config", config], env=environment,
                               stdout=subprocess.DEVNULL, stderr=open(os.path.join(directory, "log"), "w"))
    wait_open(port)
    return process


def start_tcpwarden(directory, port, backend, settings="", environment=None):
    """(process, its relays, all its processes); settings: more of the service's."""
    process = start_with_config(
        directory, f'workers = 1;\nstate_directory = "{directory}/state";\ncontrol = {{ socket = "{directory}/control.sock"; }};\n'
        f'services = ( {{ name = "bench"; listen = "127.0.0.1:{port}"; backends = "127.0.0.1:{backend}"; {settings} }} );\n',
        port, environment)
    return process, [p for p in children(process.pid) if title(p) == "tcpw-relay"], children(process.pid)
