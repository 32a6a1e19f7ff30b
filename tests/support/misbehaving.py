"""A web server that serves a folder and misbehaves on demand.

A fault is a function of the request and of the true content. It answers in its own way, or
returns content that is then sent properly. `server.fault(key, *faults)` uses one fault for each
request of the key, in this order, and the true answer after the last; `forever=True` repeats the
last one for good.
"""

import contextlib
import os
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

PORTAL = b"<!doctype html><title>Welcome to our Wi-Fi</title><p>Please log in." + b" " * 500
HANG_SECONDS = 20.0  # longer than any client here waits; stopping the server ends it early


class MisbehavingServer:
    """Serve `folder` on loopback, until the ``with`` block ends.

    Attributes
    ----------
    endpoint : str
        Address of the server.
    asked : list of str
        Keys of all requests so far, in order.
    methods : list of tuple of str
        The same with the method before each key.
    ranges : bool
        Whether ``Range`` headers are obeyed.
    missing_status : int
        Status of the answer for a key that is not in the folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.asked = []
        self.methods = []
        self.ranges = True
        self.missing_status = 404
        self.stopping = threading.Event()
        self._faults = {}
        self._lock = threading.Lock()
        owner = self

        class Handler(AnswerOne):
            server_ = owner

        self._http = QuietServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def fault(self, key, *faults, forever=False):
        """Misbehave for one key ("*" stands for every key)."""
        self._faults[key] = [list(faults), forever]

    def times_asked(self, key):
        return Counter(self.asked)[key]

    def next_fault(self, key):
        with self._lock:
            for known in (key, "*"):
                faults, forever = self._faults.get(known, ([], False))
                if faults:
                    return faults[0] if forever and len(faults) == 1 else faults.pop(0)
        return None


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments):
        self._open = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        """Hang up, too: a thousand kept connections are more than `select` can watch."""
        super().server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """Say nothing: a client that hangs up is part of the game."""


class AnswerOne(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, key = self.server_, unquote(urlsplit(self.path).path.lstrip("/"))
        server.asked.append(key)
        server.methods.append((self.command, key))
        path = server.folder / key
        content = path.read_bytes() if path.is_file() else None
        fault = server.next_fault(key)
        if fault:
            content = fault(self, content)
            if content is None:
                return
        if content is None:
            self.send(b"", server.missing_status)
        elif server.ranges and self.headers["Range"]:
            self.send_part(content)
        else:
            self.send(content)

    do_HEAD = do_GET

    def send_part(self, content):
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        if first:
            start, stop = int(first), int(last) + 1 if last else len(content)
        else:
            start, stop = max(0, len(content) - int(last)), len(content)
        if start >= len(content):
            self.send(b"", 416)
        else:
            part = content[start:stop]
            where = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self.send(part, 206, Content_Range=where)

    def send(self, content, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *args):
        """Say nothing."""


# The faults


def status(code, **headers):
    """Answer with a status such as 503."""

    def answer(request, content):
        request.send(b"", code, **headers)

    return answer


def hang(request, content):
    """Take the request and never answer."""
    request.close_connection = True
    request.server_.stopping.wait(HANG_SECONDS)


def hang_midway(request, content):
    """Send half the content, then nothing more."""
    request.close_connection = True
    request.send(content[: len(content) // 2], length=len(content))
    request.server_.stopping.wait(HANG_SECONDS)


def reset_midway(request, content):
    """Send half the content, then reset the connection (RST)."""
    request.close_connection = True
    request.send(content[: len(content) // 2], length=len(content))
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    socket.close(request.connection.detach())


def close_midway(request, content):
    """Send half the content under the Content-Length of the whole, then hang up."""
    request.close_connection = True
    request.send(content[: len(content) // 2], length=len(content))


def hang_up(request, content):
    """Close the connection without a word."""
    request.close_connection = True


def not_http(request, content):
    """Answer in something that is not HTTP."""
    request.close_connection = True
    request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def replace(new):
    """Answer with other content, and a proper status and length."""
    return lambda request, content: new


def cut(request, content):
    """Answer with half the content, as if that were all: the Content-Length is right."""
    return content[: len(content) // 2]


def garble(request, content):
    """Answer with as many bytes as there should be, all of them wrong."""
    return bytes((value * 31 + 7) % 256 for value in range(len(content)))


portal = replace(PORTAL)
