//! mistakes: of people, in unit files and command lines: one clear sentence, the right exit code, and all else goes on.
use crate::can;
use std::fs;
use std::os::unix::fs::symlink;
use tests::supervisor::Supervisor;

/// A supervisor with one good container, which still runs at the end.
fn with_good(fill: impl FnOnce(&Supervisor)) -> Supervisor {
    let s = Supervisor::start_with(|s| {
        s.container("good", "").service("a", "ExecStart=/bin/sleep 1000");
        fill(s);
    });
    s.ct(&["start", "good"]).ok();
    s
}

fn still_good(s: Supervisor) {
    assert_eq!(s.state("good"), "running");
    assert_eq!(s.sh("good", "pidof sleep | wc -w").ok(), "1\n");
    s.finish();
}

#[test]
fn a_wrong_unit_is_refused_in_a_sentence_that_says_where() {
    if !can("a_wrong_unit_is_refused_in_a_sentence_that_says_where") {
        return;
    }
    // Text behind [Container] and its Rootfs=, words of the sentence, its position.
    let cases = [
        ("[Resources]\nMemoryMax=512Q", "MemoryMax", "bad.container:4:"),
        ("[Resources]\nCPUWeight=0", "CPUWeight", "bad.container:4:"),
        ("[Resources]\nCPUQuota=fast", "CPUQuota", "bad.container:4:"),
        ("[Resources]\nAllowedCPUs=0-", "AllowedCPUs", "bad.container:4:"),
        ("[Resources]\nTasksMax=-1", "TasksMax", "bad.container:4:"),
        ("Restart=sometimes", "Restart", "bad.container:3:"),
        ("UserNamespace=1:2:3", "UserNamespace", "bad.container:3:"),
        ("Bind=relative", "Bind", "bad.container:3:"),
        ("Template=also", "Template", "bad.container"),
        ("TimeoutStopSec=soon", "TimeoutStopSec", "bad.container:3:"),
        ("CapabilityBoundingSet=CAP_NONE", "CAP_NONE", "bad.container:3:"),
        ("Hostname=a b", "Hostname", "bad.container:3:"),
    ];
    let s = with_good(|_| {});
    for (lines, word, place) in cases {
        s.container("bad", lines);
        let check = s.ct(&["check"]);
        assert_eq!(check.code, 1, "{lines}: {check:?}");
        let said = format!("{}{}", check.out, check.err);
        assert!(said.contains(word) && said.contains(place), "{lines}: {said}");
        let start = s.ct(&["start", "bad"]);
        assert_eq!(start.code, 1, "{lines}: {start:?}");
        assert!(start.err.contains(word), "{lines}: {start:?}");
        fs::remove_dir_all(s.root().join("srv/bad")).expect("take it away");
    }
    still_good(s);
}

#[test]
fn an_unknown_key_warns_with_a_near_match_and_starts() {
    if !can("an_unknown_key_warns_with_a_near_match_and_starts") {
        return;
    }
    let s = with_good(|s| {
        s.container("web", "[Resources]\nMemroyMax=64M");
    });
    let check = s.ct(&["check"]);
    let said = format!("{}{}", check.out, check.err);
    assert_eq!(check.code, 0, "{check:?}");
    assert!(
        said.contains("web.container:4:1: warning: unknown key \"MemroyMax\"") && said.contains("MemoryMax?"),
        "{said}"
    );
    s.ct(&["start", "web"]).ok();
    still_good(s);
}

