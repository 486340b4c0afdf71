//! plan: a Spec to an ordered list of Steps, each one visible change with its undo. Touches nothing.
pub mod child;
mod release;
mod set;
mod start;
mod step;

pub use release::{lift, release};
pub use set::set;
pub use start::start;
pub use step::{Group, Step, Tree};

/// Steps in order. A plan is data: it is printed, compared, run, and run by a fake host.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it is for: `start web`.
    pub title: String,
    /// In order.
    pub steps: Vec<Step>,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}:", self.title)?;
        self.steps.iter().try_for_each(|s| writeln!(f, "  {s}"))
    }
}
