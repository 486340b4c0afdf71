//! template.
#![allow(missing_docs)]
use crate::paths::Paths;
use std::collections::BTreeSet;
#[derive(Debug)]
pub struct TemplateInfo {
    pub name: String,
    pub size: u64,
    pub created: Option<u64>,
    pub description: String,
}
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct TemplateError;
pub fn names(_: &Paths) -> BTreeSet<String> {
    BTreeSet::new()
}
pub fn list(_: &Paths) -> Result<Vec<TemplateInfo>, TemplateError> {
    Ok(vec![])
}
pub fn remove(_: &Paths, _: &str, _: &[String]) -> Result<(), TemplateError> {
    Err(TemplateError)
}
pub fn host_template(_: &Paths) -> Result<(), TemplateError> {
    Err(TemplateError)
}
pub fn worker(_: &Paths, _: &[String]) -> i32 {
    1
}
