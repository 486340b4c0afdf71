//! rule: what a container's readiness waits for, in words, and when to look again. Touches nothing.
use std::time::Duration;
use units::schema::ReadyWhen;

/// The first wait between two looks; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(50);
/// No wait is longer.
const LAST: Duration = Duration::from_secs(1);
/// A command of `ReadyWhen=exec:` that takes longer has failed.
pub const EXEC_TIME: Duration = Duration::from_secs(10);

/// How long to wait after `looks` looks in vain.
pub fn pause(looks: u32) -> Duration {
    FIRST.saturating_mul(1 << looks.min(10)).min(LAST)
}

/// What is waited for; `last` is how the last look went, where there is more to say.
pub fn sentence(rule: &ReadyWhen, last: &str) -> String {
    let what = match rule {
        ReadyWhen::Target => "waits for its units".to_owned(),
        ReadyWhen::Notify => format!("waits for READY=1 on {}", super::socket::CONTAINER),
        ReadyWhen::Tcp(port) => format!("waits for port {port}"),
        ReadyWhen::File(path) => format!("waits for the file {path}"),
        ReadyWhen::Exec(argv) => format!("waits for {:?} to succeed", argv.join(" ")),
    };
    if last.is_empty() { what } else { format!("{what}: {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_close_at_first_and_a_second_apart_at_last() {
        let check = |looks, ms| assert_eq!(pause(looks), Duration::from_millis(ms), "{looks}");
        check(0, 50);
        check(1, 100);
        check(4, 800);
        check(5, 1000);
        check(u32::MAX, 1000);
    }

    #[test]
    fn sentences() {
        let check = |rule, last, expect| assert_eq!(sentence(&rule, last), expect);
        check(ReadyWhen::Tcp(80), "", "waits for port 80");
        check(ReadyWhen::File("/run/x".into()), "", "waits for the file /run/x");
        check(ReadyWhen::Notify, "", "waits for READY=1 on /run/ct/notify");
        let argv = vec!["pg_isready".to_owned(), "-q".to_owned()];
        check(
            ReadyWhen::Exec(argv),
            "exited with 2",
            "waits for \"pg_isready -q\" to succeed: exited with 2",
        );
    }
}
