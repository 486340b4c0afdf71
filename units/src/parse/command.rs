//! parse: command.
