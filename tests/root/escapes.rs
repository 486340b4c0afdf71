//! escapes: each way out of a container that others have had to close, tried from inside as its root.
use crate::can;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use tests::need::{Need, have};
use tests::rootfs::Rootfs;
use tests::supervisor::{Ran, Supervisor};

fn web() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        s.container("web", "BindReadOnly=/usr").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    s
}

/// A system call by perl, `$b` being room for whatever it wants; its errno, or 0.
fn call(s: &Supervisor, container: &str, words: &str) -> i32 {
    let line = format!("$b = \"a\" x 200; $r = syscall({words}); print $r < 0 ? $!+0 : 0");
    s.ct(&["exec", container, "--", "/usr/bin/perl", "-e", &line]).ok().parse().expect("a number")
}

fn can_perl(test: &str) -> bool {
    can(test) && have(test, &[Need::Program("/usr/bin/perl", "perl-base")])
}

/// CVE-2019-5736: the host's program, overwritten through /proc/PID/exe.
#[test]
fn cve_2019_5736_the_init_program_can_t_be_written() {
    if !can("cve_2019_5736_the_init_program_can_t_be_written") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "");
        // Here it is not the ids that keep root out.
        s.container("same", "UserNamespace=no");
    });
    s.ct(&["start", "web", "same"]).ok();
    let program = tests::programs::path("ct-init").expect("ct-init");
    let look = || (fs::read(&program).expect("read ct-init"), fs::metadata(&program).expect("look").mode());
    let before = look();
    for line in [
        "echo x > /proc/1/exe",
        "exec 3<> /proc/1/exe",
        "exec 3< /proc/1/exe; echo x > /proc/self/fd/3",
        "mount -o remount,rw,bind /proc/1/exe; echo x > /proc/1/exe",
        "chmod 777 /proc/1/exe",
        "touch -d 2001-01-01 /proc/1/exe",
        "chown 1 /proc/1/exe",
    ] {
        for name in ["web", "same"] {
            let ran = s.sh(name, line);
            assert_ne!(ran.code, 0, "{name}: {line}: {ran:?}");
        }
    }
    assert!(look() == before, "ct-init was written");
    s.finish();
}

/// CVE-2024-21626: a directory of the host, leaked as a descriptor or working directory.
#[test]
fn cve_2024_21626_no_descriptor_leads_to_the_host() {
    if !can("cve_2024_21626_no_descriptor_leads_to_the_host") {
        return;
    }
    let s = web();
    let leaks = |pid: &str| -> Vec<String> {
        let out = s.sh("web", &format!("readlink /proc/{pid}/cwd /proc/{pid}/root; for f in /proc/{pid}/fd/*; do test -d $f/. && readlink $f; done; true"));
        out.ok().lines().map(str::to_owned).collect()
    };
    for path in leaks("1").into_iter().chain(leaks("self")) {
        let harmless = path == "/" || path.starts_with("/sys/fs/cgroup") || path.starts_with("/proc/");
        assert!(harmless, "{path} is open");
    }
    // A service has its three and nothing else; a session too.
    assert_eq!(s.sh("web", "ls /proc/$(pidof sleep)/fd | tr '\\n' ' '").ok(), "0 1 2 ");
    assert_eq!(s.sh("web", "ls /proc/self/fd | tr '\\n' ' '").ok(), "0 1 2 3 ");
    for dir in ["/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/cwd/..", "/proc/1/cwd/.."] {
        let ran =
            s.ct(&["exec", "-w", dir, "web", "--", "sh", "-c", "pwd; ls -d etc/ct/web.container srv/web"]);
        assert!(!ran.out.contains("web.container"), "{dir}: {ran:?}");
    }
    s.finish();
}

