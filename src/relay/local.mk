# holder and relay: one program, libc and libuv only.
