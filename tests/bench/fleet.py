"""fleet: a hundred containers with one service each: time until all are up, memory they take."""

import contextlib
import os

from lab import available, children, clock, marks, pss, until
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
    ours.start(names[0])
    ours.stop(names[0])
    for _ in range(rounds):
        round_of_ours(ours, names, figures)
        round_of_lxc(lxc, rootfs, figures)
    ours.leave()
    figures.row(f"{count} containers, all ready", "s", "fleet ready", "lxc fleet", "lxc-start, all services run", 1)
    figures.row("memory of the system, each", "KiB", "fleet each", "lxc each", "LXC, busybox init", 1)
    figures.row("PID 1 and its monitor, PSS each", "KiB", "fleet pss", "lxc pss", "busybox init, LXC monitor", 1)
    figures.row(f"supervisor with {count}, PSS", "KiB", "supervisor", "lxc monitors", "all LXC monitors", 1)
    figures.row(f"{count} containers stopped, each service in order", "s", "fleet stop", "lxc stop", "lxc-stop -k", None)


def round_of_ours(ours, names, figures):
    paths = [f"{ours.root}/var/lib/ct/containers/{n}/changes/root/upper/mark" for n in names]
    forget(paths)
    before, begin = available(), clock()
    ours.start(*names)
    figures.add("fleet ready", (clock() - begin) / 1e9)
    figures.add("fleet run", (max(last(p) for p in paths) - begin) / 1e9)
    figures.add("fleet each", (before - available()) / len(names))
    shares = [pss(pid) for pid in ours.pids().values()]
    supervisor = pss(ours.process.pid)
    figures.add("supervisor", supervisor)
    figures.add("fleet init", sum(shares) / len(names))
    figures.add("fleet pss", (sum(shares) + supervisor) / len(names))
    begin = clock()
    ours.stop(*names)
    figures.add("fleet stop", (clock() - begin) / 1e9)


def round_of_lxc(lxc, rootfs, figures):
    path, count = f"{rootfs}/mark", len(lxc.names)
    forget([path])
    before, begin = available(), clock()
    lxc.start_all()
    up = until(f"{count} services of LXC", lambda: len(marks(path)) >= count and marks(path), 120, 0.05)
    figures.add("lxc fleet", (max(ns for ns, _, _ in up) - begin) / 1e9)
    figures.add("lxc each", (before - available()) / count)
    monitors = lxc.monitors()
    inits = [child for monitor in monitors for child in first_child(monitor)]
    figures.add("lxc monitors", sum(map(pss, monitors)))
    figures.add("lxc pss", sum(map(pss, monitors + inits)) / count)
    begin = clock()
    lxc.stop_all()
    figures.add("lxc stop", (clock() - begin) / 1e9)


def first_child(pid):
    return children(pid)[:1]


def last(path):
    found = marks(path)
    return found[-1][0] if found else 0


def forget(paths):
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