#[test]
fn strange_files_cost_their_own_container_only() {
    if !can("strange_files_cost_their_own_container_only") {
        return;
    }
    let s = with_good(|s| {
        let etc = s.root().join("etc/ct");
        fs::write(etc.join("bytes.container"), b"[Container]\nRootfs=/\xff\xfe\n").expect("write");
        fs::write(etc.join("nul.container"), b"[Container]\nRootfs=/srv\0/x\n").expect("write");
        fs::write(etc.join("huge.container"), vec![b'#'; 10 << 20]).expect("write");
        fs::create_dir(etc.join("dir.container")).expect("a directory");
        symlink("/no/such/place", etc.join("dangling.container")).expect("a link");
        symlink("loop.container", etc.join("loop.container")).expect("a link");
        nix::unistd::mkfifo(&etc.join("fifo.container"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        fs::write(etc.join("words.container"), "this is no unit\n").expect("write");
        fs::write(etc.join("empty.container"), "").expect("write");
    });
    let check = s.ct(&["check"]);
    let said = format!("{}{}", check.out, check.err);
    for name in ["bytes", "nul", "huge", "dir", "dangling", "loop", "fifo", "words", "empty"] {
        let ran = s.ct(&["start", name]);
        assert!([1, 3, 5].contains(&ran.code), "{name}: {ran:?}");
        assert_eq!(ran.err.trim_end().lines().count(), 1, "{name}: {ran:?}");
        assert!(ran.err.starts_with("ct: ") && ran.err.contains(name), "{name}: {ran:?}");
        // A mask is no mistake.
        if name != "empty" {
            assert!(said.contains(&format!("{name}.container")), "ct check is silent about {name}: {said}");
        }
    }
    still_good(s);
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    if !can("what_is_missing_is_named_with_what_to_do") {
        return;
    }
    let s = with_good(|s| {
        s.unit("template.container", "[Container]\nTemplate=none\n");
        s.unit("rootfs.container", "[Container]\nRootfs=/no/such/place\n");
        s.unit("neither.container", "[Container]\nHostname=x\n");
        s.container("bind", "Bind=/no/such/source");
        s.container("file", "EnvironmentFile=/no/such/file");
        s.container("init", "Init=/no/such/program");
        s.container("noexec", "Init=/etc/passwd");
        let format = s.container("format", "Init=/srv/format");
        format.file("srv/format", "\u{7f}ELF but not really\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(format.at("srv/format"), mode).expect("set a mode");
    });
    let check = |name: &str, words: &[&str]| s.ct(&["start", name]).refused(1, words);
    s.ct(&["start", "template"]).refused(3, &["template", "none", "ct template"]);
    check("rootfs", &["/no/such/place"]);
    check("neither", &["Template", "Rootfs"]);
    check("bind", &["/no/such/source", "No such file"]);
    check("file", &["/no/such/file"]);
    check("init", &["/no/such/program", "No such file"]);
    check("noexec", &["/etc/passwd", "ermission denied"]);
    check("format", &["/srv/format", "Exec format error"]);
    for name in ["template", "rootfs", "bind", "init", "noexec", "format"] {
        // Not between two tries.
        s.until(name, "failed");
        assert_eq!(s.groups_of(name), Vec::<std::path::PathBuf>::new(), "{name} leaves a group");
    }
    still_good(s);
}

#[test]
fn a_cycle_of_containers_is_named_by_its_path() {
    if !can("a_cycle_of_containers_is_named_by_its_path") {
        return;
    }
    let s = with_good(|s| {
        for (name, other) in [("chicken", "egg"), ("egg", "chicken")] {
            let rootfs = tests::rootfs::Rootfs::new(&s.root().join("srv").join(name));
            let text = format!(
                "[Unit]\nAfter={other}.container\nWants={other}.container\n[Container]\nRootfs={}\n",
                rootfs.path().display()
            );
            s.unit(&format!("{name}.container"), &text);
        }
    });
    let check = s.ct(&["check"]);
    let said = format!("{}{}", check.out, check.err);
    assert!(
        said.contains("chicken.container") && said.contains("→") && said.contains("egg.container"),
        "{said}"
    );
    s.ct(&["start", "chicken", "egg"]).ok();
    assert_eq!((s.state("chicken").as_str(), s.state("egg").as_str()), ("running", "running"));
    still_good(s);
}

#[test]
fn command_lines() {
    if !can("command_lines") {
        return;
    }
    let s = with_good(|_| {});
    let code = |arguments: &[&str], code: i32| {
        let ran = s.ct(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        // What ct check finds is its output.
        assert!(
            code == 0 || !ran.err.is_empty() || arguments[0] == "check",
            "{arguments:?} says nothing: {ran:?}"
        );
    };
    code(&["list"], 0);
    code(&["bogus"], 2);
    code(&["start"], 2);
    code(&["start", "none"], 3);
    code(&["start", "none*"], 3);
    code(&["status", "good/none"], 3);
    code(&["kill", "-s", "NOSUCH", "good"], 2);
    code(&["kill", "-s", "0x", "good"], 2);
    code(&["exec", "none", "--", "true"], 3);
    code(&["wait", "good", "--for", "stopped", "--timeout", "1ms"], 124);
    code(&["wait", "good", "--for", "ready"], 0);
    code(&["start", "good"], 0);
    code(&["template", "remove", "none"], 3);
    code(&["template", "import", "/no/such/file.tar"], 1);
    code(&["check", "/no/such/file.container"], 1);
    code(&["destroy", "--yes", "good"], 5);
    code(&["create", "../evil", "--template", "host"], 2);
    code(&["start", "../evil"], 2);
    code(&["show", "good", "NoSuchKey"], 3);
    still_good(s);
}

#[test]
fn nobody_answers() {
    if !can("nobody_answers") {
        return;
    }
    let s = Supervisor::idle();
    for arguments in [&["list"][..], &["start", "web"], &["shutdown"], &["exec", "web", "--", "true"]] {
        s.ct(arguments).refused(4, &["run/ct/ct.sock", "host-supervisor"]);
    }
}

#[test]
fn a_container_without_an_init_to_talk_to() {
    if !can("a_container_without_an_init_to_talk_to") {
        return;
    }
    let s = with_good(|s| {
        s.container("own", "Init=/srv/init")
            .script("srv/init", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done");
    });
    s.ct(&["start", "own"]).ok();
    s.ct(&["exec", "own", "--", "true"]).refused(5, &["own"]);
    s.ct(&["stop", "--now", "own"]).ok();
    still_good(s);
}
