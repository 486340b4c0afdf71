//! parse: the keys of `[Mount]` and `[Swap]`. Mounts nothing.
use super::line::{Line, Wrong, number, put, put_path, put_text};
use super::{Draft, Key};
use crate::name::{UnitName, escape_path};
use crate::values::{Span, boolean};

pub(super) const MOUNT: &[Key] = &[
    ("What", what),
    ("Where", |d, l| put_path(&mut d.mount.at, l)),
    ("Type", |d, l| {
        d.mount.kind = l.text()?;
        Ok(())
    }),
    ("Options", options),
    ("DirectoryMode", |d, l| put(&mut d.mount.directory_mode, l, str::parse)),
    ("TimeoutSec", |d, l| put(&mut d.mount.timeout, l, Span::timeout)),
    ("LazyUnmount", |d, l| flag(d, l, "--lazy")),
    ("ForceUnmount", |d, l| flag(d, l, "--force")),
];

pub(super) const SWAP: &[Key] = &[
    ("What", what),
    ("Options", options),
    ("Priority", |d, l| {
        let mut priority: Option<i16> = None;
        put(&mut priority, l, |s| number(s, -1..=32_767, "a priority from -1 to 32767", "10"))?;
        d.mount.options.retain(|o| !o.starts_with("pri="));
        d.mount.options.extend(priority.map(|p| format!("pri={p}")));
        Ok(())
    }),
    ("TimeoutSec", |d, l| put(&mut d.mount.timeout, l, Span::timeout)),
];

fn what(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let mut text = None;
    put_text(&mut text, line)?;
    draft.mount.what = text.unwrap_or_default();
    Ok(())
}

/// A list; an empty value resets it.
fn options(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    if line.is_empty() {
        draft.mount.options.clear();
        return Ok(());
    }
    let text = line.text()?;
    draft.mount.options.extend(text.split(',').filter(|o| !o.is_empty()).map(str::to_owned));
    Ok(())
}

fn flag(draft: &mut Draft, line: &Line<'_>, flag: &'static str) -> Result<(), Wrong> {
    draft.mount.unmount.retain(|f| *f != flag);
    if !line.is_empty() && boolean(line.raw())? {
        draft.mount.unmount.push(flag);
    }
    Ok(())
}

/// What makes a `.mount` or `.swap` unit unusable. systemd insists on the name as well.
pub(super) fn mistakes(name: &UnitName, draft: &Draft) -> Vec<&'static str> {
    let mount = &draft.mount;
    let is_swap = name.suffix() == "swap";
    let path = if is_swap { Some(mount.what.as_str()) } else { mount.at.as_deref() };
    // A device that is called by its label has a name of the device's path, which nobody knows here.
    let differs = path.is_some_and(|p| p.starts_with('/') && escape_path(p) != name.stem());
    let rules = [
        (mount.what.is_empty(), "[Mount] or [Swap] has no What="),
        (!is_swap && mount.at.is_none(), "[Mount] has no Where="),
        (
            differs && !is_swap,
            "[Mount] has a Where= that is not the unit's name (srv-data.mount is /srv/data)",
        ),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, message)| message).take(1).collect()
}
