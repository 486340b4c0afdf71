//! Any bytes as an environment file: names that come out are names, values hold no NUL.
#![no_main]
use libfuzzer_sys::fuzz_target;
use units::parse::{command::is_variable, environment};

fuzz_target!(|bytes: &[u8]| {
    for (name, value) in environment::parse(bytes).pairs {
        assert!(is_variable(&name) && !value.contains('\0'));
    }
});
