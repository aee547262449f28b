"""A network of our own: loopback only, with small socket buffers."""
import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


class OwnNetwork:
    """While it lasts, this thread and the processes that it starts live in a network namespace of their own. Needs root.

    Its socket buffers stay small. Thousands of stalled sessions would else fill all the memory that the machine's kernel has for TCP
    (net.ipv4.tcp_mem), and then it resets connections, here and in every other test that runs."""

    def __init__(self, buffer_bytes):
        self.buffer_bytes = buffer_bytes

    def __enter__(self):
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._call("unshare", CLONE_NEWNET)
        with socket.socket() as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        for name in ("tcp_rmem", "tcp_wmem"):
            with open(f"/proc/sys/net/ipv4/{name}", "w") as f:
                f.write(f"4096 {self.buffer_bytes} {self.buffer_bytes}")
        with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as f:
            f.write("32768 60999")
        return self

    def __exit__(self, *exception):
        self._call("setns", self._home, CLONE_NEWNET)
        os.close(self._home)

    @staticmethod
    def _call(name, *arguments):
        libc = ctypes.CDLL(None, use_errno=True)
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), name)
