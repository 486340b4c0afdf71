//! parse: specifier.
