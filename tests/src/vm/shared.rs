//! shared: what a thread hears from a machine and others wait for. Never polls.
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What was said so far, and who waits for more.
#[derive(Debug, Default)]
pub(super) struct Shared<S> {
    said: Mutex<S>,
    /// Told after each change.
    pub(super) more: Condvar,
}

impl<S> Shared<S> {
    /// As it is now. A test that has panicked leaves it whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
