"""The sockets of another process, looked at with getsockopt: pidfd_getfd(2), which root may."""
import ctypes
import os
import socket

_libc = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_GETFD = 438


def _copy(pidfd, number):
    fd = _libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return fd


def terms(sock):
    """What a policy sets on a connection: {"keepalive": (idle, interval, count) or None, "user_timeout": ms, "nodelay": bool}."""
    def ask(name):
        return sock.getsockopt(socket.IPPROTO_TCP, name)
    keepalive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return {
        "keepalive": tuple(map(ask, (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT))) if keepalive else None,
        "user_timeout": ask(socket.TCP_USER_TIMEOUT),
        "nodelay": ask(socket.TCP_NODELAY) == 1,
    }


def connections(pid):
    """{(own address, peer's address): terms} of the process's TCP connections; of one that dies meanwhile, not all."""
    found = {}
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return found
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
                with socket.socket(fileno=_copy(pidfd, int(name))) as sock:
                    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM:
                        found[(sock.getsockname()[:2], sock.getpeername()[:2])] = terms(sock)
            except OSError:  # it listens, or has been closed meanwhile
                continue
    except FileNotFoundError:
        pass
    finally:
        os.close(pidfd)
    return found