/// CVE-2026-41579, CVE-2026-47766: a root file system whose /dev (/proc, /sys, /run) is a link out of it.
#[test]
fn cve_2026_41579_a_root_whose_dev_is_a_link_is_refused() {
    if !can("cve_2026_41579_a_root_whose_dev_is_a_link_is_refused") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        fs::create_dir(s.root().join("victim")).expect("a directory");
        for dir in ["dev", "proc", "sys", "run"] {
            for (kind, target) in
                [("far", s.root().join("victim")), ("near", "srv".into()), ("up", "../../victim".into())]
            {
                let rootfs = s.container(&format!("{dir}-{kind}"), "");
                fs::remove_dir(rootfs.at(dir)).expect("take the directory away");
                symlink(target, rootfs.at(dir)).expect("a link");
            }
        }
    });
    for dir in ["dev", "proc", "sys", "run"] {
        for kind in ["far", "near", "up"] {
            let name = format!("{dir}-{kind}");
            s.ct(&["start", &name]).refused(1, &[&format!("/{dir}"), "symbolic link"]);
            assert_eq!(s.groups_of(&name), Vec::<std::path::PathBuf>::new());
        }
    }
    let found: Vec<_> = fs::read_dir(s.root().join("victim")).expect("list").flatten().collect();
    assert_eq!(found.len(), 0, "something was made on the host: {found:?}");
    s.finish();
}

/// Links below them: what is mounted or made on /dev/pts, /dev/shm … stays inside.
#[test]
fn cve_2024_45310_nothing_is_made_on_the_host_through_links() {
    if !can("cve_2024_45310_nothing_is_made_on_the_host_through_links") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let victim = s.root().join("victim");
        fs::create_dir(&victim).expect("a directory");
        let source = s.root().join("source");
        fs::create_dir(&source).expect("a directory");
        let lines = format!("Bind={}:/srv/link/below\nTmpfs=/mnt/link/tmp", source.display());
        let rootfs = s.container("web", &lines);
        symlink(&victim, rootfs.at("srv/link")).expect("a link");
        fs::create_dir(rootfs.at("mnt")).expect("a directory");
        symlink("/../../../../../../../../../../tmp", rootfs.at("mnt/link")).expect("a link");
    });
    // Refused or done inside: both are fine, the host is not.
    let _ = s.ct(&["start", "web"]);
    assert_eq!(fs::read_dir(s.root().join("victim")).expect("list").count(), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*s.root().to_string_lossy()), "{mounts}");
    s.finish();
}

/// CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: what is masked stays unreadable, even unmasked.
#[test]
fn cve_2025_31133_masked_files_tell_nothing() {
    if !can("cve_2025_31133_masked_files_tell_nothing") {
        return;
    }
    let s = web();
    for path in ["/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi"] {
        let there = Path::new(path).exists();
        let masked = s.sh("web", &format!("grep -c ' {path} ' /proc/self/mountinfo")).out;
        assert!(!there || masked.trim() == "1", "{path} is not covered");
    }
    for file in [
        "/proc/kcore",
        "/proc/kmsg",
        "/proc/sysrq-trigger",
        "/dev/mem",
        "/dev/kmsg",
        "/proc/timer_list",
        "/sys/kernel/debug/x",
        "/proc/kpageflags",
    ] {
        let ran = s.sh("web", &format!("umount {file} 2>/dev/null; timeout 5 head -c 1 {file} | wc -c"));
        assert_eq!(ran.out.trim(), "0", "{file}: {ran:?}");
    }
    s.finish();
}

/// CVE-2022-0492 and its kin: kernel settings that run programs as the host's root.
#[test]
fn cve_2022_0492_kernel_helpers_can_t_be_set() {
    if !can("cve_2022_0492_kernel_helpers_can_t_be_set") {
        return;
    }
    let s = web();
    let core = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern");
    for line in [
        "echo '|/bin/sh' > /proc/sys/kernel/core_pattern",
        "echo /bin/sh > /proc/sys/kernel/modprobe",
        "mount -o remount,rw /sys; echo /bin/sh > /sys/kernel/uevent_helper",
        "echo c > /proc/sysrq-trigger",
        "umount /proc/sysrq-trigger; echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo 0 > /proc/sys/kernel/randomize_va_space",
        "mkdir -p /tmp/c; mount -t cgroup -o memory none /tmp/c && echo /bin/sh > /tmp/c/release_agent",
        "mkdir -p /tmp/r; mount -t cgroup -o rdma none /tmp/r && echo /bin/sh > /tmp/r/release_agent",
    ] {
        let ran = s.sh("web", line);
        assert_ne!(ran.code, 0, "{line}: {ran:?}");
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").expect("core_pattern"), core);
    s.finish();
}

#[test]
fn limit_files_can_t_be_written_from_inside() {
    if !can("limit_files_can_t_be_written_from_inside") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "[Resources]\nMemoryMax=64M\nTasksMax=50\nCPUWeight=50");
    });
    s.ct(&["start", "web"]).ok();
    let files = ["memory.limit_in_bytes", "pids.max", "cpu.shares", "memory.max", "cpu.weight"];
    let values = || -> Vec<String> {
        let groups = s.groups_of("web");
        files
            .iter()
            .flat_map(|f| groups.iter().filter_map(move |g| fs::read_to_string(g.join(f)).ok()))
            .collect()
    };
    let before = values();
    let tries = "for c in memory pids cpu cpuset devices; do mkdir -p /tmp/$c; mount -t cgroup -o $c none /tmp/$c 2>/dev/null; done\n\
                 for f in $(find /tmp /sys/fs/cgroup -name memory.limit_in_bytes -o -name pids.max -o -name cpu.shares -o -name memory.max -o -name cpu.weight -o -name devices.allow); do\n\
                 case $f in */init/*|*/units/*|*/exec/*) continue;; esac\n\
                 (echo 1000000000 > $f) 2>/dev/null && echo wrote $f; done\n\
                 for c in memory pids cpu; do [ -e /tmp/$c/cgroup.procs ] || continue; mkdir /tmp/$c/deeper 2>/dev/null && echo made $c; (echo 1 > /tmp/$c/cgroup.procs) 2>/dev/null && echo moved $c; done; true";
    assert_eq!(s.sh("web", tries).ok(), "");
    assert_eq!(values(), before);
    s.finish();
}

