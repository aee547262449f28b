"""Networks of our own: namespaces without a name, that are gone when nobody has them open any more, however the test ended."""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct

from waiting import wait_for
import threading

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def _open_own():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _within(fd):
    home = _open_own()
    try:
        _call("setns", fd, CLONE_NEWNET)
        yield
    finally:
        _call("setns", home, CLONE_NEWNET)
        os.close(home)


@contextlib.contextmanager
def network_of(pid):
    """This thread, and what it starts, is in that process's network while this lasts."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _within(fd):
            yield
    finally:
        os.close(fd)


class Network:
    """A network namespace, at first with nothing but its loopback. Needs root.

    `with network.inside():` puts this thread, the sockets that it makes and the processes that it starts into it; a socket stays
    where it was made. Where many sessions stall, socket buffers must stay small: they would else fill all the memory that the machine's
    kernel has for TCP (net.ipv4.tcp_mem), and then it resets connections, here and in every other test that runs."""

    def __init__(self, buffer_bytes=None):
        # A thread of its own makes it, so that no failure leaves the caller in it.
        maker = threading.Thread(target=self._make)
        self.fd = None
        maker.start()
        maker.join()
        if self.fd is None:
            raise OSError("no network namespace could be made")
        with self.inside():
            with socket.socket() as s:
                fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
            for name in ("tcp_rmem", "tcp_wmem") if buffer_bytes else ():
                self.set(f"ipv4/{name}", f"4096 {buffer_bytes} {buffer_bytes}")
            self.set("ipv4/ip_local_port_range", "32768 60999")
            self.set("ipv6/conf/default/accept_dad", 0)  # an interface can be used at once

    def _make(self):
        _call("unshare", CLONE_NEWNET)
        self.fd = _open_own()

    @property
    def path(self):
        """For other programs, as long as we live."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def inside(self):
        with _within(self.fd):
            yield self

    def set(self, name, value):
        """A setting of /proc/sys/net; from inside."""
        with open(f"/proc/sys/net/{name}", "w") as f:
            f.write(str(value))

    def out_of_memory(self):
        """How many packets were dropped here because the machine's kernel had no more memory for TCP: what its peers then see is
        not what a test did."""
        with self.inside(), open("/proc/thread-self/net/netstat") as f:
            names, values = (line.split()[1:] for line in f if line.startswith("TcpExt:"))
        return int(dict(zip(names, values))["TCPRcvQDrop"])

    def close(self):
        os.close(self.fd)


def _saves_tcp_memory_from():
    """In pages. The kernel tells it only in the network that it began with; None elsewhere."""
    with contextlib.suppress(FileNotFoundError), open("/proc/sys/net/ipv4/tcp_mem") as f:
        return int(f.read().split()[0])


_saves_from = _saves_tcp_memory_from()  # asked before we live in a network of our own


def wait_for_tcp_memory(deadline=120):
    """All namespaces share the kernel's memory for TCP, and the sockets of one that is gone are freed by and by."""
    def used():
        with open("/proc/net/sockstat") as f:
            return next(int(line.split()[-1]) for line in f if line.startswith("TCP:"))
    least = _saves_from or 1 << 32
    wait_for(lambda: used() < least // 4, lambda: f"free memory for TCP: {used()} pages are in use, the kernel saves from {least} on",
             deadline)


class OwnNetwork(Network):
    """with OwnNetwork(...): this thread and the processes that it starts live in it while that lasts."""

    def __enter__(self):
        self._stay = self.inside()
        return self._stay.__enter__()

    def __exit__(self, *exception):
        self._stay.__exit__(*exception)
        self.close()
