//! parse: command lines of `Exec…=` to programs and arguments, and `$VAR` in them. Looks nothing up in a file system.
use super::words::{self, Escapes, Splitter, Word, WordError};
use crate::schema::Command;

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Quotes or escapes.
    #[error(transparent)]
    Word(#[from] WordError),
    /// Prefixes and then nothing.
    #[error("no program to run stands here")]
    NoProgram {
        /// Byte offset.
        at: usize,
    },
    /// `+` with `!`, or three `!`.
    #[error("the prefix {prefix:?} does not go with those before it (try one of + ! !!)")]
    Prefix {
        /// The one too many.
        prefix: char,
        /// Byte offset.
        at: usize,
    },
    /// With `/` but not from the root, or with a dot segment.
    #[error("{program:?} is not an absolute path (nor a bare name to look for)")]
    Relative {
        /// As written.
        program: String,
        /// Byte offset.
        at: usize,
    },
    /// A word that specifiers made unusable.
    #[error("{why}")]
    Specifier {
        /// What about it.
        why: String,
        /// Byte offset.
        at: usize,
    },
}

impl CommandError {
    /// Byte offset of the mistake in the line.
    pub fn at(&self) -> usize {
        match self {
            CommandError::Word(error) => error.at(),
            CommandError::NoProgram { at }
            | CommandError::Prefix { at, .. }
            | CommandError::Relative { at, .. }
            | CommandError::Specifier { at, .. } => *at,
        }
    }
}

/// Splits a line into commands (`;` separates them), with no specifiers in it.
pub fn split(line: &str) -> Result<Vec<Command>, CommandError> {
    split_with(line, &mut |word| Ok(word.text.clone()))
}

/// As [`split`]; `specifiers` has its way with each word, prefixes off. So what a specifier stands for never splits.
pub fn split_with(
    line: &str,
    specifiers: &mut dyn FnMut(&Word) -> Result<String, CommandError>,
) -> Result<Vec<Command>, CommandError> {
    let mut rest = Splitter::new(line, Escapes::Strict);
    let mut commands = Vec::new();
    while !rest.rest().is_empty() {
        if let Some(command) = one(&mut rest, specifiers)? {
            commands.push(command);
        }
    }
    Ok(commands)
}

/// Whether `mark` stands alone as the next word.
fn alone(rest: &str, mark: &str) -> bool {
    rest.strip_prefix(mark).is_some_and(|r| r.is_empty() || r.starts_with(|c: char| c.is_ascii_whitespace()))
}

/// One command up to its `;`; none where the `;` comes at once.
fn one(
    rest: &mut Splitter<'_>,
    specifiers: &mut dyn FnMut(&Word) -> Result<String, CommandError>,
) -> Result<Option<Command>, CommandError> {
    if alone(rest.rest(), ";") {
        rest.skip(1);
        return Ok(None);
    }
    let Some(mut first) = rest.next_word()? else {
        return Ok(None);
    };
    let (mut command, own_argv0) = prefixes(&mut first)?;
    command.program = specifiers(&first)?;
    check_program(&command.program, first.at)?;
    if !own_argv0 {
        command.argv.push(command.program.clone());
    }
    loop {
        let text = rest.rest();
        if text.is_empty() {
            break;
        } else if alone(text, ";") {
            rest.skip(1);
            break;
        } else if alone(text, "\\;") {
            rest.skip(2);
            command.argv.push(";".to_owned());
        } else if let Some(word) = rest.next_word()? {
            command.argv.push(specifiers(&word)?);
        }
    }
    if command.argv.is_empty() {
        return Err(CommandError::NoProgram { at: first.end });
    }
    Ok(Some(command))
}

/// Takes `- @ : + ! !!` off the first word, in any order; true if `@` was among them.
fn prefixes(first: &mut Word) -> Result<(Command, bool), CommandError> {
    let mut command = Command::default();
    let (mut own_argv0, mut bangs) = (false, 0);
    let program = first.text.trim_start_matches(['-', '@', ':', '+', '!']).to_owned();
    let taken = first.text.len() - program.len();
    for (i, prefix) in first.text.chars().take(taken).enumerate() {
        let too_many = match prefix {
            '-' => std::mem::replace(&mut command.ignore_failure, true),
            '@' => std::mem::replace(&mut own_argv0, true),
            ':' => std::mem::replace(&mut command.no_expand, true),
            '+' => std::mem::replace(&mut command.full_privileges, true) || command.keep_user,
            _ => {
                bangs += 1;
                command.keep_user = true;
                bangs > 2 || command.full_privileges
            }
        };
        if too_many {
            return Err(CommandError::Prefix { prefix, at: first.at + i });
        }
    }
    if program.is_empty() {
        return Err(CommandError::NoProgram { at: first.at });
    }
    first.at += taken;
    first.text = program;
    Ok((command, own_argv0))
}

fn check_program(program: &str, at: usize) -> Result<(), CommandError> {
    let absolute = program.starts_with('/') && !program.ends_with('/');
    let bare = !program.contains('/') && !matches!(program, "." | "..");
    if program.is_empty() {
        Err(CommandError::NoProgram { at })
    } else if absolute || bare {
        Ok(())
    } else {
        Err(CommandError::Relative { program: program.to_owned(), at })
    }
}

/// Writes a command line that splits to the same command.
pub fn render(command: &Command) -> String {
    let own_argv0 = command.argv.first() != Some(&command.program);
    let marks = [
        (command.ignore_failure, '-'),
        (own_argv0, '@'),
        (command.no_expand, ':'),
        (command.full_privileges, '+'),
        (command.keep_user, '!'),
    ];
    let prefix: String = marks.iter().filter(|(on, _)| *on).map(|(_, c)| *c).collect();
    let mut words = vec![words::quote(&format!("{prefix}{}", command.program))];
    let skip = usize::from(!own_argv0);
    words.extend(command.argv.iter().skip(skip).map(|a| words::quote(a)));
    words.join(" ")
}

