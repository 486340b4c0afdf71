//! parse: document.
