"""boot: what comes up with the host, in which order, how soon; how soon it is back after a kill; and what it costs that
nothing happens, or one thing, with few and with many containers.

LXC's own autostart starts one container after the other and waits for none to be ready.
"""

import contextlib
import os
import signal
import time

from lab import Failed, clock, marks, read, units, until, write
from ours import Ours
from peers import Lxc

DEPTH, WIDTH = 10, 10
# What a container of the chain takes to be ready, by itself.
TAKES = 0.2


def measure(lab, programs, figures, rounds, many):
    boots(lab, programs, figures, rounds)
    chain(lab, programs, figures, rounds)
    rest(lab, programs, figures, rounds)
    for count in many:
        ends(lab, programs, figures, count, rounds)
    row = figures.row
    size = DEPTH * WIDTH
    row(f"boot of {size} containers, all ready", "s", "boot flat", "lxc flat", "lxc-autostart, all services run", 1)
    row(f"the same as {WIDTH} chains of {DEPTH}", "s", "boot chains", "lxc chains", "lxc-autostart, lxc.start.order", 1)
    row(f"chain of {DEPTH}: between one that is ready and the next that begins", "ms", "chain between", 10, "the aim", 1)
    row(f"the same, each of which needs {TAKES} s by itself: what is above that, each", "ms", "chain over")
    row(f"{size} containers taken up by a new supervisor", "ms", "adopted", 1000, "the aim", 1)
    row(f"killed supervisor answers again, with {size}", "ms", "supervisor again", 1000, "the aim", 1)
    row(f"supervisor at rest with {size}, of one CPU", "%", "idle", 0.1, "the aim", 1)
    row("the same, times it woke up", "/s", "wakes")
    row("killed container is ready again", "ms", "container again")
    few = many[0]
    for count in many:
        name = f"one end and restart among {count}, CPU of the supervisor"
        row(name, "ms", f"end {count}", f"end {few}", f"among {few}", None if count == few else 2)


class Host(Ours):
    """A supervisor that can be begun anew, with or without a keeper."""

    def autostart(self, name, rootfs, unit="", lines=""):
        text = f"[Unit]\nStartLimitIntervalSec=0\n{unit}[Container]\nRootfs={rootfs}\nEphemeral=yes\n"
        text += f"Restart=always\nRestartSec=0\n{lines}[Install]\nAutostart=yes\n"
        write(f"{self.root}/etc/ct/{name}.container", text)

    def ready(self, names):
        self.call("Wait", targets=list(names), condition="ready")

    def down(self):
        """As a shutdown of the host; the next one begins as after a boot."""
        self.call("Shutdown")
        self.process.wait(60)

    def answers(self):
        """What runs, on a new connection; nothing while nobody answers."""
        with contextlib.suppress(OSError, Failed):
            return self.connect() and self.pids()
        return None

    def kill(self):
        self.process.kill()
        self.process.wait()


def fleet_names(count):
    return [f"c{number:03}" for number in range(count)]


