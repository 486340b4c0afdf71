//! schema: what each section means, typed. Touches nothing.
pub mod container;
pub mod mount;
pub mod read;
pub mod resources;
pub mod service;
pub mod socket;
pub mod timer;
pub mod unit;

pub use container::{Container, Health, InitProgram, ReadyWhen, Rootfs, UserNs};
pub use mount::Mount;
pub use resources::Resources;
pub use service::{
    Command, ExecPhase, KillMode, NotifyAccess, Output, Restart, Service, ServiceType, StatusSet,
};
pub use socket::Socket;
pub use timer::Timer;
pub use unit::{Check, CheckKind, Install, UnitSection};

use crate::name::UnitName;
use serde::{Deserialize, Serialize};

/// A unit, typed, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Its full name, `nginx.service` or `web.container`.
    pub name: UnitName,
    /// The file it came from, for messages.
    pub path: String,
    /// `[Unit]`.
    pub unit: UnitSection,
    /// The section of its own kind.
    pub body: Body,
    /// `[Install]`.
    pub install: Install,
    /// Directives the file gives and this program knows, but does not apply: `ProtectSystem=full`.
    pub not_applied: Vec<NotApplied>,
}

impl Unit {
    /// Work of the early boot that is done once and stays done: a file system, swap, a setting of the kernel.
    pub fn is_early_work(&self) -> bool {
        let once = match &self.body {
            Body::Service(service) => service.kind == ServiceType::Oneshot && service.remain_after_exit,
            Body::Target | Body::Container(_) | Body::Socket(_) | Body::Timer(_) | Body::Passive => false,
        };
        once && (!self.unit.default_dependencies || ["mount", "swap"].contains(&self.name.suffix()))
    }
}

/// A directive that is understood but has no effect here; said aloud, never dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplied {
    /// The key as written.
    pub key: String,
    /// Its value as written.
    pub value: String,
    /// Where it stands.
    pub line: u32,
}

/// What kind of unit it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// `.service`; also `.mount` and `.swap`, as the service that carries them out (see [`mount`]).
    Service(Box<Service>),
    /// `.target`
    Target,
    /// `.container`
    Container(Box<Container>),
    /// `.socket`
    Socket(Box<Socket>),
    /// `.timer`
    Timer(Box<Timer>),
    /// A kind that is read for its dependencies only (`.path`, `.slice` …).
    Passive,
}