#[test]
fn device_nodes_can_t_be_made() {
    if !can("device_nodes_can_t_be_made") {
        return;
    }
    let s = web();
    for line in [
        "mknod /tmp/mem c 1 1",
        "mknod /dev/sda b 8 0",
        "mknod /dev/kmsg c 1 11",
        "mount -t devtmpfs none /tmp",
    ] {
        let ran = s.sh("web", line);
        assert_ne!(ran.code, 0, "{line}: {ran:?}");
    }
    let devices =
        s.sh("web", "find /dev -type b -o -type c | grep -v '^/dev/pts/' | sort | tr '\\n' ' '").ok();
    assert_eq!(devices, "/dev/full /dev/null /dev/random /dev/tty /dev/urandom /dev/zero ");
    s.finish();
}

#[test]
fn calls_that_reach_the_host_are_refused() {
    if !can_perl("calls_that_reach_the_host_are_refused") {
        return;
    }
    let s = web();
    const EPERM: i32 = 1;
    for (name, words) in [
        ("add_key", "248, $b, $b, $b, 1, -3"),
        ("request_key", "249, $b, $b, 0, 0"),
        ("keyctl", "250, 0, -3, 0"),
        ("bpf", "321, 0, 0, 0"),
        ("open_by_handle_at", "304, -100, $b, 0"),
        ("init_module", "175, $b, 1, $b"),
        ("delete_module", "176, $b, 0"),
        ("kexec_load", "246, 0, 0, 0, 0"),
        ("perf_event_open", "298, $b, 0, -1, -1, 0"),
        ("userfaultfd", "323, 0"),
        ("io_uring_setup", "425, 1, $b"),
        ("iopl", "172, 3"),
        ("settimeofday", "164, $b, 0"),
        ("clock_settime", "227, 0, $b"),
        ("swapon", "167, $b, 0"),
        ("quotactl", "179, 0, $b, 0, 0"),
        ("syslog", "103, 3, $b, 100"),
    ] {
        assert_eq!(call(&s, "web", words), EPERM, "{name}");
    }
    // Calls of the 32-bit table would pass by the filter's numbers.
    assert_eq!(call(&s, "web", "39"), 0, "getpid is allowed");
    s.finish();
}

/// Typing into the terminal of whoever looks.
#[test]
fn tiocsti_is_refused_on_a_terminal() {
    if !can_perl("tiocsti_is_refused_on_a_terminal") {
        return;
    }
    let s = web();
    let line = "$c = \"x\"; print ioctl(STDIN, 0x5412, $c) ? \"typed\" : \"errno \" . ($!+0)";
    let ran = s.ct(&["exec", "-t", "web", "--", "/usr/bin/perl", "-e", line]);
    assert!(ran.out.contains("errno 1"), "{ran:?}");
    // The upper half of the argument is not looked at by the kernel.
    let line =
        "$c = \"x\"; $r = syscall(16, 0, 0x100005412, $c); print $r == 0 ? \"typed\" : \"errno \" . ($!+0)";
    let ran = s.ct(&["exec", "-t", "web", "--", "/usr/bin/perl", "-e", line]);
    assert!(ran.out.contains("errno 1"), "{ran:?}");
    s.finish();
}

