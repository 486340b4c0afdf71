//! table: rows in columns, `ct list` first of all. Pure.
use super::quantity::{cpu, seconds, size};
use crate::control::protocol::{BlameRow, ContainerRow, ContainerState};
use comfy_table::{CellAlignment, Table};

/// Columns two spaces apart, no lines; the columns with these numbers are flush right. Ends in a newline.
pub fn table(head: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&n) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    text.concat()
}

/// Whether states are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With ANSI colours.
    Yes,
    /// Plain text.
    No,
}

/// `ct blame`.
pub fn blame(rows: &[BlameRow]) -> String {
    let at = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| format!("{:.3}s", ms as f64 / 1000.0));
    let row = |r: &BlameRow| {
        let took = r.ready.zip(r.began).map(|(ready, began)| ready.saturating_sub(began));
        let last = r.last.clone().unwrap_or_else(|| "-".to_owned());
        vec![r.name.clone(), at(r.began), at(took), at(r.ready), last, r.outcome.clone()]
    };
    let head = ["NAME", "BEGAN", "TOOK", "READY", "WAITED FOR", "OUTCOME"];
    table(&head, &[1, 2, 3], rows.iter().map(row))
}

/// `ct list`.
pub fn containers(rows: &[ContainerRow], colour: Colour) -> String {
    let head = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "CPU", "MEM", "DISK", "ADDRESS"];
    let cells = rows.iter().map(|r| {
        vec![
            r.name.to_string(),
            r.state.word().to_owned(),
            r.pid.map_or("-".to_owned(), |p| p.to_string()),
            r.uptime.map_or("-".to_owned(), seconds),
            r.restarts.to_string(),
            r.cpu.map_or("-".to_owned(), cpu),
            r.mem.map_or("-".to_owned(), size),
            r.disk.map_or("-".to_owned(), size),
            if r.address.is_empty() { "-".to_owned() } else { r.address.clone() },
        ]
    });
    let plain = table(&head, &[2, 3, 4, 5, 6, 7], cells);
    match colour {
        Colour::No => plain,
        Colour::Yes => coloured(&plain, rows),
    }
}

/// Paints the state in each line; the lines are the header and then the rows.
fn coloured(plain: &str, rows: &[ContainerRow]) -> String {
    let column = plain.find("STATE").unwrap_or(0);
    let mut lines = plain.lines();
    let mut text = lines.next().map_or(String::new(), |head| format!("{head}\n"));
    for (line, row) in lines.zip(rows) {
        let (before, after) = line.split_at_checked(column).unwrap_or((line, ""));
        let rest = after.strip_prefix(row.state.word()).unwrap_or(after);
        text.push_str(&format!("{before}{}{rest}\n", painted(row.state)));
    }
    text
}

/// A state's word in its colour.
pub fn painted(state: ContainerState) -> String {
    let code = match state {
        ContainerState::Running => "32",
        ContainerState::Degraded | ContainerState::Restarting => "33",
        ContainerState::Failed | ContainerState::Stuck => "31",
        ContainerState::Starting | ContainerState::Stopping => "36",
        ContainerState::Paused => "35",
        ContainerState::Stopped => "2",
    };
    format!("\x1b[{code}m{}\x1b[0m", state.word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::tests::samples::{name, row};

    fn rows() -> Vec<ContainerRow> {
        let stopped = ContainerRow {
            name: name("a-long-name@7"),
            state: ContainerState::Stopped,
            pid: None,
            uptime: None,
            restarts: 0,
            cpu: None,
            mem: None,
            disk: None,
            address: String::new(),
        };
        vec![row(), stopped]
    }

    #[test]
    fn list() {
        let expect = "\
NAME           STATE     PID  UPTIME  RESTARTS    CPU   MEM  DISK  ADDRESS
web            running  4021    1d2h         2  1m15s  187M  3.0G  10.0.0.2
a-long-name@7  stopped     -       -         0      -     -     -  -
";
        assert_eq!(containers(&rows(), Colour::No), expect);
        assert_eq!(
            containers(&[], Colour::No),
            "NAME  STATE  PID  UPTIME  RESTARTS  CPU  MEM  DISK  ADDRESS\n"
        );
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let painted = containers(&rows(), Colour::Yes);
        assert!(painted.contains("\x1b[32mrunning\x1b[0m  4021"));
        let mut plain = painted;
        for code in ["\x1b[32m", "\x1b[2m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, containers(&rows(), Colour::No));
    }
}
