//! manuals: every key, command, flag and exit code is named in man/. A user looks there, and a program's help is short.
use crate::none;
use crate::source::project;
use host_supervisor::control::protocol::idl;
use host_supervisor::resolve::host::KEYS;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// All pages in one text; none while nobody has written one.
fn pages(test: &str) -> Option<String> {
    let dir = fs::read_dir(project().join("man")).into_iter().flatten().flatten();
    let text: String = dir.filter_map(|e| fs::read_to_string(e.path()).ok()).collect();
    if text.is_empty() {
        eprintln!("skipped {test}: man/ is empty");
        return None;
    }
    // mdoc and man write a dash as \- in names of options.
    Some(text.replace("\\-", "-"))
}

#[test]
fn every_key_is_in_a_manual() {
    let Some(text) = pages("every_key_is_in_a_manual") else { return };
    let own = ["Container", "Resources", "Interface"];
    let keys: BTreeSet<&str> = own.iter().flat_map(|s| units::schema::read::keys(s)).collect();
    assert!(keys.len() > 40, "only {} keys", keys.len());
    let missing = keys.into_iter().filter(|k| !crate::source::holds(&text, k)).map(str::to_owned);
    none("a key is done when man/ names it", missing.collect());
}

/// One page; none while nobody has written it.
fn page(name: &str) -> String {
    let text = fs::read_to_string(project().join("man").join(name)).unwrap_or_default();
    text.replace("\\-", "-")
}

#[test]
fn every_key_of_the_host_is_in_its_manual() {
    let text = page("ct.host.conf.5");
    let missing = KEYS.into_iter().filter(|k| !text.contains(&format!(".It Cm {k}= "))).map(str::to_owned);
    none("a key of host.conf is done when ct.host.conf(5) explains it", missing.collect());
}

/// What a word of the interface's text is followed by says what it is.
fn words_before(text: &str, end: char) -> BTreeSet<&str> {
    let code = text.lines().filter(|l| !l.trim_start().starts_with('#'));
    let pieces = code.flat_map(|l| l.split_inclusive(end)).filter_map(|p| p.strip_suffix(end));
    pieces.filter_map(|p| p.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()).collect()
}

#[test]
fn the_whole_interface_is_in_its_manual() {
    let text = page("ct-protocol.7");
    for interface in [idl::TEXT, idl::SERVICE_TEXT] {
        let kinds = ["method ", "type ", "error "];
        let of = |kind| interface.lines().filter_map(move |l: &str| l.strip_prefix(kind));
        let names = kinds.into_iter().flat_map(of).filter_map(|l| l.split([' ', '(']).next());
        let names: BTreeSet<&str> = names.collect();
        let fields = words_before(interface, ':');
        assert!(names.len() > 5 && fields.len() > 5, "{names:?} {fields:?}");
        let explained = |name: &str| {
            let mut items = text.lines().filter(|l| l.starts_with(".It "));
            items.any(|l| crate::source::holds(l, name))
        };
        let missing = names.iter().filter(|n| !explained(n));
        let missing = missing.chain(fields.iter().filter(|f| !crate::source::holds(&text, f)));
        none("ct-protocol(7) names all of the interface", missing.map(|w| (*w).to_owned()).collect());
    }
}

/// Commands (`list`, `template import`) and flags (`--json`) as the shell's completion script knows them.
fn completion() -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let ct = tests::programs::path("ct")?;
    let out = Command::new(ct).args(["completion", "fish"]).output().ok()?;
    let script = String::from_utf8(out.stdout).ok()?;
    let (mut commands, mut flags) = (BTreeSet::new(), BTreeSet::new());
    for line in script.lines().filter(|l| l.starts_with("complete -c ct")) {
        let after = |key: &str| {
            let word = line.split(key).nth(1)?.split_whitespace().next()?;
            // A value with a description is one quoted word, cut at a tab: `ready\t''`. It is no command.
            Some(word.trim_matches(['"', '\'']).to_owned()).filter(|w| !w.contains("\\t"))
        };
        commands.extend(after(" -f -a ").or_else(|| after(" -a ").filter(|_| line.contains(" -f "))));
        flags.extend(after(" -l ").map(|f| format!("--{f}")));
    }
    (!commands.is_empty()).then_some((commands, flags))
}

#[test]
fn every_command_and_flag_is_in_a_manual() {
    let test = "every_command_and_flag_is_in_a_manual";
    let Some(text) = pages(test) else { return };
    let Some((commands, flags)) = completion() else {
        eprintln!("skipped {test}: ct is not built (cargo build -p host-supervisor)");
        return;
    };
    assert!(commands.len() > 20, "only {commands:?}");
    let missing = commands.iter().chain(&flags).filter(|w| !crate::source::holds(&text, w));
    none("a command is done when man/ names it and its flags", missing.cloned().collect());
}

#[test]
fn every_exit_code_is_in_a_manual() {
    let Some(text) = pages("every_exit_code_is_in_a_manual") else { return };
    let part = text.split("EXIT STATUS").nth(1).unwrap_or_default();
    let codes = ["0", "1", "2", "3", "4", "5", "124", "126", "127"];
    let missing = codes.iter().filter(|c| !crate::source::holds(part, c)).map(|c| (*c).to_owned());
    none("ct's exit codes stand under EXIT STATUS", missing.collect());
}
