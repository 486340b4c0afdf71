//! idl: the interface in varlink's own language, for `varlinkctl introspect` and other languages. Only text.

/// This program's interface.
pub const INTERFACE: &str = "io.ct.Supervisor";
/// The interface that every varlink service has.
pub const SERVICE: &str = "org.varlink.service";

/// `io.ct.Supervisor`.
pub const TEXT: &str = include_str!("io.ct.Supervisor.varlink");
/// `org.varlink.service`, as the varlink specification gives it.
pub const SERVICE_TEXT: &str = include_str!("org.varlink.service.varlink");

/// The names of the methods of [`TEXT`].
pub fn methods() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter_map(|l| l.strip_prefix("method ")).filter_map(|l| l.split('(').next())
}
