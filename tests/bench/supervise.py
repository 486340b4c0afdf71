"""supervise: ct-init beside runsv and s6-supervise: size, memory with one and a hundred services, time to restart."""

import os
import signal
import time

from lab import children, clock, marks, pss, units, until
from ours import Ours
from peers import comm, runsv, s6

MANY = 100
# runsv and s6-supervise wait where a service has not run for a second.
UP_FOR = 1.2


def measure(lab, programs, figures, rounds):
    memory(lab, programs, figures)
    latency(lab, programs, figures, rounds)
    row = figures.row
    row("ct-init, the file", "KiB", "init file", "busybox file", "busybox")
    row("ct-init with 1 service, PSS", "KiB", "init 1", 1536, "the aim", 1)
    row(f"ct-init with {MANY} services, PSS", "KiB", f"init {MANY}", 1536, "the aim", 1)
    row(f"ct-init with {MANY} services, PSS", "KiB", f"init {MANY}", "runsv memory", f"runsvdir, {MANY} runsv", 1)
    row(f"ct-init with {MANY} services, PSS", "KiB", f"init {MANY}", "s6 memory", f"s6-svscan, {MANY} s6-supervise", 1)
    row("killed service runs again", "ms", "again", "runsv again", "runsv", 1)
    row("killed service runs again", "ms", "again", "s6 again", "s6-supervise", 1)


def container(lab, ours, name, count):
    """A container with so many services, and its PID 1."""
    rootfs = lab.rootfs(lab.path(f"rootfs-{name}"))
    units(rootfs, {f"s{n:03}": "/sbin/mark" for n in range(count)})
    ours.unit(name, f"Rootfs={rootfs}\n")
    ours.start(name)
    until(f"{count} services in {name}", lambda: len(marks(f"{rootfs}/mark")) >= count)
    return ours.pids()[name], rootfs


def memory(lab, programs, figures):
    figures.add("init file", os.path.getsize(f"{programs}/ct-init") / 1024)
    figures.add("busybox file", os.path.getsize("/bin/busybox") / 1024)
    # One after the other, for PSS divides what several share.
    ours = Ours(lab, programs, "memory")
    for count in (1, MANY):
        name = f"m{count}"
        pid, _ = container(lab, ours, name, count)
        time.sleep(1)
        figures.add(f"init {count}", pss(pid))
        ours.stop(name)
    ours.leave()
    for name, make in (("runsv", runsv), ("s6", s6)):
        tree = make(lab, MANY)
        time.sleep(1)
        figures.add(f"{name} memory", sum(map(pss, tree.supervisors())))
        tree.leave()


def latency(lab, programs, figures, rounds):
    count = 10
    ours = Ours(lab, programs, "latency")
    init, rootfs = container(lab, ours, "again", count)
    trees = {"runsv again": runsv(lab, count), "s6 again": s6(lab, count)}

    def services():
        """The services' pids, and the file each marks."""
        found = {"again": [(pid, f"{rootfs}/mark") for pid in children(init) if comm(pid) == "mark"]}
        for name, tree in trees.items():
            found[name] = tree.services()
        return found

    for _ in range(rounds):
        time.sleep(UP_FOR)
        now = services()
        for number in range(count):
            for name, all_of_it in now.items():
                figures.add(name, kill(*all_of_it[number]))
    ours.leave()


def kill(pid, path):
    """Milliseconds from the kill to the first instruction of the next."""
    before = len(marks(path))
    begin = clock()
    os.kill(pid, signal.SIGKILL)
    until("a restart", lambda: len(marks(path)) > before, 20, 0.001)
    return (marks(path)[before][0] - begin) / 1e6
