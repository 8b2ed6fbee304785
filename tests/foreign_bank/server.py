"""Starts the real server in an empty folder, and a receiver for its events. Shares no code with the project."""

import json
import queue
import secrets
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook, hmac_data

WAIT_S = 30


def secret():
    return "whsec_" + b64encode(secrets.token_bytes(24)).decode()


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def signed_headers(key, body, message_id=None, moment=None):
    """The three headers of Standard Webhooks, made by the specification's own Python library."""
    message_id = message_id or f"msg_{secrets.token_hex(12)}"
    # The library takes a moment without a zone for UTC.
    moment = moment or datetime.now(tz=timezone.utc)
    timestamp = str(int(moment.timestamp()))
    try:
        text = body.decode() if isinstance(body, bytes) else body
        signature = Webhook(key).sign(msg_id=message_id, timestamp=moment, data=text)
    except UnicodeDecodeError:
        # The library signs texts only; for other bytes its parts are put together as the specification says.
        mac = hmac_data(b64decode(key.removeprefix("whsec_")), f"{message_id}.{timestamp}.".encode() + body)
        signature = f"v1,{b64encode(mac).decode()}"
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


class Receiver:
    """The bank's event receiver: takes only what the foreign library finds genuine."""

    def __init__(self):
        self.secret = secret()
        self.events = queue.Queue()
        self.forged = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    event = Webhook(receiver.secret).verify(body, dict(self.headers))
                except Exception:
                    receiver.forged += 1
                    self.send_response(401)
                else:
                    receiver.events.put(event)
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/events"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Server:
    """`weikefu serve` with two secrets, as while one is rotated."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="weikefu-foreign-")
        self.receiver = Receiver()
        self.secrets = [secret(), secret()]
        self.url = f"http://127.0.0.1:{free_port()}"
        folder = Path(self.folder.name)
        (folder / "w.toml").write_text(self.configuration(folder), encoding="utf-8")
        self.log = (folder / "log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            [str(Path(binary).resolve()), "serve", "--config", "w.toml"], cwd=folder, stdout=subprocess.DEVNULL, stderr=self.log
        )
        self.wait_until_ready()

    def configuration(self, folder):
        return f"""
[server]
listen = "{self.url.removeprefix("http://")}"
public_url = "{self.url}"
metrics_listen = "127.0.0.1:0"

[database]
url = "sqlite://{folder}/weikefu.db"

[[accounts]]
id = "card"
name = "示例银行信用卡"
original_id = "gh_0123456789ab"
app_id = "wx0123456789abcdef"
app_secret = "foreign-app-secret"
token = "foreign-token"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
api_base_url = "http://127.0.0.1:9"

[core]
base_url = "http://127.0.0.1:9"
secret = "{secret()}"

[api]
secrets = {json.dumps(self.secrets)}

[events]
url = "{self.receiver.url}"
secret = "{self.receiver.secret}"
"""

    def wait_until_ready(self):
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended: {self.told()}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SystemExit(f"the server was not ready within {WAIT_S} s: {self.told()}")

    def told(self):
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8")[-4000:]

    def call(self, method, path, body=b"", headers=None, key=None, content_type="application/json"):
        """One call, signed with the first secret unless other headers are given: status, headers and JSON."""
        signed = body if method == "POST" else b""
        headers = headers or signed_headers(key or self.secrets[0], signed)
        request = urllib.request.Request(
            self.url + path, data=body or None, method=method, headers={**headers, "content-type": content_type}
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, dict(answer.headers), read(answer)
        except urllib.error.HTTPError as answer:
            return answer.code, dict(answer.headers), read(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            code = self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.receiver.http.shutdown()
            self.log.close()
            self.folder.cleanup()
        if code != 0:
            raise SystemExit(f"the server ended with {code}")


def read(answer):
    body = answer.read()
    return json.loads(body) if body else None
