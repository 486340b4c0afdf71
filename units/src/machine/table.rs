//! machine: table.
