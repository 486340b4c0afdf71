//! golden: what units come to on invented machines, compared with files. `UPDATE_GOLDEN=1` writes the files anew.
use std::fmt::Write;
use std::fs;
use tests::cases::{self, Machine};

/// Compares with a file of this tier; the first line that differs is shown.
fn compare(file: &str, found: &str) {
    let path = cases::package().join("golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).expect("write the golden file");
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    let (a, b) = (wanted.lines().collect::<Vec<_>>(), found.lines().collect::<Vec<_>>());
    if let Some(i) = (0..a.len().max(b.len())).find(|&i| a.get(i) != b.get(i)) {
        let (a, b) = (a.get(i).unwrap_or(&"(end)"), b.get(i).unwrap_or(&"(end)"));
        panic!("{file}:{}:\n  file: {a}\n  now:  {b}\n(UPDATE_GOLDEN=1 takes what is now)", i + 1);
    }
}

fn outcome(unit: &str, machine: Machine) -> String {
    let spec = match cases::spec(&cases::unit(unit), machine) {
        Err(sentence) => return format!("refused: {sentence}\n"),
        Ok(spec) => spec,
    };
    let (start, release) = cases::plans(&spec, machine);
    let lift = cases::lift(&spec, machine);
    let mut text = format!("{start}{lift}{release}");
    for line in &spec.not_in_force {
        let _ = writeln!(text, "not in force: {line}");
    }
    for (kind, soft, hard) in &spec.rlimits {
        let _ = writeln!(text, "resource limit {kind}: {soft:?} {hard:?}");
    }
    text
}

#[test]
fn plans_are_as_they_were() {
    for unit in cases::unit_names() {
        for machine in Machine::ALL {
            compare(&format!("plans/{unit}@{}.plan", machine.name()), &outcome(&unit, machine));
        }
    }
}

#[test]
fn every_golden_file_has_its_case() {
    for file in fs::read_dir(cases::package().join("golden/plans")).expect("golden/plans is there") {
        let name = file.expect("an entry").file_name().into_string().expect("UTF-8");
        let known = cases::unit_names()
            .iter()
            .any(|u| Machine::ALL.iter().any(|m| name == format!("{u}@{}.plan", m.name())));
        assert!(known, "golden/plans/{name} belongs to no case (delete it)");
    }
}

/// One limit, or several of one thought, a line.
const LIMITS: &[&[&str]] = &[
    &[],
    &["CPUWeight=1"],
    &["CPUWeight=100"],
    &["CPUWeight=10000"],
    &["CPUUnits=1000"],
    &["CPUUnits=8"],
    &["CPUUnits=500000"],
    &["CPUQuota=1%"],
    &["CPUQuota=50%"],
    &["CPUQuota=250%"],
    &["AllowedCPUs=0"],
    &["AllowedCPUs=1-3"],
    &["AllowedCPUs=0,2"],
    &["AllowedCPUs=4-5"],
    &["AllowedMemoryNodes=0"],
    &["AllowedMemoryNodes=1"],
    &["AllowedCPUs=1", "AllowedMemoryNodes=0"],
    &["MemoryMin=16M"],
    &["MemoryLow=16M"],
    &["MemoryHigh=16M"],
    &["MemoryMax=512M"],
    &["MemoryMax=25%"],
    &["MemoryMax=infinity"],
    &["MemorySwapMax=64M"],
    &["MemorySwapMax=0"],
    &["MemorySwapMax=infinity"],
    &["MemoryMax=512M", "MemorySwapMax=0"],
    &["MemoryMax=512M", "MemorySwapMax=64M"],
    &["MemoryMax=512M", "MemorySwapMax=50%"],
    &["MemorySwapMax=64M", "MemoryMax=512M"],
    &["TasksMax=100"],
    &["TasksMax=10%"],
    &["TasksMax=infinity"],
    &["IOWeight=1"],
    &["IOWeight=10000"],
    &["IOPriority=0"],
    &["IOPriority=7"],
    &["LimitNOFILE=1024"],
    &["LimitNOFILE=infinity"],
    &["LimitMEMLOCK=64K:1M"],
    &["OOMScoreAdjust=500"],
    &["OOMScoreAdjust=-500"],
];

fn limit_lines(keys: &[&str], machine: Machine) -> String {
    let text = format!("[Container]\nTemplate=debian\n[Resources]\n{}\n", keys.join("\n"));
    let unit = cases::parse("c", text.as_bytes());
    let spec = match cases::spec(&unit, machine) {
        Err(sentence) => return format!("  {:13} refused: {sentence}\n", machine.name()),
        Ok(spec) => spec,
    };
    let writes = spec.limits.iter().flat_map(|l| &l.writes);
    let mut parts: Vec<String> = writes.map(|w| format!("{} = {}", w.file, w.value)).collect();
    parts.extend(spec.rlimits.iter().map(|(k, s, h)| format!("rlimit {k} = {s:?} {h:?}")));
    if spec.oom_score_adjust != 0 {
        parts.push(format!("oom_score_adj = {}", spec.oom_score_adjust));
    }
    if parts.is_empty() {
        parts.push("-".into());
    }
    format!("  {:13} {}\n", machine.name(), parts.join("; "))
}

#[test]
fn limits_are_converted_for_each_layout() {
    let mut table = String::new();
    for keys in LIMITS {
        let _ = writeln!(table, "{}", if keys.is_empty() { "(nothing)".into() } else { keys.join(" ") });
        let all = Machine::ALL.iter().filter(|m| **m != Machine::NoUserNamespaces);
        all.for_each(|m| table.push_str(&limit_lines(keys, *m)));
    }
    compare("limits.table", &table);
}

/// A release takes away what a start has made, whatever the machine: every group made is removed again.
#[test]
fn every_group_made_is_removed() {
    use host_supervisor::plan::Step;
    for unit in cases::unit_names() {
        for machine in Machine::ALL {
            let Ok(spec) = cases::spec(&cases::unit(&unit), machine) else { continue };
            let (start, release) = cases::plans(&spec, machine);
            for step in &start.steps {
                let Step::MakeGroup(group) = step else { continue };
                let removed = release.steps.iter().any(|s| match s {
                    Step::RemoveGroup(g) => {
                        g.tree == group.tree
                            && format!("{}/", group.path).starts_with(&format!("{}/", g.path))
                    }
                    _ => false,
                });
                assert!(removed || group.path == "ct", "{unit} on {}: {group} stays", machine.name());
            }
        }
    }
}
