//! Two transcripts side by side.

/// Lines of agreement shown around a difference.
const CONTEXT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Both,
    KernelOnly,
    UsysvOnly,
}

/// What differs, `-` for the kernel's lines and `+` for usysv's; `None` when nothing does.
pub fn difference(kernel: &[String], usysv: &[String]) -> Option<String> {
    if kernel == usysv {
        return None;
    }
    let lines = align(kernel, usysv);
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        let to = (at + CONTEXT + 1).min(lines.len());
        lines[from..to].iter().any(|(mark, _)| *mark != Mark::Both)
    };
    let mut out = String::from("--- kernel\n+++ usysv\n");
    let mut gap = false;
    for (at, (mark, line)) in lines.iter().enumerate() {
        let sign = match mark {
            _ if !near(at) => {
                gap = true;
                continue;
            }
            Mark::Both => ' ',
            Mark::KernelOnly => '-',
            Mark::UsysvOnly => '+',
        };
        if std::mem::take(&mut gap) {
            out.push_str("  ...\n");
        }
        out.push_str(&format!("{sign} {line}\n"));
    }
    Some(out)
}

/// The longest common subsequence, with what each side has besides.
fn align<'a>(kernel: &'a [String], usysv: &'a [String]) -> Vec<(Mark, &'a str)> {
    let (rows, columns) = (kernel.len(), usysv.len());
    // common[i][j]: the most lines that kernel[i..] and usysv[j..] share.
    let mut common = vec![vec![0_usize; columns + 1]; rows + 1];
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            common[i][j] = if kernel[i] == usysv[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < rows || j < columns {
        if i < rows && j < columns && kernel[i] == usysv[j] {
            lines.push((Mark::Both, kernel[i].as_str()));
            i += 1;
            j += 1;
        } else if j == columns || (i < rows && common[i + 1][j] >= common[i][j + 1]) {
            lines.push((Mark::KernelOnly, kernel[i].as_str()));
            i += 1;
        } else {
            lines.push((Mark::UsysvOnly, usysv[j].as_str()));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::difference;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn equal_transcripts_have_no_difference() {
        assert_eq!(difference(&lines("a b"), &lines("a b")), None);
    }

    #[test]
    fn a_changed_line_shows_both_and_what_is_around() {
        let got = difference(&lines("1 2 3 4 5 a 6"), &lines("1 2 3 4 5 b 6"));
        let want = "--- kernel\n+++ usysv\n  ...\n  3\n  4\n  5\n- a\n+ b\n  6\n";
        assert_eq!(got.as_deref(), Some(want));
    }

    #[test]
    fn a_missing_end_shows() {
        let got = difference(&lines("a b"), &lines("a"));
        assert_eq!(got.as_deref(), Some("--- kernel\n+++ usysv\n  a\n- b\n"));
    }
}
