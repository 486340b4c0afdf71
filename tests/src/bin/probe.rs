//! probe: the little that a shell inside can't do. Says something to `$NOTIFY_SOCKET`.
//!
//! `probe notify TEXT…` says it and ends; `probe notify-and-stay TEXT…` says it and waits for its end.
use std::os::unix::net::UnixDatagram;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (verb, texts) = arguments.split_first().expect("a verb");
    let socket = UnixDatagram::unbound().expect("make a socket");
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET is set");
    socket.send_to(texts.join("\n").as_bytes(), path).expect("send");
    match verb.as_str() {
        "notify" => {}
        "notify-and-stay" => loop {
            nix::unistd::pause();
        },
        other => panic!("{other}?"),
    }
}
