#!/usr/bin/env python3
"""A fleet on this machine: a NATS server, and three edges with the demo widget. A save on one arrives on all of them.

`make fleet` runs it until Ctrl-C; `make fleet ARGS=--once` ends by itself, with 1 if something is not as it should be.
"""

import argparse
import base64
import http.client
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONF = Path(__file__).resolve().parents[2] / "conf"
EDGES = 3
WIDGET = "wgt_demo"
SITE = "shop.example.net"
# What is not done after this time has failed.
PATIENCE = 30.0
PORTS = range(18000, 30000)


class Failed(Exception):
    pass


class Stopped(Exception):
    """A signal that ends everything."""


class Ending:
    """What a signal does: the first one ends everything in order, the next one at once."""

    def __init__(self, servers):
        self.servers, self.has_begun = servers, False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.on_signal)

    def on_signal(self, number, _):
        if self.has_begun:
            for server in self.servers:
                server.process.kill()
        else:
            self.has_begun = True
            raise Stopped(number)


def free_ports(count):
    """Ports that nobody has, all different. None from which systems pick those of outgoing connections."""
    ports = []
    for port in itertools.islice(itertools.cycle(PORTS), secrets.randbelow(len(PORTS)), None):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports


def call(port, method, path, headers=None, body=None):
    """Status and body of an answer; status 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


class Server:
    """A program in the background, with its output in a file."""

    def __init__(self, name, command, folder, **more):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            # In a session of its own: Ctrl-C reaches this program alone, which ends the others in order.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **more)

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} has ended")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Edge(Server):
    def __init__(self, number, program, folder, server, port, admin):
        self.port, self.admin = port, admin
        self.home = folder / f"edge-{number}"
        self.home.mkdir()
        settings = {
            "EDGE__LISTEN": json.dumps([f"127.0.0.1:{port}"]),
            "EDGE__PUBLIC_ORIGINS": json.dumps([f"http://localhost:{port}"]),
            "EDGE__GRACE_PERIOD": "2s",
            "ADMIN__LISTEN": f"127.0.0.1:{admin}",
            "RULES__SOURCE": "nats",
            "RULES__NATS__SERVERS": json.dumps([server]),
            "RULES__NATS__EDGE": self.home.name,
            "TICKETS__KEY_FILE": str(folder / "ticket.keys"),
        }
        self.command = [program, "--config", str(CONF / "embedgate.toml")]
        self.environment = os.environ | {f"EMBEDGATE__{key}": value for key, value in settings.items()}
        super().__init__(self.home.name, self.command, folder, cwd=self.home, env=self.environment)

    def wait_until_ready(self, servers):
        until = time.monotonic() + PATIENCE
        while call(self.admin, "GET", "/readyz")[0] != 200:
            for server in servers:
                server.check()
            if time.monotonic() > until:
                raise Failed(f"{self.name} is not ready after {PATIENCE:.0f} s")
            time.sleep(0.05)

    def tokens(self):
        return self.home / "data" / "admin.tokens"

    def change(self, path, body, content_type="application/json"):
        """A change through the admin API of this edge, answered when every edge enforces it."""
        token = next(line.split()[1] for line in self.tokens().read_text().splitlines() if line.startswith("write "))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        status, answer = call(self.admin, "POST", f"{path}?wait=fleet&timeout=10s", headers, body)
        if status != 200:
            raise Failed(f"{self.name} answers {path} with {status}: {answer.decode(errors='replace')}")
        return json.loads(answer)

    def verdict(self):
        """How a page of the site is answered that asks for the widget's loader."""
        headers = {"Host": f"localhost:{self.port}", "Origin": f"https://{SITE}"}
        return call(self.port, "GET", f"/w/{WIDGET}/loader.js", headers)[0]

    def run(self, *arguments):
        """A command of the program, by the configuration of this edge."""
        command = [*self.command, *arguments]
        return subprocess.run(command, cwd=self.home, env=self.environment, check=False).returncode


def save_the_demo(edge, program):
    """Saves the widgets of the demo as one batch: a bucket that was just made is empty."""
    source = {"EMBEDGATE__RULES__SOURCE": "file", "EMBEDGATE__RULES__FILE__PATH": str(CONF / "widgets.json")}
    command = [program, "--config", str(CONF / "embedgate.toml"), "widgets", "export"]
    done = subprocess.run(command, cwd=edge.home, env=os.environ | source, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"the demo's widgets can't be read: {done.stderr}")
    lines = [json.dumps({"put": json.loads(line)}) for line in done.stdout.splitlines()]
    edge.change("/v1/batch", "\n".join(lines), "application/x-ndjson")


