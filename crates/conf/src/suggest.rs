//! Suggestions for misspelt names.

/// The nearest of `names`, if it is near enough for a suggestion.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are no misspelt directive names.
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let allowed = (wrong.len() / 3).clamp(1, 3);
    let near = |name: &&str| name.len().abs_diff(wrong.len()) <= allowed;
    let best = names.filter(near).map(|name| (distance(wrong, name), name)).min();
    best.filter(|&(far, _)| far <= allowed).map(|(_, name)| name)
}

/// The number of edits between two words; a swap of neighbours counts as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(!a[i - 1].eq_ignore_ascii_case(&b[j - 1]));
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["proxy_pass", "proxy_pass_header", "listen", "root"];
        assert_eq!(nearest("proxy_pas", names.into_iter()), Some("proxy_pass"));
        assert_eq!(nearest("lisetn", names.into_iter()), Some("listen"));
        assert_eq!(nearest("Listen", names.into_iter()), Some("listen"));
        assert_eq!(nearest("foo", names.into_iter()), None);
    }
}