#[test]
fn root_inside_is_nobody_outside() {
    if !can("root_inside_is_nobody_outside") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("one", "");
        s.container("two", "");
    });
    s.ct(&["start", "one", "two"]).ok();
    let mut bases = Vec::new();
    for name in ["one", "two"] {
        let map = s.sh(name, "cat /proc/self/uid_map").ok();
        let words: Vec<u32> = map.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        assert_eq!((words.len(), words[0], words[2]), (3, 0, 65536), "{name}: {map}");
        assert!(words[1] >= 65536, "{name}: {map}");
        bases.push(words[1]);
        for pid in s.processes(name) {
            let uid = fs::metadata(format!("/proc/{pid}")).expect("a process").uid();
            assert!((words[1]..words[1] + 65536).contains(&uid), "{name}: process {pid} is {uid}");
        }
        // On disk the ids are those seen inside.
        s.sh(name, "touch /srv/x; chown 1000:2000 /srv/x").ok();
        let meta = fs::metadata(s.root().join("srv").join(name).join("srv/x")).expect("the file");
        assert_eq!((meta.uid(), meta.gid()), (1000, 2000));
    }
    assert!(bases[0].abs_diff(bases[1]) >= 65536, "they overlap: {bases:?}");
    s.finish();
}

#[test]
fn nothing_of_the_host_is_seen() {
    if !can("nothing_of_the_host_is_seen") {
        return;
    }
    let s = web();
    let check = |line: &str, expect: &str| assert_eq!(s.sh("web", line).out.trim(), expect, "{line}");
    check("cat /proc/1/comm", "ct-init");
    check("ls -d /proc/[0-9]* | wc -l | grep -c '^[0-9]$'", "1");
    check("hostname", "web");
    check("ls /sys/class/net | tr '\\n' ' '", "lo");
    check("cat /proc/self/cgroup | grep '^0:' | grep -c test", "0");
    check("cat /proc/keys | wc -c", "0");
    check("dmesg 2>/dev/null | wc -c", "0");
    check("cat /sys/firmware/dmi/tables/DMI 2>/dev/null | wc -c", "0");
    check("cut -d. -f1 /proc/uptime | grep -c '^[0-9]\\{1,3\\}$'", "1");
    check("kill -0 2147483647 2>/dev/null; echo $?", "1");
    s.finish();
}

/// CVE-2022-27650, CVE-2026-30892: what a session is given.
#[test]
fn cve_2022_27650_sessions_inherit_no_capabilities() {
    if !can("cve_2022_27650_sessions_inherit_no_capabilities") {
        return;
    }
    let s = web();
    let caps = "grep -E 'Cap(Inh|Amb)' /proc/self/status | cut -f2 | sort -u";
    assert_eq!(s.sh("web", caps).ok(), "0000000000000000\n");
    let app =
        s.ct(&["exec", "--user", "app", "web", "--", "sh", "-c", "grep CapEff /proc/self/status | cut -f2"]);
    assert_eq!(app.ok(), "0000000000000000\n");
    for user in ["0:0:0", "root ", "+0", "0x0", "4294967295"] {
        let ran = s.ct(&["exec", "--user", user, "web", "--", "id"]);
        assert_ne!(ran.code, 0, "{user:?}: {ran:?}");
    }
    s.finish();
}

