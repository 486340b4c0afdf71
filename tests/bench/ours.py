"""ours: one supervisor of this project in a root of its own, asked through its socket or by `ct`.

Never uses the machine's own supervisor or its files.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess

from lab import Failed, clock, end, read, remove_groups, run, until, write

INTERFACE = "io.ct.Supervisor"


class Ours:
    """A running supervisor."""

    def __init__(self, lab, programs, name="ours"):
        self.root = lab.path(name)
        self.parent = f"{lab.name}{name}"
        self.ct = f"{programs}/ct"
        os.makedirs(f"{self.root}/etc/ct")
        os.makedirs(f"{self.root}/var/lib/ct/templates", mode=0o700)
        # As on a real host: what is in /run is never written to a disk.
        lab.tmpfs(f"{self.root}/run")
        lab.later(remove_groups, self.parent)
        self.log = f"{self.root}/supervisor.log"
        self.words = [f"{programs}/host-supervisor", "--root", self.root, "--cgroup-parent", self.parent]
        self.words += ["--init", f"{programs}/ct-init"]
        self.begin()
        lab.later(self.leave)

    def begin(self, keeper=False):
        """Starts the supervisor and waits until it can be asked."""
        words = self.words if keeper else [*self.words, "--no-keeper"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.link = None
        until("the supervisor's socket", self.connect, 10)

    def serving(self):
        """The supervisor's pid, which with a keeper is its child's."""
        return int(read(f"{self.root}/run/ct/supervisor.pid"))

    def connect(self):
        if self.process.poll() is not None:
            raise Failed(f"start the supervisor: {read(self.log).strip()}")
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Its path may be longer than such an address can be.
        with contextlib.suppress(OSError):
            directory = os.open(f"{self.root}/run/ct", os.O_PATH)
            try:
                link.connect(f"/proc/self/fd/{directory}/ct.sock")
                self.link = link
            finally:
                os.close(directory)
        return self.link

    def call(self, method, **parameters):
        """Asks and waits for the answer."""
        message = {"method": f"{INTERFACE}.{method}", "parameters": parameters}
        self.link.sendall(json.dumps(message).encode() + b"\0")
        answer = bytearray()
        while not answer.endswith(b"\0"):
            part = self.link.recv(1 << 16)
            if not part:
                raise Failed(f"{method}: the supervisor hung up: {read(self.log)[-2000:]}")
            answer += part
        reply = json.loads(bytes(answer[:-1]))
        failed = [o for o in reply.get("parameters", {}).get("outcomes") or [] if o.get("error")]
        if "error" in reply or failed:
            raise Failed(f"{method} {parameters}: {json.dumps(failed or reply)}: {read(self.log)[-2000:]}")
        return reply.get("parameters", {})

    def unit(self, name, container, resources=""):
        """Writes a container unit."""
        text = f"[Container]\n{container}Restart=no\nStartLimitIntervalSec=0\n[Resources]\n{resources}"
        write(f"{self.root}/etc/ct/{name}.container", text)

    def template(self, lab, name):
        return lab.rootfs(f"{self.root}/var/lib/ct/templates/{name}")

    def start(self, *names):
        self.call("Start", targets=list(names), wait=True)

    def stop(self, *names):
        self.call("Stop", targets=list(names), wait=True)

    def stop_now(self, *names):
        self.call("Stop", targets=list(names), wait=True, now=True)

    def by_hand(self, name):
        """`ct start`, as a person or a script does it; nanoseconds at which it was called."""
        begin = clock()
        run(self.ct, "--root", self.root, "-q", "start", name)
        return begin

    def pids(self):
        """PID 1 of each running container."""
        return {c["name"]: c["pid"] for c in self.call("List")["containers"] if c.get("pid")}

    def leave(self):
        if self.process.poll() is None and self.link:
            with contextlib.suppress(Failed, OSError, subprocess.TimeoutExpired):
                self.link.settimeout(60)
                self.call("Shutdown")
                self.process.wait(10)
        end(self.process, signal.SIGTERM)
