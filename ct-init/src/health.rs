//! health: how many health checks in a row have failed, when the next is due, and when that is too many. Never runs one.
use serde::{Deserialize, Serialize};
use units::schema::Health;
use units::values::Tick;

/// The count of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    rule: Health,
    /// Since when the container is ready.
    since: Tick,
    failures: u32,
    next: Option<Tick>,
    /// Why it is unhealthy, while it is.
    verdict: Option<String>,
}

impl Count {
    /// Of a container that is ready from now on.
    pub fn new(rule: Health, now: Tick) -> Count {
        let next = Some(now.after(rule.interval));
        Count { rule, since: now, failures: 0, next, verdict: None }
    }

    /// What is checked, and how.
    pub fn rule(&self) -> &Health {
        &self.rule
    }

    /// When the next check begins; none while one runs.
    pub fn next(&self) -> Option<Tick> {
        self.next
    }

    /// A check begins.
    pub fn begun(&mut self) {
        self.next = None;
    }

    /// It has ended so. The sentence to report, if the container is unhealthy: again after each further failure, for
    /// nobody may have heard the one before.
    pub fn ended(&mut self, now: Tick, result: Result<(), String>) -> Option<&str> {
        self.next = Some(now.after(self.rule.interval));
        self.verdict = match result {
            Ok(()) => {
                self.failures = 0;
                None
            }
            Err(_) if now.since(self.since) < self.rule.start_period => None,
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                let times =
                    if self.failures == 1 { "once" } else { &format!("{} times in a row", self.failures) };
                (self.failures >= self.rule.retries).then(|| format!("health check failed {times}: {why}"))
            }
        };
        self.verdict()
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Why the container is unhealthy, if it is.
    pub fn verdict(&self) -> Option<&str> {
        self.verdict.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// `o` a good check, `x` a bad one, one a second; the failures at which it is unhealthy.
    fn check(retries: u32, start_period: u64, checks: &str, expect: &[&str]) {
        let start_period = Duration::from_secs(start_period);
        let rule = Health { retries, start_period, ..Health::default() };
        let mut count = Count::new(rule, Tick(0));
        let mut said = Vec::new();
        for (second, how) in (1..).zip(checks.chars()) {
            let result = if how == 'o' { Ok(()) } else { Err("bad".to_owned()) };
            said.extend(count.ended(Tick(second * 1_000_000), result).map(str::to_owned));
        }
        assert_eq!(said, expect, "{checks}");
    }

    #[test]
    fn only_failures_in_a_row_count() {
        check(3, 0, "xxoxx", &[]);
        check(3, 0, "xxx", &["health check failed 3 times in a row: bad"]);
        check(1, 0, "ox", &["health check failed once: bad"]);
        check(
            2,
            0,
            "xxxo",
            &["health check failed 2 times in a row: bad", "health check failed 3 times in a row: bad"],
        );
        check(1, 4, "xxx", &[]);
        check(1, 3, "xxx", &["health check failed once: bad"]);
        check(3, 0, "", &[]);
    }

    #[test]
    fn the_interval_is_counted_from_the_end_of_a_check() {
        let mut count = Count::new(Health::default(), Tick(0));
        assert_eq!(count.next(), Some(Tick(30_000_000)));
        count.begun();
        assert_eq!(count.next(), None);
        count.ended(Tick(35_000_000), Ok(()));
        assert_eq!(count.next(), Some(Tick(65_000_000)));
    }
}
