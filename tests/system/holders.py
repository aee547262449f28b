"""Cases in which one client holds the only place of a service, or its only seat, and others come."""
import os
import re
import shutil
import socket
import time

import peers
from lab import with_port
from peers import Backend, connect
from seats import Seats
from settings import service
from waiting import wait_for

TIMEOUT = 1.5     # reclaim_timeout
DEAD_AFTER = 60
TCP_REPAIR = 19   # linux/tcp.h
MUTE = """
add chain inet lab leaving {{ type filter hook output priority raw; }}
add rule inet lab leaving ip saddr {host} tcp sport {port} tcp flags & rst == rst drop
"""


class Case:
    """acts(case) is what happens; its results are attributes of the case."""

    limits = {}

    def __init__(self, name, act, kind="place", daemon="plain", script=peers.echo, **limits):
        self.name, self.act, self.kind, self.on, self.script = name, act, kind, daemon, script
        self.limits = {"reclaim_timeout": f"{int(TIMEOUT * 1000)}ms", "on_limit": "reclaim", **limits}
        self.error = self.seats = None
        self.clients = []
        self.host = None  # that all its clients come from

    def prepare(self, lab, daemon, port):
        self.lab, self.daemon = lab, daemon
        self.door = with_port(lab.clients.gateway[4], port)
        with lab.backends.inside():
            self.backend = Backend(self.script, with_port(lab.backends.host(4), 5000), send_buffer=32768)
        directory = os.path.join(daemon.directory, self.name)
        if self.kind == "helper":
            hooks = self.helper(directory)
        else:
            self.seats = daemon.hooks[self.name] = Seats(directory, 1, daemon.user)
            hooks = self.seats.config()
        limits = {k: v for k, v in self.limits.items() if v is not None}
        if self.kind == "client":
            self.host = lab.clients.host(4)
        if self.kind in ("place", "client"):
            limits[{"place": "connections", "client": "per_client"}[self.kind]] = 1
        return service(self.name, self.door, self.backend.address, hooks=hooks, limits=limits,
                       client={"dead_after": f"{DEAD_AFTER}s"})

    def helper(self, directory):
        """The example of one, with one seat."""
        os.mkdir(directory)
        shutil.copy(os.path.join(os.path.dirname(__file__), "../../conf/examples/seat-helper"), directory)
        shutil.chown(directory, self.daemon.user)
        self.journal = os.path.join(directory, "journal")
        hook = {"mode": "helper", "command": [os.path.join(directory, "seat-helper"), self.journal, "1"]}
        return {"acquire": hook, "release": hook}

    def play(self):
        try:
            self.act(self)
        except Exception as e:
            self.error = e

    def close(self):
        for client in self.clients:
            client.close()

    def connect(self, **more):
        host = self.host or self.lab.clients.host(4)
        with self.lab.clients.inside():
            client = connect(self.door, source=(host, 0), **more)
        client.host = host
        self.clients.append(client)
        return client

    def hold(self):
        self.holder = self.connect()
        self.word_at = time.monotonic()
        self.holder.send(1).read(1)
        return self.holder

    def pull(self, say=True):
        """The holder's cable, just after a word of it."""
        if say:
            self.word_at = time.monotonic()
            self.holder.send(1).read(1)
            time.sleep(0.1)  # until it has acknowledged the answer, which it may put off
        if self.host:
            self.forget()
        else:
            self.lab.cut(self.holder.host)

    def forget(self, say=False):
        """The holder's machine knows nothing of its connection any more; say: and answers that with a reset."""
        if not say:
            self.lab.clients.nft.run(MUTE.format(host=self.host, port=self.holder.sock.getsockname()[1]))
        self.holder.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)  # its kernel says nothing of the end, either
        self.holder.close()

    def come(self):
        """Another client: ("served" or "refused", seconds)."""
        begun = time.monotonic()
        client = self.connect()
        try:
            client.send(1).read(1)
            how = "served"
        except (ConnectionResetError, BrokenPipeError):
            how = "refused"
        self.came_at = time.monotonic()
        return how, self.came_at - begun

    def session(self, state):
        """Waits until one of this service is in that state."""
        return wait_for(lambda: next((o for o in self.daemon.sessions() if (o["service"], o["state"]) == (self.name, state)), None),
                        f"a session of {self.name} that is {state}")

    def waits(self):
        """Until a newcomer is waiting for the holders' answers."""
        if self.kind != "seat":
            return self.session("waiting")
        return wait_for(lambda: next((o for o in self.daemon.sessions() if o["service"] == self.name and "busy" in o["waits"]), None),
                        f"a session of {self.name} that waits since acquire was busy")

    def rounds(self):
        """(sessions asked, silent, ms) of each."""
        found = (re.match(rf"{self.name}: .*?: (\d+) sessions were asked .*, (\d+) did not answer within (\d+) ms", line.message)
                 for line in self.daemon.log.read())
        return [tuple(map(int, m.groups())) for m in found if m]

    def ends(self):
        return [line for line in self.daemon.log.read() if line.is_end and line.service == self.name]
