"""What a command and a webhook hear of a failure, and that theirs change nothing."""

import json
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import heard_here
from modules.training.runs import failure_notice
from modules.training.runs.failure_notice import tell_of_failure
from tests.training.small import small_plan

ERROR = UserError("the training diverged:\n a weight", "Lower optimizer.lr")


def told(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def program(folder: Path, text: str) -> str:
    """A command that runs a text of Python."""
    path = folder / "tell me.py"
    path.write_text(text)
    return shlex.join([sys.executable, str(path)])


class Webhook(HTTPServer):
    """Keeps what is posted, and answers with a status after a while."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.posted: list[tuple[str, str, dict]] = []
        self.status, self.wait_s = 200, 0.0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?key=secret"


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Webhook)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.posted.append((self.path, self.headers["Content-Type"], body))
        time.sleep(server.wait_s)
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *rest: Any) -> None:
        """Nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield server
    server.shutdown()
    server.server_close()


def expected(folder: Path) -> dict[str, str]:
    return {
        "kind": "training",
        "run_folder": str(folder),
        "recipe": "lenet",
        "status": "FAILED",
        "reason": "the training diverged: a weight. Lower optimizer.lr",
        "host": socket.gethostname(),
    }


def test_a_command_gets_the_notice(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "notice.json"
    command = program(tmp_path, f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read()); print('x')")
    tell_of_failure(command, "training", tmp_path, "lenet", ERROR)
    assert told(out) == expected(tmp_path)
    assert capfd.readouterr() == ("", "")
    tell_of_failure(None, "training", tmp_path, "lenet", ERROR)


def test_a_webhook_gets_the_notice(
    webhook: Webhook, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tell_of_failure(webhook.address, "training", tmp_path, "lenet", ERROR)
    assert webhook.posted == [("/hook?key=secret", "application/json", expected(tmp_path))]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os; os.close(0)", ""),  # one that does not listen
        (
            "import subprocess; subprocess.Popen(['sleep', '98765']); import time; time.sleep(98765)",
            "after 1 s",
        ),
    ],
)
def test_what_becomes_of_a_command_is_one_line_at_most(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    problem: str,
) -> None:
    monkeypatch.setattr(failure_notice, "LIMIT_S", 1.0)
    began_s = time.monotonic()
    tell_of_failure(program(tmp_path, text), "training", tmp_path, "lenet", ERROR)
    assert time.monotonic() - began_s < 8
    said = capfd.readouterr().err.splitlines()
    assert len(said) == bool(problem) and (not problem or problem in said[0])
    left = [one for one in psutil.process_iter(["cmdline"]) if "98765" in (one.info["cmdline"] or [])]
    assert not left, "what it has started has ended with it"


def test_a_command_that_is_not_there_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tell_of_failure("/none/at/all --now", "training", tmp_path, "lenet", ERROR)
    assert capfd.readouterr().err.startswith("warning: runtime.on_failure: /none/at/all cannot be run: ")


def test_what_becomes_of_a_webhook_is_one_line_without_its_secret(
    webhook: Webhook, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook.status = 500
    tell_of_failure(webhook.address, "training", tmp_path, "lenet", ERROR)
    assert "127.0.0.1 did not take it: HTTP Error 500" in capfd.readouterr().err
    monkeypatch.setattr(failure_notice, "LIMIT_S", 0.5)
    webhook.status, webhook.wait_s = 200, 3.0
    began_s = time.monotonic()
    tell_of_failure(webhook.address, "training", tmp_path, "lenet", ERROR)
    assert time.monotonic() - began_s < 2.5
    said = capfd.readouterr().err
    assert "127.0.0.1" in said and "secret" not in said and len(said.splitlines()) == 1
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    tell_of_failure(f"http://127.0.0.1:{port}/", "training", tmp_path, "lenet", ERROR)
    assert "did not take it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("''", "is neither a command nor an address. Give a command or an address of http(s)://, or null"),
        ("'  '", "is neither a command nor an address"),
        ("file:///etc/passwd", "is of another scheme. It can be http or https"),
        ("ftp://host/x", "is of another scheme"),
        ("'http:///x'", "names no host. Write http://host:port/path"),
        ("'http://host:port/x'", "cannot be read"),
        ("'tell \"me'", "cannot be read: No closing quotation"),
    ],
)
def test_what_is_neither_is_refused(given: str, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        compose(["recipe=lenet", f"runtime.on_failure={given}"])
    assert "runtime.on_failure: " in str(refused.value) and problem in str(refused.value)


@pytest.mark.parametrize("given", ["https://host/x", "'tell --all'", "'curl -d @- ftp://host'", "null"])
def test_what_is_one_is_taken(given: str) -> None:
    found = compose(["recipe=lenet", f"runtime.on_failure={given}"])["runtime"]["on_failure"]
    assert found == (None if given == "null" else given.strip("'"))


def test_a_file_from_someone_else_has_no_command_run(tmp_path: Path) -> None:
    own = tmp_path / "local.yaml"
    own.write_text("on_failure: tell\n")
    for asked, heard in (("tell", "tell"), ("rm -r x", None), ("http://host/", None)):
        runtime = small_plan("lenet", f"runtime.on_failure='{asked}'").runtime
        assert heard_here(runtime, own).on_failure == heard
    assert heard_here(small_plan("lenet").runtime, own).on_failure is None
