//! merge: fragments and drop-ins of one unit, laid over each other, specifiers expanded. Touches nothing.
use crate::name::UnitName;
use crate::parse::specifier::Context;
use crate::parse::{Diagnostics, document};
use crate::schema::Unit;
use crate::schema::read::{Kind, Reader};

/// One file of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// As messages name it.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Dependencies that `.wants/` and `.requires/` directories add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// `.wants/` and `.upholds/`.
    pub wants: Vec<UnitName>,
    /// `.requires/`.
    pub requires: Vec<UnitName>,
}

/// Makes a unit of its main file (first) and its drop-ins (in order): later values win, lists grow, an empty value
/// resets. The unit is none if any diagnostic is an error; warnings cost at most their own assignment.
pub fn assemble(name: &UnitName, fragments: &[Fragment], context: &Context) -> (Option<Unit>, Diagnostics) {
    assemble_linked(name, fragments, &Links::default(), context)
}

/// As [`assemble`], with the dependencies that directories add.
pub fn assemble_linked(
    name: &UnitName,
    fragments: &[Fragment],
    links: &Links,
    context: &Context,
) -> (Option<Unit>, Diagnostics) {
    let mut reader = Reader::new(name, context);
    for fragment in fragments {
        let (document, found) = document::parse(&fragment.path, &fragment.bytes, Kind::of(name).slip());
        reader.found.append(found);
        reader.document(&fragment.path, &document);
    }
    reader.links(&links.wants, &links.requires);
    reader.finish(fragments.first().map_or("", |f| &f.path))
}
