//! network: two machines with a cable between them.
use crate::can;
use tests::vm::{Config, Machine, Network};

#[test]
fn two_machines_reach_each_other_over_a_cable() {
    if !can("two_machines_reach_each_other_over_a_cable") {
        return;
    }
    let network = Network::new();
    let machines =
        network.ends().map(|end| Machine::boot(&Config { memory: 512, ..Config::default() }.nic(end)));
    for (number, machine) in (1..).zip(&machines) {
        let up = format!("ip addr add 10.0.0.{number}/24 dev eth0 && ip link set eth0 up");
        machine.run(&up).ok();
    }
    let ping = machines[0].run("ping -c 3 -W 20 10.0.0.2").ok();
    assert!(ping.contains(" 0% packet loss"), "{ping}");
    assert_eq!(
        machines[1].run("ip -br neigh show 10.0.0.1").ok().split_whitespace().nth(2),
        Some("52:54:00:00:01:01")
    );
}
