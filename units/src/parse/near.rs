//! parse: the known word that an unknown one was probably meant to be. Touches nothing.

/// The nearest of `known`, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer is no key anyone meant, and the distance costs length times length.
    if word.len() > 64 {
        return None;
    }
    let bound = (word.chars().count() / 4).clamp(1, 3);
    // A difference in length is at least as many insertions.
    let similar = known.filter(|k| k.len().abs_diff(word.len()) <= bound);
    similar.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= bound).min().map(|(_, k)| k)
}

/// Insertions, deletions, substitutions and swaps of neighbours, regardless of case.
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| s.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<char>>();
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = at(&last, j) + usize::from(x != y);
            best = best.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = j > 0 && previous == Some(y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        previous = Some(x);
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_matches() {
        let known = ["MemoryMax", "MemoryMin", "TasksMax", "User", "Type"];
        let check = |word: &str, expect: Option<&str>| {
            assert_eq!(nearest(word, known.into_iter()), expect, "{word:?}");
        };
        check("MemroyMax", Some("MemoryMax"));
        check("memorymax", Some("MemoryMax"));
        check("TaskMax", Some("TasksMax"));
        check("Uesr", Some("User"));
        check("Usr", Some("User"));
        check("Banana", None);
        check("", None);
    }
}
