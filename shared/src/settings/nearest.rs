//! Which known name somebody meant who wrote an unknown one.

/// Whether a name may be a misspelling of a known one.
pub(super) fn is_near(name: &str, known: &str) -> bool {
    let name = name.replace('_', "-").to_lowercase();
    distance(&name, known) <= known.len().div_ceil(3)
}

/// How many characters must be inserted, removed or changed to turn one text into the other.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, a) in a.chars().take(64).enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (up, b) in row.iter().skip(1).zip(&b) {
            left = (diagonal + usize::from(a != *b)).min(left + 1).min(up + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
