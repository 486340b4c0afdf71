//! wire: calls and replies to JSON and back, as varlink has them. Never does I/O.
use super::{Body, Fault, FaultKind, Reply, Request, idl};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A call as it arrives.
#[derive(Debug, Deserialize)]
struct RawCall {
    method: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    more: Option<bool>,
    #[serde(default)]
    oneway: Option<bool>,
    #[serde(default)]
    upgrade: Option<bool>,
}

/// A call that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub ask: Ask,
    /// Several replies are welcome.
    pub more: bool,
    /// No reply is wanted.
    pub oneway: bool,
}

/// Who has to answer a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The daemon.
    Daemon(Request),
    /// `org.varlink.service.GetInfo`: the server by itself.
    Info,
    /// `org.varlink.service.GetInterfaceDescription` of this interface.
    Describe(String),
}

/// Why a message is no call that can be answered with more than an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Not JSON, or not an object with a method: the connection can't go on.
    #[error("this is not a varlink call: {0}")]
    Garbage(String),
    /// The interface part of the method.
    #[error("there is no interface {0}")]
    Interface(String),
    /// The method part.
    #[error("there is no method {0}")]
    Method(String),
    /// What is wrong with the parameters.
    #[error("wrong parameters: {0}")]
    Parameter(String),
    /// The method's answer is a stream.
    #[error("this method has to be called with more")]
    ExpectedMore,
    /// `upgrade` is not offered.
    #[error("a connection can't be upgraded")]
    Upgrade,
}

/// Reads one message (without its NUL) as a call.
pub fn read_call(message: &[u8]) -> Result<Call, CallError> {
    let raw: RawCall = serde_json::from_slice(message).map_err(|e| CallError::Garbage(e.to_string()))?;
    if raw.upgrade == Some(true) {
        return Err(CallError::Upgrade);
    }
    let (interface, method) =
        raw.method.rsplit_once('.').ok_or_else(|| CallError::Interface(raw.method.clone()))?;
    let parameters = raw.parameters.unwrap_or_default();
    let more = raw.more == Some(true);
    let ask = match interface {
        idl::SERVICE => service_call(method, &parameters)?,
        idl::INTERFACE => Ask::Daemon(daemon_call(method, parameters)?),
        other => return Err(CallError::Interface(other.to_owned())),
    };
    if let Ask::Daemon(request) = &ask
        && request.streams()
        && !more
    {
        return Err(CallError::ExpectedMore);
    }
    Ok(Call { ask, more, oneway: raw.oneway == Some(true) })
}

fn service_call(method: &str, parameters: &Map<String, Value>) -> Result<Ask, CallError> {
    match method {
        "GetInfo" => Ok(Ask::Info),
        "GetInterfaceDescription" => match parameters.get("interface").and_then(Value::as_str) {
            Some(name) => Ok(Ask::Describe(name.to_owned())),
            None => Err(CallError::Parameter("interface".to_owned())),
        },
        other => Err(CallError::Method(format!("{}.{other}", idl::SERVICE))),
    }
}

fn daemon_call(method: &str, mut parameters: Map<String, Value>) -> Result<Request, CallError> {
    if !idl::methods().any(|m| m == method) {
        return Err(CallError::Method(format!("{}.{method}", idl::INTERFACE)));
    }
    // Varlink writes an absent optional as null or not at all; the types know only the latter.
    parameters.retain(|_, v| !v.is_null());
    let tagged = json!({ "method": method, "parameters": parameters });
    serde_json::from_value(tagged).map_err(|e| CallError::Parameter(e.to_string()))
}

#[derive(Serialize)]
struct RawReply<T: Serialize> {
    parameters: T,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
}

/// A reply as bytes, with its NUL. A body that can't be written becomes a `Failed` reply.
pub fn write_reply(reply: &Reply) -> Vec<u8> {
    let written = match reply {
        Reply::More(body) => frame(&RawReply { parameters: body, continues: true }),
        Reply::Done(body, _) => frame(&RawReply { parameters: body, continues: false }),
        Reply::Failed(fault) => return write_fault(fault),
    };
    written.unwrap_or_else(|e| write_fault(&Fault::of(FaultKind::Failed, &e)))
}

fn write_fault(fault: &Fault) -> Vec<u8> {
    let mut parameters = json!({ "message": fault.message });
    if let (Some(hint), Some(object)) = (&fault.hint, parameters.as_object_mut()) {
        object.insert("hint".to_owned(), Value::from(hint.as_str()));
    }
    error_frame(&format!("{}.{}", idl::INTERFACE, fault.kind.word()), parameters)
}

