//! Any bytes: the document parser returns, and what it renders parses to the same without an error.
#![no_main]
use libfuzzer_sys::fuzz_target;
use units::Severity;
use units::parse::document;

fuzz_target!(|bytes: &[u8]| {
    let (document, _) = document::parse("x", bytes, Severity::Error);
    let text = document.render();
    let (again, found) = document::parse("x", text.as_bytes(), Severity::Error);
    assert!(!found.has_errors(), "{found:?}");
    assert_eq!(text, again.render());
});
