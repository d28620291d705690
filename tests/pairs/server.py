"""A server on loopback whose pictures are right, dead, slow, broken, too large or web pages, by their names."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from pathlib import Path


class Museum:
    """Serves a folder. `answers[path]` is what a path does instead: a status, "drip" (a byte at a time), "silence", "cut",
    "page", "large" (says so), "endless", or bytes. `after[path]`: only so many times, then the file. `asked` is what was."""

    def __init__(self, folder: Path):
        self.folder, self.answers, self.after, self.asked = folder, {}, {}, []
        self._closed = threading.Event()
        museum = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                museum.asked.append(self.path)
                with contextlib.suppress(ConnectionError):
                    self.answer(museum.what(self.path))

            def answer(self, how):
                if isinstance(how, int):
                    return self.send_error(how)
                if how == "silence":
                    return museum._closed.wait(20)
                file = museum.folder / self.path.lstrip("/")
                if how is None and not file.is_file():
                    return self.send_error(404)
                data = how if isinstance(how, bytes) else b"<html>" if how == "page" else file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", "text/html" if how == "page" else "image/png")
                if how != "endless":
                    self.send_header("Content-Length", str(10**9 if how == "large" else len(data)))
                self.end_headers()
                if how == "drip":
                    for byte in data:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        if museum._closed.wait(0.05):
                            return
                elif how == "endless":
                    while not museum._closed.is_set():
                        self.wfile.write(b"\x89PNG" * 20_000)
                        time.sleep(0.001)
                else:
                    self.wfile.write(data[: len(data) // 2] if how == "cut" else data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def what(self, path: str):
        """How the next request of a path is answered."""
        if path in self.after:
            self.after[path] -= 1
            if self.after[path] < 0:
                return None
        return self.answers.get(path)

    def close(self) -> None:
        self._closed.set()
        self.server.shutdown()
        self.server.server_close()
