"""lab: a place of its own for one run, and everything made there is gone afterwards, also when the run fails.

Never ends a process by its name, and never touches a cgroup, a mount or a process that it did not make.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CPUS = os.cpu_count() or 1


class Failed(Exception):
    """Something could not be measured; the text says what was tried on what."""


# A group that LXC makes in each hierarchy and does not remove.
LXC_LEAVES = "lxc.pivot"


class Lab:
    """A directory, a prefix for names, and what has to be undone, newest first."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.name = f"ctbench{os.getpid()}"

    def __enter__(self):
        # Not /tmp: an overlay's upper directory may not be on every tmpfs.
        self.dir = tempfile.mkdtemp(prefix=f"{self.name}-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        if not any(os.path.isdir(os.path.join(point, LXC_LEAVES)) for point in hierarchies().values()):
            self.later(remove_groups, LXC_LEAVES)
        return self

    def __exit__(self, *how):
        return self.stack.__exit__(*how)

    def later(self, do, *what):
        """Runs `do` at the end, whatever happens."""
        self.stack.callback(quietly, do, *what)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def build(self, source, to):
        """A static program of a C file beside this one."""
        run("gcc", "-O2", "-static", "-o", to, os.path.join(HERE, source))
        return to

    def tmpfs(self, at):
        os.makedirs(at, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=0755", self.name, at)
        self.later(run, "umount", "-l", at)

    def rootfs(self, at):
        """busybox, the guest under its names, and what ct-init, busybox init and runc expect."""
        for part in ("bin", "sbin", "proc", "sys", "dev", "etc/systemd/system", "tmp", "run", "root", "var/log", "usr"):
            os.makedirs(f"{at}/{part}", exist_ok=True)
        shutil.copy("/bin/busybox", f"{at}/bin/busybox")
        for name in ("sh", "sleep", "true"):
            os.symlink("busybox", f"{at}/bin/{name}")
        os.symlink("../bin/busybox", f"{at}/sbin/init")
        for name in ("mark", "once", "spin"):
            shutil.copy(self.path("guest"), f"{at}/sbin/{name}")
        write(f"{at}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        write(f"{at}/etc/group", "root:x:0:\n")
        write(f"{at}/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        write(f"{at}/etc/inittab", "::respawn:/sbin/mark\n")
        units(at, {"mark": "/sbin/mark"})
        return at


def units(root, services, extra=""):
    """default.target of these services: name and command line."""
    system = f"{root}/etc/systemd/system"
    os.makedirs(system, exist_ok=True)
    wants = " ".join(f"{name}.service" for name in services)
    write(f"{system}/default.target", f"[Unit]\nWants={wants}\nAfter={wants}\n")
    for name, command in services.items():
        # Type=exec: up when the program runs, which is when the peers count it as up.
        text = f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=exec\nExecStart={command}\n"
        write(f"{system}/{name}.service", f"{text}Restart=always\nRestartSec=0\n{extra}")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def quietly(do, *what):
    try:
        do(*what)
    except Exception as why:  # The rest of the cleaning has to go on.
        print(f"bench: could not clean up: {why}")


def run(*words, **how):
    """A command that has to succeed; its output."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **how)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def until(what, look, seconds=60.0, every=0.002):
    """Waits for something to be true and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)


def marks(path):
    """What the guest has written: (nanoseconds, hostname, pid inside)."""
    with contextlib.suppress(FileNotFoundError):
        rows = [line.split() for line in read(path).splitlines()]
        return [(int(ns), host, int(pid)) for ns, host, pid in rows]
    return []


def timed(path, begin, start, what):
    """Milliseconds from the call of `start` to the guest's first instruction."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    begin = begin()
    start()
    return (until(what, lambda: marks(path))[0][0] - begin) / 1e6


def clock():
    """The clock of the marks."""
    return time.time_ns()


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for p in read(f"/proc/{pid}/task/{pid}/children").split()]
    return []


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def end(process, how=signal.SIGTERM):
    """Ends a process of ours, and then whatever it has left running."""
    left = descendants(process.pid)
    if process.poll() is None:
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    if process.poll() is None:
        process.kill()
        process.wait()
    for pid in left:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def pss(pid):
    """KiB."""
    return int(re.search(r"^Pss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup"), re.M).group(1))


# Memory that nobody can drop: of processes, of tmpfs, of the kernel.
HELD = ("AnonPages", "Shmem", "SUnreclaim", "KernelStack", "PageTables", "Percpu")


def memory():
    """KiB of memory that could still be had, and KiB that are held, once what is only cached is dropped."""
    os.sync()
    write("/proc/sys/vm/drop_caches", "3\n")
    # Kernel memory of ended processes is given back a moment later: several looks, and the one in the middle.
    looks = []
    for _ in range(10):
        fields = dict(re.findall(r"^(\w+):\s+(\d+)", read("/proc/meminfo"), re.M))
        looks.append((int(fields["MemAvailable"]), sum(int(fields[name]) for name in HELD)))
        time.sleep(0.1)
    available, held = zip(*looks)
    return sorted(available)[len(looks) // 2], sorted(held)[len(looks) // 2]


def hierarchies():
    """Where controllers are: name to mount point; the v2 tree is `unified`."""
    found = {}
    for line in read("/proc/self/mountinfo").splitlines():
        front, _, back = line.partition(" - ")
        point, (kind, _, options) = front.split()[4], back.split()[:3]
        if kind == "cgroup2":
            found.setdefault("unified", point)
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, point)
    return found


def remove_groups(prefix):
    """Ends what is in groups of this name right below the mount points, and removes them."""
    for point in sorted(set(hierarchies().values())):
        top = os.path.join(point, prefix)
        if not os.path.isdir(top):
            continue
        below = [path for path, _, _ in os.walk(top, topdown=False)]
        for path in below:
            for pid in read(f"{path}/cgroup.procs").split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
        for path in below:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
                if not os.path.isdir(path):
                    break
                time.sleep(0.01)