/// The reply to a call that was not understood.
pub fn write_call_error(error: &CallError) -> Vec<u8> {
    let service = |name: &str, key: &str, value: &str| {
        error_frame(&format!("{}.{name}", idl::SERVICE), json!({ key: value }))
    };
    match error {
        CallError::Garbage(_) => service("InvalidParameter", "parameter", &error.to_string()),
        CallError::Interface(name) => service("InterfaceNotFound", "interface", name),
        CallError::Method(name) => service("MethodNotFound", "method", name),
        CallError::Parameter(what) => service("InvalidParameter", "parameter", what),
        CallError::ExpectedMore => error_frame(&format!("{}.ExpectedMore", idl::SERVICE), json!({})),
        CallError::Upgrade => service("MethodNotImplemented", "method", "upgrade"),
    }
}

/// The answer to `GetInfo`.
pub fn write_info() -> Vec<u8> {
    let info = json!({ "parameters": {
        "vendor": "ct",
        "product": "host-supervisor",
        "version": env!("CARGO_PKG_VERSION"),
        "url": "",
        "interfaces": [idl::SERVICE, idl::INTERFACE],
    }});
    frame(&info).unwrap_or_default()
}

/// The answer to `GetInterfaceDescription`.
pub fn write_description(interface: &str) -> Vec<u8> {
    let text = match interface {
        idl::INTERFACE => idl::TEXT,
        idl::SERVICE => idl::SERVICE_TEXT,
        other => return write_call_error(&CallError::Interface(other.to_owned())),
    };
    frame(&json!({ "parameters": { "description": text } })).unwrap_or_default()
}

fn error_frame(name: &str, parameters: Value) -> Vec<u8> {
    frame(&json!({ "error": name, "parameters": parameters })).unwrap_or_default()
}

fn frame<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(0);
    Ok(bytes)
}

/// A call as bytes, with its NUL.
pub fn write_call(request: &Request, more: bool) -> Result<Vec<u8>, serde_json::Error> {
    let mut call = serde_json::to_value(request)?;
    if let Some(object) = call.as_object_mut() {
        let method = object.get("method").and_then(Value::as_str).unwrap_or_default();
        let full = format!("{}.{method}", idl::INTERFACE);
        object.insert("method".to_owned(), Value::from(full));
        if more {
            object.insert("more".to_owned(), Value::from(true));
        }
    }
    frame(&call)
}

/// A reply as the client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// More will follow.
    pub continues: bool,
    /// Parameters, or the error.
    pub result: Result<Value, Fault>,
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    continues: bool,
}

/// Reads one message (without its NUL) as a reply.
pub fn read_answer(message: &[u8]) -> Result<Answer, serde_json::Error> {
    let raw: RawAnswer = serde_json::from_slice(message)?;
    let result = match raw.error {
        None => Ok(raw.parameters),
        Some(name) => Err(read_fault(&name, &raw.parameters)),
    };
    Ok(Answer { continues: raw.continues, result })
}

fn read_fault(name: &str, parameters: &Value) -> Fault {
    let text = |key: &str| parameters.get(key).and_then(Value::as_str).map(str::to_owned);
    let ours = name.strip_prefix(idl::INTERFACE).and_then(|n| n.strip_prefix('.'));
    if let Some(kind) = FaultKind::ALL.into_iter().find(|k| Some(k.word()) == ours) {
        let message = text("message").unwrap_or_else(|| name.to_owned());
        return Fault { kind, message, hint: text("hint") };
    }
    let detail = ["parameter", "method", "interface"].into_iter().find_map(text);
    let newer = "is the supervisor older than this ct?";
    match name.strip_prefix(idl::SERVICE) {
        Some(".InvalidParameter") => Fault::new(FaultKind::Usage, detail.unwrap_or_else(|| name.to_owned())),
        Some(".MethodNotFound" | ".InterfaceNotFound" | ".MethodNotImplemented") => {
            let what = detail.unwrap_or_else(|| "this".to_owned());
            Fault::new(FaultKind::Refused, format!("the supervisor does not know {what}")).hint(newer)
        }
        Some(_) | None => Fault::new(FaultKind::Failed, format!("the supervisor answered {name}")),
    }
}

/// The typed parameters of a reply; each `T` is one of the shapes of [`Body`].
pub fn parameters<T: DeserializeOwned>(value: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(value)
}

/// What a body looks like on the wire, for tests and `--json`.
pub fn body_value(body: &Body) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}
