"""A real S3 server on this machine (SeaweedFS), and a proxy before it that cuts, stalls, refuses and lies."""

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

BUCKET = "yard"
KEYS = ("yard-key", "yard-secret")
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_UP_S = 60


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class ObjectServer:
    """SeaweedFS with one bucket.

    Args:
        folder: that it fills.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "data").mkdir()
        self._start(folder)

    def _start(self, folder: Path) -> None:
        ports = {key: free_port() for name in _PORTS for key in (name, f"{name}.grpc")}
        self.port = ports["s3.port"]
        self.url = f"http://127.0.0.1:{self.port}"
        users = [{"name": "yard", "credentials": [{"accessKey": KEYS[0], "secretKey": KEYS[1]}],
                  "actions": ["Admin", "Read", "Write", "List"]}]  # fmt: skip
        (folder / "users.json").write_text(json.dumps({"identities": users}))
        options = {
            "dir": folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": folder / "users.json",
            "s3.port.iceberg": 0,  # further servers, on ports that two test processes would both want
            "s3.port.lance": 0,
            "volume.max": 8,
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",
            **ports,
        }
        given = [f"-{name}={value}" for name, value in options.items()]
        command = [str(shutil.which("weed")), "server", "-s3", *given]
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait(self) -> None:
        """Until it takes files."""
        until_s = time.monotonic() + _UP_S
        while True:
            try:
                obstore.put(self.client(), "ready", b"yes")
                return
            except BaseError:
                assert time.monotonic() < until_s, "no server"
                time.sleep(0.2)
                if self._process.poll() is not None:  # another process was quicker to take one of its ports
                    self._start(self._folder)

    def client(self) -> Any:
        """A client of the bucket that knows no faults."""
        return S3Store(
            BUCKET,
            access_key_id=KEYS[0],
            secret_access_key=KEYS[1],
            endpoint=self.url,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def kill(self) -> None:
        self._process.terminate()  # so that it leaves no socket in /tmp
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


Fault = Callable[[str, int], str]
"""Of a request for a path, the how manieth it is for that path, from 0: "", "503", "cut", "stall", "flip"."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client may go whenever it likes."""


class Proxy:
    """Hands requests on to a server, but for faults.

    Attributes:
        fault: of each request that reads.
        counts: requests for each path.
        num_bytes: of the content that it has handed on.
    """

    def __init__(self, port: int) -> None:
        self.fault: Fault = lambda path, number: ""
        self.counts: Counter[str] = Counter()
        self.num_bytes = 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.hand_on(self, port)

            do_HEAD = do_PUT = do_DELETE = do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def hand_on(self, request: BaseHTTPRequestHandler, port: int) -> None:
        name = request.path.rpartition("/")[2].partition("?")[0]
        with self.lock:
            fault = self.fault(name, self.counts[name]) if request.command == "GET" else ""
            self.counts[name] += 1
        if fault == "503":
            request.send_response(503)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        sent = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        server.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for key, value in request.headers.items():
            server.putheader(key, value)
        server.endheaders(sent or None)
        answer = server.getresponse()
        content = answer.read()
        server.close()
        request.send_response_only(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                request.send_header(key, value)
        length = (
            answer.headers.get("Content-Length", len(content)) if request.command == "HEAD" else len(content)
        )
        request.send_header("Content-Length", str(length))
        request.end_headers()
        if fault in ("cut", "stall"):
            request.wfile.write(content[: len(content) // 2])
            request.wfile.flush()
            if fault == "stall":
                self.over.wait()
            request.close_connection = True
            return
        if fault == "flip":
            content = content[:-1] + bytes([content[-1] ^ 1])
        with self.lock:
            self.num_bytes += len(content)
        request.wfile.write(content)

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
