//! Any bytes as each kind of unit: either a unit or an error comes out.
#![no_main]
use libfuzzer_sys::fuzz_target;
use units::UnitName;
use units::merge::{Fragment, assemble};
use units::parse::specifier::Context;

fuzz_target!(|bytes: &[u8]| {
    for name in ["a-b@c.service", "a.container", "a.socket", "a.target"] {
        let Ok(name) = UnitName::parse(name) else { continue };
        let fragment = Fragment { path: "x".to_owned(), bytes: bytes.to_vec() };
        let (unit, found) = assemble(&name, &[fragment], &Context::default());
        assert_eq!(unit.is_none(), found.has_errors());
    }
});
