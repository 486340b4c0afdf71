//! hostile: a host's client that speaks nonsense, too much, or nothing. PID 1 goes on.
use crate::can;
use ct_init::proto::{MAX_PACKET, Request, VERSION, Verb};
use std::os::fd::AsRawFd;
use tests::client::Client;
use tests::pid1::Pid1;

fn hello() -> Vec<u8> {
    postcard::to_stdvec(&Request::Hello { version: VERSION }).expect("encode")
}

/// Descriptors that PID 1 has open.
fn descriptors(pid1: &Pid1) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", pid1.pid())).expect("list descriptors").count()
}

#[test]
fn nonsense_closes_the_connection_and_nothing_else() {
    if !can("nonsense_closes_the_connection_and_nothing_else") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    let huge_list: Vec<u8> = [vec![5], vec![0xff; 9], vec![1]].concat();
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("no greeting", vec![postcard::to_stdvec(&Request::Watch).expect("encode")]),
        ("no greeting, a shutdown", vec![postcard::to_stdvec(&Request::Shutdown).expect("encode")]),
        ("an unknown number", vec![vec![200]]),
        ("one byte", vec![vec![0]]),
        ("bytes behind the message", vec![[hello(), vec![0]].concat()]),
        ("garbage after a greeting", vec![hello(), vec![0xff; 100]]),
        ("the largest packet, of ones", vec![hello(), vec![0xff; MAX_PACKET]]),
        ("a packet that is too large", vec![hello(), vec![0; MAX_PACKET + 1]]),
        ("a string longer than the packet", vec![hello(), vec![2, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, b'a']]),
        ("an exec with a huge list", vec![hello(), huge_list]),
        ("not UTF-8", vec![hello(), vec![2, 1, 2, 0xff, 0xfe, 0]]),
    ];
    let mut round = || {
        for (what, packets) in &cases {
            let mut client = Client::silent(&pid1.socket());
            packets.iter().for_each(|p| client.raw(p, &[]));
            client.closed();
            assert_eq!(watch.state("a.service").active, "active", "{what}");
        }
        descriptors(&pid1)
    };
    // What the boot had open for a moment is closed after the first round.
    let before = round();
    assert_eq!(round(), before);
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    if !can("descriptors_that_nobody_asked_for_are_closed") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    let mut watch = pid1.ready();
    let before = descriptors(&pid1);
    let null = std::fs::File::open("/dev/null").expect("open /dev/null");
    let mut client = Client::connect(&pid1.socket());
    for n in 1..=3 {
        let list = postcard::to_stdvec(&Request::List { tag: n }).expect("encode");
        client.raw(&list, &vec![null.as_raw_fd(); n as usize]);
        let _: Option<ct_init::proto::Report> = client.receive();
    }
    watch.list();
    assert_eq!(descriptors(&pid1), before + 1, "the connection itself, and nothing that came over it");
    // More than fit: the connection goes, and with it all of them.
    client.raw(&hello(), &[null.as_raw_fd(); 60]);
    client.closed();
    watch.list();
    assert_eq!(descriptors(&pid1), before);
}

#[test]
fn idle_connections_do_not_keep_others_out_for_ever() {
    if !can("idle_connections_do_not_keep_others_out_for_ever") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    let mut watch = pid1.ready();
    let idle: Vec<Client> = (0..40).map(|_| Client::silent(&pid1.socket())).collect();
    watch.list();
    assert_eq!(pid1.sh("echo hi").output(), "hi\n");
    drop(idle);
    watch.list();
    assert_eq!(pid1.sh("echo hi").output(), "hi\n");
}

#[test]
fn a_client_that_asks_and_never_reads_is_dropped() {
    if !can("a_client_that_asks_and_never_reads_is_dropped") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        for i in 0..40 {
            root.unit(&format!("u{i}.service"), "[Unit]\nDescription=A long line of words that says nothing at all\n[Service]\nExecStart=/bin/true\n");
            root.enable(&format!("u{i}.service"));
        }
    });
    let mut watch = pid1.ready();
    let mut client = Client::connect(&pid1.socket());
    let list = postcard::to_stdvec(&Request::List { tag: 1 }).expect("encode");
    for _ in 0..3000 {
        client.raw(&list, &[]);
    }
    assert!(!watch.list().is_empty());
    client.closed();
    let size = std::fs::read_to_string(format!("/proc/{}/status", pid1.pid())).expect("its status");
    let kib: u64 = size
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .expect("VmRSS");
    assert!(kib < 64 * 1024, "PID 1 grew to {kib} KiB");
}

#[test]
fn units_of_strange_names_are_refused_in_a_sentence() {
    if !can("units_of_strange_names_are_refused_in_a_sentence") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    let mut watch = pid1.ready();
    for name in ["", "/", "../../etc/passwd", "a.service/b", "none.service", "x", "a\nb.service", "@.service"]
    {
        let refusal = watch.unit(name, Verb::Start).expect_err(name);
        assert!(!refusal.is_empty() && !refusal.contains('\n'), "{name:?}: {refusal:?}");
    }
    let long = "x".repeat(5000) + ".service";
    assert!(watch.unit(&long, Verb::Start).is_err());
}

/// Inside, a service may send what it likes to the notify socket.
#[test]
fn notify_garbage_from_inside_is_ignored() {
    if !can("notify_garbage_from_inside_is_ignored") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script("srv/run", "probe notify ''\nprobe notify MAINPID=1\nprobe notify MAINPID=99999999999\nprobe notify WATCHDOG_USEC=x EXTEND_TIMEOUT_USEC=-1\nprobe notify \"$(seq 3000)\"\necho done\nexec sleep 1000");
        root.service("a", "NotifyAccess=all\nExecStart=/srv/run");
    });
    let mut watch = pid1.ready();
    pid1.logged("a.service", "done");
    let status = watch.state("a.service");
    assert_eq!(status.active, "active");
    assert_ne!(status.pid, 1);
    watch.unit("a.service", Verb::Stop).expect("it can be stopped");
}
