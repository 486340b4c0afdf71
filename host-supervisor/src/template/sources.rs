//! sources: the machine's apt sources to those that serve one suite. Touches nothing: texts in, lines out.

/// One `deb` line: where from, signed by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// `[signed-by=…]` without the brackets; may be empty.
    options: String,
    uri: String,
    suite: String,
    components: String,
}

/// The sources of `suite`, its updates and its security updates, as one-line entries without doubles.
///
/// `texts` are pairs of file name and content: `.list` files hold lines, `.sources` files paragraphs.
pub(super) fn of_suite(texts: &[(String, String)], suite: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (name, text) in texts {
        let sources = if name.ends_with(".sources") { paragraphs(text) } else { one_line(text) };
        for s in sources.into_iter().filter(|s| belongs(&s.suite, suite)) {
            let options = if s.options.is_empty() { String::new() } else { format!("[{}] ", s.options) };
            let line = format!("deb {options}{} {} {}", s.uri, s.suite, s.components);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    // The suite itself has to be among them: updates alone make no system.
    match lines.iter().any(|l| l.split(' ').any(|word| word == suite)) {
        true => lines,
        false => Vec::new(),
    }
}

fn belongs(found: &str, suite: &str) -> bool {
    match found.strip_prefix(suite) {
        Some(rest) => matches!(rest, "" | "-updates" | "-security" | "/updates"),
        None => false,
    }
}

fn one_line(text: &str) -> Vec<Source> {
    text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter_map(line).collect()
}

fn line(text: &str) -> Option<Source> {
    let rest = text.strip_prefix("deb")?.strip_prefix(|c: char| c.is_whitespace())?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let components = words.collect::<Vec<_>>().join(" ");
    Some(Source { options: options.split_whitespace().collect::<Vec<_>>().join(" "), uri, suite, components })
}

fn paragraphs(text: &str) -> Vec<Source> {
    text.split("\n\n").flat_map(paragraph).collect()
}

fn paragraph(text: &str) -> Vec<Source> {
    let field = |wanted: &str| field(text, wanted);
    if !field("Types").split_whitespace().any(|t| t == "deb") || field("Enabled").trim() == "no" {
        return Vec::new();
    }
    let signed = field("Signed-By");
    // A key inside the file can't be said in one line; apt then uses the keys it trusts anyway.
    let options = match signed.starts_with('/') {
        true => format!("signed-by={}", signed.split_whitespace().collect::<Vec<_>>().join(",")),
        false => String::new(),
    };
    let components = field("Components").split_whitespace().collect::<Vec<_>>().join(" ");
    let (uris, suites) = (field("URIs"), field("Suites"));
    let one = |uri: &str, suite: &str| Source {
        options: options.clone(),
        uri: uri.to_owned(),
        suite: suite.to_owned(),
        components: components.clone(),
    };
    uris.split_whitespace().flat_map(|u| suites.split_whitespace().map(move |s| one(u, s))).collect()
}

/// A field's value with its continuation lines.
fn field(text: &str, wanted: &str) -> String {
    let mut value = String::new();
    let mut inside = false;
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            if inside {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        inside = line.split_once(':').is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
        if inside {
            value = line.split_once(':').map_or("", |(_, v)| v).trim().to_owned();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], suite: &str, expect: &[&str]) {
        let texts: Vec<_> = files.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
        assert_eq!(of_suite(&texts, suite), expect, "{files:?}");
    }

    #[test]
    fn the_sources_of_a_suite_are_found_in_both_formats() {
        check(
            &[("a.list", "deb http://m/debian s1 main contrib\n")],
            "s1",
            &["deb http://m/debian s1 main contrib"],
        );
        check(
            &[(
                "a.list",
                "# x\ndeb-src http://m s1 main\ndeb [arch=amd64 signed-by=/k] http://m s1 main # y\n",
            )],
            "s1",
            &["deb [arch=amd64 signed-by=/k] http://m s1 main"],
        );
        check(
            &[(
                "d.sources",
                "Types: deb deb-src\n# comment\nURIs: http://m/d\nSuites: s1 s1-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://m/s\nSuites:\n s1-security\nComponents: main\n",
            )],
            "s1",
            &[
                "deb [signed-by=/k.gpg] http://m/d s1 main",
                "deb [signed-by=/k.gpg] http://m/d s1-updates main",
                "deb http://m/s s1-security main",
            ],
        );
    }

    #[test]
    fn other_suites_and_disabled_sources_are_left_out() {
        check(&[("a.list", "deb http://m s2 main\ndeb http://m s1-backports main\n")], "s1", &[]);
        check(&[("a.list", "deb http://m s1-security main\n")], "s1", &[]);
        check(&[("a.list", "deb http://m s1 main\ndeb http://m s1 main\n")], "s1", &["deb http://m s1 main"]);
        check(
            &[("a.sources", "Types: deb\nEnabled: no\nURIs: http://m\nSuites: s1\nComponents: main\n")],
            "s1",
            &[],
        );
        check(&[("a.list", "deb\ndebian\ndeb [x\n"), ("b.sources", ":\n\n \n")], "s1", &[]);
    }
}
