"""peers: what one would use instead, set up so that it has as little to do as possible.

LXC gets no user namespace, no overlay and no limits, all of which the containers of this project have.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess

from lab import CPUS, Failed, clock, descendants, end, read, run, until, write


class Runc:
    """One bundle that runs the guest's `once`."""

    def __init__(self, lab, rootfs):
        self.bundle, self.state, self.count = lab.path("bundle"), lab.path("runc"), 0
        self.name = f"{lab.name}runc"
        os.makedirs(self.bundle)
        run("runc", "spec", cwd=self.bundle)
        config = json.loads(read(f"{self.bundle}/config.json"))
        config["process"].update(terminal=False, args=["/sbin/once"], cwd="/")
        config["root"] = {"path": rootfs, "readonly": False}
        write(f"{self.bundle}/config.json", json.dumps(config))

    def start(self):
        """From `runc run` to its end."""
        self.count += 1
        run("runc", "--root", self.state, "run", "-b", self.bundle, f"{self.name}-{self.count}")


class Lxc:
    """Containers with busybox init and one service over one directory, which is the least LXC can do."""

    def __init__(self, lab, rootfs, init="/sbin/init"):
        self.path, self.name, self.rootfs, self.init = lab.path("lxc"), f"{lab.name}lxc", rootfs, init
        self.names = []
        os.makedirs(self.path, exist_ok=True)
        lab.later(self.stop_all)

    def add(self, number, init=None):
        name = f"{self.name}-{number}"
        directory = f"{self.path}/{name}"
        os.makedirs(directory, exist_ok=True)
        lines = {
            "rootfs.path": f"dir:{self.rootfs}",
            "uts.name": name,
            "net.0.type": "empty",
            "init.cmd": init or self.init,
            "mount.auto": "proc sys",
            "apparmor.profile": "unconfined",
            "pty.max": "1",
        }
        write(f"{directory}/config", "".join(f"lxc.{key} = {value}\n" for key, value in lines.items()))
        self.names.append(name)
        return name

    def start(self, name):
        """From `lxc-start` to its end, which is when the container runs."""
        begin = clock()
        run("lxc-start", "-P", self.path, "-n", name)
        return begin

    def start_all(self):
        """As many at a time as there are CPUs, with nothing in between: the quickest way LXC has."""
        words = ["xargs", "-n1", f"-P{CPUS}", "lxc-start", "-P", self.path, "-n"]
        done = subprocess.run(words, input="\n".join(self.names), text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise Failed(f"lxc-start: {done.stderr.strip()}")

    def automatic(self, number, order):
        """To be started by autostart, those of a lower order first."""
        path = f"{self.path}/{self.name}-{number}/config"
        kept = [line for line in read(path).splitlines() if not line.startswith("lxc.start.")]
        write(path, "\n".join([*kept, "lxc.start.auto = 1", f"lxc.start.order = {order}", "lxc.start.delay = 0", ""]))

    def autostart(self):
        run("lxc-autostart", "-P", self.path, "--all")

    def stop(self, name):
        with contextlib.suppress(Failed):
            run("lxc-stop", "-P", self.path, "-k", "-n", name)

    def stop_all(self):
        words = ["xargs", "-n1", f"-P{CPUS}", "lxc-stop", "-P", self.path, "-k", "-n"]
        names = [n for n in self.names if os.path.isdir(f"{self.path}/{n}")]
        subprocess.run(words, input="\n".join(names), text=True, capture_output=True, check=False)

    def monitors(self):
        """The process that LXC keeps beside each container: pids, found by the path that only ours have."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and f"[lxc monitor] {self.path} " in read(f"/proc/{entry}/cmdline").replace("\0", " "):
                    found.append(int(entry))
        return found


class Supervision:
    """A tree of supervisors with one service each; a service is the guest's `mark` itself, without a shell."""

    def __init__(self, lab, name, words, leave, count):
        self.dir, self.how = lab.path(f"{name}{count}"), leave
        for number in range(count):
            os.makedirs(f"{self.dir}/s{number:03}")
            shutil.copy(lab.path("guest"), f"{self.dir}/s{number:03}/run")
        self.process = subprocess.Popen(
            [*words, self.dir], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        lab.later(self.leave)
        until(f"{count} services below {name}", lambda: self.running() == count, 60, 0.05)

    def running(self):
        return sum(os.path.exists(f"{self.dir}/{s}/mark") for s in os.listdir(self.dir) if s.startswith("s"))

    def supervisors(self):
        """All but the services."""
        names = {pid: comm(pid) for pid in [self.process.pid, *descendants(self.process.pid)]}
        return [pid for pid, name in names.items() if name != "run"]

    def services(self):
        """Each service's pid and the file it marks."""
        pids = [pid for pid in descendants(self.process.pid) if comm(pid) == "run"]
        return [(pid, os.path.join(os.readlink(f"/proc/{pid}/cwd"), "mark")) for pid in pids]

    def leave(self):
        end(self.process, self.how)


def runsv(lab, count):
    return Supervision(lab, "runsv", ["runsvdir", "-P"], signal.SIGHUP, count)


def s6(lab, count):
    return Supervision(lab, "s6-supervise", ["s6-svscan"], signal.SIGTERM, count)


def comm(pid):
    with contextlib.suppress(OSError):
        return read(f"/proc/{pid}/comm").strip()
    return ""
