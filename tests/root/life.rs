//! life: containers start, are listed, end, and come back.
use crate::can;
use tests::supervisor::Supervisor;

#[test]
fn a_container_with_one_service_runs_and_is_listed() {
    if !can("a_container_with_one_service_runs_and_is_listed") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    let table = s.ct(&["list"]).ok();
    assert!(table.lines().next().is_some_and(|l| l.starts_with("NAME") && l.contains("STATE")), "{table}");
    assert!(table.contains("web") && table.contains("running"), "{table}");
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n");
    s.ct(&["stop", "web"]).ok();
    assert_eq!(s.state("web"), "stopped");
    assert_eq!(s.groups_of("web"), Vec::<std::path::PathBuf>::new());
    s.finish();
}
