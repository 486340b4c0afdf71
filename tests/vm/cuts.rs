//! cuts: the power goes in the midst of anything. The next boot finds every file whole, what was told as done is done,
//! and the containers with `Autostart=last` that ran are the ones that run.
use crate::can;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::vm::{Config, Disk, Down, Machine};

/// So many containers.
const FLEET: usize = 4;
/// Cuts in a run of all tests; `CT_VM_CUTS=N` makes it a longer one.
const CUTS: u32 = 3;

/// Chance with a seed that is printed: xorshift64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What a container is told to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    up: bool,
    weight: u64,
    autostart: String,
}

impl Wanted {
    /// As the next boot has it.
    fn booted(mut self) -> Wanted {
        self.up = self.autostart == "yes" || self.autostart == "last" && self.up;
        self
    }
}

/// One order, as a shell line.
#[derive(Clone, Debug)]
enum Order {
    Start,
    Stop,
    Weight(u64),
    Enable,
    Disable,
}

impl Order {
    fn any(chance: &mut Chance) -> Order {
        match chance.below(6) {
            0 | 1 => Order::Start,
            2 => Order::Stop,
            3 => Order::Weight(1 + chance.below(10_000)),
            4 => Order::Enable,
            _ => Order::Disable,
        }
    }
    fn line(&self, name: &str) -> String {
        match self {
            Order::Start => format!("start {name}"),
            Order::Stop => format!("stop --now {name}"),
            Order::Weight(w) => format!("set --save {name} CPUWeight={w}"),
            Order::Enable => format!("enable {name}"),
            Order::Disable => format!("disable {name}"),
        }
    }
    fn carry_out(&self, wanted: &mut Wanted) {
        match self {
            Order::Start => wanted.up = true,
            Order::Stop => wanted.up = false,
            Order::Weight(w) => wanted.weight = *w,
            Order::Enable => wanted.autostart = "yes".to_owned(),
            Order::Disable => wanted.autostart = "no".to_owned(),
        }
    }
}

const CT: &str = "ct --root /srv";

/// A machine with the disk at /srv, and a supervisor whose every file is there.
fn boot(disk: &Disk) -> Machine {
    let limit = Duration::from_secs(240);
    let machine = Machine::boot(&Config { limit, ..Config::default() }.disk(disk));
    machine
        .run(
            "mkdir -p /srv && { blkid /dev/vdb >/dev/null || mkfs.ext4 -q /dev/vdb; } && fsck.ext4 -p /dev/vdb >&2; \
             mount /dev/vdb /srv && mkdir -p /srv/etc/ct /srv/srv && \
             printf '[Service]\\nType=notify\\nNotifyAccess=all\\nKillMode=process\\nExecStart=/usr/sbin/host-supervisor --root /srv\\n' \
             > /run/systemd/system/fleet.service && ct-init start fleet",
        )
        .ok();
    machine
}

/// What is there now, as the supervisor sees it; an error is a file that it could not read.
fn found(machine: &Machine) -> BTreeMap<String, Wanted> {
    let check = machine.run(&format!("{CT} check"));
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    let log = machine.run("ct-init logs fleet -n 300").ok();
    assert!(!log.contains("set aside"), "{log}");
    // What the boot starts may wait for its turn.
    let boot: serde_json::Value =
        serde_json::from_str(&machine.run(&format!("{CT} blame --json")).ok()).expect("JSON");
    for row in boot.as_array().into_iter().flatten() {
        let name = row["name"].as_str().expect("a name");
        machine.run(&format!("{CT} wait {name} --for ready --timeout 60")).ok();
    }
    let mut all = BTreeMap::new();
    for i in 0..FLEET {
        let name = format!("c{i}");
        let rows: serde_json::Value =
            serde_json::from_str(&machine.run(&format!("{CT} list --json")).ok()).expect("JSON");
        let state = rows.as_array().and_then(|r| r.iter().find(|r| r["name"] == name.as_str()).cloned());
        let state = state.unwrap_or_else(|| panic!("{name} is not listed: {rows}"));
        let spec = machine.run(&format!("{CT} show {name} CPUWeight; {CT} show {name} Autostart")).ok();
        let (weight, autostart) = spec.trim().split_once('\n').expect("two values");
        let weight = weight.parse().expect("a weight");
        all.insert(name, Wanted { up: state["state"] == "running", weight, autostart: autostart.to_owned() });
    }
    all
}

