//! lab: boots a machine and runs in it the shell lines that it is given, for a developer's eyes.
//!
//! `lab LINE…`, or `lab -` for lines of standard input; what the console said goes to stderr. `LAB_DISK=MIB` adds a disk, `LAB_ARGUMENTS=…` words for the
//! kernel, `LAB_SILENT=1` takes its console away, `LAB_IMAGE=PATH` adds a disk that is there
//! already, `LAB_REBOOTS=1` lets it boot again.
use std::time::Duration;
use tests::vm::{Config, Disk, Machine};

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|t| t.parse::<u64>().ok());
    let disk = number("LAB_DISK").map(Disk::new);
    let arguments = std::env::var("LAB_ARGUMENTS").unwrap_or_default();
    let limit = Duration::from_secs(number("LAB_LIMIT").unwrap_or(3600));
    let console = std::env::var_os("LAB_SILENT").is_none();
    let mut config = Config { arguments, limit, console, ..Config::default() };
    if let Some(disk) = &disk {
        config = config.disk(disk);
    }
    config.disks.extend(std::env::var_os("LAB_IMAGE").map(Into::into));
    config.reboots = std::env::var_os("LAB_REBOOTS").is_some();
    let machine = Machine::boot(&config);
    let mut code = 0;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let lines: Box<dyn Iterator<Item = String>> = match words.as_slice() {
        [word] if word == "-" => Box::new(std::io::stdin().lines().map_while(Result::ok)),
        _ => Box::new(words.into_iter()),
    };
    for line in lines {
        println!("# {line}");
        let ran = machine.run_bg(&line).lines(limit, |l| println!("{l}"));
        eprint!("{}", ran.err);
        if ran.code != 0 {
            println!("# ended with {}", ran.code);
            code = 1;
        }
    }
    eprint!("{}", machine.console.text());
    std::process::exit(code);
}
