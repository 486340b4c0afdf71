//! machine: moves.
