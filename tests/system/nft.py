"""nftables commands for one network, by libnftables(3) in this process: starting nft(8) for each would cost more than the rest of
a case, and cases that are under way would wait for one another."""
import ctypes
import json
import threading

OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON of nftables/libnftables.h


class Nft:
    def __init__(self, network):
        self._library = ctypes.CDLL("libnftables.so.1")
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
            getattr(self._library, name).restype = ctypes.c_char_p
        self._network = network
        self._lock = threading.Lock()  # a context is for one at a time
        with network.inside():
            self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, text, as_json=False):
        with self._lock, self._network.inside():
            self._library.nft_ctx_output_set_flags(self._context, OUTPUT_JSON if as_json else 0)
            if self._library.nft_run_cmd_from_buffer(self._context, text.encode()) != 0:
                raise OSError(f"nft: {self._library.nft_ctx_get_error_buffer(self._context).decode().strip()}\n{text}")
            output = self._library.nft_ctx_get_output_buffer(self._context).decode()
        return json.loads(output) if as_json else output

    def close(self):
        self._library.nft_ctx_free(self._context)