def boots(lab, programs, figures, rounds):
    """From the call of the supervisor, and of lxc-autostart, to the last one that is ready."""
    host = Host(lab, programs, "boot")
    rootfs = lab.rootfs(lab.path("boot-rootfs"))
    shared = lab.rootfs(lab.path("boot-shared"))
    lxc = Lxc(lab, shared)
    names = fleet_names(DEPTH * WIDTH)
    for number in range(len(names)):
        lxc.add(f"b{number:03}")
    for shape in ("flat", "chains"):
        for number, name in enumerate(names):
            before = f"c{number - WIDTH:03}" if shape == "chains" and number >= WIDTH else ""
            lines = f"Requires={before}.container\nAfter={before}.container\n" if before else ""
            host.autostart(name, rootfs, lines)
            lxc.automatic(f"b{number:03}", number // WIDTH if shape == "chains" else 0)
        for turn in range(rounds + 1):
            host.down()
            begin = clock()
            host.begin()
            host.ready(names)
            took = (clock() - begin) / 1e9
            # The first one makes directories.
            if turn > 0:
                figures.add(f"boot {shape}", took)
        host.down()
        for _ in range(rounds):
            figures.add(f"lxc {shape}", lxc_boot(lxc, shared))
        host.begin()
    host.leave()


def lxc_boot(lxc, rootfs):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{rootfs}/mark")
    begin, count = clock(), len(lxc.names)
    lxc.autostart()
    found = until(f"{count} services of LXC", lambda: len(m := marks(f"{rootfs}/mark")) >= count and m, 120, 0.01)
    lxc.stop_all()
    return (max(ns for ns, _, _ in found) - begin) / 1e9


def chain(lab, programs, figures, rounds):
    """Each is ready after its own time; nothing else should take any."""
    host = Host(lab, programs, "chain")
    rootfs = lab.rootfs(lab.path("chain-rootfs"))
    units(rootfs, {"slow": f"/bin/sleep {TAKES}"}, "Type=oneshot\nRestart=no\nRemainAfterExit=yes\n")
    names = fleet_names(DEPTH)
    host.autostart("alone", rootfs)
    for number, name in enumerate(names):
        before = f"c{number - 1:03}.container"
        host.autostart(name, rootfs, f"Requires={before}\nAfter={before}\n" if number else "")
    for _ in range(rounds):
        host.down()
        host.begin()
        host.ready(names)
        rows = {row["name"]: row for row in host.call("Blame")["boot"]}
        took = sum(rows[name]["ready"] - rows[name]["began"] for name in names)
        figures.add("chain over", (rows[names[-1]]["ready"] - DEPTH * TAKES * 1000) / DEPTH)
        figures.add("chain between", (rows[names[-1]]["ready"] - took) / DEPTH)
    host.leave()


def rest(lab, programs, figures, rounds):
    host = Host(lab, programs, "rest")
    rootfs = lab.rootfs(lab.path("rest-rootfs"))
    names = fleet_names(DEPTH * WIDTH)
    for name in names:
        host.autostart(name, rootfs)
    host.down()
    host.begin()
    host.ready(names)
    for _ in range(rounds):
        before = host.pids()
        host.kill()
        begin = clock()
        host.begin()
        after = host.pids()
        figures.add("adopted", (clock() - begin) / 1e6)
        if before != after or len(after) != len(names):
            raise Failed("adopt containers: some are others now")
    host.down()
    host.begin(keeper=True)
    host.ready(names)
    for _ in range(rounds):
        # One that dies young again and again is started again ever more slowly.
        time.sleep(1.2)
        begin = clock()
        os.kill(host.serving(), signal.SIGKILL)
        if len(until("another supervisor", host.answers, 10, 0.001)) != len(names):
            raise Failed("take containers up: some are missing")
        figures.add("supervisor again", (clock() - begin) / 1e6)
    seconds = 10 if rounds > 1 else 3
    pid = host.serving()
    cpu, woken = usage(pid)
    time.sleep(seconds)
    figures.add("idle", (usage(pid)[0] - cpu) / seconds * 100)
    figures.add("wakes", (usage(pid)[1] - woken) / seconds)
    host.leave()


def ends(lab, programs, figures, count, rounds):
    """Ten of so many are killed at once and come back; the supervisor does nothing else meanwhile."""
    host = Host(lab, programs, f"ends{count}")
    own = {}
    for number, name in enumerate(fleet_names(count)):
        own[name] = lab.rootfs(lab.path(f"ends{count}", "srv", name)) if number < 10 else own["c000"]
        host.autostart(name, own[name])
    host.down()
    # Those whose starts are looked at have a directory each, written in place.
    for name in fleet_names(10):
        path = f"{host.root}/etc/ct/{name}.container"
        write(path, read(path).replace("Ephemeral=yes\n", ""))
    host.begin()
    host.ready(own)
    pid = host.serving()
    for _ in range(rounds + 1):
        time.sleep(1)
        pids = host.pids()
        seen = {name: len(marks(f"{own[name]}/mark")) for name in fleet_names(10)}
        cpu, begin = usage(pid)[0], clock()
        for name in seen:
            os.kill(pids[name], signal.SIGKILL)
        for name, before in seen.items():
            until(f"{name} again", lambda name=name, before=before: len(marks(f"{own[name]}/mark")) > before, 30)
        took = [(marks(f"{own[name]}/mark")[before][0] - begin) / 1e6 for name, before in seen.items()]
        time.sleep(0.5)
        figures.add(f"end {count}", (usage(pid)[0] - cpu) * 1000 / len(seen))
        if count <= DEPTH * WIDTH:
            figures.add("container again", min(took))
    host.leave()


def usage(pid):
    """CPU seconds so far, and how often it has waited."""
    cpu = int(read(f"/proc/{pid}/schedstat").split()[0]) / 1e9
    line = next(l for l in read(f"/proc/{pid}/status").splitlines() if l.startswith("voluntary_ctxt_switches"))
    return cpu, int(line.split()[1])
