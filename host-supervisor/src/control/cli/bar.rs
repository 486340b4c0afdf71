//! bar: how a long operation goes on, on standard error: a bar where that is a terminal, else sentences only.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;

/// A bar that is drawn once there is something to draw, and gone at the end.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new() -> Bar {
        Bar(None)
    }

    /// `progress DONE TOTAL` (bytes) moves the bar; any other line is a sentence for people.
    pub(super) fn line(&mut self, line: &str) {
        match amounts(line) {
            Some((done, total)) => {
                let bar = self.0.get_or_insert_with(bytes);
                bar.set_length(total);
                bar.set_position(done);
            }
            // Nobody has to read it.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Hidden by itself where standard error is no terminal.
fn bytes() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn amounts(line: &str) -> Option<(u64, u64)> {
    let (done, total) = line.rsplit_once("progress ")?.1.split_once(' ')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::amounts;

    #[test]
    fn amounts_are_told_from_sentences() {
        assert_eq!(amounts("debian: progress 5 10"), Some((5, 10)));
        assert_eq!(amounts("progress 0 0"), Some((0, 0)));
        assert_eq!(amounts("unpacks base-files"), None);
        assert_eq!(amounts("makes progress slowly now"), None);
    }
}
