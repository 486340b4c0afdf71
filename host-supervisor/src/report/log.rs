//! log: a line to stderr where a decision is made: a constant sentence and its fields. Never fails, never blocks long.
use slog::{Drain, KV, Logger, Never, OwnedKVList, Record, Serializer, o};
use std::fmt::{Arguments, Write as _};
use std::io::Write as _;

/// Drain to stderr. `LEVEL sentence key=value …`; the time is the reader's business (a supervisor of its own adds it).
struct Stderr;

struct Fields(String);

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: slog::Key, value: &Arguments<'_>) -> slog::Result {
        let _ = write!(self.0, " {key}={value}");
        Ok(())
    }
}

impl Drain for Stderr {
    type Ok = ();
    type Err = Never;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut fields = Fields(String::new());
        let _ = record.kv().serialize(record, &mut fields);
        let _ = values.serialize(record, &mut fields);
        let level = record.level().as_str().to_ascii_lowercase();
        // One write a line: nobody reads half of one. A full or closed stderr must not stop the supervisor.
        let line = format!("{level}: {}{}\n", record.msg(), fields.0);
        let _ = std::io::stderr().write_all(line.as_bytes());
        Ok(())
    }
}

/// The supervisor's logger.
pub fn logger() -> Logger {
    Logger::root(Stderr.fuse(), o!())
}
