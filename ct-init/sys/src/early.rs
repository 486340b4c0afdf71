//! early: descriptors 0, 1 and 2 are open before anything else of the program runs. Touches no other.
//!
//! The kernel starts the first program of a machine without a console with none of them. Rust's own start-up then opens
//! /dev/null, and aborts where that is not there either: in an empty /dev the machine would panic before its init had
//! run a line.

/// What the dynamic or static loader calls before main.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = open;

/// A program that calls this has [`BEFORE_MAIN`] linked in.
pub fn linked() {
    std::hint::black_box(&BEFORE_MAIN);
}

extern "C" fn open() {
    for fd in 0..3 {
        // SAFETY: fcntl on a number; EBADF if it is not open.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0 {
            continue;
        }
        // SAFETY: a C string; the lowest free number is this one, for those below it are open.
        let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        if null < 0 {
            // SAFETY: a C string. A file in memory takes what is written and has nothing to read.
            unsafe { libc::memfd_create(c"no console".as_ptr(), 0) };
        }
    }
}
