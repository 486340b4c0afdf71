//! ct-init: PID 1. All of it is in the library.
fn main() -> std::process::ExitCode {
    ct_init::main()
}
