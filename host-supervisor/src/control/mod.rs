//! control: how people and programs talk to the supervisor. Never decides anything about containers.
//!
//! `protocol` is what can be said (a varlink interface and its types), `codec` cuts bytes into messages, `server`
//! is the supervisor's side for a mio loop, `client` is the side of `ct`; `cli` turns command lines into calls,
//! `session` speaks with a container's ct-init after the supervisor has introduced the two, `render` makes text
//! of replies. Only `client`, `cli`, `session` and `terminal` may block; the server never does.
pub mod cli;
pub mod client;
pub mod codec;
pub mod pass;
pub mod protocol;
pub mod render;
pub mod server;
pub mod session;
pub mod target;
pub mod terminal;
