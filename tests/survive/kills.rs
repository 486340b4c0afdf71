//! kills: the supervisor is killed again and again while containers end. Nothing is lost, nothing counts twice.
use crate::host::{Host, can};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Hosts at the same time, and how often the supervisor of each is killed.
const HOSTS: u32 = 5;
const KILLS: usize = 10;
/// Containers that end all the time and come back each time.
const BUSY: [&str; 4] = ["a", "b", "c", "d"];
/// So many ends are remembered.
const REMEMBERED: usize = 10;

/// Numbers that look like chance and are the same each time (a linear congruential generator).
struct Chance(u32);

impl Chance {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % n
    }
}

fn words(code: u8) -> String {
    host_supervisor::control::protocol::words::exit(units::machine::Exit::Code(code))
}

#[test]
fn fifty_kills_lose_no_exit_and_restart_nothing_that_should_not_be() {
    if !can("fifty_kills_lose_no_exit_and_restart_nothing_that_should_not_be") {
        return;
    }
    std::thread::scope(|scope| {
        (0..HOSTS).for_each(|seed| drop(scope.spawn(move || kills(Chance(seed)))));
    });
}

fn kills(mut chance: Chance) {
    let quiet = [("steady", "Restart=always"), ("once", "Restart=no"), ("halted", "Restart=always")];
    let units: Vec<_> = BUSY.iter().map(|n| (*n, "Restart=always")).chain(quiet).collect();
    let host = Host::with(&units);
    host.ok(&["stop", "--now", "halted"]);
    let steady = host.pid("steady");
    let mut codes: BTreeMap<&str, Vec<u8>> = BUSY.iter().map(|n| (*n, Vec::new())).collect();
    for kill in 0..KILLS {
        if kill == KILLS / 2 {
            host.end("once", 77);
        }
        let before = host.supervisor();
        // One that dies young again and again is started again ever more slowly.
        let old = Instant::now() + Duration::from_secs(1);
        host.until("an old supervisor", |h| h.ct(&["list"]).status.success() && Instant::now() > old);
        for name in BUSY {
            for _ in 0..chance.below(3) {
                let code = u8::try_from(chance.below(126)).expect("below 126");
                host.end(name, code);
                codes.entry(name).or_default().push(code);
            }
        }
        // Somewhere in the middle of ends, starts and writes: at another place each time.
        for _ in 0..chance.below(4) {
            let _answer = host.ct(&["list"]);
        }
        host.kill_supervisor();
        host.succeeds(before);
    }
    for name in BUSY {
        let codes = &codes[name];
        let last: Vec<String> = codes.iter().rev().take(REMEMBERED).map(|c| words(*c)).collect();
        let last: Vec<&str> = last.iter().map(String::as_str).collect();
        host.lives(name, "running", codes.len() as u64, &last);
        assert_eq!(host.starts(name), codes.len() + 1, "{name}");
    }
    host.lives("once", "failed", 0, &["exited with code 77"]);
    host.lives("steady", "running", 0, &[]);
    assert_eq!((host.pid("steady"), host.starts("steady"), host.starts("once")), (steady, 1, 1));
    assert_eq!((host.life("halted").map(|l| l.0), host.starts("halted")), (Some("stopped".to_owned()), 1));
}
