//! parse: bytes of one unit file to sections and entries with positions, and every mistake at once.
pub mod command;
pub mod document;
pub mod environment;
pub mod lexer;
pub mod near;
pub mod specifier;
pub mod words;

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The unit works; something in it has no effect or looks like a slip.
    Warning,
    /// The unit can't be used.
    Error,
}

/// One mistake in a file: `web.container:14:8: MemoryMax: "512Q" is not a size (try 512M)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named to the parser.
    pub path: String,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// From 1, in characters; 0 where the whole line is meant.
    pub column: u32,
    /// Warning or error.
    pub severity: Severity,
    /// What is wrong and, in parentheses, what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {word}{}", self.path, self.message),
            (l, 0) => write!(f, "{}:{l}: {word}{}", self.path, self.message),
            (l, c) => write!(f, "{}:{l}:{c}: {word}{}", self.path, self.message),
        }
    }
}

/// All mistakes found so far, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// So many are kept; a file of nothing but mistakes must not fill the memory.
    pub const MAX: usize = 200;

    /// Adds one. Past [`Diagnostics::MAX`] only the first error still is, so that [`Diagnostics::has_errors`] tells the
    /// truth.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let room = self.0.len() < Diagnostics::MAX;
        if room || (diagnostic.severity == Severity::Error && !self.has_errors()) {
            self.0.push(diagnostic);
        }
    }
    /// Adds all of another list, by the same rule.
    pub fn append(&mut self, other: Diagnostics) {
        for diagnostic in other.0 {
            self.push(diagnostic);
        }
    }
    /// Whether there is room for more.
    pub fn is_full(&self) -> bool {
        self.0.len() >= Diagnostics::MAX
    }
    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }
}
