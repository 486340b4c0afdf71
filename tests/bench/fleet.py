"""fleet: a hundred containers with one service each: time until all are up, memory they take.

Each round starts them twice: once warm and timed, once after the caches were dropped and weighed.
"""

import contextlib
import os
import time

from lab import children, clock, marks, memory, pss, until
from ours import Ours
from peers import Lxc


def measure(lab, programs, figures, count, rounds):
    ours = Ours(lab, programs, "fleet")
    ours.template(lab, "fleet")
    names = [f"c{n:03}" for n in range(count)]
    for name in names:
        ours.unit(name, "Template=fleet\n")
    rootfs = lab.rootfs(lab.path("fleet-rootfs"))
    lxc = Lxc(lab, rootfs)
    for number in range(count):
        lxc.add(f"f{number:03}")
    # Once for nothing, and for the directories that the first start makes.
    ours.start(*names)
    ours.stop(*names)
    for _ in range(rounds):
        round_of_ours(ours, names, figures)
        round_of_lxc(lxc, rootfs, figures)
    ours.leave()
    figures.row(f"{count} containers, all ready", "s", "fleet ready", "lxc fleet", "lxc-start, all services run", 1)
    figures.row("memory less to be had, each", "KiB", "fleet each", "lxc each", "LXC, busybox init", 1)
    figures.row("of it held by processes and kernel, each", "KiB", "fleet held", "lxc held", "LXC, busybox init", 1)
    figures.row("PID 1 and its monitor, PSS each", "KiB", "fleet pss", "lxc pss", "busybox init, LXC monitor", 1)
    figures.row(f"supervisor with {count}, PSS", "KiB", "supervisor", "lxc monitors", "all LXC monitors", 1)
    figures.row(f"{count} containers stopped, each service in order", "s", "fleet stop", "lxc stop", "lxc-stop -k", None)


def round_of_ours(ours, names, figures):
    time.sleep(1)
    begin = clock()
    ours.start(*names)
    figures.add("fleet ready", (clock() - begin) / 1e9)
    begin = clock()
    ours.stop(*names)
    figures.add("fleet stop", (clock() - begin) / 1e9)
    time.sleep(1)
    before = memory()
    ours.start(*names)
    weigh(figures, "fleet", before, len(names))
    shares = [pss(pid) for pid in ours.pids().values()]
    supervisor = pss(ours.process.pid)
    figures.add("supervisor", supervisor)
    figures.add("fleet init", sum(shares) / len(names))
    figures.add("fleet pss", (sum(shares) + supervisor) / len(names))
    ours.stop(*names)


def round_of_lxc(lxc, rootfs, figures):
    path, count = f"{rootfs}/mark", len(lxc.names)

    def start():
        forget(path)
        lxc.start_all()
        return until(f"{count} services of LXC", lambda: len(marks(path)) >= count and marks(path), 120, 0.01)

    time.sleep(1)
    begin = clock()
    figures.add("lxc fleet", (max(ns for ns, _, _ in start()) - begin) / 1e9)
    begin = clock()
    lxc.stop_all()
    figures.add("lxc stop", (clock() - begin) / 1e9)
    time.sleep(1)
    before = memory()
    start()
    weigh(figures, "lxc", before, count)
    monitors = lxc.monitors()
    inits = [child for monitor in monitors for child in first_child(monitor)]
    figures.add("lxc monitors", sum(map(pss, monitors)))
    figures.add("lxc pss", sum(map(pss, monitors + inits)) / count)
    lxc.stop_all()


def first_child(pid):
    return children(pid)[:1]


def weigh(figures, name, before, count):
    available, held = memory()
    figures.add(f"{name} each", (before[0] - available) / count)
    figures.add(f"{name} held", (held - before[1]) / count)


def forget(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
