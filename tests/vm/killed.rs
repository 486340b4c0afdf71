//! killed: supervisor and keeper of a host are killed again and again under load. Nothing that runs notices.
use crate::can;
use crate::host::{Host, shared};
use serde_json::Value;
use std::collections::BTreeMap;
use tests::wait::Deadline;

/// How often, in the tier; `CT_VM_LONG=1`: a hundred times.
const KILLS: usize = 8;
const LONG: usize = 100;
/// Containers that end all the time and come back each time.
const BUSY: [&str; 3] = ["a", "b", "c"];
/// So many ends are remembered.
const REMEMBERED: usize = 10;
/// On this kernel nobody but its parent sees how a process has ended, and a keeper that was killed is a parent no more: so
/// it is with one run of each container for each such kill.
const UNSEEN: &str = "ended, nobody saw how";

/// Numbers that look like chance and are the same each time (a linear congruential generator).
struct Chance(u32);

impl Chance {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % n
    }
}

/// The supervisor, and the keeper with it.
fn kill(host: &Host, both: bool) {
    let keeper = if both { " $(cat keeper.pid)" } else { "" };
    // One that dies young again and again is started again ever more slowly.
    let old = "[ $(ps -o etimes= -p $(cat supervisor.pid)) -ge 2 ]";
    let line = format!(
        "cd /run/ct; until {old}; do :; done; old=$(cat supervisor.pid); kill -9 $old{keeper}; \
         until [ \"$(cat supervisor.pid)\" != $old ] && ct list >/dev/null 2>&1; do :; done"
    );
    host.run(&line).ok();
}

fn causes(status: &Value) -> Vec<String> {
    let exits = status["exits"].as_array().cloned().unwrap_or_default();
    exits.iter().filter_map(|e| Some(e["cause"].as_str()?.to_owned())).collect()
}

#[test]
fn a_host_whose_supervisor_is_killed_again_and_again_loses_nothing() {
    if !can("a_host_whose_supervisor_is_killed_again_and_again_loses_nothing") {
        return;
    }
    let host = shared();
    BUSY.iter().chain(&["steady"]).for_each(|name| host.ending(name, "Restart=always"));
    let held = host.holding(&BUSY);
    // A service that counts, in a container with a PID 1 of ours.
    let lines = "#!/bin/sh\nwhile :; do i=$((i+1)); echo line $i; sleep 0.1; done\n";
    host.run(&format!("printf '%s' '{lines}' >/usr/local/bin/lines && chmod 755 /usr/local/bin/lines")).ok();
    host.container("writer", "");
    let unit = "[Service]\\nExecStart=/usr/local/bin/lines\\n";
    host.ct(&format!("exec writer -- sh -c 'printf \"{unit}\" >/etc/systemd/system/lines.service'")).ok();
    host.ct("start writer/lines").ok();
    let pids = ["steady", "writer"].map(|name| host.pid(name));

    let mut chance = Chance(6);
    let mut codes: BTreeMap<&str, Vec<u8>> = BUSY.iter().map(|n| (*n, Vec::new())).collect();
    let rounds = if std::env::var_os("CT_VM_LONG").is_some() { LONG } else { KILLS };
    let mut both = 0;
    for round in 0..rounds {
        if round == rounds / 2 {
            BUSY.iter().for_each(|name| ended_as(&host, name, &codes[name], 0));
        }
        let mut ends = String::new();
        for name in BUSY {
            for _ in 0..chance.below(3) {
                let code = u8::try_from(chance.below(126)).expect("below 126");
                ends += &format!("echo {code} >/srv/{name}/srv/code; ");
                codes.entry(name).or_default().push(code);
            }
        }
        // Somewhere in the middle of ends, starts and writes: at another place each time.
        let asked = "ct list; ".repeat(chance.below(3) as usize);
        host.run(&format!("{ends}{asked}:")).ok();
        let keeper = round > rounds / 2 && round % 2 == 1;
        kill(&host, keeper);
        both += usize::from(keeper);
    }
    BUSY.iter().for_each(|name| ended_as(&host, name, &codes[name], both));
    assert_eq!(["steady", "writer"].map(|name| host.pid(name)), pids);
    assert_eq!((host.starts("steady"), causes(&host.status("steady"))), (1, vec![]));
    // Each line once, and in order.
    let log = host.ct("logs writer/lines -n 100000").ok();
    let numbers: Vec<&str> = log.lines().filter_map(|l| l.rsplit(' ').next()).collect();
    let expected: Vec<String> = (1..=numbers.len()).map(|n| n.to_string()).collect();
    assert!(numbers.len() > rounds, "{log}");
    assert_eq!(numbers, expected);
    held.kill();
}

/// It runs, has been restarted once for each of these codes, and how it ended is known, but for so many ends.
fn ended_as(host: &Host, name: &str, codes: &[u8], unseen: usize) {
    let deadline = Deadline::default();
    let status = loop {
        let status = host.status(name);
        if status["state"] == "running" && status["restarts"] == codes.len() {
            break status;
        }
        assert!(!deadline.passed(), "{name} after {codes:?}: {status:#}");
    };
    assert_eq!(host.starts(name), codes.len() + 1, "{name}");
    let told = causes(&status);
    assert_eq!(told.len(), codes.len().min(REMEMBERED), "{name}: {told:?}");
    let unknown = told.iter().filter(|t| *t == UNSEEN).count();
    assert!(unknown <= unseen, "{name}: {told:?}");
    for (told, code) in told.iter().zip(codes.iter().rev()) {
        let words = host_supervisor::control::protocol::words::exit(units::machine::Exit::Code(*code));
        assert!(told == &words || told == UNSEEN, "{name} ended with {code}: {told}");
    }
}