def show_a_save(edges):
    """Lets a site embed the widget, through the first edge, watches all of them meanwhile, and returns the revision."""
    print(f"\nBefore the save, a page of https://{SITE} is answered with", ", ".join(str(e.verdict()) for e in edges))
    arrived = {}

    def watch(edge, began):
        while time.monotonic() - began < PATIENCE:
            if edge.verdict() == 200:
                arrived[edge.name] = time.monotonic() - began
                return

    began = time.monotonic()
    watchers = [threading.Thread(target=watch, args=(edge, began)) for edge in edges]
    for watcher in watchers:
        watcher.start()
    saved = edges[0].change(f"/v1/widgets/{WIDGET}/domains", json.dumps({"add": [SITE]}))
    answered = time.monotonic() - began
    verdicts = [edge.verdict() for edge in edges]
    for watcher in watchers:
        watcher.join()
    print(f"Saved on {edges[0].name} with ?wait=fleet. Asked all the time, the edges answer with 200 after")
    for edge in edges:
        if edge.name not in arrived:
            raise Failed(f"{edge.name} does not enforce the save after {PATIENCE:.0f} s")
        print(f"  {arrived[edge.name] * 1000:6.1f} ms  {edge.name}")
    print(f"  {answered * 1000:6.1f} ms  the save is answered: every edge enforces it")
    if verdicts != [200] * len(edges):
        raise Failed(f"a save was answered that not every edge enforces: {verdicts}")
    return saved["widget"]["revision"]


def run(program, nats, folder, servers, once):
    port, *ports = free_ports(1 + 2 * EDGES)
    store = folder / "nats"
    settings = folder / "nats.conf"
    # Without `always`, NATS may lose at a power cut what it has acknowledged.
    settings.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n')
    servers.append(Server("nats-server", [nats, "--config", str(settings)], folder))
    # The same on all edges: a ticket of one is good at the others.
    (folder / "ticket.keys").write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    edges = []
    for number in range(EDGES):
        listen, admin = ports[2 * number : 2 * number + 2]
        edges.append(Edge(number + 1, program, folder, f"nats://127.0.0.1:{port}", listen, admin))
        servers.append(edges[-1])
    for edge in edges:
        edge.wait_until_ready(servers)
    save_the_demo(edges[0], program)
    print(f"A fleet of {EDGES} edges on one NATS server, nats://127.0.0.1:{port}. Logs and data are below {folder}")
    for edge in edges:
        print(f"  {edge.name}: http://site.localhost:{edge.port}/    admin API: http://127.0.0.1:{edge.admin}")
    revision = show_a_save(edges)
    print("\n$ embedgate fleet status", flush=True)
    if edges[0].run("fleet", "status") != 0:
        raise Failed("the fleet is not as it should be")
    if once:
        return
    last = edges[-1]
    print("\nAny edge takes changes. The first of these is in force on all of them: reload a page above. The second undoes it:")
    for change in (f"disable {WIDGET}", f"revert {WIDGET} {revision}"):
        print(f"\n{program} widgets {change} --wait \\")
        print(f"  --admin http://127.0.0.1:{last.admin} --token-file {last.tokens()}")
    print("\nCtrl-C ends everything, and removes the folder.", flush=True)
    while True:
        time.sleep(1)
        for server in servers:
            server.check()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="end after one save")
    parser.add_argument("--program", required=True, help="the program of the edge")
    parser.add_argument("--nats", required=True, help="the NATS server, as make setup-nats installs it")
    arguments = parser.parse_args()
    program, nats = (str(Path(path).resolve()) for path in (arguments.program, arguments.nats))
    os.umask(0o077)
    servers = []
    ending = Ending(servers)
    with tempfile.TemporaryDirectory(prefix="embedgate-fleet-") as folder:
        try:
            run(program, nats, Path(folder), servers, arguments.once)
        except Failed as failed:
            print(f"\n{failed}", file=sys.stderr)
            for server in servers:
                print(f"--- {server.name}", *server.log.read_text().splitlines()[-15:], sep="\n", file=sys.stderr)
            return 1
        except Stopped as stopped:
            print()
            (number,) = stopped.args
            return 0 if number == signal.SIGINT else 128 + number
        finally:
            # A signal from now on ends them at once. The edges first, which sign off at the server.
            ending.has_begun = True
            for server in reversed(servers):
                server.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
