//! clock: a host's clock is set back and forward. Timers and restarts go on, and nothing is made up for.
use crate::can;
use crate::host::shared;

#[test]
fn a_clock_that_is_set_a_day_back_or_forward_stops_nothing() {
    if !can("a_clock_that_is_set_a_day_back_or_forward_stops_nothing") {
        return;
    }
    let host = shared();
    let count = |name: &str| host.run(&format!("cat /root/{name} 2>/dev/null")).out.lines().count();
    // One that ends at once and is started again after a while, one that a timer starts by the time that has passed,
    // one by the clock each second, and one that is due once a day, at noon.
    let again = "ExecStart=/bin/sh -c 'echo >>/root/again'\nRestart=always\nRestartSec=500ms";
    host.service("again", &format!("{again}\nStartLimitIntervalSec=0"));
    let timers = [
        ("passing", "OnActiveSec=0\nOnUnitActiveSec=500ms\nAccuracySec=1ms"),
        ("second", "OnCalendar=*-*-* *:*:*\nAccuracySec=1ms"),
        ("noon", "OnCalendar=*-*-* 12:00:00\nAccuracySec=1ms"),
    ];
    for (name, lines) in timers {
        host.service(
            name,
            &format!(
                "Type=oneshot\nExecStart=/bin/sh -c 'echo >>/root/{name}'\n[Unit]\nStartLimitIntervalSec=0"
            ),
        );
        host.file(&format!("/etc/systemd/system/{name}.timer"), &format!("[Timer]\n{lines}"));
    }
    host.ending("web", "Restart=always\nRestartSec=500ms");
    host.file("/srv/web/srv/init", "#!/bin/sh\necho start >>/srv/starts\nexit 1");
    host.container("logs", "");
    let line = |text: &str| host.ct(&format!("exec logs -- logger -t test {text}")).ok();
    let since = |what: &str| host.ct(&format!("logs logs --since '{what}'")).ok();
    // In the evening, so that a day has one noon.
    host.run("date -u +%s >/root/real; date -u -s '2030-05-05 20:00:00'").ok();
    host.ct_init("start again passing.timer second.timer noon.timer").ok();
    host.ct("restart --now --no-wait web").ok();
    line("evening");
    for (to, noons) in [("2030-05-04 20:00:00", 0), ("2030-05-05 20:00:01", 1), ("2030-05-04 08:00:00", 1)] {
        let names = ["again", "passing", "second"];
        let before = names.map(count);
        let (starts, began) = (host.starts("web"), host.run("cat /proc/uptime").ok());
        host.run(&format!("date -u -s '{to}'")).ok();
        // All go on.
        for (name, before) in names.iter().zip(before) {
            host.until(&format!("[ $(wc -l </root/{name}) -ge {} ]", before + 3));
        }
        host.until(&format!("[ $(wc -l </srv/web/srv/starts) -ge {} ]", starts + 2));
        // And none more often than in the time that has passed for the machine.
        let uptime =
            |text: &str| text.split('.').next().and_then(|t| t.parse::<usize>().ok()).expect("seconds");
        let passed = uptime(&host.run("cat /proc/uptime").ok()) - uptime(&began) + 2;
        for (name, before) in names.iter().zip(before) {
            let more = count(name) - before;
            assert!(more <= 2 * passed, "{name} after {to}: {more} in {passed} s");
        }
        assert!(host.starts("web") - starts <= 2 * passed, "web after {to}");
        assert_eq!(count("noon"), noons, "after {to}");
    }
    // Lines keep the time at which they came, and --since asks for that.
    line("morning");
    let late = since("2030-05-05 19:00:00");
    assert!(late.contains("evening"), "{late}\n{}", host.ct("logs logs").ok());
    let day = since("2030-05-04 07:00:00");
    assert!(day.contains("morning") && day.contains("evening"), "{day}");
    assert!(!since("2030-05-05 19:00:00").contains("morning"));
    assert!(since("10min").contains("morning"));
    host.ct_init("stop again passing.timer second.timer noon.timer").ok();
    host.run("date -u -s @$(($(cat /root/real) + 60)); rm /root/again /root/passing /root/second /root/noon")
        .ok();
}
