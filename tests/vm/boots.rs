//! boots: ct-init as PID 1 of a machine reaches its default target; Debian's services run under it unchanged.
use crate::can;
use tests::vm::{Config, Machine};

#[test]
fn a_machine_boots_with_ct_init_as_pid_1() {
    if !can("a_machine_boots_with_ct_init_as_pid_1") {
        return;
    }
    let machine = Machine::boot(&Config::default());
    assert_eq!(machine.run("cat /proc/1/comm").ok(), "ct-init\n");
    machine.console_has("ready, failed units: 0");
    let ran = machine.run("echo out; echo err >&2; exit 3");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (3, "out\n", "err\n"));
}
