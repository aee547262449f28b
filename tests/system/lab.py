"""Three networks in a row: clients, warden, backends. What is between them can be cut, or lose packets, for one peer's address.

The warden's network has a link to each of the others and routes nothing between them. A whole prefix is local on either side, so
each case takes peers with addresses of its own and cuts them alone, side by side with a hundred others. Packets to a peer are
dropped when they have reached its network, those from it when they have reached the warden's: dropped where they are sent, they
would be an error of the sending call. Nobody is told anything, and only TCP is hit (a router's neighbour stays known)."""
import errno
import itertools
import os
import socket
import subprocess

from network import Network
from nft import Nft
from waiting import wait_for

# Verdicts stand in maps, so that a cut is one element more. The chain comes before all else, so that nothing sees what is lost.
RULES = """
table inet lab {
	map ipv4 { type ipv4_addr : verdict; }
	map ipv6 { type ipv6_addr : verdict; }
	chain arriving {
		type filter hook prerouting priority raw;
		meta l4proto tcp ip ADDR vmap @ipv4;
		meta l4proto tcp ip6 ADDR vmap @ipv6;
	}
}
"""


def family(address):
    return 6 if ":" in address else 4


def with_port(host, port):
    return f"[{host}]:{port}" if family(host) == 6 else f"{host}:{port}"


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}\n{text or ''}")
    return done.stdout


class Net(Network):
    """The clients' network or the backends'."""

    def __init__(self, number, lab, buffer_bytes):
        super().__init__(buffer_bytes)
        self.number, self.warden = number, lab.warden
        self.gateway = {4: f"10.0.{number}.1", 6: f"fd00:0:{number}::1"}  # the warden's own addresses towards it
        self._hosts = {4: itertools.count(1), 6: itertools.count(1)}
        with self.warden.inside():
            run("ip", "link", "add", f"to{number}", "type", "veth", "peer", "name", "warden", "netns", self.path)
            run("ip", "-batch", "-", text=f"""
                address add 10.0.{number}.1/24 dev to{number}
                address add fd00:0:{number}::1/64 dev to{number} nodad
                link set to{number} up
                route add 10.{number}.0.0/16 via 10.0.{number}.2""")
        with self.inside():
            self.set("ipv6/ip_nonlocal_bind", 1)
            run("ip", "-batch", "-", text=f"""
                address add 10.0.{number}.2/24 dev warden
                address add fd00:0:{number}::2/64 dev warden nodad
                link set warden up
                route add 10.0.0.0/8 via 10.0.{number}.1
                route add fd00::/16 via fd00:0:{number}::1
                route add local 10.{number}.0.0/16 dev lo
                route add local fd00:{number}::/64 dev lo""")
        self.nft = Nft(self)
        self.nft.run(RULES.replace("ADDR", "daddr"))
        with self.warden.inside():
            # Not before the link is up on both sides.
            run("ip", "route", "add", f"fd00:{number}::/64", "via", f"fd00:0:{number}::2")

    def answers(self, host):
        """Whether the link works: the kernel brings one up in its time."""
        with self.inside(), socket.socket(socket.AF_INET6 if family(host) == 6 else socket.AF_INET) as s:
            s.settimeout(0.05)
            return s.connect_ex((host, 9)) == errno.ECONNREFUSED

    def host(self, ip):
        """An address that nobody else has; ip is 4 or 6."""
        n = next(self._hosts[ip])
        return f"10.{self.number}.{n >> 8}.{n & 255}" if ip == 4 else f"fd00:{self.number}::{n:x}"


class Lab:
    """with Lab() as lab: peers in lab.clients and lab.backends, the daemon in lab.warden, each by its inside()."""

    def __init__(self, buffer_bytes=65536):
        self._names = itertools.count()
        self._judged = {}  # host: the directions in which something happens to its packets
        self.warden = Network(buffer_bytes)
        self.clients = Net(1, self, buffer_bytes)
        self.backends = Net(2, self, buffer_bytes)
        self.nft = Nft(self.warden)
        self.nft.run(RULES.replace("ADDR", "saddr"))
        for net in (self.clients, self.backends):
            for gateway in net.gateway.values():
                wait_for(lambda: net.answers(gateway), f"an answer from {gateway}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        # What is left of the peers' connections keeps a namespace for a while; without a link it reaches nobody.
        with self.warden.inside():
            for net in (self.clients, self.backends):
                run("ip", "link", "del", f"to{net.number}")
        for nft in (self.clients.nft, self.backends.nft, self.nft):
            nft.close()
        for net in (self.clients, self.backends, self.warden):
            net.close()

    def _net_of(self, host):
        for net in (self.clients, self.backends):
            if host.startswith((f"10.{net.number}.", f"fd00:{net.number}::")):
                return net
        raise ValueError(host)

    def _rules(self, host, directions):
        """Of the networks in which packets from a peer and to it arrive."""
        return [{"from": self.nft, "to": self._net_of(host).nft}[d] for d in directions.split()]

    def _judge(self, host, verdict, directions, chain=""):
        self._judged[host] = directions
        for nft in self._rules(host, directions):
            nft.run(f"{chain}\nadd element inet lab ipv{family(host)} {{ {host} : {verdict} }}\n")

    def cut(self, host, directions="from to"):
        """Silence, from now on. What comes from the peer is stopped first, so that the call's beginning is its last sign of life at
        the earliest, and its end at the latest."""
        self._judge(host, "drop", directions)

    def heal(self, host):
        """Undoes cut, lose and drop_one."""
        for nft in self._rules(host, self._judged.pop(host)):
            nft.run(f"delete element inet lab ipv{family(host)} {{ {host} }}\n")

    def lose(self, host, percent, directions="from to"):
        """Loses so many of a hundred packets, by chance."""
        name = f"lose{next(self._names)}"
        self._judge(host, f"goto {name}", directions,
                    f"add chain inet lab {name}\nadd rule inet lab {name} numgen random mod 100 < {percent} counter drop\n")
        return lambda: self._dropped(host, directions, name)

    def drop_one(self, host, directions="to"):
        """Loses the next packet, and no other."""
        name = f"one{next(self._names)}"
        self._judge(host, f"goto {name}", directions,
                    f"add chain inet lab {name}\nadd rule inet lab {name} limit rate 1/day burst 1 packets counter drop\n")
        return lambda: self._dropped(host, directions, name)

    def _dropped(self, host, directions, chain):
        """How many packets a rule has dropped."""
        total = 0
        for nft in self._rules(host, directions):
            listed = nft.run(f"list chain inet lab {chain}", as_json=True)
            rules = [o["rule"] for o in listed["nftables"] if "rule" in o]
            total += sum(e["counter"]["packets"] for rule in rules for e in rule["expr"] if "counter" in e)
        return total


def why_not():
    """Why there can be no lab here, or None."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    return None
