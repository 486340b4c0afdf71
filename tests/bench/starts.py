"""starts: how long it takes until the program of a container runs, everyone in turn. Order is shuffled each round."""

import os
import random
import time

from lab import clock, marks, run, timed
from ours import Ours
from peers import Lxc, Runc

# Those who also wait for the program's end after it has marked; the figure is always up to the mark.
FLOOR_TURNS = 5


def measure(lab, programs, figures, rounds):
    rootfs = lab.rootfs(lab.path("start-rootfs"))
    mark = f"{rootfs}/mark"
    ours, runc, lxc = Ours(lab, programs, "starts"), Runc(lab, rootfs), Lxc(lab, rootfs)
    ours.unit("bare", f"Rootfs={rootfs}\nInit=/sbin/mark\n")
    ours.unit("plain", f"Rootfs={rootfs}\nInit=/sbin/mark\nUserNamespace=no\n")
    ours.unit("service", f"Rootfs={rootfs}\n")
    bare, service = lxc.add("bare", "/sbin/mark"), lxc.add("service")

    def floor(name, *how):
        directory = lab.path("floor-marks")
        os.makedirs(directory, exist_ok=True)
        if os.path.exists(f"{directory}/mark"):
            os.unlink(f"{directory}/mark")
        turns = run(lab.path("floor"), str(FLOOR_TURNS), f"{rootfs}/sbin/once", *how, cwd=directory).split("\n")
        begins = [int(line.split()[0]) for line in turns if line]
        figures.add(name, *((m[0] - b) / 1e6 for m, b in zip(marks(f"{directory}/mark"), begins)))

    def ours_bare(name, unit):
        figures.add(name, timed(mark, clock, lambda: ours.start(unit), f"{unit} to run"))
        ours.stop_now(unit)

    def ours_by_hand():
        figures.add("ct start bare", timed(mark, clock, lambda: ours.by_hand("bare"), "bare to run"))
        ours.stop_now("bare")

    def ours_service(name, start):
        begin = clock()
        figures.add(name, timed(mark, clock, start, "the service to run"))
        figures.add(f"{name} ready", (clock() - begin) / 1e6)
        ours.stop("service")

    def peer_lxc(name, container):
        figures.add(name, timed(mark, clock, lambda: lxc.start(container), f"{container} to run"))
        lxc.stop(container)

    def peer_runc():
        figures.add("runc bare", timed(mark, clock, runc.start, "runc to run it"))

    turns = [
        lambda: floor("floor"),
        lambda: floor("fork", "plain"),
        lambda: ours_bare("socket bare", "bare"),
        lambda: ours_bare("socket plain", "plain"),
        ours_by_hand,
        lambda: ours_service("socket service", lambda: ours.start("service")),
        lambda: ours_service("ct start service", lambda: ours.by_hand("service")),
        lambda: peer_lxc("lxc bare", bare),
        lambda: peer_lxc("lxc service", service),
        peer_runc,
    ]
    for turn in turns:  # Once for nothing: caches, directories that are made at the first start.
        turn()
    figures.samples.clear()
    for _ in range(rounds):
        random.shuffle(turns)
        for turn in turns:
            # The kernel takes the last one's namespaces apart in the background, and would be measured with the next.
            time.sleep(0.1)
            turn()
    ours.leave()
    table(figures)


def table(figures):
    row = figures.row
    row("program as PID 1 runs, asked on the socket", "ms", "socket bare", "floor", "clone3 + exec", 3)
    row("the same without a user namespace", "ms", "socket plain", "floor", "clone3 + exec")
    row("program as PID 1 runs, `ct start`", "ms", "ct start bare", "lxc bare", "lxc-start", 1)
    row("program as PID 1 runs, `ct start`", "ms", "ct start bare", "runc bare", "runc run", 1)
    row("first service runs, asked on the socket", "ms", "socket service", "floor", "clone3 + exec")
    row("first service runs, `ct start`", "ms", "ct start service", "lxc service", "lxc-start, busybox init", 1)
    row("ready and told so, `ct start`", "ms", "ct start service ready", "lxc service", "its service runs", 1)
