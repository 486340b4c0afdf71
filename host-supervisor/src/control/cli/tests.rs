//! Command lines against what they ask for.
use super::*;
use crate::control::protocol::wire::write_call;
use crate::control::target::ContainerName;
use serde_json::Value;

fn parse(line: &str) -> Result<Cli, String> {
    Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())
}

/// The call that a command line makes, as `Method {parameters}`; an error's exit code.
fn asked(line: &str) -> Result<String, u8> {
    let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.exit_code() as u8)?;
    let mut known = || Ok(["web1", "web2", "db"].map(|n| ContainerName::parse(n).unwrap()).to_vec());
    let request = match cli.command {
        Command::Life(life) => life.request(&mut known),
        Command::Make(make) => make.request(&mut known),
        Command::Template(template) => template.request(),
        Command::Look(look::Look::Plan { action, names, .. }) => {
            look::plan_request(action, &names, &mut known)
        }
        Command::Look(_) | Command::Inside(_) | Command::Completion { .. } => {
            panic!("{line} is not tested so")
        }
    };
    let bytes = write_call(&request.map_err(|e| e.exit_code())?, false).unwrap();
    let call: Value = serde_json::from_slice(&bytes[..bytes.len() - 1]).unwrap();
    let method = call["method"].as_str().unwrap().rsplit('.').next().unwrap();
    Ok(format!("{method} {}", call["parameters"]))
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn command_lines_and_their_calls() {
    let check = |line: &str, expect: &str| assert_eq!(asked(line).as_deref(), Ok(expect), "{line}");
    check("ct start web", r#"Start {"targets":["web"],"wait":true}"#);
    check("ct start web/nginx db", r#"Start {"targets":["web/nginx.service","db"],"wait":true}"#);
    check("ct start --no-wait web", r#"Start {"targets":["web"],"wait":false}"#);
    check("ct start web*", r#"Start {"targets":["web1","web2"],"wait":true}"#);
    check("ct start web* web1", r#"Start {"targets":["web1","web2"],"wait":true}"#);
    check(
        "ct start web*/nginx",
        r#"Start {"targets":["web1/nginx.service","web2/nginx.service"],"wait":true}"#,
    );
    check("ct start --all", r#"Start {"targets":["web1","web2","db"],"wait":true}"#);
    check("ct -q start web --root /x", r#"Start {"targets":["web"],"wait":true}"#);
    check("ct stop web", r#"Stop {"now":false,"targets":["web"],"wait":true}"#);
    check("ct stop --now web", r#"Stop {"now":true,"targets":["web"],"wait":true}"#);
    check("ct restart --now web", r#"Restart {"now":true,"targets":["web"],"wait":true}"#);
    check("ct reload web/nginx", r#"Reload {"targets":["web/nginx.service"],"wait":true}"#);
    check("ct kill web", r#"Kill {"signal":15,"targets":["web"]}"#);
    check("ct kill -s KILL web", r#"Kill {"signal":9,"targets":["web"]}"#);
    check("ct kill -s 37 web", r#"Kill {"signal":37,"targets":["web"]}"#);
    check("ct pause web", r#"Pause {"targets":["web"]}"#);
    check("ct resume web", r#"Resume {"targets":["web"]}"#);
    check("ct enable web/cron", r#"Enable {"targets":["web/cron.service"]}"#);
    check("ct disable web", r#"Disable {"targets":["web"]}"#);
    check("ct wait web", r#"Wait {"condition":"ready","targets":["web"]}"#);
    check(
        "ct wait web --for stopped --timeout 1.5",
        r#"Wait {"condition":"stopped","targets":["web"],"timeout_ms":1500}"#,
    );
    check("ct shutdown", "Shutdown {}");
    check("ct upgrade", r#"Upgrade {"force":false}"#);
    check("ct upgrade --force", r#"Upgrade {"force":true}"#);
    check("ct create web --template debian", r#"Create {"name":"web","settings":[],"template":"debian"}"#);
    check(
        "ct create web --set MemoryMax=1G --set Environment=A=b",
        r#"Create {"name":"web","settings":[{"key":"MemoryMax","value":"1G"},{"key":"Environment","value":"A=b"}]}"#,
    );
    check("ct destroy --yes web*", r#"Destroy {"names":["web1","web2"]}"#);
    check(
        "ct set web MemoryMax= --save",
        r#"Set {"name":"web","save":true,"settings":[{"key":"MemoryMax","value":""}]}"#,
    );
    check("ct plan start web*", r#"Plan {"action":"start","settings":[],"targets":["web1","web2"]}"#);
    check("ct plan boot", r#"Plan {"action":"boot","settings":[],"targets":[]}"#);
    check(
        "ct plan set web CPUs=2",
        r#"Plan {"action":"set","settings":[{"key":"CPUs","value":"2"}],"targets":["web"]}"#,
    );
    check("ct template list", "TemplateList {}");
    check("ct template import /tmp/debian-12.tar.xz", r#"TemplateImport {"file":0,"name":"debian-12"}"#);
    check("ct template import --name d -", r#"TemplateImport {"file":0,"name":"d"}"#);
    check("ct template build d r.conf", r#"TemplateBuild {"file":0,"name":"d","settings":[]}"#);
    check("ct template build d", r#"TemplateBuild {"name":"d","settings":[]}"#);
    check("ct template remove a b", r#"TemplateRemove {"names":["a","b"]}"#);
}

#[test]
fn wrong_command_lines_and_their_exit_codes() {
    let check = |line: &str, expect: u8| assert_eq!(asked(line), Err(expect), "{line}");
    check("ct", 2);
    check("ct fly", 2);
    check("ct --help", 0);
    check("ct --version", 0);
    check("ct start", 2);
    check("ct start --all web", 2);
    check("ct start ../etc", 2);
    check("ct start a/b/c", 2);
    check("ct start x*", 3);
    check("ct kill -s NONSENSE web", 2);
    check("ct wait web --for ever", 2);
    check("ct wait web --timeout soon", 2);
    check("ct create a/b", 2);
    check("ct destroy web/nginx", 2);
    check("ct set web", 2);
    check("ct set web MemoryMax", 2);
    check("ct set web =1", 2);
    check("ct plan", 2);
    check("ct plan start", 2);
    check("ct plan boot web", 2);
    check("ct plan set web", 2);
    check("ct plan set web CPUs", 2);
    check("ct template import -", 2);
    check("ct template remove", 2);
}

#[test]
fn commands_to_run_inside() {
    let check = |line: &str, terminal: bool, expect: (&[&str], bool, Option<&str>)| {
        let Command::Inside(inside::Inside::Exec(arguments)) = parse(line).unwrap().command else {
            panic!("{line} is no exec")
        };
        let exec = arguments.exec(terminal);
        let argv: Vec<&str> = exec.argv.iter().map(String::as_str).collect();
        assert_eq!((argv.as_slice(), exec.tty, exec.user.as_deref()), expect, "{line}");
    };
    check("ct exec web ls", false, (&["ls"], false, None));
    check("ct exec web -- ls -l --root x", false, (&["ls", "-l", "--root", "x"], false, None));
    check("ct exec web ls -l -q", false, (&["ls", "-l", "-q"], false, None));
    check("ct exec web --user www -- id", true, (&["id"], true, Some("www")));
    check("ct exec --user www web id", true, (&["id"], true, Some("www")));
    check("ct exec -T web id", true, (&["id"], false, None));
    check("ct exec -t web id", false, (&["id"], true, None));
    check("ct exec -t -T web id", true, (&["id"], false, None));
    check("ct exec web -- -x", false, (&["-x"], false, None));
    assert!(parse("ct exec web").is_err());
    assert!(parse("ct exec web --").is_err());
    assert!(parse("ct exec --env A web id").is_err());
}

#[test]
fn the_environment_that_was_asked_for_comes_last() {
    let Command::Inside(inside::Inside::Exec(arguments)) =
        parse("ct exec web --env A=1 --env B=x=y -- env").unwrap().command
    else {
        panic!("no exec")
    };
    let pairs =
        |a: &[(&str, &str)]| a.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>();
    assert_eq!(arguments.exec(false).environment, pairs(&[("A", "1"), ("B", "x=y")]));
    assert!(arguments.exec(true).environment.ends_with(&pairs(&[("A", "1"), ("B", "x=y")])));
}

fn no_mistakes(_: &Path, _: &[PathBuf]) -> Vec<Diagnostic> {
    Vec::new()
}
fn one_mistake(_: &Path, _: &[PathBuf]) -> Vec<Diagnostic> {
    let severity = units::Severity::Error;
    vec![Diagnostic { path: "a".into(), line: 1, column: 2, severity, message: "x".into() }]
}

#[test]
fn without_a_supervisor() {
    let root = tempfile::tempdir().unwrap();
    let check = |line: &str, mistakes: fn(&Path, &[PathBuf]) -> Vec<Diagnostic>, expect: u8| {
        let line = format!("ct -q --root {} {line}", root.path().display());
        let hooks = Hooks { check: mistakes };
        assert_eq!(run(line.split_whitespace().map(OsString::from), hooks), expect, "{line}");
    };
    check("list", no_mistakes, 4);
    check("start web", no_mistakes, 4);
    check("start --all", no_mistakes, 4);
    check("exec web true", no_mistakes, 4);
    check("logs web", no_mistakes, 4);
    check("events -f", no_mistakes, 4);
    check("check", no_mistakes, 0);
    check("check a.container", one_mistake, 1);
    check("completion bash", no_mistakes, 0);
    check("completion zsh", no_mistakes, 0);
    check("completion fish", no_mistakes, 0);
    check("template import /nonexistent.tar", no_mistakes, 1);
}
