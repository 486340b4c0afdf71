//! The interface's text and the types say the same, and the wire brings back what it was given.
pub(crate) mod samples;

use super::wire::{Ask, CallError, read_answer, read_call, write_call, write_reply};
use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The interface's text, taken apart.
#[derive(Default)]
struct Idl {
    types: BTreeMap<String, Shape>,
    methods: BTreeMap<String, (Fields, Fields)>,
    errors: Vec<String>,
}
type Fields = Vec<(String, String)>;
enum Shape {
    Words(Vec<String>),
    Object(Fields),
}

fn read_idl(text: &str) -> Idl {
    let plain: String = text.lines().filter(|l| !l.starts_with('#')).flat_map(|l| [l, " "]).collect();
    let mut idl = Idl::default();
    let starts = ["type ", "method ", "error "];
    let mut rest = plain.as_str();
    while let Some(at) = starts.iter().filter_map(|s| rest.find(&format!(" {s}"))).min() {
        rest = &rest[at + 1..];
        let (kind, after) = rest.split_once(' ').unwrap();
        let (name, after) = after.split_once('(').unwrap();
        let (inside, after) = after.split_once(')').unwrap();
        match kind {
            "type" if inside.contains(':') => {
                idl.types.insert(name.trim().to_owned(), Shape::Object(fields(inside)));
            }
            "type" => {
                let words = inside.split(',').map(|w| w.trim().to_owned()).collect();
                idl.types.insert(name.trim().to_owned(), Shape::Words(words));
            }
            "method" => {
                let (_, out) = after.split_once('(').unwrap();
                let (out, _) = out.split_once(')').unwrap();
                idl.methods.insert(name.trim().to_owned(), (fields(inside), fields(out)));
            }
            _ => idl.errors.push(name.trim().to_owned()),
        }
        rest = after;
    }
    idl
}

fn fields(text: &str) -> Fields {
    let pairs = text.split(',').filter(|f| !f.trim().is_empty());
    pairs
        .map(|f| f.split_once(':').unwrap())
        .map(|(n, t)| (n.trim().to_owned(), t.trim().to_owned()))
        .collect()
}

impl Idl {
    /// Panics where a value is not of a type.
    fn hold(&self, at: &str, kind: &str, value: &Value) {
        if let Some(inner) = kind.strip_prefix('?') {
            if !value.is_null() {
                self.hold(at, inner, value);
            }
            return;
        }
        if let Some(inner) = kind.strip_prefix("[]") {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no array"));
            return items.iter().for_each(|v| self.hold(at, inner, v));
        }
        if let Some(inner) = kind.strip_prefix("[string]") {
            let items = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no map"));
            return items.values().for_each(|v| self.hold(at, inner, v));
        }
        match kind {
            "int" => assert!(value.is_i64() || value.is_u64(), "{at}: {value} is no int"),
            "string" => assert!(value.is_string(), "{at}: {value} is no string"),
            "bool" => assert!(value.is_boolean(), "{at}: {value} is no bool"),
            name => match self.types.get(name).unwrap_or_else(|| panic!("{at}: there is no type {name}")) {
                Shape::Words(words) => {
                    assert!(words.iter().any(|w| value == w), "{at}: {value} is no {name}");
                }
                Shape::Object(fields) => self.hold_fields(&format!("{at}.{name}"), fields, value),
            },
        }
    }
    fn hold_fields(&self, at: &str, fields: &Fields, value: &Value) {
        let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
        for key in object.keys() {
            assert!(fields.iter().any(|(n, _)| n == key), "{at}: the text lacks {key}");
        }
        for (name, kind) in fields {
            self.hold(&format!("{at}.{name}"), kind, object.get(name).unwrap_or(&Value::Null));
        }
    }
}

fn target() -> Vec<Target> {
    vec![Target::parse("web/nginx").unwrap(), Target::parse("db").unwrap()]
}
fn web() -> ContainerName {
    ContainerName::parse("web").unwrap()
}
fn setting() -> Vec<Setting> {
    vec![Setting { key: "MemoryMax".into(), value: "1G".into() }]
}

