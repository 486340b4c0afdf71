//! Records for tests, with every optional field filled in.
use crate::control::protocol::*;

pub(crate) fn name(s: &str) -> ContainerName {
    ContainerName::parse(s).unwrap()
}

pub(crate) fn row() -> ContainerRow {
    ContainerRow {
        name: name("web"),
        state: ContainerState::Running,
        pid: Some(4021),
        uptime: Some(93_784),
        restarts: 2,
        cpu: Some(75_300_000),
        mem: Some(187 << 20),
        disk: Some(3 << 30),
        address: "10.0.0.2".into(),
    }
}

pub(crate) fn status() -> ContainerStatus {
    ContainerStatus {
        name: name("web"),
        description: "the shop".into(),
        state: ContainerState::Degraded,
        why: "cron.service has failed".into(),
        for_secs: 61,
        pid: Some(4021),
        uptime: Some(93_784),
        restarts: 2,
        autostart: "yes".into(),
        addresses: vec!["10.0.0.2".into()],
        files: vec!["/etc/ct/web.container".into(), "/etc/ct/web.container.d/50-set.conf".into()],
        units: vec![
            UnitRow {
                name: "cron.service".into(),
                description: "jobs".into(),
                active: "failed".into(),
                sub: "failed".into(),
                pid: None,
                for_secs: 61,
                restarts: 5,
                cause: Some("exited with code 1".into()),
                note: "start limit hit".into(),
            },
            UnitRow {
                name: "nginx.service".into(),
                description: "web server".into(),
                active: "active".into(),
                sub: "running".into(),
                pid: Some(31),
                for_secs: 93_700,
                restarts: 0,
                cause: None,
                note: String::new(),
            },
        ],
        limits: vec![
            LimitRow {
                name: "MemoryMax".into(),
                measure: Measure::Bytes,
                held: Some(187 << 20),
                max: Some(240 << 20),
                limit: Some(512 << 20),
                failures: Some(3),
            },
            LimitRow {
                name: "TasksMax".into(),
                measure: Measure::Count,
                held: Some(31),
                max: None,
                limit: None,
                failures: Some(0),
            },
        ],
        not_in_force: vec![NotInForce { key: "IOWeight".into(), why: "this kernel has no io.weight".into() }],
        exits: vec![ExitRow {
            at: 1_700_000_000_000_000,
            cause: "killed for memory: ended by SIGKILL".into(),
            lasted: 3605,
            then: "restarted after 2s".into(),
        }],
        log: vec![LogLine {
            at: 1_700_000_001_500_000,
            unit: "nginx.service".into(),
            text: "listening on 80".into(),
        }],
    }
}
