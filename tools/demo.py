"""What tools/demo shows, once all is built: argument: an empty directory that we may write to."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

DIRECTORY = sys.argv[1]
BUILD = os.environ["TCPWARDEN_BUILD"]
CONTROL = f"{DIRECTORY}/control.sock"
LOG = f"{DIRECTORY}/log"
TIMEOUT = 20.0

HOOK = """#!/bin/sh
# A real one would ask a licence server, open a firewall, start a machine ...
echo "$TCPWARDEN_EVENT: seat $TCPWARDEN_LEASE for $TCPWARDEN_CLIENT:$TCPWARDEN_CLIENT_PORT ${TCPWARDEN_REASON:+($TCPWARDEN_REASON)}" >>%s/seats
"""

CONFIG = """\
state_directory = "%(directory)s/state";
control: { socket = "%(control)s"; };
shutdown_timeout = "2s";
services: (
  { name = "demo"; listen = "127.0.0.1:%(port)d"; backends = "127.0.0.1:%(backend)d";
    hooks = { acquire = { command = "%(directory)s/seat"; };
              release = { command = "%(directory)s/seat"; }; }; }
);
"""


def serve(listener):
    """The backend: says everything back."""
    def echo(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent_of(pid):
    stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(stat[1]) if stat else 0


def wait_for(what, fact):
    end = time.monotonic() + TIMEOUT
    while not fact():
        if time.monotonic() > end or daemon.poll() is not None:
            sys.exit(f"tools/demo: {what}\n{read(LOG)}")
        time.sleep(0.02)


def step(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def show(text):
    print("".join(f"    {line}\n" for line in text.splitlines()), end="", flush=True)


def ctl(*arguments):
    return subprocess.run([f"{BUILD}/src/ctl/tcpwardenctl", "--socket", CONTROL, *arguments], capture_output=True, text=True,
                          timeout=TIMEOUT)


def talk(connection, text):
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        data = connection.recv(4096)
        if not data:
            sys.exit("tools/demo: the answer ended early")
        got += data
    if got != text:
        sys.exit("tools/demo: the answer is wrong")


backend = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(backend,), daemon=True).start()
port = unused_port()
for name, text in (("seat", HOOK % DIRECTORY), ("tcpwarden.conf", CONFIG % {
        "directory": DIRECTORY, "control": CONTROL, "port": port, "backend": backend.getsockname()[1]})):
    with open(f"{DIRECTORY}/{name}", "w") as f:
        f.write(text)
os.chmod(f"{DIRECTORY}/seat", 0o755)

step("A config: each connection takes a seat before it is let through, and gives it back when it ends.")
show(read(f"{DIRECTORY}/tcpwarden.conf"))

step("tcpwarden --config tcpwarden.conf")
daemon = subprocess.Popen([f"{BUILD}/src/supervisor/tcpwarden", "--config", f"{DIRECTORY}/tcpwarden.conf"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=open(LOG, "a"), start_new_session=True,
                          env={"PATH": os.environ["PATH"], "TCPWARDEN_LIBEXECDIR": f"{BUILD}/src/steward:{BUILD}/src/relay"})
try:
    wait_for("it did not become ready", lambda: re.search(r"supervisor: ready$", read(LOG), re.M))
    show(read(LOG))

    step("Three clients connect and are answered.")
    clients = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in range(3)]
    for n, client in enumerate(clients):
        talk(client, f"hello from client {n}\n".encode())
    show(read(f"{DIRECTORY}/seats"))

    step("tcpwardenctl sessions")
    show(ctl("sessions").stdout)

    step("A relay, which moves their bytes, is killed: kill -9. They do not notice.")
    relays = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
              if read(f"/proc/{pid}/cmdline").startswith("tcpwarden: relay") and parent_of(parent_of(pid)) == daemon.pid]
    for pid in relays:
        os.kill(pid, signal.SIGKILL)
    for n, client in enumerate(clients):
        talk(client, f"client {n} is still here\n".encode())
    show(f"{len(relays)} killed, {len(clients)} clients were answered")

    step("They end in three ways: in order, by a reset, and by the operator (tcpwardenctl kill ID).")
    clients[0].shutdown(socket.SHUT_WR)
    clients[0].recv(1)
    clients[0].close()
    clients[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    clients[1].close()
    wait_for("two sessions did not end", lambda: read(f"{DIRECTORY}/seats").count("release:") == 2)
    last = json.loads(ctl("--json", "sessions").stdout.splitlines()[0])
    ctl("kill", str(last["id"]))
    wait_for("the last session did not end", lambda: read(f"{DIRECTORY}/seats").count("release:") == 3)
    show(read(f"{DIRECTORY}/seats"))
    wait_for("not every end was told", lambda: len(re.findall(r"^.* session .* ended.*$", read(LOG), re.M)) >= 3)
    show("\n".join(re.findall(r"^.* session .*$", read(LOG), re.M)))

    step("tcpwardenctl status")
    show(ctl("status").stdout)

    step("SIGTERM: it drains, runs every release, and exits.")
    daemon.send_signal(signal.SIGTERM)
    status = daemon.wait(TIMEOUT)
    show(read(LOG).splitlines()[-1])
    if status:
        sys.exit(f"tools/demo: it exited with status {status}\n{read(LOG)}")
    taken, given = read(f"{DIRECTORY}/seats").count("acquire:"), read(f"{DIRECTORY}/seats").count("release:")
    step(f"{taken} seats taken, {given} given back.")
    if taken != given:
        sys.exit(1)
    print("""
Next: README.md has a first config of ten lines; conf/tcpwarden.conf explains every setting; tools/check runs the tests;
      make install, then man tcpwarden.conf and man tcpwarden-hooks.""")
finally:
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            daemon.kill()