/// One of each, with every optional field there.
fn requests() -> Vec<Request> {
    use Request as R;
    let (targets, settings, name) = (target(), setting(), web());
    let first = targets[0].clone();
    vec![
        R::List {},
        R::Status { target: first.clone(), lines: Some(3) },
        R::Start { targets: targets.clone(), wait: false },
        R::Stop { targets: targets.clone(), wait: true, now: true },
        R::Restart { targets: targets.clone(), wait: true, now: true },
        R::Reload { targets: targets.clone(), wait: true },
        R::Kill { targets: targets.clone(), signal: 15 },
        R::Create { name: name.clone(), template: Some("debian".into()), settings: settings.clone() },
        R::Destroy { names: vec![name.clone()] },
        R::Show { name: name.clone(), key: Some("MemoryMax".into()) },
        R::Check {},
        R::Plan { action: Action::Set, targets: targets.clone(), settings: settings.clone() },
        R::Exec { name: name.clone() },
        R::Logs { target: first, lines: Some(1), since: Some(2) },
        R::Pause { targets: targets.clone() },
        R::Resume { targets: targets.clone() },
        R::Set { name, settings: settings.clone(), save: true },
        R::Enable { targets: targets.clone() },
        R::Disable { targets: targets.clone() },
        R::Wait { targets, condition: Condition::Ready, timeout_ms: Some(5) },
        R::TemplateList {},
        R::TemplateImport { name: "debian".into(), file: 0 },
        R::TemplateBuild { name: "debian".into(), file: Some(0), settings },
        R::TemplateRemove { names: vec!["debian".into()] },
        R::Boot {},
        R::Blame {},
        R::Shutdown {},
        R::Version {},
        R::Upgrade { force: true },
        R::Events { follow: true },
    ]
}

/// What a call can be answered with, every optional field there.
fn bodies(request: &Request) -> Vec<Body> {
    use Request as R;
    let fault = Fault::new(FaultKind::Failed, "it broke").hint("mend it");
    let outcomes = vec![Outcome { error: Some(fault), note: Some("x".into()), ..Outcome::done("web") }];
    let progress = || Body::Progress { progress: Progress { target: "web".into(), line: "ready".into() } };
    let template = || Template {
        name: "debian".into(),
        size: 1,
        created: Some(2),
        containers: vec![web()],
        description: "Debian".into(),
    };
    let line = || LogLine { at: 1, unit: "a.service".into(), text: "x".into() };
    match request {
        R::List {} => vec![Body::List { containers: vec![samples::row()] }],
        R::Status { .. } => vec![Body::Status { status: Box::new(samples::status()) }],
        R::Show { .. } => vec![Body::Show {
            spec: vec![SpecEntry {
                section: "Resources".into(),
                key: "MemoryMax".into(),
                value: "1G".into(),
                origin: Some("web.container:3".into()),
            }],
        }],
        R::Check {} => vec![Body::Check {
            mistakes: vec![Mistake {
                path: "a".into(),
                line: 1,
                column: 2,
                severity: Severity::Warning,
                message: "x".into(),
            }],
        }],
        R::Plan { .. } => vec![Body::Plan { steps: vec!["a".into()], refused: vec!["b".into()] }],
        R::Blame {} => vec![Body::Blame {
            boot: vec![BlameRow {
                name: "web".into(),
                began: Some(1),
                ready: Some(2),
                last: Some("db".into()),
                outcome: "ready".into(),
            }],
        }],
        R::Exec { .. } => vec![Body::Socket { socket: 0 }],
        R::Logs { .. } => vec![Body::Socket { socket: 0 }, Body::Line { line: Some(line()) }],
        R::Set { .. } => vec![Body::Set(SetResult { saved: Some("f".into()), ..SetResult::default() })],
        R::TemplateList {} => vec![Body::Templates { templates: vec![template()] }],
        R::TemplateImport { .. } | R::TemplateBuild { .. } => {
            vec![Body::Template { template: template() }, progress()]
        }
        R::Version {} | R::Upgrade { .. } => {
            vec![Body::Version(Version { version: "0.1.0".into(), pid: 7, format: 1 })]
        }
        R::Events { .. } => vec![Body::Event {
            event: Some(EventRow {
                at: 1,
                event: "state".into(),
                container: Some(web()),
                unit: Some("a.service".into()),
                message: "x".into(),
                fields: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            }),
        }],
        R::Start { .. } | R::Stop { .. } | R::Restart { .. } | R::Reload { .. } | R::Kill { .. } => {
            vec![Body::Outcomes { outcomes }, progress()]
        }
        R::Boot {}
        | R::Create { .. }
        | R::Destroy { .. }
        | R::Pause { .. }
        | R::Resume { .. }
        | R::Enable { .. } => {
            vec![Body::Outcomes { outcomes }, progress()]
        }
        R::Disable { .. } | R::Wait { .. } | R::TemplateRemove { .. } | R::Shutdown {} => {
            vec![Body::Outcomes { outcomes }, progress()]
        }
    }
}

