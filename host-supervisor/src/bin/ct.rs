//! ct: what people type. See ct(1).
fn main() -> std::process::ExitCode {
    host_supervisor::control::cli::main(host_supervisor::control::cli::Hooks {
        check: host_supervisor::check::files,
    })
}
