"""share: who gets the CPU when one container has 1 busy process and the other 50. Beside it the kernel by itself.

The machine's CPUs may deliver less than they say: shares are compared with each other, never with a clock.
"""

import contextlib
import os
import subprocess
import time

from lab import CPUS, Failed, hierarchies, read, remove_groups, write
from ours import Ours

MANY = 50


def measure(lab, programs, figures, seconds, rounds):
    ours = Ours(lab, programs, "share")
    ours.template(lab, "share")
    cases = [("one CPU, weights 1:1", "0", 100, 100), ("one CPU, weights 2:1", "0", 200, 100)]
    if CPUS > 1:
        # One process can't use more than one CPU, so on two the many get the larger share.
        cases += [("two CPUs, weights 1:1", "0-1", 100, 100), ("two CPUs, weights 1:2", "0-1", 100, 200)]
    for _ in range(rounds):
        for what, cpus, few, many in cases:
            figures.add(f"share {what}", by_containers(ours, cpus, few, many, seconds))
            figures.add(f"kernel {what}", by_kernel(lab, cpus, few, many, seconds))
    ours.leave()
    for what, cpus, few, many in cases:
        wanted = 100 * few / (few + many)
        name = f"share {what}"
        off = [abs(v - wanted) for v in figures.samples[name]]
        figures.add(f"off {what}", max(off))
        row = figures.row
        row(f"1 busy process against {MANY}, {what}: the one gets", "%", name, f"kernel {what}", "two bare cgroups")
        row(f"the same, furthest from {wanted:.1f} %", "points", f"off {what}", 2, "the aim", 1 if cpus == "0" else None)


def usage(group):
    """Microseconds of CPU that a group has had."""
    at = hierarchies()
    if "cpuacct" in at:
        return int(read(f"{at['cpuacct']}/{group}/cpuacct.usage")) / 1000
    stat = dict(line.split() for line in read(f"{at['unified']}/{group}/cpu.stat").splitlines())
    return int(stat["usage_usec"])


def shares(few, many, seconds):
    """Percent that the first group got of what both got."""
    time.sleep(1)
    before = usage(few), usage(many)
    time.sleep(seconds)
    got = usage(few) - before[0], usage(many) - before[1]
    return 100 * got[0] / sum(got)


def by_containers(ours, cpus, few, many, seconds):
    for name, count, weight in (("few", 1, few), ("many", MANY, many)):
        unit = f"[Service]\nType=exec\nExecStart=/sbin/spin {count}\n"
        write(f"{ours.root}/var/lib/ct/templates/share/etc/systemd/system/{name}.service", unit)
        ours.unit(name, f"Template=share\nUnit={name}.service\n", f"CPUWeight={weight}\nAllowedCPUs={cpus}\n")
    ours.start("few", "many")
    try:
        return shares(f"{ours.parent}/few", f"{ours.parent}/many", seconds)
    finally:
        ours.stop("few", "many")


def by_kernel(lab, cpus, few, many, seconds):
    """The same two crowds in cgroups made by hand."""
    top = f"{lab.name}kernel"
    crowds = []
    try:
        for name, count, weight in (("few", 1, few), ("many", MANY, many)):
            groups = by_hand(top, name, weight, cpus)
            # The shell joins, then becomes the crowd: no process is ever outside.
            join = "".join(f"echo $$ > {g}/cgroup.procs; " for g in groups)
            crowds.append(subprocess.Popen(["sh", "-c", f"{join} exec {lab.path('spin')} {count}"]))
        return shares(f"{top}/few", f"{top}/many", seconds)
    finally:
        remove_groups(top)
        for crowd in crowds:
            crowd.wait()


def by_hand(top, name, weight, cpus):
    """Makes a group with this weight and these CPUs; the directories to join."""
    at = hierarchies()
    if "cpu" in at:
        cpu, cpuset, cpuacct = (f"{at[c]}/{top}" for c in ("cpu", "cpuset", "cpuacct"))
        for directory in {cpu, cpuset, cpuacct}:
            os.makedirs(f"{directory}/{name}", exist_ok=True)
        write(f"{cpu}/{name}/cpu.shares", str(weight * 1024 // 100))
        for directory in (cpuset, f"{cpuset}/{name}"):
            write(f"{directory}/cpuset.cpus", cpus)
            write(f"{directory}/cpuset.mems", "0")
        return sorted({f"{d}/{name}" for d in (cpu, cpuset, cpuacct)})
    if "unified" not in at:
        raise Failed("there are no cgroups here")
    directory = f"{at['unified']}/{top}"
    os.makedirs(f"{directory}/{name}", exist_ok=True)
    for above in (at["unified"], directory):
        with contextlib.suppress(OSError):
            write(f"{above}/cgroup.subtree_control", "+cpu +cpuset")
    write(f"{directory}/{name}/cpu.weight", str(weight))
    write(f"{directory}/{name}/cpuset.cpus", cpus)
    return [f"{directory}/{name}"]