#[test]
fn whatever_was_told_as_done_is_done_after_a_power_cut() {
    if !can("whatever_was_told_as_done_is_done_after_a_power_cut") {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seed = number("CT_VM_SEED").unwrap_or(0x5eed_0000 + u64::from(std::process::id()));
    let cuts = number("CT_VM_CUTS").map_or(CUTS, |n| u32::try_from(n).unwrap_or(CUTS));
    println!("cuts {cuts}, seed {seed} (CT_VM_SEED={seed})");
    let mut chance = Chance(seed.max(1));
    let disk = Disk::new(256);
    let mut machine = boot(&disk);
    for i in 0..FLEET {
        let text = "[Container]\\nTemplate=host\\n[Install]\\nAutostart=last\\n";
        machine.run(&format!("printf '{text}' > /srv/etc/ct/c{i}.container && sync")).ok();
    }
    let mut told = found(&machine);
    for cut in 1..=cuts {
        let orders: Vec<(String, Order)> =
            (0..12).map(|_| (format!("c{}", chance.below(FLEET as u64)), Order::any(&mut chance))).collect();
        let lines: Vec<String> = orders
            .iter()
            .enumerate()
            .map(|(i, (name, order))| {
                format!("{CT} {} && echo done {i} || echo failed {i}", order.line(name))
            })
            .collect();
        // The power goes when so many are done and the next is on its way, at no point that anybody chose.
        let count = usize::try_from(chance.below(orders.len() as u64)).expect("small");
        let run = machine.run_bg(&lines.join("; "));
        if let Some(last) = count.checked_sub(1) {
            run.until(&format!(" {last}"));
        }
        let turns = chance.below(4_000_000);
        let _spun = (0..turns).map(std::hint::black_box).max();
        assert_eq!(machine.cut_power(), Down::Cut);
        let (Ok(ran) | Err(ran)) = run.ended(Duration::ZERO);
        let said = ran.out;
        drop(run);
        let done = |i: usize| said.lines().any(|l| l == format!("done {i}"));
        assert!(!said.contains("failed"), "{said}");
        machine = boot(&disk);
        let is = found(&machine);
        let booted = |all: &BTreeMap<String, Wanted>| -> BTreeMap<String, Wanted> {
            all.iter().map(|(name, wanted)| (name.clone(), wanted.clone().booted())).collect()
        };
        // Of the order that was on its way either outcome is right; of those before, only theirs.
        let mut least = told.clone();
        let mut open = Vec::new();
        for (i, (name, order)) in orders.iter().enumerate() {
            let wanted = least.get_mut(name).expect("a container");
            match done(i) {
                true => order.carry_out(wanted),
                false => open.push((name.clone(), order.clone())),
            }
        }
        let mut either = least.clone();
        if let Some((name, order)) = open.first() {
            order.carry_out(either.get_mut(name).expect("a container"));
        }
        let (least, either) = (booted(&least), booted(&either));
        if is != least && is != either {
            let look = "ct-init logs fleet -n 100; cd /srv; cat var/lib/ct/containers/c*/state.json; ls -l run/ct/lives; \
                        cat run/ct/lives/*; cat /proc/sys/kernel/random/boot_id; ct --root /srv status c0; ct --root /srv blame";
            println!("{}", machine.run(look).out);
        }
        assert!(
            is == least || is == either,
            "cut {cut} after {count}: {is:#?} is neither {least:#?} nor {either:#?}\n{orders:?}\n{said}"
        );
        told = is;
    }
}
