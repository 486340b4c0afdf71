//! again: ct-init executed anew, on request and out of a crash, and everything goes on.
use crate::can;
use tests::pid1::Pid1;

#[test]
fn a_service_keeps_running_while_ct_init_is_executed_anew() {
    if !can("a_service_keeps_running_while_ct_init_is_executed_anew") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    let before = watch.state("a.service");
    watch.reexec(None).expect("it is executed anew");
    let after = watch.state("a.service");
    assert_eq!((after.pid, after.restarts, after.active.as_str()), (before.pid, 0, "active"));
    assert!(pid1.logs("ct-init").iter().any(|l| l.contains("goes on")));
    assert_eq!(watch.shutdown().leaving, Some(ct_init::proto::Leave::Shutdown));
}
