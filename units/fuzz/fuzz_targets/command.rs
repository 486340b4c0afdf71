//! Any line: splitting returns, and a command that is rendered splits to itself.
#![no_main]
use libfuzzer_sys::fuzz_target;
use units::parse::command;

fuzz_target!(|line: &str| {
    for one in command::split(line).unwrap_or_default() {
        let _ = command::expand(&one, &|name| Some(format!("{name} 'x")));
        assert_eq!(command::split(&command::render(&one)), Ok(vec![one]));
    }
});
