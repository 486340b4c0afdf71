//! programs: how keeper and supervisor begin and leave.
use crate::host::{Host, can, ended, kill, signal, watch};
use nix::libc::{SIGHUP, SIGINT, SIGPWR, SIGTERM};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

#[test]
fn asked_to_leave_both_leave_and_containers_run_on() {
    if !can("asked_to_leave_both_leave_and_containers_run_on") {
        return;
    }
    let mut host = Host::with(&[("web", "")]);
    let web = host.pid("web");
    for asked in [SIGTERM, SIGINT, SIGHUP] {
        let supervisor = host.supervisor();
        assert_ne!(supervisor, Some(host.keeper()), "they are two");
        signal(host.keeper(), asked);
        assert_eq!(host.left(), Some(0), "signal {asked}");
        assert!(supervisor.and_then(watch).is_none(), "signal {asked}: the supervisor is gone");
        host.run(&[]);
        assert_eq!(host.pid("web"), web, "signal {asked}");
    }
    host.lives("web", "running", 0, &[]);
}

/// Whom the host's init may tell that the power fails.
#[derive(Clone, Copy, Debug)]
enum Told {
    Keeper,
    Supervisor,
    SupervisorWithoutKeeper,
    KeeperWithoutSupervisor,
}

#[test]
fn when_the_power_fails_all_containers_are_shut_down_first() {
    if !can("when_the_power_fails_all_containers_are_shut_down_first") {
        return;
    }
    let all = [Told::Keeper, Told::Supervisor, Told::SupervisorWithoutKeeper, Told::KeeperWithoutSupervisor];
    for told in all {
        let lines = "Restart=always\nTimeoutStopSec=1";
        let mut host = Host::new();
        ["web", "db"].iter().for_each(|name| host.container(name, lines));
        host.run(if matches!(told, Told::SupervisorWithoutKeeper) { &["--no-keeper"] } else { &[] });
        host.ok(&["start", "web", "db"]);
        let pids = [host.pid("web"), host.pid("db")].map(|pid| watch(pid).expect("it runs"));
        match told {
            Told::Keeper => signal(host.keeper(), SIGPWR),
            Told::Supervisor | Told::SupervisorWithoutKeeper => {
                signal(host.supervisor().expect("it runs"), SIGPWR);
            }
            Told::KeeperWithoutSupervisor => {
                signal(host.keeper(), nix::libc::SIGSTOP);
                host.kill_supervisor();
                signal(host.keeper(), SIGPWR);
                signal(host.keeper(), nix::libc::SIGCONT);
            }
        }
        assert_eq!(host.left(), Some(0), "{told:?}: {}", host.said());
        pids.iter().for_each(ended);
        assert!(!host.life_of("web").exists(), "{told:?}: the next one begins as after a boot");
        assert_eq!((host.starts("web"), host.starts("db")), (1, 1), "{told:?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Puts a script where the program is, as a package manager would: under another name first.
fn replace(bin: &Path, script: &str) {
    let new = bin.join("new");
    fs::write(&new, script).expect("write a program");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("set a mode");
    fs::rename(new, bin.join("host-supervisor")).expect("replace a program");
}

#[test]
fn an_upgrade_replaces_the_supervisor_and_nothing_else() {
    if !can("an_upgrade_replaces_the_supervisor_and_nothing_else") {
        return;
    }
    let mut host = Host::new();
    host.container("web", "Restart=always");
    host.container("idle", "");
    let bin = host.copied();
    host.run(&[]);
    host.ok(&["start", "web"]);
    let (web, keeper) = (host.pid("web"), host.keeper());
    let mark = bin.join("mark");
    for turn in ["the same file", "another file"] {
        let before = host.supervisor();
        if turn == "another file" {
            fs::rename(bin.join("host-supervisor"), bin.join("real")).expect("set it aside");
            let (mark, real) = (mark.display(), bin.join("real").display().to_string());
            replace(&bin, &format!("#!/bin/sh\necho \"$*\" >>{mark}\nexec {real} \"$@\"\n"));
        }
        let said = host.ok(&["upgrade"]);
        assert!(said.contains(" → ") && said.contains("1 containers run on"), "{turn}: {said}");
        for pid in [before, host.supervisor()] {
            assert!(said.contains(&format!("(pid {})", pid.expect("a pid"))), "{turn}: {said}");
        }
        assert_ne!(host.supervisor(), before, "{turn}");
        assert_eq!((host.pid("web"), host.keeper()), (web, keeper), "{turn}");
    }
    let mark = fs::read_to_string(mark).expect("it was executed");
    let calls: Vec<&str> = mark.lines().collect();
    assert!(calls.len() == 2 && calls[0].contains("--check") && calls[1].contains("--keeper-fd"), "{mark}");
    host.lives("web", "running", 0, &[]);
    host.end("web", 3);
    host.lives("web", "running", 1, &["exited with code 3"]);
}

#[test]
fn a_program_that_does_not_run_replaces_nothing() {
    if !can("a_program_that_does_not_run_replaces_nothing") {
        return;
    }
    let mut host = Host::new();
    host.container("web", "");
    let bin = host.copied();
    host.run(&[]);
    host.ok(&["start", "web"]);
    let (web, before) = (host.pid("web"), host.supervisor());
    let refused = |host: &Host, what: &str, word: &str| {
        for words in [&["upgrade"][..], &["upgrade", "--force"]] {
            let out = host.ct(words);
            let said = text(&out.stderr);
            assert_eq!(out.status.code(), Some(5), "{what}: {said}");
            assert!(said.contains("can't take over") && said.contains(word), "{what}: {said}");
        }
        assert_eq!((host.supervisor(), host.pid("web")), (before, web), "{what}");
    };
    replace(&bin, "#!/bin/sh\necho error: out of order\nexit 1\n");
    refused(&host, "it fails", "out of order");
    replace(&bin, "#!/bin/sh\nkill -9 $$\n");
    refused(&host, "it dies", "signal: 9");
    replace(&bin, "\u{7f}ELF and nothing more");
    refused(&host, "it is none", "format");
    fs::remove_file(bin.join("host-supervisor")).expect("remove it");
    refused(&host, "it is not there", "No such file");
}

#[test]
fn a_program_that_is_older_than_the_state_takes_over_only_by_force() {
    if !can("a_program_that_is_older_than_the_state_takes_over_only_by_force") {
        return;
    }
    let host = Host::with(&[("web", "Restart=no"), ("db", "Restart=no")]);
    host.ok(&["stop", "--now", "web"]);
    host.ok(&["start", "web"]);
    let (web, db, before) = (host.pid("web"), host.pid("db"), host.supervisor());
    let old = watch(db).expect("it runs");
    fs::write(host.life_of("db"), r#"{"format":99,"data":"of a later version"}"#).expect("write a life");
    let out = host.ct(&["upgrade"]);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(5), "{said}");
    for word in ["db.json", "format 99", "later version", "--force"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!((host.supervisor(), host.pid("web"), host.pid("db")), (before, web, db));
    // As its manual says: such a container is ended, and started again where it was wanted up.
    let out = host.ct(&["upgrade", "--force"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("db does not run as it did"), "{}", text(&out.stderr));
    ended(&old);
    assert_ne!(host.supervisor(), before);
    host.until("db is started again", |h| h.starts("db") == 2);
    host.lives("web", "running", 0, &["killed on request"]);
    assert_eq!(host.pid("web"), web);
    assert!(host.said().contains("set aside as"), "{}", host.said());
    assert!(host.life_of("db").with_extension("json.bad").exists());
    assert_eq!(host.command(&["--check"]).stdout(Stdio::null()).status().expect("run it").code(), Some(0));
}

#[test]
fn without_a_keeper_an_upgrade_waits_for_the_init_that_starts_it_again() {
    if !can("without_a_keeper_an_upgrade_waits_for_the_init_that_starts_it_again") {
        return;
    }
    let mut host = Host::new();
    host.container("web", "");
    host.run(&["--no-keeper"]);
    host.ok(&["start", "web"]);
    let web = host.pid("web");
    let client = host.asking(&["upgrade"]);
    assert_eq!(host.left(), Some(i32::from(ct_init::keeper::AGAIN)), "an init starts again what fails");
    host.run(&["--no-keeper"]);
    let out = client.wait_with_output().expect("wait for ct");
    assert!(out.status.success() && text(&out.stdout).contains("1 containers run on"), "{out:?}");
    assert_eq!(host.pid("web"), web);
}

#[test]
fn what_can_not_begin_says_why_once_and_leaves() {
    if !can("what_can_not_begin_says_why_once_and_leaves") {
        return;
    }
    let check = |words: &[&str], code: i32, text: &str| {
        let host = Host::new();
        let status = host.command(words).status().expect("run host-supervisor");
        assert_eq!(status.code(), Some(code), "{words:?}");
        assert_eq!(host.said().matches(text).count(), 1, "{words:?}: {}", host.said());
    };
    check(&["--init", "/nowhere/ct-init"], 1, "open ct-init at /nowhere/ct-init");
    check(&["--root", "/nowhere"], 2, "--root");
    check(&["--no-keeper", "--init", "/nowhere/ct-init"], 1, "open ct-init at /nowhere/ct-init");
    check(&["sing"], 2, "\"sing\" is not a verb");
}

#[test]
fn a_root_has_one_keeper_and_one_supervisor() {
    if !can("a_root_has_one_keeper_and_one_supervisor") {
        return;
    }
    let host = Host::with(&[]);
    for (words, holder) in [(&[][..], host.keeper()), (&["--no-keeper"], host.supervisor().unwrap_or(0))] {
        let status = host.command(words).status().expect("run host-supervisor");
        assert_eq!(status.code(), Some(1));
        let said = host.said();
        assert!(said.contains(&format!("another supervisor (pid {holder}) already serves")), "{said}");
    }
    host.answers();
}

/// One that hangs does not see that its keeper has gone, and would keep every other one out.
#[test]
fn a_supervisor_that_hangs_goes_with_its_keeper() {
    if !can("a_supervisor_that_hangs_goes_with_its_keeper") {
        return;
    }
    let mut host = Host::with(&[("web", "")]);
    let (web, old) = (host.pid("web"), host.supervisor().expect("a supervisor runs"));
    signal(old, nix::libc::SIGSTOP);
    kill(host.keeper());
    host.left();
    host.run(&[]);
    assert_ne!(host.supervisor(), Some(old));
    assert_eq!(host.pid("web"), web);
}
