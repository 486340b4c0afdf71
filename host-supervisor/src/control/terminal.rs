//! terminal: raw mode while a session lasts, put back on every way out. Never reads what is typed.
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A terminal in raw mode; dropping this, also while a panic unwinds, puts the old mode back.
pub struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawMode<'a> {
    /// None where `fd` is no terminal.
    pub fn enter(fd: BorrowedFd<'a>) -> io::Result<Option<RawMode<'a>>> {
        if !isatty(fd) {
            return Ok(None);
        }
        let before = tcgetattr(fd)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(fd, OptionalActions::Drain, &raw)?;
        Ok(Some(RawMode { terminal: fd, before }))
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Rows and columns; none where `fd` is no terminal or does not tell.
pub fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(fd).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_mode_ends_also_with_a_panic() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let modes = || tcgetattr(&pty.slave).unwrap().local_modes;
        let cooked = modes();
        let raw = RawMode::enter(pty.slave.as_fd()).unwrap().unwrap();
        assert_ne!(modes(), cooked);
        drop(raw);
        assert_eq!(modes(), cooked);
        let slave = pty.slave.as_fd();
        let crash = std::panic::catch_unwind(|| {
            let _raw = RawMode::enter(slave).unwrap();
            std::panic::resume_unwind(Box::new("crash"));
        });
        assert!(crash.is_err());
        assert_eq!(modes(), cooked);
    }

    #[test]
    fn a_pipe_is_no_terminal() {
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(RawMode::enter(end.as_fd()).unwrap().is_none());
        assert_eq!(size(&end), None);
    }
}