/// The host reads a stopped container's logs: links in it must not lead the host out of it.
#[test]
fn logs_of_a_stopped_container_are_not_read_through_links() {
    if !can("logs_of_a_stopped_container_are_not_read_through_links") {
        return;
    }
    let s = web();
    let secret = s.root().join("secret");
    fs::write(&secret, "the host's secret\n").expect("write it");
    let path = secret.display();
    s.ct(&["stop", "web"]).ok();
    let logs = s.root().join("srv/web/var/log/ct");
    for name in fs::read_dir(&logs).expect("logs").flatten() {
        fs::remove_file(name.path()).expect("take it away");
        symlink(&secret, name.path()).expect("a link");
    }
    let said = |ran: Ran| format!("{}{}", ran.out, ran.err);
    assert!(!said(s.ct(&["logs", "web"])).contains("secret"), "through {path}");
    assert!(!said(s.ct(&["logs", "web/a"])).contains("secret"));
    fs::remove_dir_all(&logs).expect("take them away");
    fs::create_dir(s.root().join("elsewhere")).expect("a directory");
    fs::copy(&secret, s.root().join("elsewhere/a.service.log")).expect("copy it");
    symlink(s.root().join("elsewhere"), &logs).expect("a link");
    assert!(!said(s.ct(&["logs", "web/a"])).contains("secret"));
    // A fifo in its place must not hold the supervisor up.
    fs::remove_file(&logs).expect("take the link away");
    fs::create_dir(&logs).expect("a directory");
    nix::unistd::mkfifo(&logs.join("a.service.log"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let _ = s.ct(&["logs", "web/a"]);
    assert_eq!(s.state("web"), "stopped");
    s.finish();
}

/// Without a user namespace, the container's root is the host's: capabilities and mounts keep it in.
#[test]
fn without_a_user_namespace_root_inside_is_still_held() {
    if !can("without_a_user_namespace_root_inside_is_still_held") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "UserNamespace=no\n[Resources]\nTasksMax=50");
        s.container("less", "UserNamespace=no\nCapabilityBoundingSet=~CAP_CHOWN");
    });
    s.ct(&["start", "web", "less"]).ok();
    for line in [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /proc/sys",
        "mount -o remount,rw /sys",
        "umount /proc/kcore",
        "mknod /tmp/mem c 1 1",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo c > /proc/sysrq-trigger",
        "echo /bin/sh > /sys/kernel/uevent_helper",
        "head -c 1 /proc/kmsg",
        "date -s 2001-01-01 2>&1 | grep -q permitted && exit 1; exit 0",
        "echo x > /proc/1/exe",
    ] {
        for name in ["web", "less"] {
            let ran = s.sh(name, &format!("timeout 5 sh -c '{line}'"));
            assert_ne!(ran.code, 0, "{name}: {line}: {ran:?}");
        }
    }
    assert_eq!(s.cgroup_file("web", "pids.max"), "50");
    s.finish();
}

/// A container's own mounts stay its own.
#[test]
fn mounts_inside_do_not_come_out() {
    if !can("mounts_inside_do_not_come_out") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let shared = s.root().join("shared");
        fs::create_dir(&shared).expect("a directory");
        s.container("web", &format!("Bind={}:/srv/shared", shared.display()));
    });
    s.ct(&["start", "web"]).ok();
    let before = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    s.sh("web", "mount -t tmpfs none /srv/shared; mount -t tmpfs none /tmp; touch /srv/shared/x").ok();
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").expect("mounts"), before);
    assert!(!s.root().join("shared/x").exists());
    s.finish();
}

/// An archive that leads out of its template is refused as a whole.
#[test]
fn a_template_can_t_be_unpacked_over_the_host() {
    if !can("a_template_can_t_be_unpacked_over_the_host") {
        return;
    }
    let s = Supervisor::start();
    let dir = s.root().join("evil");
    fs::create_dir(&dir).expect("a directory");
    let rootfs = Rootfs::new(&dir.join("in"));
    fs::write(rootfs.at("srv/payload"), "owned\n").expect("write");
    let target = s.root().join("target");
    fs::create_dir(&target).expect("a directory");
    let tar = |name: &str, transform: &str, also: Option<&Path>| -> String {
        let file = dir.join(name);
        let mut command = std::process::Command::new("tar");
        command.arg("-C").arg(rootfs.path()).args(["-P", "--transform", transform, "-cf"]).arg(&file);
        if let Some(link) = also {
            command.arg(link);
        }
        assert!(command.arg("srv/payload").status().expect("run tar").success());
        file.to_string_lossy().into_owned()
    };
    symlink(&target, rootfs.at("link")).expect("a link");
    let archives = [
        tar("dots.tar", "s|^srv/payload|../../../../../../..TARGET/payload|", None),
        tar("absolute.tar", &format!("s|^srv/payload|{}/payload|", target.display()), None),
        tar("through.tar", "s|^srv/payload|link/payload|", Some(Path::new("link"))),
    ];
    for archive in archives {
        let ran = s.ct(&["template", "import", "--name", "evil", &archive]);
        assert!(!target.join("payload").exists(), "{archive} was unpacked over the host");
        if ran.code == 0 {
            s.ct(&["template", "remove", "evil"]).ok();
        }
    }
    s.finish();
}
