//! probe: the little that a shell inside can't do. Says something to `$NOTIFY_SOCKET`.
//!
//! `probe notify TEXT…` says it and ends; `notify-and-wait` waits until it has been heard; `notify-and-stay` for ever.
//! `probe await NAME` says that it is up, waits for any signal and says which came: no race as a shell's traps have.
use nix::sys::signal::SigSet;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::io::{IoSlice, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (verb, texts) = arguments.split_first().expect("a verb");
    if verb == "await" {
        return wait_for_a_signal(&texts.join(" "));
    }
    let socket = UnixDatagram::unbound().expect("make a socket");
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET is set");
    socket.send_to(texts.join("\n").as_bytes(), &path).expect("send");
    match verb.as_str() {
        "notify" => {}
        "notify-and-wait" => barrier(&socket, &path),
        "notify-and-stay" => loop {
            nix::unistd::pause();
        },
        other => panic!("{other}?"),
    }
}

fn wait_for_a_signal(name: &str) {
    let all = SigSet::all();
    all.thread_block().expect("block signals");
    println!("{name} up");
    println!("{name} {}", all.wait().expect("wait for a signal"));
}

/// The other side closes its copy of the writer once it has read everything up to here.
fn barrier(socket: &UnixDatagram, path: &str) {
    let (mut reader, writer) = std::io::pipe().expect("make a pipe");
    let fds = [writer.as_raw_fd()];
    let address = UnixAddr::new(path).expect("a short path");
    let data = [IoSlice::new(b"BARRIER=1")];
    let control = [ControlMessage::ScmRights(&fds)];
    sendmsg(socket.as_raw_fd(), &data, &control, MsgFlags::empty(), Some(&address)).expect("send");
    drop(writer);
    assert_eq!(reader.read(&mut [0u8]).expect("wait"), 0);
}
