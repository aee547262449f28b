"""Speaking in a role's place: its end of a channel is taken from its process, and whatever may be said there."""
import array
import ctypes
import os
import re
import socket
import struct
import subprocess

PIDFD_GETFD = 438
INHERIT_SUPERVISOR, HOLDER_LEDGER, HOLDER_STEWARD = 3, 6, 7  # wire/inherit.h


def _header():
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "src", "wire", "message.h")) as f:
        text = f.read()
    kinds = re.findall(r"^\tM\((\w+), \w+, \d", text, re.M)
    return {name: i + 1 for i, name in enumerate(kinds)}, int(re.search(r"MESSAGE_VERSION = (\d+)", text)[1])


KINDS, VERSION = _header()


def take_descriptor(pid, number):
    """A copy of a descriptor of another process."""
    pidfd = os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
    error = ctypes.get_errno()
    os.close(pidfd)
    if fd < 0:
        raise OSError(error, os.strerror(error))
    return fd


def session(identity, slot, backend=0):
    """struct message_session."""
    return struct.pack("=QII", identity, slot, backend)


def message(kind, body=b"", version=VERSION):
    return struct.pack("=HHI", version, KINDS.get(kind, kind), 0) + body


class Channel:
    """A copy of one end."""

    def __init__(self, pid, number):
        self.sock = socket.socket(fileno=take_descriptor(pid, number))

    def say(self, datagram, fds=()):
        """False: the other side is behind."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.sock.sendmsg([datagram], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        return True

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def as_relay(relay):
    """What the steward hears from it."""
    return Channel(relay.pid, HOLDER_STEWARD)


def as_steward(relay, steward):
    """What the relay hears from it."""
    return other_end(relay, HOLDER_STEWARD, steward)


def as_supervisor(relay, supervisor):
    return other_end(relay, INHERIT_SUPERVISOR, supervisor)


def other_end(relay, number, owner):
    """The other end of its channel, which ss(8) knows."""
    inode = re.search(r"\d+", os.readlink(f"/proc/{relay.pid}/fd/{number}"))[0]
    for line in subprocess.run(["ss", "-xanH"], capture_output=True, text=True, check=True).stdout.splitlines():
        words = line.split()
        if words[0] == "u_seq" and words[5] == inode:
            other = f"socket:[{words[7]}]"
            for fd in os.listdir(f"/proc/{owner.pid}/fd"):
                if os.readlink(f"/proc/{owner.pid}/fd/{fd}") == other:
                    return Channel(owner.pid, int(fd))
    raise AssertionError(f"{relay}: the other end of its channel is not that of {owner}")
