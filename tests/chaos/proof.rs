//! proof: after the load: ends, restarts and lines that the containers know of are those that the supervisor tells.
use crate::fleet::{Fleet, Member, Told};
use serde_json::Value;
use std::fs;
use tests::wait::Deadline;

/// So many ends are remembered.
const REMEMBERED: usize = 10;
const KILLED: &str = "ended by SIGKILL";
const UNKNOWN: &str = "ended, nobody saw how";

/// Compares all that can be told while they run. Returns how many lines and ends it has seen.
pub(crate) fn holds(f: &mut Fleet) -> (u64, u64) {
    let mut ends = 0;
    for m in &f.members {
        let status = status(f, &m.name);
        known_ends(m, &status);
        ends += m.killed.len() as u64;
        if m.up {
            ends += services(f, m);
        }
    }
    (f.members.iter().flat_map(|m| m.runs().into_values()).sum(), ends)
}

fn status(f: &Fleet, name: &str) -> Value {
    serde_json::from_str(&f.ask(&["status", name, "--json"]).ok()).expect("JSON")
}

/// Each killed PID 1 is among the last ends, in order.
fn known_ends(m: &Member, status: &Value) {
    let rows = status["exits"].as_array().expect("a list of ends");
    let causes: Vec<&str> = rows.iter().filter_map(|r| r["cause"].as_str()).collect();
    let told: Vec<&str> = causes.iter().copied().filter(|c| [KILLED, UNKNOWN].contains(c)).collect();
    let full = rows.len() == REMEMBERED;
    let right = |told: &&str, expected: &Told| *told == KILLED || *expected == Told::OrUnknown;
    let same = told.iter().zip(m.killed.iter().rev()).all(|(t, e)| right(t, e));
    let exact = same && (told.len() == m.killed.len() || full && told.len() < m.killed.len());
    // Stops of an orphan may be unknown, too: only the number of those that were seen is known.
    let count = |seen: &[&str], of: &str| seen.iter().filter(|c| **c == of).count();
    let seen = m.killed.iter().filter(|k| **k == Told::Exactly).count();
    let enough = full || count(&told, KILLED) >= seen;
    let fine = if m.orphaned { enough } else { exact };
    assert!(fine, "{}: told {causes:?}, done {:?}, orphaned: {}", m.name, m.killed, m.orphaned);
}

/// The crasher's starts in this life, as it counts them itself, are one more than its restarts.
fn services(f: &Fleet, m: &Member) -> u64 {
    let deadline = Deadline::default();
    loop {
        // Between two looks at the same number of restarts, the starts can't have been others.
        let before = restarts(f, &m.name);
        let starts = f.s.ct(&["exec", &m.name, "--", "/bin/sh", "-c", "cat /run/starts | wc -l"]);
        let after = restarts(f, &m.name);
        let count: Option<u64> = starts.out.trim().parse().ok();
        match (before, count) {
            (Some(n), Some(c)) if before == after && c == n + 1 => return n,
            _ => {}
        }
        assert!(
            !deadline.passed(),
            "{}: {starts:?} starts of crash.service, restarts {before:?} {after:?}",
            m.name
        );
    }
}

fn restarts(f: &Fleet, name: &str) -> Option<u64> {
    let status = status(f, name);
    let row = status["units"].as_array()?.iter().find(|u| u["name"] == "crash.service")?.clone();
    row["restarts"].as_u64()
}

/// Every run of every ticker: lines from 1 without a gap, and all that it knows to have written.
pub(crate) fn complete_lines(f: &Fleet) {
    for m in f.members.iter().filter(|m| !m.ephemeral) {
        let path = m.root.join("var/log/ct/tick.service.log");
        let old = fs::read_to_string(path.with_extension("log.1")).unwrap_or_default();
        let rotated = !old.is_empty();
        let text = old + &fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<(&str, u64)> = text.lines().filter_map(tick).collect();
        let first = lines.first().map(|(run, _)| *run);
        for (run, written) in m.runs() {
            let own: Vec<u64> = lines.iter().filter(|(r, _)| *r == run).map(|(_, n)| *n).collect();
            // Of the oldest runs the beginning has gone with a file that was rotated.
            let gone = rotated && (own.is_empty() || first == Some(run.as_str()));
            let begin = own.first().copied().unwrap_or(1);
            assert!(gone || begin == 1, "{} {run}: begins with line {begin}", m.name);
            let gap = own.windows(2).find(|w| w[0] + 1 != w[1]);
            assert!(gap.is_none(), "{} {run}: {gap:?}", m.name);
            let last = own.last().copied().unwrap_or(0);
            let whole = last >= written || m.cut.contains(&run) || gone;
            assert!(whole, "{} {run}: {written} lines written, the log ends at {last}", m.name);
        }
    }
}

/// `2026-… tick RUN N`
fn tick(line: &str) -> Option<(&str, u64)> {
    let (_, rest) = line.split_once(" tick ")?;
    let (run, n) = rest.split_once(' ')?;
    Some((run, n.parse().ok()?))
}
