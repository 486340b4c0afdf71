//! host-supervisor: starts every container of a host and brings it back. See host-supervisor(8).
fn main() -> std::process::ExitCode {
    host_supervisor::program::main()
}