/// The argv to execute: `$VAR` alone is split at white space, `${VAR}` put in place, `$$` a dollar; what `lookup` does
/// not know is empty. A command marked `:` stays as it is.
pub fn expand(command: &Command, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    if command.no_expand {
        return command.argv.clone();
    }
    let mut argv = Vec::with_capacity(command.argv.len());
    for arg in &command.argv {
        match arg.strip_prefix('$').filter(|name| is_variable(name)) {
            Some(name) => {
                let value = lookup(name).unwrap_or_default();
                let parts = words::split(&value, Escapes::Relaxed).unwrap_or_default();
                argv.extend(parts.into_iter().map(|w| w.text));
            }
            None => argv.push(in_place(arg, lookup)),
        }
    }
    argv
}

fn in_place(arg: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(arg.len());
    let mut rest = arg;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            out.push_str(&lookup(name).unwrap_or_default());
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Whether it can name an environment variable.
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(c: &Command) -> String {
        let marks = [
            (c.ignore_failure, "ignore "),
            (c.no_expand, "literal "),
            (c.full_privileges, "full "),
            (c.keep_user, "user "),
        ];
        let marks: String = marks.iter().filter(|(on, _)| *on).map(|(_, m)| *m).collect();
        format!("{marks}{} {:?}", c.program, c.argv)
    }

    #[test]
    fn lines() {
        let check = |line: &str, expect: &[&str]| {
            let got: Vec<String> = split(line).unwrap().iter().map(show).collect();
            assert_eq!(got, expect, "{line:?}");
        };
        check("", &[]);
        check("/bin/a -b c", &[r#"/bin/a ["/bin/a", "-b", "c"]"#]);
        check("find / -x", &[r#"find ["find", "/", "-x"]"#]);
        check("-/bin/a", &[r#"ignore /bin/a ["/bin/a"]"#]);
        check("@/bin/a name x", &[r#"/bin/a ["name", "x"]"#]);
        check("-@:+/bin/a name", &[r#"ignore literal full /bin/a ["name"]"#]);
        check("!!/bin/a", &[r#"user /bin/a ["/bin/a"]"#]);
        check("!-/bin/a", &[r#"ignore user /bin/a ["/bin/a"]"#]);
        check("/a x ; /b y", &[r#"/a ["/a", "x"]"#, r#"/b ["/b", "y"]"#]);
        check("/a ;", &[r#"/a ["/a"]"#]);
        check(r"/a x \; y", &[r#"/a ["/a", "x", ";", "y"]"#]);
        check(r#"/a ";" x;y"#, &[r#"/a ["/a", ";", "x;y"]"#]);
        check(r#"/bin/sh -c "a 'b' $$c""#, &[r#"/bin/sh ["/bin/sh", "-c", "a 'b' $$c"]"#]);
    }

    #[test]
    fn mistakes() {
        let check = |line: &str, expect: &str, at: usize| {
            let error = split(line).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.at()), (expect, at), "{line:?}");
        };
        check("-", "no program to run stands here", 0);
        check("@/bin/a", "no program to run stands here", 7);
        check("bin/a", r#""bin/a" is not an absolute path (nor a bare name to look for)"#, 0);
        check("/bin/", r#""/bin/" is not an absolute path (nor a bare name to look for)"#, 0);
        check("+!/a", "the prefix '!' does not go with those before it (try one of + ! !!)", 1);
        check("!!!/a", "the prefix '!' does not go with those before it (try one of + ! !!)", 2);
        check("/a ; /b 'c", "the ' that opens here is never closed", 8);
    }

    #[test]
    fn variables() {
        let lookup = |name: &str| match name {
            "ONE" => Some("one".to_owned()),
            "TWO" => Some("a 'b c'".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let check = |line: &str, expect: &[&str]| {
            let command = split(line).unwrap().remove(0);
            assert_eq!(expand(&command, &lookup)[1..], *expect, "{line:?}");
        };
        check("/a $ONE ${ONE}", &["one", "one"]);
        check("/a $TWO ${TWO}", &["a", "b c", "a 'b c'"]);
        check("/a $EMPTY ${EMPTY} x", &["", "x"]);
        check("/a $NONE x${NONE}y", &["xy"]);
        check("/a x$ONE $$ONE $$ $", &["x$ONE", "$ONE", "$", "$"]);
        check("/a ${ONE}${ONE}-${ONE", &["oneone-${ONE"]);
        check(":/a $ONE ${ONE} $$", &["$ONE", "${ONE}", "$$"]);
    }

    proptest! {
        #[test]
        fn rendered_commands_split_to_the_same(
            program in "/[a-z ]{1,6}[a-z]",
            args in proptest::collection::vec("[^\0]{0,6}", 0..4),
            marks: (bool, bool, bool, bool),
        ) {
            let argv = std::iter::once(program.clone()).chain(args).collect();
            let (ignore_failure, no_expand, full_privileges, keep) = marks;
            let keep_user = keep && !full_privileges;
            let command = Command { program, argv, ignore_failure, no_expand, full_privileges, keep_user };
            prop_assert_eq!(split(&render(&command)), Ok(vec![command]));
        }
        #[test]
        fn never_panics(line in "[-@:+!/ab\\\\x0u'\" ;$%{}ä]{0,30}") {
            for command in split(&line).unwrap_or_default() {
                let _ = expand(&command, &|_| Some("x y".to_owned()));
            }
        }
    }
}