#[test]
fn the_text_and_the_types_say_the_same() {
    let idl = read_idl(idl::TEXT);
    let mut seen = Vec::new();
    for request in requests() {
        let call = serde_json::to_value(&request).unwrap();
        let method = call["method"].as_str().unwrap().to_owned();
        let (takes, gives) = idl.methods.get(&method).unwrap_or_else(|| panic!("the text lacks {method}"));
        idl.hold_fields(&method, takes, &call["parameters"]);
        for (name, _) in takes {
            assert!(call["parameters"].get(name).is_some(), "{method}: the type lacks {name}");
        }
        let mut given = Vec::new();
        for body in bodies(&request) {
            let value = wire::body_value(&body);
            idl.hold_fields(&method, gives, &value);
            given.extend(value.as_object().unwrap().keys().cloned());
        }
        for (name, _) in gives {
            assert!(given.contains(name), "{method}: no reply has {name}");
        }
        seen.push(method);
    }
    let told: Vec<&str> = idl::methods().collect();
    assert_eq!(seen, told, "the text's order is the types' order");
    assert_eq!(idl.errors, FaultKind::ALL.map(|k| k.word().to_owned()));
    let Some(Shape::Words(states)) = idl.types.get("ContainerState") else { panic!("no ContainerState") };
    assert_eq!(*states, ContainerState::ALL.map(|s| s.word().to_owned()));
}

#[test]
fn calls_come_back_from_the_wire() {
    for request in requests() {
        let mut bytes = write_call(&request, true).unwrap();
        assert_eq!(bytes.pop(), Some(0));
        assert!(!bytes.contains(&0));
        assert_eq!(read_call(&bytes).unwrap().ask, Ask::Daemon(request));
    }
}

