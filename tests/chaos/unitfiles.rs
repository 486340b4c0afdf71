//! unitfiles: that change, break or go while their container runs.
use crate::can;
use std::fs;
use tests::supervisor::Supervisor;

/// What becomes of the file (none: it goes), what `ct check` then ends with, and `ct start` after a stop, with words.
type Change = (&'static str, Option<&'static str>, i32, i32, &'static [&'static str]);

const CHANGES: &[Change] = &[
    ("changed", Some("[Resources]\nMemoryMax=100M"), 0, 0, &[]),
    ("broken", Some("[Resources]\nMemoryMax=512Q"), 1, 1, &["MemoryMax"]),
    ("garbage", Some("\u{0}\u{1}[[["), 1, 1, &["web.container"]),
    ("gone", None, 0, 3, &["web"]),
];

#[test]
fn a_unit_that_breaks_while_its_container_runs_stops_nothing() {
    if !can("a_unit_that_breaks_while_its_container_runs_stops_nothing") {
        return;
    }
    for (what, text, check, start, words) in CHANGES {
        let mut s = Supervisor::start_with(|s| {
            s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
        });
        s.ct(&["start", "web"]).ok();
        let pid = s.row("web")["pid"].clone();
        let file = s.root().join("etc/ct/web.container");
        match text {
            Some(text) => {
                let old = fs::read_to_string(&file).expect("read it");
                fs::write(&file, old + text + "\n").expect("change it");
            }
            None => fs::remove_file(&file).expect("remove it"),
        }
        let ran = s.ct(&["check"]);
        assert_eq!(ran.code, *check, "{what}: {ran:?}");
        s.ct(&["status", "web"]).ok();
        assert_eq!((s.state("web").as_str(), &s.row("web")["pid"]), ("running", &pid), "{what}");
        // Nor does a supervisor that reads it for the first time.
        s.end(15);
        s.run();
        assert_eq!((s.state("web").as_str(), &s.row("web")["pid"]), ("running", &pid), "{what}, adopted");
        assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n", "{what}");
        s.ct(&["stop", "web"]).ok();
        let ran = s.ct(&["start", "web"]);
        assert_eq!(ran.code, *start, "{what}: {ran:?}");
        assert!(words.iter().all(|w| ran.err.contains(w)), "{what}: {ran:?}");
        s.finish();
    }
}