#[test]
fn calls_as_others_write_them() {
    let check = |text: &str, expect: Result<Ask, &str>| {
        let got = read_call(text.as_bytes()).map(|c| c.ask).map_err(|e| e.to_string());
        match (&got, &expect) {
            (Ok(a), Ok(b)) => assert_eq!(a, b, "{text}"),
            (Err(a), Err(b)) => assert!(a.contains(b), "{text}: {a}"),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("{text}: {got:?}"),
        }
    };
    let ask = |r: Request| Ok(Ask::Daemon(r));
    check(r#"{"method":"io.ct.Supervisor.List"}"#, ask(Request::List {}));
    check(r#"{"method":"io.ct.Supervisor.List","parameters":{}}"#, ask(Request::List {}));
    check(r#"{"method":"io.ct.Supervisor.List","parameters":null,"more":false}"#, ask(Request::List {}));
    let start = Request::Start { targets: vec![Target::parse("web").unwrap()], wait: true };
    check(r#"{"method":"io.ct.Supervisor.Start","parameters":{"targets":["web"]}}"#, ask(start.clone()));
    check(r#"{"method":"io.ct.Supervisor.Start","parameters":{"targets":["web"],"wait":null}}"#, ask(start));
    check(r#"{"method":"org.varlink.service.GetInfo"}"#, Ok(Ask::Info));
    check(r#"{"method":"io.ct.Supervisor.Start"}"#, Err("missing field `targets`"));
    check(
        r#"{"method":"io.ct.Supervisor.Start","parameters":{"targets":["../x"]}}"#,
        Err("not a container's name"),
    );
    check(
        r#"{"method":"io.ct.Supervisor.Start","parameters":{"targets":["a"],"nwo":1}}"#,
        Err("unknown field `nwo`"),
    );
    check(r#"{"method":"io.ct.Supervisor.Kill","parameters":{"targets":["a"],"signal":900}}"#, Err("900"));
    check(r#"{"method":"io.ct.Supervisor.Fly"}"#, Err("no method io.ct.Supervisor.Fly"));
    check(r#"{"method":"io.ct.Other.List"}"#, Err("no interface io.ct.Other"));
    check(r#"{"method":"List"}"#, Err("no interface"));
    check(r#"{"method":"org.varlink.service.GetInterfaceDescription"}"#, Err("interface"));
    check(r#"{"method":"io.ct.Supervisor.List","upgrade":true}"#, Err("upgraded"));
    check(r#"{"method":"io.ct.Supervisor.Events","parameters":{"follow":true}}"#, Err("more"));
    check("", Err("not a varlink call"));
    check("[]", Err("not a varlink call"));
    check("{}", Err("not a varlink call"));
    check("GET / HTTP/1.1", Err("not a varlink call"));
    check(&"[".repeat(60_000), Err("not a varlink call"));
}

#[test]
fn errors_come_back_from_the_wire() {
    for kind in FaultKind::ALL {
        let fault = Fault::new(kind, "start web: no memory").hint("give it more");
        let mut bytes = write_reply(&Reply::Failed(fault.clone()));
        bytes.pop();
        let answer = read_answer(&bytes).unwrap();
        assert_eq!((answer.result, answer.continues), (Err(fault), false));
    }
    let check = |error: CallError, expect: FaultKind| {
        let mut bytes = wire::write_call_error(&error);
        bytes.pop();
        assert_eq!(read_answer(&bytes).unwrap().result.unwrap_err().kind, expect, "{error}");
    };
    check(CallError::Parameter("missing field `name`".into()), FaultKind::Usage);
    check(CallError::Method("io.ct.Supervisor.Fly".into()), FaultKind::Refused);
    check(CallError::Interface("io.ct.Fly".into()), FaultKind::Refused);
    check(CallError::ExpectedMore, FaultKind::Failed);
}

#[test]
fn one_target_that_fails_fails_the_call() {
    let bad = || Outcome::failed("web", Fault::no_container(&web()));
    assert!(matches!(Reply::outcomes(vec![bad()]), Reply::Failed(f) if f.kind == FaultKind::NotFound));
    assert!(matches!(Reply::outcomes(vec![Outcome::done("web")]), Reply::Done(..)));
    assert!(matches!(Reply::outcomes(vec![bad(), Outcome::done("db")]), Reply::Done(..)));
    assert!(matches!(Reply::outcomes(vec![]), Reply::Done(..)));
}

#[test]
fn the_row_has_the_keys_of_the_table() {
    let row = serde_json::to_value(samples::row()).unwrap();
    let keys = ["address", "cpu", "disk", "mem", "name", "pid", "restarts", "state", "uptime"];
    assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    assert_eq!(row["state"], json!("running"));
}

/// JSON of any shape, with the words that the protocol knows among its strings.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let words =
        ["io.ct.Supervisor.Start", "org.varlink.service.GetInfo", "web", "web/nginx", "..", "\u{0}", "é"];
    let word = proptest::sample::select(words.to_vec()).prop_map(Value::from);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word,
        ".{0,8}".prop_map(Value::from),
    ];
    let key = proptest::sample::select(vec![
        "method",
        "parameters",
        "targets",
        "name",
        "more",
        "settings",
        "error",
        "x",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_call_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = read_answer(&bytes);
        if let Err(error) = read_call(&bytes) {
            assert_eq!(wire::write_call_error(&error).iter().filter(|&&b| b == 0).count(), 1);
        }
    }
    #[test]
    fn any_json_is_a_call_or_an_error(value in any_json(), method in 0usize..40) {
        let text = serde_json::to_vec(&value).unwrap();
        let _ = read_answer(&text);
        let _ = read_call(&text);
        let name = idl::methods().nth(method).unwrap_or("Nothing");
        let call = json!({ "method": format!("io.ct.Supervisor.{name}"), "parameters": value, "more": true });
        if let Ok(call) = read_call(&serde_json::to_vec(&call).unwrap()) {
            let Ask::Daemon(request) = call.ask else { panic!("{call:?}") };
            let again = write_call(&request, true).unwrap();
            assert_eq!(read_call(&again[..again.len() - 1]).unwrap().ask, Ask::Daemon(request));
        }
    }
}
